//! The file of erasures on request, beside the store's folder: with it, a start erases again what
//! a restored backup has brought back.
//!
//! The file does not contain the names of persons: each is stored as a keyed hash, whose key is in
//! the file. A start that finds erasures which the store does not know reads every text of the
//! store, and compares the hashes of the names in it. The lengths of the names limit how much of a
//! text is hashed, so that texts of strangers cannot hold up a start.

use std::{
    collections::{BTreeSet, HashSet},
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::{Mutex, MutexGuard};
use ring::hmac;
use serde::{Deserialize, Serialize};

use super::search::{Person, PersonalSubject};
use crate::{
    model::{Subject, Time},
    random::Random,
    store::private,
};

/// The version of the file.
const VERSION: u32 = 1;
/// The most erasures in the file.
const MAX_ERASURES: usize = 100_000;
/// The longest name that is looked for in a text, in bytes: a mail address of 64 and 255 bytes.
const MAX_NAME_BYTES: usize = 320;
/// The longest text of an address or a prefix, in bytes: eight groups of IPv6 and `/128`.
const MAX_ADDRESS_BYTES: usize = 43;

/// An erasure in the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Erasure {
    /// The number. The store knows the number of the last erasure that it has carried out.
    number: u64,
    /// When it was requested.
    at: Time,
    /// The keyed hash of the name, in hexadecimal digits.
    name: String,
    /// The length of the name in bytes; `None`: an earlier version did not store it.
    #[serde(default)]
    bytes: Option<usize>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ErasureFile {
    version: u32,
    /// The key of the hashes, in hexadecimal digits.
    key: String,
    erasures: Vec<Erasure>,
}

/// The file of erasures. Clones share it.
#[derive(Debug, Clone)]
pub struct Erasures {
    path: PathBuf,
    random: Random,
    /// Locked while the file is read and replaced.
    lock: Arc<Mutex<()>>,
    /// Locked while data is erased.
    run: Arc<Mutex<()>>,
}

impl Erasures {
    /// The file at a path, which need not exist.
    pub fn new(path: PathBuf, random: Random) -> Erasures {
        Erasures {
            path,
            random,
            lock: Arc::default(),
            run: Arc::default(),
        }
    }

    /// Waits until no other erasure runs, and keeps others from running. The number of the last
    /// erasure that the store has carried out is true only if they run one at a time.
    pub(super) fn begin(&self) -> MutexGuard<'_, ()> {
        self.run.lock()
    }

    /// The path of the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds an erasure, with a number after `known`. Returns its number.
    ///
    /// # Errors
    ///
    /// The file cannot be read or written.
    pub fn add(&self, name: &str, known: u64, now: Time) -> Result<u64, String> {
        let _guard = self.lock.lock();
        let mut file = match self.read()? {
            Some(file) => file,
            None => ErasureFile {
                version: VERSION,
                key: data_encoding::HEXLOWER.encode(&self.random.bytes::<32>()?),
                erasures: Vec::new(),
            },
        };
        if file.erasures.len() >= MAX_ERASURES {
            return Err(self.problem(&format!(
                "it has {MAX_ERASURES} erasures, which is the limit; shorten [retention] erasures, and reload"
            )));
        }
        let last = file.erasures.iter().map(|e| e.number).max();
        let number = last.unwrap_or_default().max(known) + 1;
        file.erasures.push(Erasure {
            number,
            at: now,
            name: data_encoding::HEXLOWER.encode(&hash(&self.key(&file)?, name)),
            bytes: Some(name.len()),
        });
        self.write(&file)?;
        Ok(number)
    }

    /// The names of the erasures after a number, and the last number; `None` if there are none.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn after(&self, known: u64) -> Result<Option<(ErasedNames, u64)>, String> {
        let _guard = self.lock.lock();
        let Some(file) = self.read()? else {
            return Ok(None);
        };
        let new = file.erasures.iter().filter(|e| e.number > known);
        let Some(last) = new.clone().map(|e| e.number).max() else {
            return Ok(None);
        };
        let lengths = new.clone().flat_map(|e| match e.bytes {
            Some(bytes) => bytes..=bytes,
            None => 1..=MAX_NAME_BYTES,
        });
        let lengths = lengths.collect();
        let names = new.map(|e| data_encoding::HEXLOWER.decode(e.name.as_bytes()));
        let names = names.collect::<Result<HashSet<_>, _>>();
        let names = ErasedNames {
            key: self.key(&file)?,
            names: names.map_err(|e| self.broken(&e.to_string()))?,
            lengths,
        };
        Ok(Some((names, last)))
    }

    /// Removes the erasures that were requested before a time, and the file with the last one.
    /// Returns their number.
    ///
    /// # Errors
    ///
    /// The file cannot be read or written.
    pub fn forget(&self, before: Time) -> Result<u64, String> {
        let _guard = self.lock.lock();
        let Some(mut file) = self.read()? else {
            return Ok(0);
        };
        let all = file.erasures.len();
        file.erasures.retain(|e| e.at >= before);
        let forgotten = (all - file.erasures.len()) as u64;
        match (forgotten, file.erasures.is_empty()) {
            (0, _) => {}
            (_, true) => fs::remove_file(&self.path).map_err(|e| self.unusable(&e))?,
            (_, false) => self.write(&file)?,
        }
        Ok(forgotten)
    }

    fn read(&self) -> Result<Option<ErasureFile>, String> {
        let text = match fs::read_to_string(&self.path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|e| self.unusable(&e))?,
        };
        let file: ErasureFile =
            serde_json::from_str(&text).map_err(|e| self.broken(&e.to_string()))?;
        match file.version {
            VERSION => Ok(Some(file)),
            other => Err(self.problem(&format!(
                "version {other} of its form is not known here; use the version of orbsd that wrote it, or a later one"
            ))),
        }
    }

    fn key(&self, file: &ErasureFile) -> Result<hmac::Key, String> {
        let key = data_encoding::HEXLOWER.decode(file.key.as_bytes());
        let key = key.map_err(|e| self.broken(&e.to_string()))?;
        Ok(hmac::Key::new(hmac::HMAC_SHA256, &key))
    }

    fn write(&self, file: &ErasureFile) -> Result<(), String> {
        let text = serde_json::to_vec(file).map_err(|e| self.problem(&e.to_string()))?;
        replace(&self.path, &text).map_err(|e| self.unusable(&e))
    }

    /// The system does not let the file be read or written.
    fn unusable(&self, why: &io::Error) -> String {
        self.problem(&format!(
            "{why}; let the user of the daemon read and write it and its folder, on a disk with free space"
        ))
    }

    /// The file was changed by somebody else, or is damaged.
    fn broken(&self, why: &str) -> String {
        self.problem(&format!(
            "{why}; put a copy of it back, or, if there is none, move it away and repeat each erasure with `orbsd privacy erase`"
        ))
    }

    fn problem(&self, why: &str) -> String {
        let path = self.path.display();
        format!("the file of erasures {path} cannot be used: {why}")
    }
}

