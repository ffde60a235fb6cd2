//! Text of the knowledge base, with its translations.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::Error};

/// A text in English, and in the other languages that somebody has translated it to. In a file it
/// is a string, or a table of strings by language: `{ en = "Restart it.", de = "…" }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prose {
    english: String,
    translations: BTreeMap<String, String>,
}

/// Prose as a file has it.
#[derive(Deserialize)]
#[serde(untagged)]
enum RawProse {
    English(String),
    Languages(BTreeMap<String, String>),
}

/// The languages that a text can be translated to, as in the site's texts.
pub const TRANSLATIONS: [&str; 2] = ["de", "ja"];

/// The language in which every text exists.
const ENGLISH: &str = "en";

/// The language in which texts that belong together are shown: the wanted one if all of them are
/// translated, and else English, so that nobody reads a mixture.
pub(super) fn language_of<'t>(
    wanted: &'static str,
    texts: impl IntoIterator<Item = &'t Prose>,
) -> &'static str {
    match texts.into_iter().all(|text| text.is_in(wanted)) {
        true => wanted,
        false => ENGLISH,
    }
}

impl<'de> Deserialize<'de> for Prose {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Prose, D::Error> {
        let (english, translations) = match RawProse::deserialize(from)? {
            RawProse::English(text) => (text, BTreeMap::new()),
            RawProse::Languages(mut texts) => {
                let english = texts
                    .remove(ENGLISH)
                    .ok_or_else(|| D::Error::custom("the English text `en` is missing"))?;
                (english, texts)
            }
        };
        let unknown = |l: &&String| !TRANSLATIONS.contains(&l.as_str());
        if let Some(language) = translations.keys().find(unknown) {
            return Err(D::Error::custom(format!(
                "unknown language `{language}`; expected en, {}",
                TRANSLATIONS.join(", ")
            )));
        }
        Ok(Prose {
            english: english.trim().into(),
            translations,
        })
    }
}

impl Prose {
    /// The English text.
    pub fn english(&self) -> &str {
        &self.english
    }

    /// Whether the text exists in a language.
    pub fn is_in(&self, language: &str) -> bool {
        language == ENGLISH || self.translations.contains_key(language)
    }

    /// The text in a language (`de`), or in English if it is not translated.
    pub fn in_language(&self, language: &str) -> &str {
        self.translations
            .get(language)
            .map_or(&self.english, |text| text.trim())
    }

    /// All texts, with their languages.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        let others = self.translations.iter();
        [(ENGLISH, self.english.as_str())]
            .into_iter()
            .chain(others.map(|(l, text)| (l.as_str(), text.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, Debug)]
    struct Holder {
        text: Prose,
    }

    fn parse(text: &str) -> Result<Prose, toml::de::Error> {
        toml::from_str::<Holder>(text).map(|h| h.text)
    }

    #[test]
    fn text_that_is_not_translated_is_shown_in_english() {
        let plain = parse("text = 'Restart it.'").unwrap();
        assert_eq!(plain.in_language("de"), "Restart it.");
        let both = parse("text = { en = 'Restart it.', de = 'Neu starten.' }").unwrap();
        assert_eq!(both.in_language("de"), "Neu starten.");
        assert_eq!(both.in_language("ja"), "Restart it.");
        assert_eq!(both.all().count(), 2);
    }

    #[test]
    fn texts_that_belong_together_are_shown_in_one_language() {
        let plain = parse("text = 'Restart it.'").unwrap();
        let both = parse("text = { en = 'Restart it.', de = 'Neu starten.' }").unwrap();
        assert_eq!(language_of("de", [&both, &both]), "de");
        assert_eq!(language_of("de", [&both, &plain]), "en");
        assert_eq!(language_of("ja", [&both]), "en");
        assert_eq!(language_of("en", [&plain]), "en");
    }

    #[test]
    fn a_translation_needs_its_english_text_and_a_known_language() {
        assert!(parse("text = { de = 'Neu starten.' }").is_err());
        assert!(parse("text = { en = 'Restart it.', xx = '?' }").is_err());
    }
}
