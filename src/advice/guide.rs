//! General advice: one file of `guides`.

use serde::Deserialize;

use super::{Prose, product::SourceDocument, prose::language_of};

/// A short page of advice that holds for many products.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guide {
    /// The name of its file, in addresses of pages: `authentication`.
    #[serde(skip)]
    pub id: String,
    /// The headline.
    pub title: Prose,
    /// The advice in one or two sentences.
    pub summary: Prose,
    /// Its sections.
    pub section: Vec<Section>,
    /// Where the statements come from.
    #[serde(default)]
    pub source: Vec<SourceDocument>,
    /// When somebody has last read the file against its sources: a day.
    pub reviewed: String,
}

/// A section of a guide.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// Its heading.
    pub heading: Prose,
    /// Its paragraphs.
    #[serde(default)]
    pub text: Vec<Prose>,
    /// Points of a list after the text.
    #[serde(default)]
    pub points: Vec<Prose>,
    /// Lines to copy after the points.
    #[serde(default)]
    pub change: Vec<super::SettingLines>,
}

impl Guide {
    /// All texts of the guide.
    pub(super) fn texts(&self) -> impl Iterator<Item = &Prose> {
        let sections = self.section.iter().flat_map(|s| {
            let prose = [&s.heading].into_iter().chain(&s.text).chain(&s.points);
            prose.chain(s.change.iter().filter_map(|c| c.note.as_ref()))
        });
        [&self.title, &self.summary].into_iter().chain(sections)
    }

    /// The language in which the guide is shown to somebody who reads `wanted`.
    pub fn language(&self, wanted: &'static str) -> &'static str {
        language_of(wanted, self.texts())
    }
}
