//! Chooses the advice for what a test has found.

use super::{AdviceEntry, Library, Product, Recognised, Securable, version::Version};

/// An entry that is likely to help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// The product.
    pub product: &'static Product,
    /// The entry.
    pub entry: &'static AdviceEntry,
    /// Whether the entry names a test that was delivered.
    pub explains: bool,
}

impl AdviceEntry {
    /// Whether the entry is about a version. Without a version it may be about it.
    fn is_about(&self, version: Option<&Version>) -> bool {
        let Some(version) = version else { return true };
        let bound = |text: &Option<String>| text.as_deref().and_then(Version::parse);
        bound(&self.since).is_none_or(|since| *version >= since)
            && bound(&self.before).is_none_or(|before| *version < before)
    }

    /// Whether the entry is only about some versions, as far as they can be compared.
    fn has_range(&self) -> bool {
        self.since.is_some() || self.before.is_some()
    }
}

/// Returns the entries for recognised products and the names of the tests that were delivered, the
/// likeliest first: those that name such a test, then those about just this version.
pub fn suggest(recognised: &[Recognised], delivered: &[&str]) -> Vec<Suggestion> {
    let mut out = Vec::new();
    for r in recognised {
        let version = r.parsed_version();
        let mut of_product: Vec<Suggestion> = r
            .product
            .entry
            .iter()
            .filter(|e| e.is_about(version.as_ref()))
            .map(|entry| Suggestion {
                product: r.product,
                entry,
                explains: entry.fails.iter().any(|f| delivered.contains(&f.as_str())),
            })
            .collect();
        of_product.sort_by_key(|s| {
            let exact = version.is_some() && s.entry.has_range();
            (!s.explains, !exact)
        });
        out.append(&mut of_product);
    }
    out
}

/// Whether a recognised build cannot be closed at all: all entries about its version say so. None
/// if the version is unknown or no entry is about it.
pub fn securable(recognised: &Recognised) -> Option<Securable> {
    let version = recognised.parsed_version();
    let about = recognised
        .product
        .entry
        .iter()
        .filter(|e| e.is_about(version.as_ref()) && (version.is_some() || !e.has_range()));
    let kinds: Vec<Securable> = about.map(|e| e.securable).collect();
    let all = |wanted: &[Securable]| kinds.iter().all(|s| wanted.contains(s));
    match kinds.as_slice() {
        [] => None,
        _ if all(&[Securable::Never]) => Some(Securable::Never),
        _ if kinds.contains(&Securable::ByUpdate) && version.is_some() => Some(Securable::ByUpdate),
        _ if all(&[Securable::ByDefault]) => Some(Securable::ByDefault),
        _ => Some(Securable::BySetting),
    }
}

/// Returns the entry that an address names: `postfix` and `trusted-networks`.
pub fn find_entry(product: &str, entry: &str) -> Option<(&'static Product, &'static AdviceEntry)> {
    let product = Library::get().product(product)?;
    let entry = product.entry.iter().find(|e| e.id == entry)?;
    Some((product, entry))
}

#[cfg(test)]
mod tests {
    use super::{super::recognise_pasted, *};

    fn suggested(greeting: &str, delivered: &[&str]) -> Vec<String> {
        let found = recognise_pasted(greeting);
        let all = suggest(&found, delivered);
        all.iter().map(|s| s.entry.id.clone()).collect()
    }

    #[test]
    fn entries_about_other_versions_are_left_out() {
        let old = "220 mail.example.com ESMTP Sendmail 8.8.8/8.8.8; Mon, 30 Nov 1998 14:00:00 GMT";
        let ids = suggested(old, &[]);
        assert!(ids.contains(&"sendmail-8-8".into()), "{ids:?}");
        assert!(!ids.contains(&"access-map".into()), "{ids:?}");
        let new =
            "220 mail.example.com ESMTP Sendmail 8.17.1.9/8.17.1.9; Mon, 30 Nov 2026 14:00:00 GMT";
        let ids = suggested(new, &[]);
        assert!(!ids.contains(&"sendmail-8-8".into()), "{ids:?}");
    }

    #[test]
    fn entries_that_name_the_delivered_test_come_first() {
        let postfix = "220 mail.example.com ESMTP Postfix";
        assert_eq!(suggested(postfix, &["plain"])[0], "trusted-networks");
        assert_eq!(suggested(postfix, &["bang-at-name"])[0], "percent-and-bang");
    }

    #[test]
    fn version_of_the_greeting_decides_whether_a_build_can_be_closed() {
        let of = |text: &str| securable(&recognise_pasted(text)[0]);
        let old =
            "220 mail.example.com Sendmail 8.6.12/8.6.12 ready at Mon, 30 Nov 1998 14:00:00 GMT";
        assert!(matches!(
            of(old),
            Some(Securable::Never | Securable::ByUpdate)
        ));
        assert_ne!(
            of("220 mail.example.com ESMTP Postfix"),
            Some(Securable::Never)
        );
    }
}
