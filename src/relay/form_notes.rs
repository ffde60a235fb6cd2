//! What is known of the shipped relay tests besides what they send: `catalogue_notes.toml`. The
//! page of the tests shows it.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::advice::{Library, Product};

/// The notes, which are part of the binary.
const DATA: &str = include_str!("catalogue_notes.toml");

static NOTES: LazyLock<FormNotes> =
    // The file is part of the binary, and a unit test parses it.
    LazyLock::new(|| FormNotes::read(DATA).unwrap_or_default());

/// Another tester that sends a form.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolUse {
    /// The id of the tester.
    pub tool: String,
    /// The number of the form in the tester's own list, if it has one.
    #[serde(default)]
    pub number: Option<u16>,
}

/// What is known of a relay test.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormNote {
    /// The name of the test.
    pub name: String,
    /// What the form tries, and the mistake that it looks for.
    pub tries: String,
    /// Since when the form is known, with the occasion where one is recorded.
    pub known: String,
    /// The ids of products that delivered the form, besides those whose entries say so.
    pub fell: Vec<String>,
    /// The other testers that send the form.
    pub tools: Vec<ToolUse>,
    /// The command lines that send the form, one a line; `None` if swaks cannot send it.
    #[serde(default)]
    pub swaks: Option<String>,
}

/// A tester of others.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherTester {
    /// The id by which forms name it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How it works, as far as that differs.
    pub differs: String,
    /// Why its result can differ from that of the tests here.
    pub answer: String,
}

/// All notes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormNotes {
    #[serde(rename = "form")]
    forms: Vec<FormNote>,
    #[serde(rename = "tool")]
    testers: Vec<OtherTester>,
}

impl FormNotes {
    /// The notes of this build. They are read when they are needed for the first time.
    pub fn get() -> &'static FormNotes {
        &NOTES
    }

    fn read(text: &str) -> Result<FormNotes, toml::de::Error> {
        toml::from_str(text)
    }

    /// What is known of a relay test; `None` for an operator's own test.
    pub fn form(&self, name: &str) -> Option<&FormNote> {
        self.forms.iter().find(|f| f.name == name)
    }

    /// The testers of others, in the order of the file.
    pub fn testers(&self) -> &[OtherTester] {
        &self.testers
    }

    /// The tester with an id.
    pub fn tester(&self, id: &str) -> Option<&OtherTester> {
        self.testers.iter().find(|t| t.id == id)
    }
}

impl FormNote {
    /// The products that have delivered the form: those that the note names, in its order, then
    /// those with an entry that names the test, by name.
    pub fn products(&self) -> Vec<&'static Product> {
        let library = Library::get();
        let mut out: Vec<&Product> = self
            .fell
            .iter()
            .filter_map(|id| library.product(id))
            .collect();
        for product in library.products() {
            let fails = product.entry.iter().any(|e| e.fails.contains(&self.name));
            if fails && !out.iter().any(|p| p.id == product.id) {
                out.push(product);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::relay::Catalogue;

    fn notes() -> FormNotes {
        FormNotes::read(DATA).unwrap_or_else(|e| panic!("catalogue_notes.toml: {e}"))
    }

    #[test]
    fn every_shipped_test_has_its_note_and_every_note_its_test() {
        let notes = notes();
        let tests: BTreeSet<String> = Catalogue::standard()
            .0
            .into_iter()
            .map(|t| t.name)
            .collect();
        let noted: BTreeSet<String> = notes.forms.iter().map(|f| f.name.clone()).collect();
        assert_eq!(noted, tests);
        assert_eq!(notes.forms.len(), noted.len(), "a test has two notes");
    }

    #[test]
    fn every_note_names_testers_and_products_that_exist() {
        let (notes, library) = (notes(), Library::get());
        let ids: BTreeSet<&str> = notes.testers.iter().map(|t| t.id.as_str()).collect();
        assert_eq!(ids.len(), notes.testers.len(), "a tester is there twice");
        for form in &notes.forms {
            let name = &form.name;
            for id in &form.fell {
                assert!(
                    library.product(id).is_some(),
                    "{name}: no product is called {id}"
                );
            }
            let fell: BTreeSet<&String> = form.fell.iter().collect();
            assert_eq!(
                fell.len(),
                form.fell.len(),
                "{name}: a product is there twice"
            );
            for used in &form.tools {
                assert!(
                    notes.tester(&used.tool).is_some(),
                    "{name}: no tester is called {}",
                    used.tool
                );
                assert_ne!(used.number, Some(0), "{name}: numbers begin with 1");
            }
        }
    }

    #[test]
    fn every_text_is_whole_sentences_and_calls_no_server_secure() {
        let notes = notes();
        let of_forms = notes.forms.iter().flat_map(|f| [&f.tries, &f.known]);
        let of_testers = notes.testers.iter().flat_map(|t| [&t.differs, &t.answer]);
        for text in of_forms.chain(of_testers) {
            assert!(text.ends_with('.') && text.trim() == text, "{text}");
            assert!(!text.to_lowercase().contains("secure"), "{text}");
        }
        for form in &notes.forms {
            for line in form.swaks.iter().flat_map(|s| s.trim().lines()) {
                let is_whole =
                    line.starts_with("swaks ") && line.contains(" --server mail.example.com");
                assert!(is_whole, "{}: {line}", form.name);
            }
        }
    }

    #[test]
    fn products_of_a_form_are_those_of_its_note_and_those_whose_entries_name_it() {
        let notes = notes();
        let ids = |name: &str| -> Vec<&str> {
            let products = notes.form(name).unwrap().products();
            products.iter().map(|p| p.id.as_str()).collect()
        };
        let plain = ids("plain");
        assert_eq!(plain[0], notes.form("plain").unwrap().fell[0]);
        let all: BTreeSet<&str> = plain.iter().copied().collect();
        assert_eq!(all.len(), plain.len(), "a product is there twice");
        for product in Library::get().products() {
            for test in product.entry.iter().flat_map(|e| &e.fails) {
                assert!(ids(test).contains(&product.id.as_str()), "{test}");
            }
        }
    }
}
