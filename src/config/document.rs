//! A configuration file, table by table: each table becomes a plain struct, and every error is
//! reported with its place.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    io::{self, Read},
    ops::{Deref, Range},
    path::Path,
    sync::Arc,
};

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue, Deserializer},
};

use super::{renamed, value_errors};
use crate::model::names::{closest, suggest};

/// The most errors that are reported for one table.
const MAX_TABLE_ERRORS: usize = 100;
/// The longest configuration file, in bytes.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Collects the errors and warnings of all configuration files.
#[derive(Debug, Default)]
pub(super) struct Report {
    files: Vec<Arc<str>>,
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
}

/// One error or warning: the file by its number in the report, the line, the text.
#[derive(Debug)]
struct Finding {
    file: usize,
    line: Option<usize>,
    text: String,
}

impl Report {
    /// The number of a file: they are reported in the order in which they were read.
    fn number(&mut self, file: &Arc<str>) -> usize {
        self.files
            .iter()
            .position(|f| f == file)
            .unwrap_or_else(|| {
                self.files.push(file.clone());
                self.files.len() - 1
            })
    }

    fn finding(&mut self, file: &Arc<str>, line: Option<usize>, text: String) -> Finding {
        Finding {
            file: self.number(file),
            line,
            text,
        }
    }

    /// Reports an error of a file as a whole.
    pub(super) fn file_error(&mut self, file: &Path, text: impl fmt::Display) {
        let found = self.finding(&file.display().to_string().into(), None, text.to_string());
        self.errors.push(found);
    }

    /// Reports a warning about a file as a whole.
    pub(super) fn file_warning(&mut self, file: &Path, text: impl fmt::Display) {
        let found = self.finding(&file.display().to_string().into(), None, text.to_string());
        self.warnings.push(found);
    }

    /// Reports an error of a key, or of the table itself where `key` is empty. A key that was
    /// already rejected is not reported again: its value is not what was written.
    pub(super) fn error(&mut self, place: &Place, key: &str, text: impl fmt::Display) {
        if !place.is_rejected(key) {
            let (line, text) = place.message(key, &text);
            let found = self.finding(&place.file, line, text);
            self.errors.push(found);
        }
    }

    /// Reports a warning about a key.
    pub(super) fn warning(&mut self, place: &Place, key: &str, text: impl fmt::Display) {
        let (line, text) = place.message(key, &text);
        let found = self.finding(&place.file, line, text);
        self.warnings.push(found);
    }

    /// Whether there is no error so far.
    pub(super) fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }

    /// Whether the file of a table has an error.
    pub(super) fn has_error(&self, place: &Place) -> bool {
        self.errors.iter().any(|e| self.files[e.file] == place.file)
    }

    /// The errors and the warnings, each as `FILE:LINE: TEXT`, in the order of the files and lines.
    pub(super) fn into_lines(self) -> (Vec<String>, Vec<String>) {
        let Report {
            files,
            errors,
            warnings,
        } = self;
        let lines = |mut found: Vec<Finding>| {
            found.sort_by_key(|f| (f.file, f.line));
            let line = |f: &Finding| match f.line {
                Some(line) => format!("{}:{line}: {}", files[f.file], f.text),
                None => format!("{}: {}", files[f.file], f.text),
            };
            found.iter().map(line).collect()
        };
        (lines(errors), lines(warnings))
    }
}

/// The place of a table: its file, its name, and the lines of its keys.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    file: Arc<str>,
    /// The name of the table as [`renamed`] has it.
    table: &'static str,
    label: Label,
    line: Option<usize>,
    /// By path: `retry`, `publish.1.code`.
    keys: BTreeMap<String, (usize, Label)>,
    rejected: BTreeSet<String>,
}

/// What a table or key is called in a message.
#[derive(Debug, Clone, Default)]
struct Label {
    text: String,
    /// Of an entry of an array the keys follow after a colon, not after a dot.
    entry: bool,
}

impl Label {
    fn entry(table: &str, number: usize, name: Option<&str>) -> Label {
        let text = name.map_or_else(
            || format!("{table} {}", number + 1),
            |n| format!("{table} {n:?}"),
        );
        Label { text, entry: true }
    }

    fn key(&self, key: &str) -> Label {
        let dot = if self.text.is_empty() {
            ""
        } else if self.entry {
            ": "
        } else {
            "."
        };
        Label {
            text: format!("{}{dot}{key}", self.text),
            entry: false,
        }
    }

