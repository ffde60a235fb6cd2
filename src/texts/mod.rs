//! The texts of pages and mail in several languages (Project Fluent). A text is found by its key;
//! a key that a language lacks has its English text.

mod language;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::LazyLock};

use fluent_bundle::{FluentArgs, FluentResource, concurrent::FluentBundle};
use unic_langid::LanguageIdentifier;

pub use fluent_bundle::FluentValue;
pub use language::Language;

static BUNDLES: LazyLock<HashMap<Language, FluentBundle<FluentResource>>> =
    LazyLock::new(|| Language::ALL.into_iter().map(|l| (l, bundle(l))).collect());

fn bundle(language: Language) -> FluentBundle<FluentResource> {
    let tag: LanguageIdentifier = language.tag().parse().unwrap_or_default();
    let mut bundle = FluentBundle::new_concurrent(vec![tag]);
    // Isolation marks would be copied together with addresses and commands.
    bundle.set_use_isolating(false);
    for file in language.files() {
        // The files are part of the binary, and a unit test parses them.
        let resource =
            FluentResource::try_new((*file).into()).unwrap_or_else(|(partial, _)| partial);
        bundle.add_resource_overriding(resource);
    }
    bundle
}

/// Returns the text of a key in a language, with its arguments.
pub fn text(language: Language, key: &str, args: &[(&str, FluentValue<'_>)]) -> String {
    let args: FluentArgs<'_> = args.iter().cloned().collect();
    for language in [language, Language::En] {
        let Some(bundle) = BUNDLES.get(&language) else {
            continue;
        };
        let pattern = bundle.get_message(key).and_then(|m| m.value());
        if let Some(pattern) = pattern {
            return bundle
                .format_pattern(pattern, Some(&args), &mut Vec::new())
                .into_owned();
        }
    }
    key.into()
}
