//! The forms of provider names: texts with placeholders, as regular expressions.

/// The placeholders of a form, and what they match. `providers.toml` explains them.
const PLACEHOLDERS: [(&str, &str); 14] = [
    ("ip-", "[0-9]{1,3}(?:-[0-9]{1,3}){3}"),
    ("ip.", r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"),
    ("ip3-", "[0-9]{1,3}(?:-[0-9]{1,3}){2}"),
    ("ip3.", r"[0-9]{1,3}(?:\.[0-9]{1,3}){2}"),
    ("ip2-", "[0-9]{1,3}-[0-9]{1,3}"),
    ("ip2.", r"[0-9]{1,3}\.[0-9]{1,3}"),
    ("pad-", "[0-9]{3}(?:-[0-9]{3}){3}"),
    ("pad", "[0-9]{12}"),
    ("hex", "[0-9a-f]{8}"),
    (
        "ip6",
        "(?:[0-9a-f]{32}|[0-9a-f]{1,4}(?:-[0-9a-f]{0,4}){2,7})",
    ),
    ("mac", "[0-9a-f]{12}"),
    ("n", "[0-9]{1,20}"),
    ("id", "[0-9a-z]+(?:-[0-9a-z]+)*"),
    (
        "site",
        r"[0-9a-z]+(?:-[0-9a-z]+)*(?:\.[0-9a-z]+(?:-[0-9a-z]+)*){0,3}",
    ),
];

/// Returns the regular expression of a form. It matches a whole name in lower case.
///
/// # Errors
///
/// Names the placeholder that does not exist, or the brace that is not closed.
pub(super) fn expression(form: &str) -> Result<String, String> {
    let mut out = String::from("^(?:");
    let mut rest = form;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '{' => {
                let (name, after) = rest
                    .split_once('}')
                    .ok_or_else(|| format!("form `{form}`: a `{{` is not closed"))?;
                let known = PLACEHOLDERS.iter().find(|(known, _)| *known == name);
                let (_, pattern) = known.ok_or_else(|| {
                    let all: Vec<&str> = PLACEHOLDERS.iter().map(|(name, _)| *name).collect();
                    format!(
                        "form `{form}`: there is no placeholder `{{{name}}}`; there are {}",
                        all.join(", ")
                    )
                })?;
                out += pattern;
                rest = after;
            }
            '(' => out += "(?:",
            ')' | '|' => out.push(c),
            c => out += &regex::escape(c.encode_utf8(&mut [0; 4])),
        }
    }
    Ok(out + ")$")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_matches_whole_names_only() {
        let pattern = regex::Regex::new(&expression("p{hex}.dip0.isp.(example|test)").unwrap());
        let pattern = pattern.unwrap();
        for (name, expected) in [
            ("pc633641b.dip0.isp.example", true),
            ("pc633641b.dip0.isp.test", true),
            ("pc633641b.dip0.ispxexample", false),
            ("xpc633641b.dip0.isp.example", false),
            ("pc633641b.dip0.isp.example.net", false),
            ("pc633641.dip0.isp.example", false),
        ] {
            assert_eq!(pattern.is_match(name), expected, "{name}");
        }
    }

    #[test]
    fn wrong_placeholder_is_named() {
        let e = expression("a{octet}.isp.example").unwrap_err();
        assert!(e.contains("no placeholder `{octet}`"), "{e}");
        let e = expression("a{hex.isp.example").unwrap_err();
        assert!(e.contains("not closed"), "{e}");
    }
}
