//! The templates of recipes, and how they are filled in for a zone.

use std::fmt::Write as _;

use crate::model::{
    Zone, ZoneKind,
    zone::{Publish, Recommendation},
};

/// What a part of a recipe is for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, strum::IntoStaticStr,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
pub enum Purpose {
    /// The zone is used.
    Use,
    /// One sender is let through although it is listed.
    Allow,
    /// One recipient gets mail from listed senders too.
    Exempt,
    /// Another way to use the zone, for programs that lack the first.
    Other,
}

/// A part of a recipe: a text for one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipePart {
    /// What the part is for.
    pub purpose: Purpose,
    /// The file, as the program's documentation names it.
    pub file: String,
    /// The text to put into the file.
    pub text: String,
}

/// The settings with which one program uses a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// The name of the recipe, which is part of the keys of its texts.
    pub id: &'static str,
    /// The name of the program.
    pub program: &'static str,
    /// Whether the program can only refuse what is listed, and not weigh it.
    pub refuses: bool,
    /// The parts, in the order in which they are shown.
    pub parts: Vec<RecipePart>,
}

/// A recipe as it is built in.
struct Template {
    id: &'static str,
    program: &'static str,
    kind: ZoneKind,
    refuses: bool,
    /// How codes are written: before each, between two, after each.
    codes: [&'static str; 3],
    text: &'static str,
}

const fn template(
    (id, program): (&'static str, &'static str),
    kind: ZoneKind,
    refuses: bool,
    codes: [&'static str; 3],
    text: &'static str,
) -> Template {
    Template {
        id,
        program,
        kind,
        refuses,
        codes,
        text,
    }
}

use ZoneKind::{Address, Domain};

/// The address that recipes let through as an example.
pub const EXAMPLE_SENDER: &str = "198.51.100.25";
/// The recipient that recipes exempt as an example.
pub const EXAMPLE_RECIPIENT: &str = "postmaster@";

const NO_CODES: [&str; 3] = ["", "", ""];
const COMMA: [&str; 3] = ["", ",", ""];

/// All recipes. The names of programs are the same in every language.
#[rustfmt::skip]
const TEMPLATES: [Template; 11] = [
    template(("postfix", "Postfix"), Address, true, NO_CODES, include_str!("postfix.txt")),
    template(("postscreen", "Postfix postscreen"), Address, false, NO_CODES, include_str!("postscreen.txt")),
    template(("exim", "Exim"), Address, true, COMMA, include_str!("exim.txt")),
    template(("sendmail", "sendmail"), Address, true, ["`", ", ", ".'"], include_str!("sendmail.txt")),
    template(("rspamd", "rspamd"), Address, false, ["\"", ", ", "\""], include_str!("rspamd.txt")),
    template(("spamassassin", "SpamAssassin"), Address, false, ["", "|", ""], include_str!("spamassassin.txt")),
    template(("opensmtpd", "OpenSMTPD"), Address, false, NO_CODES, include_str!("opensmtpd.txt")),
    template(("haraka", "Haraka"), Address, true, NO_CODES, include_str!("haraka.txt")),
    template(("postfix-domain", "Postfix"), Domain, true, NO_CODES, include_str!("postfix-domain.txt")),
    template(("exim-domain", "Exim"), Domain, true, COMMA, include_str!("exim-domain.txt")),
    template(("unbound", "Unbound"), Domain, true, NO_CODES, include_str!("unbound.txt")),
];

/// The names of all recipes.
pub fn ids() -> impl Iterator<Item = &'static str> {
    TEMPLATES.iter().map(|t| t.id)
}

/// The recipes of a zone. There are none for a zone that is not to be used for decisions about
/// mail, whose codes are bit masks, or whose names are digests.
pub fn of(zone: &Zone) -> Vec<Recipe> {
    let recommended = zone.about.recommended();
    if zone.bitmask || zone.publish.is_empty() || recommended == Recommendation::Ignore {
        return Vec::new();
    }
    let fits = |t: &&Template| {
        t.kind == zone.kind && (recommended == Recommendation::Refuse || !t.refuses)
    };
    TEMPLATES
        .iter()
        .filter(fits)
        .map(|t| t.recipe(zone))
        .collect()
}

impl Template {
    fn recipe(&self, zone: &Zone) -> Recipe {
        Recipe {
            id: self.id,
            program: self.program,
            refuses: self.refuses,
            parts: self.parts(zone),
        }
    }

    fn parts(&self, zone: &Zone) -> Vec<RecipePart> {
        let mut parts: Vec<RecipePart> = Vec::new();
        for line in self.text.lines() {
            if let Some((purpose, file)) = line.strip_prefix("== ").and_then(|l| l.split_once(' '))
            {
                let purpose = match purpose {
                    "allow" => Purpose::Allow,
                    "exempt" => Purpose::Exempt,
                    "other" => Purpose::Other,
                    _ => Purpose::Use,
                };
                parts.push(RecipePart {
                    purpose,
                    file: self.fill(file, zone, ""),
                    text: String::new(),
                });
                continue;
            }
            let Some(part) = parts.last_mut() else {
                continue;
            };
            let Some(repeated) = line.strip_prefix("@each group") else {
                let _ = writeln!(part.text, "{}", self.fill(line, zone, ""));
                continue;
            };
            for group in code_groups(&zone.publish) {
                let _ = writeln!(part.text, "{}", self.fill(repeated, zone, &group));
            }
        }
        parts
    }

