//! The languages of pages and mail.

/// A language that pages and mail have.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    strum::IntoStaticStr,
    strum::EnumString,
    strum::VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Language {
    /// English, which every text has.
    #[default]
    En,
    /// German.
    De,
    /// Japanese.
    Ja,
}

/// The files of a language.
type Files = &'static [&'static str];

impl Language {
    /// All languages, in the order of the switch.
    pub const ALL: [Language; 3] = [Language::En, Language::De, Language::Ja];

    /// The language tag (BCP 47).
    pub fn tag(self) -> &'static str {
        self.into()
    }

    /// The name of the language in that language.
    pub fn own_name(self) -> &'static str {
        match self {
            Language::En => "English",
            Language::De => "Deutsch",
            Language::Ja => "日本語",
        }
    }

    /// Whether a person who speaks the language has reviewed the translation.
    pub fn is_reviewed(self) -> bool {
        matches!(self, Language::En)
    }

    /// The files of the language.
    pub(super) fn files(self) -> Files {
        match self {
            Language::En => &[
                include_str!("en/common.ftl"),
                include_str!("en/home.ftl"),
                include_str!("en/lookup.ftl"),
                include_str!("en/forms.ftl"),
                include_str!("en/ticket.ftl"),
                include_str!("en/pages.ftl"),
                include_str!("en/policy.ftl"),
                include_str!("en/advice.ftl"),
                include_str!("en/selftest.ftl"),
                include_str!("en/netblocks.ftl"),
                include_str!("en/providers.ftl"),
                include_str!("en/catalogue.ftl"),
                include_str!("en/links.ftl"),
                include_str!("en/correction.ftl"),
                include_str!("en/comparison.ftl"),
                include_str!("en/mail.ftl"),
                include_str!("en/operators.ftl"),
            ],
            Language::De => &[
                include_str!("de/common.ftl"),
                include_str!("de/home.ftl"),
                include_str!("de/lookup.ftl"),
                include_str!("de/forms.ftl"),
                include_str!("de/ticket.ftl"),
                include_str!("de/pages.ftl"),
                include_str!("de/policy.ftl"),
                include_str!("de/advice.ftl"),
                include_str!("de/selftest.ftl"),
                include_str!("de/netblocks.ftl"),
                include_str!("de/providers.ftl"),
                include_str!("de/catalogue.ftl"),
                include_str!("de/links.ftl"),
                include_str!("de/correction.ftl"),
                include_str!("de/comparison.ftl"),
                include_str!("de/mail.ftl"),
            ],
            Language::Ja => &[
                include_str!("ja/common.ftl"),
                include_str!("ja/home.ftl"),
                include_str!("ja/lookup.ftl"),
                include_str!("ja/forms.ftl"),
                include_str!("ja/ticket.ftl"),
                include_str!("ja/pages.ftl"),
                include_str!("ja/policy.ftl"),
                include_str!("ja/advice.ftl"),
                include_str!("ja/selftest.ftl"),
                include_str!("ja/netblocks.ftl"),
                include_str!("ja/providers.ftl"),
                include_str!("ja/catalogue.ftl"),
                include_str!("ja/links.ftl"),
                include_str!("ja/correction.ftl"),
                include_str!("ja/comparison.ftl"),
                include_str!("ja/mail.ftl"),
            ],
        }
    }

    /// Chooses the language for an `Accept-Language` header (RFC 9110 section 12.5.4): the
    /// supported one with the highest weight, and of equals the first.
    pub fn negotiate(header: &str) -> Language {
        Language::choose(header, &Language::ALL)
    }

    /// As [`Language::negotiate`], among some languages; the first of them if the header names none
    /// of them.
    pub fn choose(header: &str, among: &[Language]) -> Language {
        let mut best = (among.first().copied().unwrap_or_default(), 0.0);
        for range in header.split(',') {
            let mut parts = range.split(';');
            let tag = parts.next().unwrap_or_default().trim();
            let weight = parts.find_map(|p| p.trim().strip_prefix("q=")?.parse::<f32>().ok());
            let weight = weight.unwrap_or(1.0);
            let primary = tag
                .split('-')
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase();
            let language = primary.parse::<Language>();
            if let Ok(language) = language
                && among.contains(&language)
                && weight > best.1
            {
                best = (language, weight);
            }
        }
        best.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn language_with_the_highest_weight_is_chosen() {
        for (header, expected) in [
            ("", Language::En),
            ("de-AT,de;q=0.9,en;q=0.8", Language::De),
            ("fr,ja;q=0.5,en;q=0.4", Language::Ja),
            ("en;q=0.4, de;q=0.4", Language::En),
            ("de;q=0, en", Language::En),
            ("x;q=nonsense", Language::En),
        ] {
            assert_eq!(Language::negotiate(header), expected, "{header}");
        }
    }

    #[test]
    fn language_that_a_site_does_not_have_is_not_chosen() {
        let among = [Language::De, Language::En];
        assert_eq!(Language::choose("ja, en;q=0.5", &among), Language::En);
        assert_eq!(Language::choose("ja", &among), Language::De);
    }
}
