//! Walks through a JSON value and accepts its entries: strings, and objects with the subject under
//! a key.

use std::{
    cell::{Cell, RefCell},
    fmt,
    net::Ipv4Addr,
};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::{
    limited::LimitedValue,
    position::{Position, SharedInput},
};
use crate::lists::{Input, Omission, columns, text::literal};

/// How many objects are searched for further keys with addresses or names.
const MAX_CHECKED: u32 = 20;
/// How many keys an error shows.
const MAX_KEYS: usize = 20;
/// How many values under one key are kept.
const MAX_VALUES: usize = 512;
/// Keys of a server's error object.
const ERRORS: [&str; 7] = [
    "error", "errors", "message", "detail", "title", "reason", "status",
];

/// Counts of a file so far.
#[derive(Default)]
pub(super) struct FileState {
    /// Objects with a subject.
    objects: Cell<u64>,
    /// Objects that were searched for further keys.
    checked: Cell<u32>,
    /// An entry was accepted or left out.
    any: Cell<bool>,
}

/// A walk through one value.
pub(super) struct Walk<'w, 'i> {
    input: SharedInput<'w, 'i>,
    position: &'w Position<'w>,
    state: &'w FileState,
    /// The keys that lead to the current position.
    path: RefCell<Vec<String>>,
    /// The error that ends the reading.
    fatal: RefCell<Option<String>>,
}

/// The problem of a value that is not an entry.
const NEITHER: &str = "a value is a string, or an object that contains the subject";

impl<'w, 'i> Walk<'w, 'i> {
    pub(super) fn new(
        input: &'w mut Input<'i>,
        position: &'w Position<'w>,
        state: &'w FileState,
    ) -> Walk<'w, 'i> {
        Walk {
            input: RefCell::new(input),
            position,
            state,
            path: RefCell::default(),
            fatal: RefCell::default(),
        }
    }

    /// The error that ends the reading, if any.
    pub(super) fn into_fatal(self) -> Option<String> {
        self.fatal.into_inner()
    }

    fn at<T>(&self, (line, column): (u64, usize), f: impl FnOnce(&mut Input, usize) -> T) -> T {
        let mut input = self.input.borrow_mut();
        let old = std::mem::replace(&mut input.line, line);
        let out = f(&mut input, column);
        input.line = old;
        out
    }

    fn end<E: Error>(&self, why: String) -> E {
        *self.fatal.borrow_mut() = Some(why);
        E::custom("the import ends")
    }

    /// Records a value that is not an entry.
    fn neither<E>(&self, value: impl fmt::Display) -> Result<(), E> {
        self.problem("", &format!("`{value}`: {NEITHER}"))
    }

    fn problem<E>(&self, class: &str, what: &str) -> Result<(), E> {
        self.at(self.position.of(""), |input, column| {
            input.problem_of(class, column, what);
        });
        Ok(())
    }

    /// The chosen key, split at its dots.
    fn chosen_key(&self) -> Option<Vec<String>> {
        let column = self.input.borrow().options.column.as_ref()?;
        Some(column.split('.').map(String::from).collect())
    }

    /// The priority of a key as that of the subject: 0 for the chosen one. If one was chosen, other
    /// keys have none.
    fn rank(&self, chosen_key: Option<&[String]>, key: &str) -> Option<usize> {
        match chosen_key {
            // A chosen key without dots counts in every object.
            Some([above @ .., last]) => (last.eq_ignore_ascii_case(key)
                && (above.is_empty() || *self.path.borrow() == above))
                .then_some(0),
            _ => columns::SUBJECTS
                .iter()
                .position(|k| k.eq_ignore_ascii_case(key))
                .map(|i| i + 1),
        }
    }

    /// The position of the object that was just read, as an error begins with it.
    fn place(&self) -> String {
        format!("{}:{}", self.input.borrow().file, self.position.of("").0)
    }

    /// Counts an object that has a subject or is left out.
    fn count_object(&self) {
        self.state.objects.set(self.state.objects.get() + 1);
    }
}

