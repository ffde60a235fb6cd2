//! Checks the files of the knowledge base: the test of this module is their lint.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::{
    AdviceEntry, Confidence, Guide, Library, Product, Prose, Securable, SettingLines,
    SourceDocument, Version,
    files::{GUIDES, PRODUCTS},
};
/// The longest text, in characters: a paragraph that people read on a phone.
const MAX_PROSE: usize = 700;

/// Collects problems, each with its file and place.
#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, place: &str, problem: impl std::fmt::Display) {
        self.0.push(format!("{place}: {problem}"));
    }

    fn add_if(&mut self, wrong: bool, place: &str, problem: &str) {
        if wrong {
            self.add(place, problem);
        }
    }

    fn prose(&mut self, place: &str, prose: &Prose, is_sentence: bool) {
        for (language, text) in prose.all() {
            let place = format!("{place} ({language})");
            self.add_if(text.trim().is_empty(), &place, "the text is empty");
            self.add_if(
                text.chars().count() > MAX_PROSE,
                &place,
                "longer than 700 characters",
            );
            self.add_if(
                text.contains(" - ") || text.contains('—'),
                &place,
                "a dash stands for punctuation; write two sentences",
            );
            let ends = [".", "?", "!", ":", "。"];
            self.add_if(
                is_sentence && !ends.iter().any(|e| text.ends_with(e)),
                &place,
                "not a sentence: it has no full stop",
            );
        }
    }

    /// Texts that belong together are shown in one language, so a part of a translation is unused.
    fn translations<'t>(&mut self, place: &str, texts: impl Iterator<Item = &'t Prose>) {
        let texts: Vec<&Prose> = texts.collect();
        for language in super::TRANSLATIONS {
            let count = texts.iter().filter(|t| t.is_in(language)).count();
            self.add_if(
                count != 0 && count != texts.len(),
                &format!("{place} ({language})"),
                "only a part of the texts is translated",
            );
        }
    }

    fn changes(&mut self, place: &str, changes: &[SettingLines]) {
        for change in changes {
            self.add_if(
                change.lines.trim().is_empty(),
                place,
                "a change has no lines",
            );
            self.add_if(
                change.replaced_lines() == Some(""),
                place,
                "a change replaces an empty text",
            );
            if let Some(note) = &change.note {
                self.prose(place, note, true);
            }
        }
    }

    fn sources(&mut self, place: &str, sources: &[SourceDocument]) {
        let ids: BTreeSet<&str> = sources.iter().map(|s| s.id.as_str()).collect();
        self.add_if(
            ids.len() < sources.len(),
            place,
            "two sources have the same id",
        );
        for source in sources {
            let place = format!("{place}, source {}", source.id);
            self.add_if(
                !is_date(&source.date),
                &place,
                "the date is not YYYY, YYYY-MM or YYYY-MM-DD",
            );
            self.add_if(source.title.trim().is_empty(), &place, "no title");
            let bad = |url: &String| !url.starts_with("https://") && !url.starts_with("http://");
            self.add_if(
                source.url.as_ref().is_some_and(bad),
                &place,
                "not a web address",
            );
        }
    }
}

pub(super) fn is_date(text: &str) -> bool {
    Regex::new(r"^[12]\d{3}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?$")
        .unwrap()
        .is_match(text)
}

fn is_id(text: &str) -> bool {
    Regex::new("^[a-z0-9]+(-[a-z0-9]+)*$")
        .unwrap()
        .is_match(text)
}

fn lint_recognition(product: &Product, problems: &mut Problems) {
    for r in &product.recognition {
        let place = format!("products/{}.toml, pattern {}", product.id, r.pattern);
        let regex = match Regex::new(&r.pattern) {
            Ok(regex) => regex,
            Err(e) => {
                problems.add(&place, e);
                continue;
            }
        };
        problems.add_if(
            !r.pattern.starts_with('^'),
            &place,
            "it does not begin with ^",
        );
        problems.add_if(r.examples.is_empty(), &place, "it has no example");
        for example in &r.examples {
            problems.add_if(
                !regex.is_match(example),
                &place,
                &format!("it does not match {example}"),
            );
            let code = example.as_bytes();
            let has_code = code.len() > 4
                && code[..3].iter().all(u8::is_ascii_digit)
                && matches!(code[3], b' ' | b'-');
            problems.add_if(!has_code, &place, "an example lacks its reply code");
        }
        let known = |id: &String| product.source.iter().any(|s| s.id == *id);
        problems.add_if(
            r.confidence != Confidence::Hearsay && !r.source.as_ref().is_some_and(known),
            &place,
            "it has no known source, so its confidence is hearsay",
        );
    }
}