    /// This label and a text about it.
    fn with(&self, text: &dyn fmt::Display) -> String {
        if self.text.is_empty() {
            text.to_string()
        } else {
            format!("{}: {text}", self.text)
        }
    }
}

impl Place {
    /// Whether the key is set in the file.
    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// Whether an error was reported for the key, or for a part of its value.
    pub(super) fn is_rejected(&self, key: &str) -> bool {
        let within = |whole: &str, part: &str| {
            part.strip_prefix(whole)
                .is_some_and(|r| r.is_empty() || r.starts_with('.'))
        };
        self.rejected
            .iter()
            .any(|r| within(r, key) || within(key, r))
    }

    /// Reports a key that has to be set and is not. `form` is what to write.
    pub(super) fn require(&mut self, key: &str, form: &str, report: &mut Report) {
        if !self.has(key) {
            let name = key.rsplit('.').next().unwrap_or(key);
            report.error(
                self,
                key,
                format_args!("it is missing; write {name} = {form}"),
            );
            self.rejected.insert(key.into());
        }
    }

    fn message(&self, key: &str, text: &dyn fmt::Display) -> (Option<usize>, String) {
        let mut known = key;
        let (line, label) = loop {
            match (self.keys.get(known), known.rsplit_once('.')) {
                (Some((line, label)), _) => break (Some(*line), label),
                (None, Some((outer, _))) => known = outer,
                (None, None) => {
                    known = "";
                    break (self.line, &self.label);
                }
            }
        };
        let rest = key[known.len()..].trim_start_matches('.');
        (
            line,
            if rest.is_empty() {
                label.with(text)
            } else {
                label.key(rest).with(text)
            },
        )
    }
}

/// A table of a file as a struct, with its place.
#[derive(Debug, Clone, Default)]
pub(super) struct Table<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

impl<T> Deref for Table<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// The bytes of a file, which may be a device that never ends.
pub(super) fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MAX_FILE_BYTES {
        true => Err(io::Error::other(format!(
            "it is longer than {MAX_FILE_BYTES} bytes, and no configuration is"
        ))),
        false => Ok(bytes),
    }
}

/// The text of a file; an error is reported.
pub(super) fn read_text(path: &Path, report: &mut Report) -> Option<String> {
    match read_bytes(path).and_then(|bytes| {
        String::from_utf8(bytes).map_err(|e| {
            let text = format!(
                "byte {} is not UTF-8; save the file as UTF-8",
                e.utf8_error().valid_up_to() + 1
            );
            io::Error::new(io::ErrorKind::InvalidData, text)
        })
    }) {
        Ok(text) => Some(text),
        Err(e) => {
            report.file_error(path, e);
            None
        }
    }
}

/// A parsed file from which the tables are removed one by one.
pub(super) struct Document<'a> {
    file: Arc<str>,
    text: &'a str,
    root: Spanned<DeTable<'a>>,
    /// The names of the tables that exist.
    known: Vec<&'static str>,
}

impl<'a> Document<'a> {
    /// Parses a file. A syntax error is reported alone: what follows it cannot be trusted.
    pub(super) fn parse(path: &Path, text: &'a str, report: &mut Report) -> Option<Document<'a>> {
        let file: Arc<str> = path.display().to_string().into();
        report.number(&file);
        match DeTable::parse(text) {
            Ok(root) => Some(Document {
                file,
                text,
                root,
                known: Vec::new(),
            }),
            Err(e) => {
                let line = e.span().map(|s| line_of(text, s.start));
                let found = report.finding(
                    &file,
                    line,
                    format!("syntax error: {}", e.message().replace('\n', ", ")),
                );
                report.errors.push(found);
                None
            }
        }
    }

    /// The table `[name]`; the default where it is not set.
    pub(super) fn table<T: DeserializeOwned + Default>(
        &mut self,
        name: &'static str,
        report: &mut Report,
    ) -> Table<T> {
        self.known.push(name);
        let label = Label {
            text: name.into(),
            entry: false,
        };
        let mut place = Place {
            file: self.file.clone(),
            table: name,
            label,
            ..Place::default()
        };
        let old = renamed::old_table(name);
        let root = self.root.get_mut();
        let entry = root.remove_entry(name).or_else(|| root.remove_entry(old?));
        let Some((key, value)) = entry else {
            return Table {
                value: T::default(),
                place,
            };
        };
        place.line = Some(line_of(self.text, key.span().start));
        if old == Some(key.get_ref()) {
            let found = report.finding(&place.file, place.line, renamed_table(key.get_ref(), name));
            report.errors.push(found);
        }
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => self.read(Spanned::new(span, table), place, report),
            other => {
                let many =
                    matches!(&other, DeValue::Array(a) if a.iter().all(|v| v.get_ref().is_table()));
                let what = if many {
                    format!("it is one table; write [{name}]")
                } else {
                    format!("it is a table; write [{name}]")
                };
                report.error(&place, "", what);
                Table {
                    value: T::default(),
                    place,
                }
            }
        }
    }

