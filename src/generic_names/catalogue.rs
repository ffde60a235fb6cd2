//! The catalogue of provider forms, read from the file that is part of the binary.

use std::sync::LazyLock;

use regex::RegexSet;
use serde::{Deserialize, Serialize};

use super::form::expression;

/// How sure it is that a name of a form belongs to no mail server of its own.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
#[cfg_attr(all(test, feature = "daemon"), derive(schemars::JsonSchema))]
pub enum NameConfidence {
    /// Mail servers with such names are known.
    Low,
    /// Also the form of servers whose owner has set no name.
    #[default]
    Medium,
    /// The form of lines or pools of customers.
    High,
}

/// Where a form is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
#[cfg_attr(feature = "daemon", derive(utoipa::ToSchema))]
pub enum FormSource {
    /// Names in the Received lines of messages in public archives.
    Headers,
    /// The provider's own description.
    Documentation,
    /// Reports of mail administrators.
    Hearsay,
}

/// A provider with the forms of its names.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Its name.
    pub name: String,
    /// The country of its customers, or of its seat (ISO 3166-1).
    pub country: String,
    /// How sure its forms are.
    pub confidence: NameConfidence,
    /// Where they are known from.
    pub source: FormSource,
    /// The forms.
    pub forms: Vec<ProviderForm>,
}

/// The form of a name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderForm {
    /// The text with placeholders.
    pub form: String,
    /// A name that it matches.
    pub example: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogueFile {
    provider: Vec<Provider>,
}

/// All provider forms.
#[derive(Debug, Default)]
pub struct GenericNameCatalogue {
    providers: Vec<Provider>,
    /// The expressions of all forms, in the order of the file.
    set: RegexSet,
    /// The provider and the form of each expression.
    places: Vec<(usize, usize)>,
}

/// The file of this build.
const FILE: &str = include_str!("providers.toml");

static CATALOGUE: LazyLock<GenericNameCatalogue> = LazyLock::new(|| {
    // The file is part of the binary, and a unit test reads it.
    GenericNameCatalogue::read(FILE).unwrap_or_default()
});

impl GenericNameCatalogue {
    /// The catalogue of this build. It is read when it is needed for the first time.
    pub fn get() -> &'static GenericNameCatalogue {
        &CATALOGUE
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Names the place that is wrong.
    pub fn read(text: &str) -> Result<GenericNameCatalogue, String> {
        let file: CatalogueFile = toml::from_str(text).map_err(|e| e.to_string())?;
        let (mut expressions, mut places) = (Vec::new(), Vec::new());
        for (p, provider) in file.provider.iter().enumerate() {
            for (f, form) in provider.forms.iter().enumerate() {
                let expression = expression(&form.form);
                expressions.push(expression.map_err(|e| format!("{}: {e}", provider.name))?);
                places.push((p, f));
            }
        }
        Ok(GenericNameCatalogue {
            set: RegexSet::new(expressions).map_err(|e| e.to_string())?,
            providers: file.provider,
            places,
        })
    }

    /// All providers, in the order of the file.
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }

    /// The number of forms.
    pub fn form_count(&self) -> usize {
        self.places.len()
    }

    /// Returns the provider and the form that match a name in lower case; of several, the one with
    /// the highest confidence, then the first of the file.
    pub fn find(&self, name: &str) -> Option<(&Provider, &ProviderForm)> {
        let found = self.set.matches(name).into_iter();
        let forms = found.map(|i| {
            let (p, f) = self.places[i];
            (&self.providers[p], &self.providers[p].forms[f])
        });
        // `max_by_key` returns the last of equal ones.
        let forms: Vec<_> = forms.collect();
        forms.into_iter().rev().max_by_key(|(p, _)| p.confidence)
    }
}