fn lint_entry(product: &Product, entry: &AdviceEntry, names: &Names, problems: &mut Problems) {
    let place = format!("products/{}.toml, entry {}", product.id, entry.id);
    problems.add_if(
        !is_id(&entry.id),
        &place,
        "the id is not lower case with hyphens",
    );
    problems.prose(&place, &entry.title, false);
    problems.prose(&place, &entry.versions, false);
    problems.prose(&place, &entry.why, true);
    entry
        .steps
        .iter()
        .for_each(|s| problems.prose(&place, s, true));
    problems.changes(&place, &entry.change);
    if let Some(check) = &entry.check {
        problems.prose(&place, &check.expect, true);
        problems.add_if(
            check.command.trim().is_empty(),
            &place,
            "the check has no command",
        );
    }
    for w in &entry.wrong {
        for prose in [&w.claim, &w.truth, &w.proof] {
            problems.prose(&place, prose, true);
        }
    }
    for bound in [&entry.since, &entry.before].into_iter().flatten() {
        problems.add_if(
            Version::parse(bound).is_none(),
            &place,
            "a bound is not a version",
        );
    }
    for test in &entry.fails {
        problems.add_if(
            !names.tests.contains(test),
            &place,
            &format!("the catalogue has no test {test}"),
        );
    }
    for guide in &entry.guides {
        problems.add_if(
            !names.guides.contains(guide),
            &place,
            &format!("there is no guide {guide}"),
        );
    }
    for id in &entry.sources {
        let known = product.source.iter().any(|s| s.id == *id);
        problems.add_if(!known, &place, &format!("there is no source {id}"));
    }
    problems.add_if(
        entry.confidence != Confidence::Hearsay && entry.sources.is_empty(),
        &place,
        "it has no source, so its confidence is hearsay",
    );
    problems.add_if(
        (entry.confidence == Confidence::Tried) != entry.test.is_some(),
        &place,
        "an entry is tried if and only if it names its test",
    );
    problems.translations(&place, entry.texts());
    if entry.securable == Securable::BySetting {
        problems.add_if(
            entry.change.is_empty() == entry.without_lines.is_none(),
            &place,
            "it needs either lines (`change`), or why there are none (`without_lines`)",
        );
        problems.add_if(
            entry.check.is_none() == entry.without_check.is_none(),
            &place,
            "it needs either a command (`check`), or why there is none (`without_check`)",
        );
        problems.add_if(
            entry.change.is_empty() && entry.steps.is_empty(),
            &place,
            "it has neither lines nor steps",
        );
    }
    for reason in [&entry.without_lines, &entry.without_check]
        .into_iter()
        .flatten()
    {
        problems.prose(&place, reason, true);
    }
    problems.add_if(
        entry.securable != Securable::ByDefault
            && entry.steps.is_empty()
            && entry.change.is_empty(),
        &place,
        "it says nothing to do",
    );
}

/// The names of the relay tests.
fn tests_of_the_catalogue() -> BTreeSet<String> {
    #[derive(serde::Deserialize)]
    struct NamedTest {
        name: String,
    }
    #[derive(serde::Deserialize)]
    struct NamedTests {
        test: Vec<NamedTest>,
    }
    let catalogue: NamedTests = toml::from_str(include_str!("../relay/catalogue.toml")).unwrap();
    catalogue.test.into_iter().map(|t| t.name).collect()
}

/// The names to which files may refer.
struct Names {
    tests: BTreeSet<String>,
    guides: BTreeSet<String>,
}

