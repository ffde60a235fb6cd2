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
    limited::Limited,
    position::{Position, Shared},
};
use crate::lists::{Input, Omission, Reasoning, columns};

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
    input: Shared<'w, 'i>,
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
        let input = self.input.borrow();
        input
            .options
            .column
            .as_ref()
            .map(|c| c.split('.').map(String::from).collect())
    }

    /// The priority of a key as that of the subject: 0 for the chosen one. If one was chosen, other
    /// keys have none.
    fn rank(&self, chosen_key: Option<&[String]>, key: &str) -> Option<usize> {
        match chosen_key {
            Some([above @ .., last]) => {
                (last.eq_ignore_ascii_case(key) && self.is_at(above)).then_some(0)
            }
            _ => columns::SUBJECTS
                .iter()
                .position(|k| k.eq_ignore_ascii_case(key))
                .map(|i| i + 1),
        }
    }

    /// Whether the position is below these keys; a chosen key without dots counts in every object.
    fn is_at(&self, above: &[String]) -> bool {
        above.is_empty() || *self.path.borrow() == above
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
            input.take_word(word.trim(), false, None, None, column)
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
            if chosen_key
                .as_ref()
                .is_some_and(|w| w.len() > 1 && self.leads(w, &key))
            {
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
            let value = map.next_value_seed(Limited::new(&Cell::new(MAX_VALUES)))?;
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
        let is_address = |f: &&FoundSubject| {
            !matches!(&*f.key.to_ascii_lowercase(), "domain" | "host" | "hostname")
        };
        let Some(found) = &object.subject else {
            return self.without_subject(object);
        };
        if object.get("asn").is_some()
            && !chosen
            && object.subject.as_ref().filter(is_address).is_none()
        {
            self.at(found.at, |input, column| {
                input.leave_out(Omission::AsNumber, column, &found.word);
            });
            self.state.objects.set(self.state.objects.get() + 1);
            return Ok(());
        }
        self.state.any.set(true);
        self.state.objects.set(self.state.objects.get() + 1);
        if !chosen && self.state.checked.get() < MAX_CHECKED {
            self.check_others(object, found)?;
        }
        let parts: Vec<(String, columns::Column)> = object
            .others
            .iter()
            .filter_map(|(k, v)| {
                columns::part(&k.to_ascii_lowercase())
                    .map(|c| (v.as_str().map_or_else(|| v.to_string(), String::from), c))
            })
            .collect();
        let parts: Vec<(columns::Column, &str)> =
            parts.iter().map(|(v, c)| (*c, v.as_str())).collect();
        let result = self.at(found.at, |input, column| {
            match columns::join(found.word.trim(), &parts, chosen) {
                Ok(word) => {
                    input.note = object.text("sblid").map(Into::into);
                    let result = take(input, &word, object, column);
                    input.note = None;
                    result
                }
                Err(why) => {
                    input.problem_of("columns that disagree", column, &why);
                    Ok(())
                }
            }
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
            self.state.objects.set(self.state.objects.get() + 1);
            return Ok(());
        }
        if object.text("type") == Some("metadata") {
            return self.final_record(object);
        }
        if object.text("format") == Some("jsonl") {
            return Ok(());
        }
        let position = self.position.of("");
        let file = self.input.borrow().file.to_string();
        let claimed = ERRORS.iter().find_map(|k| {
            object
                .get(k)
                .map(|v| v.as_str().map_or_else(|| v.to_string(), String::from))
        });
        if let Some(claimed) = claimed.filter(|_| !self.state.any.get()) {
            let claimed: String = claimed.chars().take(200).collect();
            return Err(
                self.end(format!("{file}:{}: this is a JSON error object and not a list: `{claimed}`; nothing was changed", position.0))
            );
        }
        let mut keys = Vec::new();
        object
            .others
            .iter()
            .for_each(|(k, v)| paths(&mut self.path.borrow().clone(), k, v, &mut keys));
        let key_list = if keys.is_empty() {
            "the object is empty".to_string()
        } else {
            format!("its keys are {}", keys.join(", "))
        };
        let chosen_key = self.input.borrow().options.column.clone();
        let other = object.get(
            chosen_key
                .as_deref()
                .map_or("ip", |w| w.rsplit('.').next().unwrap_or(w)),
        );
        let what = match (other, chosen_key) {
            (Some(value), _) => {
                format!("`{value}` is not a string with an address or name; {key_list}")
            }
            (None, Some(chosen_key)) => {
                format!("the object has no string under `{chosen_key}`; {key_list}")
            }
            (None, None) => {
                format!(
                    "no key of the object holds the subject; {key_list}; choose one with --column"
                )
            }
        };
        if self.state.any.get() {
            return self.problem("an object without subject", &what);
        }
        Err(self.end(format!("{file}:{}: {what}", position.0)))
    }

    /// Checks the count in the final record, which describes the list.
    fn final_record<E: Error>(&self, object: &Object) -> Result<(), E> {
        let count = self.state.objects.get();
        let claimed = object
            .get("records")
            .or_else(|| object.get("count"))
            .and_then(Value::as_u64);
        if let Some(claimed) = claimed.filter(|s| *s != count) {
            let (line, _) = self.position.of("");
            let file = self.input.borrow().file.to_string();
            return Err(self.end(format!(
                "{file}:{line}: the final record claims {claimed} records, but the list has {count}: the file is not complete; nothing was changed"
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
        let others: Vec<String> = object
            .others
            .iter()
            .filter(holds)
            .map(|(k, _)| k.clone())
            .collect();
        if others.is_empty() {
            return Ok(());
        }
        let all = [vec![found.key.clone()], others].concat();
        let file = self.input.borrow().file.to_string();
        Err(self.end(format!(
            "{file}:{}:{}: {}",
            found.at.0,
            found.at.1,
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
    let by_code = matches!(input.options.reasoning, Reasoning::Codes(_));
    for reason in reasons.iter().take(if by_code { reasons.len() } else { 1 }) {
        let code = reason
            .get("code")
            .and_then(Value::as_str)
            .and_then(|c| c.parse::<Ipv4Addr>().ok());
        // `$` was already replaced.
        let text = reason
            .get("text")
            .and_then(Value::as_str)
            .map(|t| t.replace('$', "$$"));
        input.take_word(word, false, code, text.as_deref(), column)?;
    }
    Ok(())
}

/// Collects the paths of keys to values that are not objects.
fn paths(above: &mut Vec<String>, key: &str, value: &Value, out: &mut Vec<String>) {
    above.push(key.into());
    match value {
        Value::Object(map) => map.iter().for_each(|(k, v)| paths(above, k, v, out)),
        Value::Array(items) if items.first().is_some_and(Value::is_object) => {
            if let Some(Value::Object(map)) = items.first() {
                map.iter().for_each(|(k, v)| paths(above, k, v, out));
            }
        }
        _ if out.len() < MAX_KEYS => out.push(above.join(".")),
        _ => {}
    }
    above.pop();
}
