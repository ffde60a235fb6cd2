//! Suggestions for mistyped names.

/// The most known names in a message for a name that has no near one.
const MAX_LISTED: usize = 12;

/// The known name nearest to a mistyped one, by Damerau-Levenshtein distance: at most one edit, and
/// one more for every four letters.
pub fn closest<'n>(name: &str, known: &'n [impl AsRef<str>]) -> Option<&'n str> {
    let name = name.to_lowercase();
    let edits = |k: &str| strsim::damerau_levenshtein(&name, &k.to_lowercase());
    let near = known
        .iter()
        .map(|k| (edits(k.as_ref()), k.as_ref()))
        .min_by_key(|(edits, _)| *edits)?;
    (near.0 <= 1 + name.chars().count() / 4).then_some(near.1)
}

/// The end of a message about an unknown name: a suggestion if a known name is near, else the known
/// names.
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
    fn only_near_names_are_suggested() {
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