/// Replaces a file as a whole, and syncs it with its folder.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = path.with_extension("json.new");
    match fs::remove_file(&new) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => private::create_file(&new, content)?,
    }
    fs::rename(&new, path)?;
    match path.parent().filter(|f| !f.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn hash(key: &hmac::Key, name: &str) -> Vec<u8> {
    hmac::sign(key, name.as_bytes()).as_ref().to_vec()
}

/// The names of persons whose data was erased, as hashes.
#[derive(Debug)]
pub struct ErasedNames {
    key: hmac::Key,
    names: HashSet<Vec<u8>>,
    /// The lengths of the names in bytes.
    lengths: BTreeSet<usize>,
}

impl ErasedNames {
    fn contains(&self, name: &str) -> bool {
        self.names.contains(&hash(&self.key, name))
    }
}

impl Person for ErasedNames {
    fn is_subject(&self, subject: &Subject) -> bool {
        self.is_named_by(&subject.to_string())
    }

    fn is_named_by(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let is_part = |c: char| c.is_alphanumeric() || "-_.:/@!#$%&'*+=?^`{|}~".contains(c);
        text.split(|c| !is_part(c)).any(|run| {
            candidates(run, &self.lengths).any(|name| {
                let is_named = |who: PersonalSubject| who.text() == name && who.is_named_by(run);
                self.contains(name) && PersonalSubject::parse(name).is_ok_and(is_named)
            })
        })
    }
}

/// The parts of a text that can be a name of one of the lengths.
fn candidates<'a>(text: &'a str, lengths: &'a BTreeSet<usize>) -> impl Iterator<Item = &'a str> {
    let is_separator = |c: char| !c.is_alphanumeric() && c != '-' && c != '_';
    let starts = text.char_indices().filter(move |(at, _)| {
        let before = text[..*at].chars().next_back();
        before.is_none_or(is_separator)
    });
    let ends_there = move |end: usize| {
        let mut after = text[end..].chars();
        match (after.next(), after.next()) {
            // A longer name, which is another one.
            (Some('.'), Some(next)) => is_separator(next),
            (Some('/'), Some(next)) => !next.is_ascii_digit(),
            (Some(next), _) => is_separator(next),
            (None, _) => true,
        }
    };
    starts.flat_map(move |(start, _)| {
        let ends = lengths.iter().map(move |bytes| start + bytes);
        ends.take_while(|end| *end <= text.len())
            .filter(move |end| text.is_char_boundary(*end) && ends_there(*end))
            .map(move |end| &text[start..end])
            .filter(|name| can_be_name(name))
    })
}

/// Whether a text has the form of an address, a prefix, a domain or a mail address. This is cheaper
/// than its hash.
fn can_be_name(text: &str) -> bool {
    let is_domain = |text: &str| {
        let is_plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
        !text.starts_with('.')
            && !text.ends_with('.')
            && !text.contains("..")
            && text.contains('.')
            && text.chars().all(is_plain)
    };
    let is_address = |text: &str| {
        let is_plain = |c: char| c.is_ascii_hexdigit() || ".:/".contains(c);
        text.len() <= MAX_ADDRESS_BYTES
            && text.chars().all(is_plain)
            && text.contains(|c: char| c.is_ascii_hexdigit())
            && text.contains(['.', ':'])
            && !text.contains("..")
    };
    match text.split_once('@') {
        Some((local, domain)) => !local.is_empty() && is_domain(domain),
        None => is_domain(text) || is_address(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &Path) -> Erasures {
        Erasures::new(folder.join("data.erasures.json"), Random::system())
    }

    #[test]
    fn file_names_no_person_and_finds_each_again() {
        let folder = tempfile::tempdir().unwrap();
        let erasures = file(folder.path());
        assert!(erasures.after(0).unwrap().is_none(), "without a file");
        for (name, number) in [
            ("anna@example.org", 1),
            ("192.0.2.1", 2),
            ("2001:db8::1", 3),
        ] {
            assert_eq!(erasures.add(name, 0, Time(5)), Ok(number));
        }
        assert_eq!(
            erasures.add("example.net", 9, Time(6)),
            Ok(10),
            "the store knows more"
        );
        let text = fs::read_to_string(folder.path().join("data.erasures.json")).unwrap();
        assert!(
            !text.contains("anna") && !text.contains("192.0.2.1"),
            "{text}"
        );
        let (names, last) = erasures.after(0).unwrap().unwrap();
        assert_eq!(last, 10);
        for (text, expected) in [
            ("Write to <Anna@Example.org>, please.", true),
            ("joanna@example.org", false),
            ("jo.anna@example.org", false),
            ("anna@example.org.uk", false),
            ("from [192.0.2.1]:25", true),
            ("192.0.2.10, 1192.0.2.1, 192.0.2.1/24", false),
            ("(2001:DB8::1)", true),
            ("2001:db8::1:2", false),
            ("helo=mx.example.net;", true),
            ("bob@example.net", true),
            ("mailto:anna@example.org", true),
            ("https://example.net/path", true),
            ("notexample.net, example.net.au", false),
            ("", false),
        ] {
            assert_eq!(names.is_named_by(text), expected, "{text}");
        }
        assert!(names.is_subject(&"192.0.2.1".parse().unwrap()));
        assert!(!names.is_subject(&"192.0.2.2".parse().unwrap()));
        assert!(names.is_subject(&"mx.example.net".parse().unwrap()));
        let (later, _) = erasures.after(3).unwrap().unwrap();
        assert!(!later.is_named_by("anna@example.org"), "the store knows it");
        assert!(erasures.after(10).unwrap().is_none());
    }

    #[test]
    fn erasures_are_forgotten_after_their_period() {
        let folder = tempfile::tempdir().unwrap();
        let erasures = file(folder.path());
        assert_eq!(erasures.forget(Time(9)), Ok(0));
        erasures.add("a.example", 0, Time(5)).unwrap();
        erasures.add("b.example", 0, Time(7)).unwrap();
        assert_eq!(erasures.forget(Time(7)), Ok(1));
        let (names, last) = erasures.after(0).unwrap().unwrap();
        assert!(last == 2 && names.is_named_by("b.example") && !names.is_named_by("a.example"));
        assert_eq!(erasures.forget(Time(8)), Ok(1));
        assert!(!folder.path().join("data.erasures.json").exists());
    }

    #[test]
    fn file_that_cannot_be_read_is_an_error_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.erasures.json");
        fs::write(&path, "{").unwrap();
        let erasures = file(folder.path());
        for failed in [
            erasures.add("a.example", 0, Time(5)).map(drop),
            erasures.after(0).map(drop),
            erasures.forget(Time(5)).map(drop),
        ] {
            let why = failed.unwrap_err();
            assert!(why.contains("data.erasures.json"), "{why}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "{");
    }

    #[test]
    fn text_of_separators_is_not_hashed() {
        let all = (1..=MAX_NAME_BYTES).collect();
        for separator in [".", ":", "@", "/", "a@", "a+", "a/"] {
            let text = separator.repeat(4000 / separator.len());
            let n = candidates(&text, &all).count();
            assert_eq!(n, 0, "{separator}");
        }
        let text = "a.".repeat(2000);
        assert!(candidates(&text, &all).count() <= MAX_NAME_BYTES);
    }

    #[test]
    fn only_names_of_recorded_lengths_are_hashed() {
        let folder = tempfile::tempdir().unwrap();
        let erasures = file(folder.path());
        erasures.add("anna@example.org", 0, Time(5)).unwrap();
        let (names, _) = erasures.after(0).unwrap().unwrap();
        let text = "mx1.example.org anna@example.org example.org ".repeat(9);
        let hashed = text
            .split(' ')
            .flat_map(|run| candidates(run, &names.lengths));
        assert_eq!(
            hashed.collect::<HashSet<_>>(),
            HashSet::from(["anna@example.org"])
        );
        // A file of an earlier version has no lengths.
        let path = folder.path().join("data.erasures.json");
        let old = fs::read_to_string(&path)
            .unwrap()
            .replace(",\"bytes\":16", "");
        assert!(!old.contains("bytes"), "{old}");
        fs::write(&path, old).unwrap();
        let (names, _) = erasures.after(0).unwrap().unwrap();
        assert!(names.is_named_by("mailto:anna@example.org"));
    }

    #[test]
    fn error_names_the_file_and_the_next_step() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.erasures.json");
        let erasures = file(folder.path());
        fs::create_dir(&path).unwrap();
        let why = erasures.after(0).unwrap_err();
        assert!(
            why.contains("data.erasures.json") && why.contains("read and write it"),
            "{why}"
        );
        fs::remove_dir(&path).unwrap();
        fs::write(&path, "{").unwrap();
        let why = erasures.after(0).unwrap_err();
        assert!(
            why.contains("data.erasures.json") && why.contains("put a copy"),
            "{why}"
        );
    }
}
