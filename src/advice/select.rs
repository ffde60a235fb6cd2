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

/// Whether a recognised build can be closed. None if no entry is about it.
///
/// Entries that name failing tests decide, if there are any: the others are about faults that do
/// not open a relay. An entry about a range of versions decides for the versions in it, so that a
/// setting which all versions share does not hide that old ones cannot be closed. Without a
/// version, such entries do not count.
pub fn securable(recognised: &Recognised) -> Option<Securable> {
    let version = recognised.parsed_version();
    let about = recognised
        .product
        .entry
        .iter()
        .filter(|e| e.is_about(version.as_ref()) && (version.is_some() || !e.has_range()));
    let mut entries: Vec<&AdviceEntry> = about.collect();
    if entries.iter().any(|e| !e.fails.is_empty()) {
        entries.retain(|e| !e.fails.is_empty());
    }
    if entries.is_empty() {
        return None;
    }
    let all = |kind| entries.iter().all(|e| e.securable == kind);
    let bounded = |kind| entries.iter().any(|e| e.has_range() && e.securable == kind);
    Some(match () {
        () if all(Securable::Never) || bounded(Securable::Never) => Securable::Never,
        () if all(Securable::ByUpdate) || bounded(Securable::ByUpdate) => Securable::ByUpdate,
        () if all(Securable::ByDefault) => Securable::ByDefault,
        () => Securable::BySetting,
    })
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

    /// Builds with what is known of them: the text, and whether it can be closed.
    const BUILDS: [(&str, Option<Securable>); 22] = {
        use Securable::*;
        [
            // A fault that is not relaying does not count.
            (
                "220 a.example ESMTP Exim 4.96 Mon, 30 Nov 2026 14:00:00 +0000",
                Some(BySetting),
            ),
            (
                "214-2.0.0 This is Sendmail version 8.17.1.9",
                Some(BySetting),
            ),
            (
                "220 a.example ESMTP Service (Lotus Domino Release 5.0.4) ready at x",
                Some(BySetting),
            ),
            // The range of an entry decides.
            (
                "220 a.example Mercury 1.48 ESMTP server ready.",
                Some(BySetting),
            ),
            (
                "220 a.example Mercury 1.42 ESMTP server ready.",
                Some(ByUpdate),
            ),
            (
                "220 a.example Mercury/32 v3.32 ESMTP server ready.",
                Some(BySetting),
            ),
            ("220 a.example cc:Mail Link to SMTP ready", Some(Never)),
            (
                "220 a.example WebShield SMTP V4.5 MR1a Network Associates, Inc. Ready at Tue",
                Some(Never),
            ),
            (
                "220 a.example Sendmail AIX4.2/UCB 8.7; Tue, 6 Jun 2000 10:12:01 -0500",
                Some(Never),
            ),
            (
                "220 a.example ESMTP Sendmail AIX5.1/8.11.0/8.11.0; Tue, 17 Jun 2003",
                Some(BySetting),
            ),
            (
                "220-a.example Sendmail 8.6.12/8.6.9 ready at Mon, 27 Mar 1995 00:00:00",
                Some(Never),
            ),
            (
                "220 a.example ESMTP Sendmail 8.8.8/8.8.8; Tue, 6 Jun 2000 10:12:01",
                Some(ByUpdate),
            ),
            (
                "220 a.example ESMTP Sendmail 8.9.1/8.9.1; Tue, 6 Jun 2000 10:12:01",
                Some(ByUpdate),
            ),
            ("214-This is Sendmail version 8.9.3", Some(BySetting)),
            (
                "220 a.example Sendmail SMI-8.6/SMI-SVR4 ready at Tue, 6 Jun 2000",
                Some(ByUpdate),
            ),
            (
                "220 a.example ESMTP Sendmail 8.9.3+Sun/8.9.3; Tue, 6 Jun 2000",
                Some(BySetting),
            ),
            (
                "220 a.example ESMTP Sendmail 8.14.5+Sun/8.14.5; Mon, 30 Nov 2026",
                Some(ByDefault),
            ),
            // The greeting writes 3.1 and 3.2 as 3.10 and 3.20.
            (
                "220 MERCUR SMTP-Server (v3.10.18 RI-1234567) for Windows NT ready at Tue",
                Some(ByUpdate),
            ),
            // A patch that every version needs.
            ("220 a.example SMTP/smap Ready.", Some(ByUpdate)),
            // Without a version, the ranges decide nothing.
            ("220 a.example ESMTP Postfix", Some(BySetting)),
            ("553 We do not relay non-local mail", None),
            ("220 a.example ESMTP chasquid", Some(ByDefault)),
        ]
    };

    #[test]
    fn entries_about_relaying_and_their_ranges_decide_whether_a_build_can_be_closed() {
        for (text, expected) in BUILDS {
            let found = recognise_pasted(text);
            assert_eq!(found.len(), 1, "{text}");
            assert_eq!(securable(&found[0]), expected, "{text}");
        }
    }

    #[test]
    fn entry_without_a_failing_test_decides_only_if_no_other_entry_has_one() {
        let products = Library::get().products().iter();
        let examples = products
            .flat_map(|p| &p.recognition)
            .flat_map(|r| &r.examples);
        for r in examples.flat_map(|example| recognise_pasted(example)) {
            let Some(kind) = securable(&r) else { continue };
            let version = r.parsed_version();
            let about = r
                .product
                .entry
                .iter()
                .filter(|e| e.is_about(version.as_ref()));
            let about: Vec<&AdviceEntry> = about.collect();
            let fails = |e: &&AdviceEntry| !e.fails.is_empty();
            let deciding = about
                .iter()
                .filter(|e| fails(e) || !about.iter().any(fails));
            let kinds: Vec<Securable> = deciding.map(|e| e.securable).collect();
            // A mixture counts as a setting.
            let is_mixed = kind == Securable::BySetting && kinds.len() > 1;
            assert!(is_mixed || kinds.contains(&kind), "{}: {kind:?}", r.text);
        }
    }
}