impl<'de> DeserializeSeed<'de> for &Walk<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(NEITHER)
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<(), E> {
        self.state.any.set(true);
        let result = self.at(self.position.of(word), |input, column| {
            input.list_word(word.trim(), column)
        });
        result.map_err(|why| self.end(why))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.neither(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.neither(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.neither(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.neither(value)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.neither("null")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let chosen_key = self.chosen_key();
        let mut object = Object::default();
        let is_checked = self.state.checked.get() < MAX_CHECKED;
        while let Some(key) = map.next_key::<String>()? {
            if chosen_key.as_ref().is_some_and(|w| self.leads(w, &key)) {
                self.path.borrow_mut().push(key);
                map.next_value_seed(self)?;
                self.path.borrow_mut().pop();
                object.led_on = true;
                continue;
            }
            let rank = self
                .rank(chosen_key.as_deref(), &key)
                .filter(|r| object.subject.as_ref().is_none_or(|s| *r < s.rank));
            let lower = key.to_ascii_lowercase();
            let known = matches!(
                &*lower,
                "text" | "type" | "records" | "sblid" | "asn" | "reasons" | "format"
            ) || columns::part(&lower).is_some();
            if rank.is_none() && !known && !is_checked {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = map.next_value_seed(LimitedValue::new(&Cell::new(MAX_VALUES)))?;
            if let (Some(rank), Some(word)) = (rank, value.as_str()) {
                let replaced = object.subject.replace(FoundSubject {
                    rank,
                    key,
                    word: word.into(),
                    at: self.position.of(word),
                });
                object
                    .others
                    .extend(replaced.map(|f| (f.key, Value::String(f.word))));
            } else {
                object.others.push((key, value));
            }
        }
        self.object(&object, chosen_key.is_some())
    }
}

/// A subject under its key.
struct FoundSubject {
    rank: usize,
    key: String,
    word: String,
    at: (u64, usize),
}

/// An object that was read.
#[derive(Default)]
struct Object {
    subject: Option<FoundSubject>,
    others: Vec<(String, Value)>,
    /// A key led to the object of the chosen one.
    led_on: bool,
}

impl Object {
    fn get(&self, key: &str) -> Option<&Value> {
        self.others
            .iter()
            .find(|(k, _)| k.eq_ignore_ascii_case(key))
            .map(|(_, v)| v)
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }
}

impl Walk<'_, '_> {
    /// Whether a key is the next part of the path to the chosen key.
    fn leads(&self, chosen_key: &[String], key: &str) -> bool {
        let path = self.path.borrow();
        path.len() + 1 < chosen_key.len()
            && chosen_key[..path.len()] == path[..]
            && chosen_key[path.len()] == key
    }

    /// Accepts the entry of an object.
    fn object<E: Error>(&self, object: &Object, chosen: bool) -> Result<(), E> {
        if object.led_on {
            return Ok(());
        }
        let Some(found) = &object.subject else {
            return self.without_subject(object);
        };
        self.count_object();
        // The name of an object with an AS number is that of the system.
        let is_name = matches!(
            &*found.key.to_ascii_lowercase(),
            "domain" | "host" | "hostname"
        );
        if object.get("asn").is_some() && !chosen && is_name {
            self.at(found.at, |input, column| {
                input.leave_out(Omission::AsNumber, column, &found.word);
            });
            return Ok(());
        }
        self.state.any.set(true);
        if !chosen && self.state.checked.get() < MAX_CHECKED {
            self.check_others(object, found)?;
        }
        let parts: Vec<(columns::Column, String)> = object
            .others
            .iter()
            .filter_map(|(k, v)| Some((columns::part(&k.to_ascii_lowercase())?, text_of(v))))
            .collect();
        let parts: Vec<(columns::Column, &str)> =
            parts.iter().map(|(c, v)| (*c, v.as_str())).collect();
        let result = self.at(found.at, |input, column| {
            let entry = columns::join(found.word.trim(), &parts, chosen);
            let Some(entry) = input.valid(column, entry) else {
                return Ok(());
            };
            input.note = object.text("sblid").map(Into::into);
            let result = take(input, &entry, object, column);
            input.note = None;
            result
        });
        result.map_err(|why| self.end(why))
    }

    /// Handles an object without a subject: the final record of a list, the error of a server, or
    /// an object of an unknown form.
    fn without_subject<E: Error>(&self, object: &Object) -> Result<(), E> {
        if object.get("asn").is_some() {
            self.at(self.position.of(""), |input, column| {
                input.leave_out(Omission::AsNumber, column, "an AS number");
            });
            self.count_object();
            return Ok(());
        }
        if object.text("type") == Some("metadata") {
            return self.final_record(object);
        }
        if object.text("format") == Some("jsonl") {
            return Ok(());
        }
        let place = self.place();
        let error = ERRORS.iter().find_map(|k| object.get(k)).map(text_of);
        if let Some(error) = error.filter(|_| !self.state.any.get()) {
            let error: String = error.chars().take(200).collect();
            return Err(self.end(format!(
                "{place}: this is a JSON error object and not a list: `{error}`; nothing was changed"
            )));
        }
        let mut keys = Vec::new();
        object
            .others
            .iter()
            .for_each(|(k, v)| paths(&mut self.path.borrow().clone(), k, v, &mut keys));
        let key_list = match keys.is_empty() {
            true => "the object is empty".to_string(),
            false => format!("its keys are {}", keys.join(", ")),
        };
        let chosen_key = self.input.borrow().options.column.as_deref();
        let last = chosen_key
            .and_then(|k| k.rsplit('.').next())
            .unwrap_or("ip");
        let what = match (object.get(last), chosen_key) {
            (Some(value), _) => {
                format!("`{value}` is not a string with an address or name; {key_list}")
            }
            (None, Some(key)) => format!("the object has no string under `{key}`; {key_list}"),
            (None, None) => format!(
                "no key of the object holds the subject; {key_list}; choose one with --column"
            ),
        };
        if self.state.any.get() {
            return self.problem("an object without subject", &what);
        }
        Err(self.end(format!("{place}: {what}")))
    }

    /// Checks the count in the final record, which describes the list.
    fn final_record<E: Error>(&self, object: &Object) -> Result<(), E> {
        let count = self.state.objects.get();
        let claimed = object.get("records").or_else(|| object.get("count"));
        if let Some(claimed) = claimed.and_then(Value::as_u64).filter(|n| *n != count) {
            return Err(self.end(format!(
                "{}: the final record claims {claimed} records, but the list has {count}: the file is not complete; nothing was changed",
                self.place()
            )));
        }
        self.input.borrow_mut().report.shape.final_record = true;
        Ok(())
    }

    /// Refuses a file in which other keys also hold addresses or names.
    fn check_others<E: Error>(&self, object: &Object, found: &FoundSubject) -> Result<(), E> {
        let checked = &self.state.checked;
        checked.set(checked.get() + 1);
        let holds = |(k, v): &&(String, Value)| {
            columns::part(&k.to_ascii_lowercase()).is_none()
                && k != "text"
                && v.as_str().is_some_and(columns::holds_subject)
        };
        let others = object.others.iter().filter(holds).map(|(k, _)| k.clone());
        let all: Vec<String> = std::iter::once(found.key.clone()).chain(others).collect();
        if all.len() == 1 {
            return Ok(());
        }
        let ((line, column), file) = (found.at, self.input.borrow().file);
        Err(self.end(format!(
            "{file}:{line}:{column}: {}",
            columns::several("keys", &all)
        )))
    }
}

/// Accepts the subject of an object with its other keys. An object of orbsd's own export has
/// reasons with codes; without any it is an exclusion.
fn take(input: &mut Input, word: &str, object: &Object, column: usize) -> Result<(), String> {
    let Some(Value::Array(reasons)) = object.get("reasons") else {
        return input.take_word(word, false, None, object.text("text"), column);
    };
    if reasons.is_empty() {
        return input.take_word(word, true, None, None, column);
    }
    let by_code = input.options.reasoning.is_by_code();
    for reason in reasons.iter().take(if by_code { reasons.len() } else { 1 }) {
        let string = |key| reason.get(key).and_then(Value::as_str);
        let code = string("code").and_then(|c| c.parse::<Ipv4Addr>().ok());
        // `$` was already replaced.
        let text = string("text").map(literal);
        input.take_word(word, false, code, text.as_deref(), column)?;
    }
    Ok(())
}

/// A string without its quotes; other values as they are written.
fn text_of(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), String::from)
}

/// Collects the paths of keys to values that are not objects.
fn paths(above: &mut Vec<String>, key: &str, value: &Value, out: &mut Vec<String>) {
    above.push(key.into());
    let object = match value {
        Value::Array(items) => items.first().and_then(Value::as_object),
        value => value.as_object(),
    };
    match object {
        Some(map) => map.iter().for_each(|(k, v)| paths(above, k, v, out)),
        None if out.len() < MAX_KEYS => out.push(above.join(".")),
        None => {}
    }
    above.pop();
}
