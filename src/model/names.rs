//! What somebody probably meant: the nearest of the known names.

/// Candidates that are listed where none is near.
const MAX_LISTED: usize = 12;

/// The known name that a mistyped one is nearest to, if one is near enough: one edit in four
/// letters.
pub fn closest<'n>(name: &str, known: &'n [impl AsRef<str>]) -> Option<&'n str> {
    let name = name.to_lowercase();
    let edits = |k: &str| strsim::damerau_levenshtein(&name, &k.to_lowercase());
    let near = known
        .iter()
        .map(|k| (edits(k.as_ref()), k.as_ref()))
        .min_by_key(|(edits, _)| *edits)?;
    (near.0 <= 1 + name.chars().count() / 4).then_some(near.1)
}

/// The end of a message about an unknown name: `; did you mean "relay"?`, or the names that there
/// are.
pub fn suggest(name: &str, known: &[impl AsRef<str>]) -> String {
    if let Some(near) = closest(name, known) {
        return format!("; did you mean `{near}`?");
    }
    let listed: Vec<&str> = known.iter().take(MAX_LISTED).map(AsRef::as_ref).collect();
    match listed.len() {
        0 => "; there are none".into(),
        n if n < known.len() => format!(
            "; there are {} and {} more",
            listed.join(", "),
            known.len() - n
        ),
        1 => format!("; there is {}", listed[0]),
        _ => format!("; there are {}", listed.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_and_no_far_one() {
        let known = ["relay", "input", "spamsource"];
        for (name, near) in [
            ("relais", Some("relay")),
            ("RELAY", Some("relay")),
            ("spam-source", Some("spamsource")),
            ("nope", None),
        ] {
            assert_eq!(closest(name, &known), near, "{name}");
        }
        assert_eq!(suggest("rely", &known), "; did you mean `relay`?");
        assert_eq!(
            suggest("nope", &known),
            "; there are relay, input, spamsource"
        );
        assert_eq!(suggest("nope", &[] as &[&str]), "; there are none");
    }
}
