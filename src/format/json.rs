//! JSON: values one after another, as lines (Spamhaus DROP's form) or over many lines; an array's items are taken one by
//! one as they come, so it may be of any size.

use std::{
    cell::{Cell, RefCell},
    fmt,
    io::{self, Read},
};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Input;

/// Keys of an object that hold the subject, the best first.
const KEYS: [&str; 7] = ["subject", "cidr", "ip", "prefix", "address", "domain", "network"];

/// Reads JSON values. A line that is one is read by itself, so that an error costs that line only; what starts an array, or
/// an object that goes on in the next line, is read as a stream.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    loop {
        if input.peek()? == Some(b'[') {
            stream(input, String::new())?;
            continue;
        }
        let before = input.column();
        let Some(line) = input.next()? else { return Ok(()) };
        let text = line.trim();
        if text.is_empty() || text == "," {
            continue;
        }
        let text = text.strip_suffix(',').unwrap_or(text);
        let place = Place { at: Cell::new((input.line, before)), line: Some(&line) };
        let walk = Walk { input: RefCell::new(&mut *input), place: &place, fatal: RefCell::new(None) };
        let mut json = serde_json::Deserializer::from_str(text);
        let result = (&walk).deserialize(&mut json).and_then(|()| json.end());
        if let Some(why) = walk.fatal.into_inner() {
            return Err(why);
        }
        match result {
            Ok(()) => {}
            Err(e) if e.is_eof() && text.starts_with('{') => stream(input, line)?,
            Err(e) => {
                let column = before + e.column() + line.len() - line.trim_start().len();
                input.problem(column, &format!("this is no JSON value: {}", bare(&e)));
            }
        }
    }
}

/// Reads one value from the stream; `head` is what was already taken of it, a whole line. After an error in it the rest can
/// not be told from it, so the file ends there.
fn stream(input: &mut Input, head: String) -> Result<(), String> {
    let began = if head.is_empty() { input.line + 1 } else { input.line };
    let column = if head.is_empty() { input.column() } else { 0 };
    let mut rest = input.lend();
    let place = Place { at: Cell::new((began, column)), line: None };
    let head = if head.is_empty() || input.unended { head } else { head + "\n" };
    let mut counted = Counted { inner: io::Cursor::new(head).chain(&mut rest), place: &place };
    let walk = Walk { input: RefCell::new(&mut *input), place: &place, fatal: RefCell::new(None) };
    let result = (&walk).deserialize(&mut serde_json::Deserializer::from_reader(&mut counted));
    let Walk { fatal, .. } = walk;
    let (line, at) = place.at.get();
    if let Err(e) = &result {
        (input.report.lines, input.line) = (input.report.lines + line - input.line, line);
        if let Some(why) = fatal.into_inner() {
            return Err(why);
        }
        if e.is_io() {
            return Err(format!("{}:{line}: {e}", input.file));
        }
        input.problem(at.max(1), &format!("this is no JSON value: {}; the rest of the file is not read", bare(e)));
        return Ok(());
    }
    // The rest of the line, up to its end, is read as a line of its own and counted then.
    (input.report.lines, input.line) = (input.report.lines + (line - 1).saturating_sub(input.line), line - 1);
    input.give_back(rest, at);
    Ok(())
}

/// An error's text without its place, which is told apart.
fn bare(e: &serde_json::Error) -> String {
    let text = e.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_string()
}

/// Where the reader stands: line and column of the last byte read; or, where only one line is read, that and what of it was
/// taken before.
struct Place<'l> {
    at: Cell<(u64, usize)>,
    line: Option<&'l str>,
}

/// Counts lines and columns.
struct Counted<'p, R> {
    inner: R,
    place: &'p Place<'p>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        let (mut line, mut column) = self.place.at.get();
        for b in &buf[..n] {
            (line, column) = if *b == b'\n' { (line + 1, 0) } else { (line, column + 1) };
        }
        self.place.at.set((line, column));
        Ok(n)
    }
}

/// Walks through a value and takes what it lists.
struct Walk<'w, 'i> {
    input: RefCell<&'w mut Input<'i>>,
    place: &'w Place<'w>,
    /// Why everything ends.
    fatal: RefCell<Option<String>>,
}

impl Walk<'_, '_> {
    /// Line and column of a word that was just read.
    fn place_of(&self, word: &str) -> (u64, usize) {
        let (line, column) = self.place.at.get();
        let start = match self.place.line {
            Some(text) => column + text.find(word).map_or(1, |i| i + 1),
            None => column.saturating_sub(word.len()).max(1),
        };
        (line, start)
    }

    fn at<T>(&self, (line, column): (u64, usize), f: impl FnOnce(&mut Input, usize) -> T) -> T {
        let mut input = self.input.borrow_mut();
        let old = std::mem::replace(&mut input.line, line);
        let out = f(&mut input, column);
        input.line = old;
        out
    }

    fn take<E: Error>(&self, word: &str, text: Option<&str>, at: (u64, usize)) -> Result<(), E> {
        self.at(at, |input, column| input.take_word(word, false, None, text, column)).map_err(|why| {
            *self.fatal.borrow_mut() = Some(why);
            E::custom("the import ends")
        })
    }

    fn problem<E>(&self, what: &str) -> Result<(), E> {
        self.at(self.place_of(""), |input, column| input.problem(column, what));
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for &Walk<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

/// What is said of a value that lists nothing.
const NEITHER: &str = "a value is a string, or an object with the subject in it";

impl<'de> Visitor<'de> for &Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(NEITHER)
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<(), E> {
        self.take(word, None, self.place_of(word))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.problem(NEITHER)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.problem(NEITHER)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.problem(NEITHER)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.problem(NEITHER)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.problem(NEITHER)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let column = self.input.borrow().options.column.clone();
        let (mut best, mut text, mut metadata) = (None::<(usize, String, (u64, usize))>, None, false);
        while let Some(key) = map.next_key::<String>()? {
            let own = column.as_ref().is_some_and(|c| *c == key).then_some(0);
            let rank = own.or_else(|| KEYS.iter().position(|k| *k == key).map(|i| i + 1));
            let wanted = rank.filter(|r| best.as_ref().is_none_or(|b| *r < b.0));
            if wanted.is_none() && key != "text" && key != "type" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let Some(value) = map.next_value_seed(Text)? else { continue };
            match wanted {
                Some(rank) => best = Some((rank, value.clone(), self.place_of(&value))),
                None if key == "text" => text = Some(value),
                // A last line about the list itself, as DROP has it.
                None => metadata = value == "metadata",
            }
        }
        match best {
            Some((_, word, at)) => self.take(&word, text.as_deref(), at),
            None if metadata => Ok(()),
            None => self.problem(&format!("the object has none of the keys {}", KEYS.join(", "))),
        }
    }
}

/// A string, or nothing in place of any other value.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Option<String>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Option<String>, D::Error> {
        Ok(serde_json::Value::as_str(&serde::Deserialize::deserialize(d)?).map(String::from))
    }
}