fn lint_product(product: &Product, names: &Names, problems: &mut Problems) {
    let place = format!("products/{}.toml", product.id);
    problems.add_if(
        !is_id(&product.id),
        &place,
        "the name of the file is not lower case with hyphens",
    );
    problems.add_if(
        !is_id(&product.family),
        &place,
        "the family is not lower case with hyphens",
    );
    problems.prose(&place, &product.summary, true);
    problems.add_if(
        !is_date(&product.reviewed),
        &place,
        "`reviewed` is not a date",
    );
    problems.add_if(
        product.ended.as_ref().is_some_and(|d| !is_date(d)),
        &place,
        "`ended` is not a date",
    );
    problems.sources(&place, &product.source);
    lint_recognition(product, problems);
    let ids: BTreeSet<&str> = product.entry.iter().map(|e| e.id.as_str()).collect();
    problems.add_if(
        ids.len() < product.entry.len(),
        &place,
        "two entries have the same id",
    );
    for entry in &product.entry {
        lint_entry(product, entry, names, problems);
    }
    for source in &product.source {
        let cited = product.entry.iter().any(|e| e.sources.contains(&source.id))
            || product
                .recognition
                .iter()
                .any(|r| r.source.as_ref() == Some(&source.id));
        problems.add_if(
            !cited,
            &place,
            &format!("no statement cites the source {}", source.id),
        );
    }
}

fn lint_guide(guide: &Guide, problems: &mut Problems) {
    let place = format!("guides/{}.toml", guide.id);
    problems.prose(&place, &guide.title, false);
    problems.prose(&place, &guide.summary, true);
    problems.add_if(guide.section.is_empty(), &place, "it has no section");
    problems.add_if(
        !is_date(&guide.reviewed),
        &place,
        "`reviewed` is not a date",
    );
    problems.sources(&place, &guide.source);
    problems.translations(&place, guide.texts());
    for section in &guide.section {
        problems.prose(&place, &section.heading, false);
        let texts = section.text.iter().chain(&section.points);
        texts.for_each(|t| problems.prose(&place, t, true));
        problems.changes(&place, &section.change);
    }
}

/// No example of one product is matched by a pattern of another, unless both patterns are vague.
fn lint_matrix(products: &[Product], problems: &mut Problems) {
    for of in products {
        for r in &of.recognition {
            let Ok(regex) = Regex::new(&r.pattern) else {
                continue;
            };
            let others = products.iter().filter(|p| p.id != of.id);
            for (other, q) in others.flat_map(|p| p.recognition.iter().map(move |q| (p, q))) {
                let clash = q.part == r.part && !r.vague;
                for example in q.examples.iter().filter(|e| clash && regex.is_match(e)) {
                    problems.add(
                        &format!("products/{}.toml, pattern {}", of.id, r.pattern),
                        format!("it matches {example} of {}", other.id),
                    );
                }
            }
        }
    }
}

fn library() -> Library {
    Library::read(PRODUCTS, GUIDES).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn every_file_has_its_shape() {
    let library = library();
    let names = Names {
        tests: tests_of_the_catalogue(),
        guides: library.guides().iter().map(|g| g.id.clone()).collect(),
    };
    let mut problems = Problems::default();
    for product in library.products() {
        lint_product(product, &names, &mut problems);
    }
    library
        .guides()
        .iter()
        .for_each(|g| lint_guide(g, &mut problems));
    lint_matrix(library.products(), &mut problems);
    assert!(problems.0.is_empty(), "{}", problems.0.join("\n"));
}

#[test]
fn every_file_of_the_folders_is_part_of_the_binary() {
    let folder = |name: &str| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/advice/").to_string() + name;
        let files = std::fs::read_dir(path).unwrap();
        let id = |f: std::io::Result<std::fs::DirEntry>| {
            let name = f.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".toml").unwrap_or(&name).to_string()
        };
        files.map(id).collect::<BTreeSet<String>>()
    };
    let listed = |files: &[(&str, &str)]| files.iter().map(|(id, _)| id.to_string()).collect();
    assert_eq!(folder("products"), listed(PRODUCTS));
    assert_eq!(folder("guides"), listed(GUIDES));
}