    /// The entries `[[name]]`, in order.
    pub(super) fn entries<T: DeserializeOwned + Default>(
        &mut self,
        name: &'static str,
        report: &mut Report,
    ) -> Vec<Table<T>> {
        self.known.push(name);
        let Some((key, value)) = self.root.get_mut().remove_entry(name) else {
            return Vec::new();
        };
        let label = Label {
            text: name.into(),
            entry: false,
        };
        let place = Place {
            file: self.file.clone(),
            table: name,
            label,
            line: Some(line_of(self.text, key.span().start)),
            ..Place::default()
        };
        let DeValue::Array(entries) = value.into_inner() else {
            report.error(
                &place,
                "",
                format_args!("it may be set several times; write [[{name}]]"),
            );
            return Vec::new();
        };
        let mut out = Vec::new();
        for (i, entry) in entries.into_iter().enumerate() {
            let span = entry.span();
            let label = Label::entry(name, i, name_of(entry.get_ref()));
            let place = Place {
                label,
                line: Some(line_of(self.text, span.start)),
                ..place.clone()
            };
            match entry.into_inner() {
                DeValue::Table(table) => {
                    out.push(self.read(Spanned::new(span, table), place, report));
                }
                _ => report.error(&place, "", format_args!("it is a table; write [[{name}]]")),
            }
        }
        out
    }

    /// The whole file as one struct.
    pub(super) fn whole<T: DeserializeOwned + Default>(
        self,
        name: &'static str,
        report: &mut Report,
    ) -> Table<T> {
        let place = Place {
            file: self.file.clone(),
            table: name,
            ..Place::default()
        };
        let root = self.root.clone();
        self.read(root, place, report)
    }

    /// Reports the tables and keys that are left: they are unknown.
    pub(super) fn finish(self, report: &mut Report) {
        for (key, value) in self.root.get_ref() {
            let line = Some(line_of(self.text, key.span().start));
            let key = key.get_ref();
            let what = if value.get_ref().is_table() || value.get_ref().is_array() {
                "table"
            } else {
                "key"
            };
            let text = match renamed::table(key) {
                Some(new) => renamed_table(key, new),
                None => format!("unknown {what} `{key}`{}", suggest(key, &self.known)),
            };
            let found = report.finding(&self.file, line, text);
            report.errors.push(found);
        }
    }

    /// Reads a table as a struct. A value that cannot be read is reported and removed, so that the
    /// next error of the table is found.
    fn read<T: DeserializeOwned + Default>(
        &self,
        mut table: Spanned<DeTable<'a>>,
        mut place: Place,
        report: &mut Report,
    ) -> Table<T> {
        let nodes = nodes(table.get_ref(), self.text, &place.label);
        place.keys = nodes
            .iter()
            .map(|n| (n.path.join("."), (n.line, n.label.clone())))
            .collect();
        for _ in 0..MAX_TABLE_ERRORS {
            let error = match T::deserialize(Deserializer::from(table.clone())) {
                Ok(value) => return Table { value, place },
                Err(error) => error,
            };
            let span = error.span().unwrap_or_default();
            let Some(node) = find(&nodes, &span) else {
                report.error(&place, "", error.message());
                break;
            };
            let path = node.path.join(".");
            let value = self.text.get(node.value.clone()).unwrap_or("");
            if let Some((unknown, keys)) = value_errors::unknown_key(error.message()) {
                let outer = node
                    .path
                    .split_last()
                    .and_then(|(_, outer)| place.keys.get(&outer.join(".")));
                let label = outer.map_or(&place.label, |(_, label)| label);
                let new_path = renamed::key(place.table, &path);
                let new = new_path.map(|p| p.rsplit('.').next().unwrap_or(p));
                let text = match new {
                    Some(new) => format!("the key `{unknown}` is now called `{new}`"),
                    None => format!("unknown key `{unknown}`{}", suggest(&unknown, &keys)),
                };
                let found = report.finding(&place.file, Some(node.line), label.with(&text));
                report.errors.push(found);
                // The key that was probably meant is not missing.
                let meant = new_path.or_else(|| closest(&unknown, &keys));
                let meant = meant.filter(|k| !place.has(k)).map(String::from);
                place.rejected.extend(meant);
            } else {
                report.error(&place, &path, value_errors::explain(error.message(), value));
            }
            remove(table.get_mut(), node);
            place.rejected.insert(path);
        }
        Table {
            value: T::default(),
            place,
        }
    }
}

