//! Tests of the translations: complete, used, and translated.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::*;

/// Files whose texts every language has: those of the path of an owner of a listed host.
const COMPLETE: [&str; 15] = [
    "common",
    "home",
    "lookup",
    "forms",
    "ticket",
    "mail",
    "advice",
    "catalogue",
    "selftest",
    "netblocks",
    "links",
    "correction",
    "comparison",
    "policy",
    "providers",
];
/// Texts that are the same in English and in another language.
const EQUAL: [&str; 3] = ["mail-change-subject", "kind-groupware", "kind-gateway"];
/// The starts of keys that are put together at run time.
const COMPOSED: [&str; 9] = [
    "mail-",
    "recipe-",
    "form-",
    "kind-",
    "part-",
    "securable-",
    "confidence-",
    "advice-recognised",
    "close-recognised",
];

fn files(language: Language) -> Vec<(String, String)> {
    let folder = Path::new("src/texts").join(language.tag());
    let mut out: Vec<(String, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_string();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    out.sort();
    out
}

/// The texts of a file by key, each with its lines.
fn texts(file: &str) -> BTreeMap<&str, String> {
    let mut out = BTreeMap::new();
    let mut last = None;
    for line in file.lines().filter(|l| !l.starts_with('#')) {
        match line.split_once(" =") {
            Some((key, text)) if line.starts_with(|c: char| c.is_ascii_lowercase()) => {
                assert!(
                    out.insert(key, text.trim().to_string()).is_none(),
                    "{key} is there twice"
                );
                last = Some(key);
            }
            _ => {
                let text = last.and_then(|key| out.get_mut(key));
                text.into_iter()
                    .for_each(|t| *t = format!("{t}\n{}", line.trim()));
            }
        }
    }
    out
}

/// The variables of a text.
fn variables(text: &str) -> BTreeSet<&str> {
    text.split('$')
        .skip(1)
        .map(|p| {
            let end = p.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            &p[..end.unwrap_or(p.len())]
        })
        .collect()
}

fn all_texts(language: Language) -> BTreeMap<String, BTreeMap<String, String>> {
    files(language)
        .iter()
        .map(|(name, file)| {
            let texts = texts(file).into_iter().map(|(k, t)| (k.to_string(), t));
            (name.clone(), texts.collect())
        })
        .collect()
}

#[test]
fn every_file_of_a_language_is_part_of_the_binary() {
    for language in Language::ALL {
        for (name, file) in files(language) {
            assert!(
                language.files().contains(&file.as_str()),
                "{language:?}: {name}.ftl"
            );
        }
    }
}

#[test]
fn every_text_of_the_owners_path_is_translated() {
    let english = all_texts(Language::En);
    for language in [Language::De, Language::Ja] {
        let translated = all_texts(language);
        for (file, texts) in &english {
            let none = BTreeMap::new();
            let other = translated.get(file).unwrap_or(&none);
            let keys = |t: &BTreeMap<String, String>| t.keys().cloned().collect::<BTreeSet<_>>();
            let (expected, found) = (keys(texts), keys(other));
            let unknown: Vec<_> = found.difference(&expected).collect();
            assert!(
                unknown.is_empty(),
                "{language:?} {file}: not in English: {unknown:?}"
            );
            if COMPLETE.contains(&file.as_str()) {
                let missing: Vec<_> = expected.difference(&found).collect();
                assert!(
                    missing.is_empty(),
                    "{language:?} {file}: missing: {missing:?}"
                );
            }
            for (key, text) in other {
                assert_eq!(
                    variables(text),
                    variables(&texts[key]),
                    "{language:?} {key}"
                );
                let same = *text == texts[key] && text.contains(char::is_alphabetic);
                assert!(
                    !same || EQUAL.contains(&key.as_str()),
                    "{language:?} {key} is English"
                );
            }
        }
    }
}

fn sources(folder: &Path, out: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs" || e == "html") {
            out.push(fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_text_is_used() {
    let mut code = Vec::new();
    sources(Path::new("src"), &mut code);
    let literals: BTreeSet<&str> = code.iter().flat_map(|c| c.split('"')).collect();
    for (file, texts) in all_texts(Language::En) {
        for key in texts.keys() {
            let used =
                literals.contains(key.as_str()) || COMPOSED.iter().any(|c| key.starts_with(c));
            assert!(used, "{file}: no page uses {key}");
        }
    }
}

#[test]
fn every_text_that_pages_use_exists() {
    let mut code = Vec::new();
    sources(Path::new("src/site"), &mut code);
    let english = all_texts(Language::En);
    let known: BTreeSet<&str> = english
        .values()
        .flatten()
        .map(|(k, _)| k.as_str())
        .collect();
    for source in &code {
        for call in [
            ".t(\"",
            ".t1(\"",
            ".t2(\"",
            ".t3(\"",
            ".text(\"",
            "text(language, \"",
        ] {
            for part in source.split(call).skip(1) {
                let key = part.split('"').next().unwrap();
                assert!(known.contains(key), "{key} does not exist");
            }
        }
    }
    // Keys in tables of states and reasons.
    let starts: BTreeSet<&str> = known.iter().filter_map(|k| k.split('-').next()).collect();
    for file in [
        "lookup.rs",
        "reasons.rs",
        "ticket.rs",
        "errors.rs",
        "proofs.rs",
        "context.rs",
    ] {
        let source = fs::read_to_string(Path::new("src/site").join(file)).unwrap();
        let source = source.split("#[cfg(test)]").next().unwrap();
        for literal in source.split('"').skip(1).step_by(2) {
            let is_key = literal.contains('-')
                && literal
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            if is_key
                && literal
                    .split('-')
                    .next()
                    .is_some_and(|s| starts.contains(s))
            {
                assert!(known.contains(literal), "{file}: {literal} does not exist");
            }
        }
    }
}

#[test]
fn translations_are_marked_as_reviewed_or_not() {
    for language in Language::ALL {
        let marked = !text(language, "layout-not-reviewed", &[]).is_empty();
        assert!(language.is_reviewed() || marked, "{language:?}");
    }
    assert!(Language::En.is_reviewed());
}

#[test]
fn every_file_parses() {
    for language in Language::ALL {
        for file in language.files() {
            let parsed = FluentResource::try_new((*file).into());
            assert!(
                parsed.is_ok(),
                "{language:?}: {:?}",
                parsed.err().map(|e| e.1)
            );
        }
    }
}