#[test]
fn names_of_products_are_unique() {
    let library = library();
    let mut names: BTreeMap<String, &str> = BTreeMap::new();
    for product in library.products() {
        let other = names.insert(product.name.to_lowercase(), &product.id);
        assert_eq!(
            other, None,
            "{} has the name of another product",
            product.id
        );
    }
}

#[test]
fn the_data_is_smaller_than_a_megabyte() {
    let size: usize = PRODUCTS
        .iter()
        .chain(GUIDES)
        .map(|(_, text)| text.len())
        .sum();
    assert!(size < 1_000_000, "{size} bytes");
}

/// Where each thing that the founding document names is answered.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct FoundingDocument {
    name: Vec<NamedThing>,
    modern: Vec<NamedThing>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedThing {
    #[serde(default)]
    text: String,
    answered: String,
    /// A text that the answer contains; by default, any longer word of the name.
    #[serde(default)]
    keyword: Option<String>,
    #[serde(default)]
    rows: Vec<String>,
}

/// The rows of the inventory of products, by section.
const ROWS: [(&str, usize); 6] = [
    ("X", 8),
    ("N", 11),
    ("U", 16),
    ("O", 8),
    ("W", 20),
    ("Y", 12),
];

/// The length of the words of a name, one of which its answer has to contain.
const MIN_KEYWORD: usize = 4;

/// What an answer tells, in lower case: the file of a product or guide, or the links.
fn answer_text(kind: &str, id: &str) -> String {
    let file = |files: &[(&str, &str)]| {
        let found = files.iter().find(|(name, _)| *name == id);
        found.map_or(String::new(), |(_, text)| text.to_lowercase())
    };
    match kind {
        "product" => file(PRODUCTS),
        "guide" => file(GUIDES),
        _ if id == "/links" => include_str!("links.toml").to_lowercase(),
        _ => String::new(),
    }
}

#[test]
fn everything_that_the_founding_document_names_is_answered() {
    let document: FoundingDocument =
        toml::from_str(include_str!("founding_document.toml")).unwrap();
    let library = library();
    let routes = std::fs::read_to_string("src/site/routes.rs").unwrap();
    let mut rows: Vec<&str> = Vec::new();
    for thing in document.name.iter().chain(&document.modern) {
        let (kind, target) = thing.answered.split_once(' ').unwrap();
        let (id, entry) = match target.split_once('#') {
            Some((id, entry)) => (id, Some(entry)),
            None => (target, None),
        };
        let exists = match kind {
            "product" => library
                .product(id)
                .is_some_and(|p| entry.is_none_or(|entry| p.entry.iter().any(|e| e.id == entry))),
            "guide" => library.guide(id).is_some(),
            "page" => routes.contains(&format!("\"{id}\"")),
            _ => false,
        };
        assert!(exists, "{}: {} does not exist", thing.text, thing.answered);
        // Other pages are put together from several files.
        let answer = answer_text(kind, id);
        let is_word = |word: &&str| word.len() >= MIN_KEYWORD;
        let words = thing.text.split(|c: char| !c.is_ascii_alphanumeric());
        let keywords: Vec<&str> = match &thing.keyword {
            Some(keyword) => vec![keyword.as_str()],
            None => words.filter(is_word).collect(),
        };
        let has_one = keywords.iter().any(|k| answer.contains(&k.to_lowercase()));
        assert!(
            answer.is_empty() || thing.text.is_empty() || has_one,
            "{}: {} has none of {keywords:?}",
            thing.text,
            thing.answered
        );
        rows.extend(thing.rows.iter().map(String::as_str));
    }
    let mut expected: Vec<String> = Vec::new();
    for (section, count) in ROWS {
        expected.extend((1..=count).map(|n| format!("{section}{n}")));
    }
    rows.sort_unstable();
    expected.sort_unstable();
    assert_eq!(rows, expected, "each row of the inventory is answered once");
    assert_eq!(rows.len(), 75);
}