/// The error about a table that has an old name.
fn renamed_table(old: &str, new: &str) -> String {
    format!("the table [{old}] is now called [{new}]")
}

/// A key, or an element of an array, anywhere below a table.
struct Node {
    path: Vec<String>,
    label: Label,
    line: usize,
    key: Range<usize>,
    value: Range<usize>,
}

/// All keys and elements below a table, the outer before the inner ones.
fn nodes(table: &DeTable<'_>, text: &str, label: &Label) -> Vec<Node> {
    fn walk(value: &DeValue<'_>, text: &str, outer: &Node, out: &mut Vec<Node>) {
        let mut add =
            |step: String, label: Label, key: Range<usize>, value: &Spanned<DeValue<'_>>| {
                let path = outer.path.iter().cloned().chain([step]).collect();
                let node = Node {
                    path,
                    label,
                    line: line_of(text, key.start),
                    key,
                    value: value.span(),
                };
                walk(value.get_ref(), text, &node, out);
                out.push(node);
            };
        match value {
            DeValue::Table(table) => {
                table.iter().for_each(|(k, v)| {
                    add(
                        k.get_ref().to_string(),
                        outer.label.key(k.get_ref()),
                        k.span(),
                        v,
                    );
                });
            }
            DeValue::Array(array) => {
                for (i, v) in array.iter().enumerate() {
                    let label = match v.get_ref() {
                        DeValue::Table(_) => {
                            Label::entry(&outer.label.text, i, name_of(v.get_ref()))
                        }
                        _ => outer.label.clone(),
                    };
                    add(i.to_string(), label, v.span(), v);
                }
            }
            _ => {}
        }
    }
    let root = Node {
        path: Vec::new(),
        label: label.clone(),
        line: 0,
        key: 0..0,
        value: 0..0,
    };
    let mut out = Vec::new();
    walk(&DeValue::Table(table.clone()), text, &root, &mut out);
    out.sort_by_key(|n| n.path.len());
    out
}

/// The node that a span means: the key or value itself, or else the smallest that contains it.
fn find<'n>(nodes: &'n [Node], span: &Range<usize>) -> Option<&'n Node> {
    let contains = |r: &Range<usize>| r.start <= span.start && span.end <= r.end;
    let exact = nodes
        .iter()
        .rev()
        .find(|n| n.key == *span || n.value == *span);
    exact.or_else(|| {
        nodes
            .iter()
            .filter(|n| contains(&n.value))
            .min_by_key(|n| n.value.len())
    })
}

/// Removes a node from a table.
fn remove(table: &mut DeTable<'_>, node: &Node) {
    let gone = table
        .iter()
        .find(|(k, v)| k.span() == node.key && v.span() == node.value)
        .map(|(k, _)| k.get_ref().to_string());
    gone.into_iter()
        .for_each(|key| drop(table.remove(key.as_str())));
    table
        .iter_mut()
        .for_each(|(_, v)| remove_below(v.get_mut(), node));
}

fn remove_below(value: &mut DeValue<'_>, node: &Node) {
    match value {
        DeValue::Table(table) => remove(table, node),
        DeValue::Array(array) => {
            let old = std::mem::replace(array, DeArray::new());
            *array = old.into_iter().filter(|v| v.span() != node.value).collect();
            array
                .iter_mut()
                .for_each(|v| remove_below(v.get_mut(), node));
        }
        _ => {}
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())]
        .iter()
        .filter(|b| **b == b'\n')
        .count()
        + 1
}

/// The name that an entry gives itself.
fn name_of<'v>(entry: &'v DeValue<'_>) -> Option<&'v str> {
    let DeValue::Table(table) = entry else {
        return None;
    };
    ["name", "reason", "zone", "path"]
        .iter()
        .find_map(|k| table.get(*k)?.get_ref().as_str())
        .filter(|n| !n.is_empty())
}
