//! What is known of the shipped relay tests, and the testers of others.

use crate::{
    advice::Product,
    api::{
        NamedProductResponse, OtherTesterResponse, PublicRelayTestsResponse,
        RelayTestNotesResponse, RelayTestResponse, TesterNumberResponse,
    },
    relay::form_notes::{FormNote, FormNotes, OtherTester, ToolUse},
};

/// What is known of a relay test; `None` for an operator's own, which cannot have the name of a
/// shipped one.
pub(super) fn notes_of(test: &str) -> Option<RelayTestNotesResponse> {
    FormNotes::get().form(test).map(notes)
}

fn notes(note: &FormNote) -> RelayTestNotesResponse {
    let product = |p: &Product| NamedProductResponse {
        id: p.id.clone(),
        name: p.name.clone(),
    };
    let tester = |used: &ToolUse| {
        let tester = FormNotes::get().tester(&used.tool)?;
        Some(TesterNumberResponse {
            id: tester.id.clone(),
            name: tester.name.clone(),
            number: used.number,
        })
    };
    RelayTestNotesResponse {
        tries: note.tries.clone(),
        known: note.known.clone(),
        delivered_by: note.products().into_iter().map(product).collect(),
        testers: note.tools.iter().filter_map(tester).collect(),
        swaks: note.swaks.as_ref().map(|s| s.trim().into()),
    }
}

/// Returns the tests of a catalogue with the testers of others, for the page of the tests.
pub fn public_relay_tests(items: Vec<RelayTestResponse>) -> PublicRelayTestsResponse {
    let tester = |t: &OtherTester| OtherTesterResponse {
        id: t.id.clone(),
        name: t.name.clone(),
        differs: t.differs.clone(),
        answer: t.answer.clone(),
    };
    PublicRelayTestsResponse {
        items,
        next: None,
        testers: FormNotes::get().testers().iter().map(tester).collect(),
    }
}

#[cfg(test)]
mod tests {
    use crate::{http::relay_tests_of, relay::Catalogue};

    #[test]
    fn shipped_tests_have_notes_and_tests_of_an_operator_have_none() {
        let mut catalogue = Catalogue::standard();
        let mut own = catalogue.0[0].clone();
        own.name = "our-own-test".into();
        catalogue.0.push(own);
        for test in relay_tests_of(&catalogue, &[]) {
            assert_eq!(
                test.notes.is_some(),
                test.name != "our-own-test",
                "{}",
                test.name
            );
        }
    }
}