    /// Replaces the placeholders of a line.
    fn fill(&self, line: &str, zone: &Zone, group: &str) -> String {
        let refuse = zone.about.recommended() == Recommendation::Refuse;
        let [before, between, after] = self.codes;
        let codes = zone.publish.iter().map(|p| {
            let code = p.code.to_string();
            // The codes of SpamAssassin are a regular expression.
            let code = match between {
                "|" => code.replace('.', "\\."),
                _ => code,
            };
            format!("{before}{code}{after}")
        });
        let mut codes: Vec<String> = codes.collect();
        codes.dedup();
        let symbol = |c: char| match c {
            c if c.is_ascii_alphanumeric() => c.to_ascii_uppercase(),
            _ => '_',
        };
        let name: String = zone.short_name.chars().map(symbol).collect();
        let pick = |yes: &'static str, no: &'static str| if refuse { yes } else { no };
        line.replace("@ZONE@", zone.origin.trim_end_matches('.'))
            .replace("@SYMBOL@", &format!("RBL_{name}"))
            .replace("@NAME@", &name.to_ascii_lowercase())
            .replace("@CODES@", &codes.join(between))
            .replace("@GROUP@", group)
            .replace("@POINTS@", pick("2", "1"))
            .replace("@SCORE@", pick("6.0", "2.0"))
            .replace("@REJECT@", pick("true", "false"))
    }
}

/// The codes in the syntax of Postfix: one pattern for all codes that differ in the last octet
/// only.
fn code_groups(publish: &[Publish]) -> Vec<String> {
    let mut groups: Vec<([u8; 3], Vec<u8>)> = Vec::new();
    for p in publish {
        let [a, b, c, last] = p.code.octets();
        match groups.iter_mut().find(|(net, _)| *net == [a, b, c]) {
            Some((_, all)) if all.contains(&last) => {}
            Some((_, all)) => all.push(last),
            None => groups.push(([a, b, c], vec![last])),
        }
    }
    let pattern = |([a, b, c], mut last): ([u8; 3], Vec<u8>)| {
        last.sort_unstable();
        let last: Vec<String> = last.iter().map(u8::to_string).collect();
        match &last[..] {
            [one] => format!("{a}.{b}.{c}.{one}"),
            all => format!("{a}.{b}.{c}.[{}]", all.join(";")),
        }
    };
    groups.into_iter().map(pattern).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(kind: ZoneKind, codes: &[[u8; 4]]) -> Zone {
        let publish = codes.iter().enumerate().map(|(i, code)| Publish {
            reason: format!("r{i}"),
            code: (*code).into(),
            text: None,
        });
        Zone {
            short_name: "my-list".into(),
            origin: "bl.example.org.".into(),
            kind,
            publish: publish.collect(),
            ..Zone::default()
        }
    }

    fn text(recipes: &[Recipe], id: &str) -> String {
        let recipe = recipes.iter().find(|r| r.id == id).unwrap();
        recipe.parts.iter().map(|p| p.text.as_str()).collect()
    }

    #[test]
    fn recipe_matches_exactly_the_codes_of_the_zone() {
        let all = of(&zone(
            Address,
            &[[127, 0, 0, 3], [127, 0, 0, 2], [127, 0, 1, 9]],
        ));
        let postfix = text(&all, "postfix");
        assert!(
            postfix.contains("bl.example.org=127.0.0.[2;3]\n"),
            "{postfix}"
        );
        assert!(postfix.contains("bl.example.org=127.0.1.9\n"), "{postfix}");
        assert!(text(&all, "exim").contains("=127.0.0.3,127.0.0.2,127.0.1.9\n"));
        assert!(text(&all, "sendmail").contains("`', `127.0.0.3.', `127.0.0.2.', `127.0.1.9.')"));
        assert!(text(&all, "rspamd").contains("RBL_MY_LIST = [\"127.0.0.3\", \"127.0.0.2\""));
        assert!(
            text(&all, "spamassassin").contains(r"'^(?:127\.0\.0\.3|127\.0\.0\.2|127\.0\.1\.9)$'")
        );
    }

    #[test]
    fn no_placeholder_is_left() {
        for kind in [Address, Domain] {
            for recipe in of(&zone(kind, &[[127, 0, 0, 2]])) {
                assert!(recipe.parts.iter().any(|p| p.purpose == Purpose::Use));
                for part in recipe.parts {
                    let rest = part.text.replace("postmaster@", "");
                    assert!(!rest.contains("@each"), "{}: {rest}", recipe.id);
                    let names = [
                        "ZONE", "SYMBOL", "NAME", "CODES", "GROUP", "POINTS", "SCORE", "REJECT",
                    ];
                    for name in names {
                        assert!(
                            !rest.contains(&format!("@{name}@")),
                            "{}: {rest}",
                            recipe.id
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn zone_that_is_only_a_sign_has_no_recipe_that_refuses() {
        let mut zone = zone(Address, &[[127, 0, 0, 10]]);
        zone.about.recommended = Some(Recommendation::Score);
        let all = of(&zone);
        assert!(!all.is_empty() && all.iter().all(|r| !r.refuses));
        assert!(text(&all, "postscreen").contains("=127.0.0.10*1\n"));
        zone.about.recommended = Some(Recommendation::Ignore);
        assert_eq!(of(&zone), []);
    }

    #[test]
    fn zones_of_bit_masks_and_digests_have_no_recipes() {
        let mut masks = zone(Address, &[[127, 0, 0, 2]]);
        masks.bitmask = true;
        assert_eq!(of(&masks), []);
        assert_eq!(of(&zone(ZoneKind::Hash, &[[127, 0, 0, 2]])), []);
    }
}
