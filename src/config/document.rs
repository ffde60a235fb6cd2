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
    findings: Vec<Finding>,
}

/// One error or warning.
#[derive(Debug)]
struct Finding {
    /// The index of its file in the report.
    file: usize,
    line: Option<usize>,
    is_error: bool,
    text: String,
}

impl Report {
    /// The index of a file, which is added if it is new: files are reported in the order in which
    /// they were read.
    fn file_index(&mut self, file: &Arc<str>) -> usize {
        let known = self.files.iter().position(|f| f == file);
        known.unwrap_or_else(|| {
            self.files.push(file.clone());
            self.files.len() - 1
        })
    }

    fn add(&mut self, is_error: bool, file: &Arc<str>, line: Option<usize>, text: String) {
        let file = self.file_index(file);
        self.findings.push(Finding {
            file,
            line,
            is_error,
            text,
        });
    }

    /// Reports an error of a file as a whole.
    pub(super) fn file_error(&mut self, file: &Path, text: impl fmt::Display) {
        let file = file.display().to_string().into();
        self.add(true, &file, None, text.to_string());
    }

    /// Reports a warning about a file as a whole.
    pub(super) fn file_warning(&mut self, file: &Path, text: impl fmt::Display) {
        let file = file.display().to_string().into();
        self.add(false, &file, None, text.to_string());
    }

    /// Returns a report for one table.
    pub(super) fn of<'r>(&'r mut self, place: &'r Place) -> TableReport<'r> {
        TableReport {
            place,
            report: self,
        }
    }

    /// Whether there is no error so far.
    pub(super) fn is_valid(&self) -> bool {
        !self.findings.iter().any(|f| f.is_error)
    }

    /// Whether the file of a table has an error.
    pub(super) fn has_error(&self, place: &Place) -> bool {
        let mut errors = self.findings.iter().filter(|f| f.is_error);
        errors.any(|e| self.files[e.file] == place.file)
    }

    /// The errors and the warnings, each as `FILE:LINE: TEXT`, in the order of the files and lines.
    pub(super) fn into_lines(mut self) -> (Vec<String>, Vec<String>) {
        self.findings.sort_by_key(|f| (f.file, f.line));
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        for f in self.findings {
            let line = f.line.map_or(String::new(), |line| format!(":{line}"));
            let lines = if f.is_error {
                &mut errors
            } else {
                &mut warnings
            };
            lines.push(format!("{}{line}: {}", self.files[f.file], f.text));
        }
        (errors, warnings)
    }
}

/// Reports errors and warnings of one table. An empty key stands for the table itself.
pub(super) struct TableReport<'r> {
    pub(super) place: &'r Place,
    report: &'r mut Report,
}

impl TableReport<'_> {
    /// Reports an error of a key. A key that was already rejected is not reported again: its value
    /// is not what was written.
    pub(super) fn error(&mut self, key: &str, text: impl fmt::Display) {
        if !self.place.is_rejected(key) {
            let (line, text) = self.place.message(key, &text);
            self.report.add(true, &self.place.file, line, text);
        }
    }

    /// Reports an error of a key if `is_wrong`.
    pub(super) fn error_if(&mut self, is_wrong: bool, key: &str, text: impl fmt::Display) {
        if is_wrong {
            self.error(key, text);
        }
    }

    /// The value of a key, if it was read; otherwise the error is reported.
    pub(super) fn value<T>(&mut self, key: &str, read: Result<T, impl fmt::Display>) -> Option<T> {
        read.map_err(|e| self.error(key, e)).ok()
    }

    /// Reports a warning about a key.
    pub(super) fn warning(&mut self, key: &str, text: impl fmt::Display) {
        let (line, text) = self.place.message(key, &text);
        self.report.add(false, &self.place.file, line, text);
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
    /// The line and the label of each key, by its path, such as `retry` or `publish.1.code`.
    keys: BTreeMap<String, (usize, Label)>,
    rejected: BTreeSet<String>,
}

/// The name of a table or key in a message.
#[derive(Debug, Clone, Default)]
struct Label {
    text: String,
    /// Stands between the label and a key below it.
    separator: &'static str,
}

impl Label {
    fn plain(text: impl Into<String>) -> Label {
        Label {
            text: text.into(),
            separator: ".",
        }
    }

    /// The label of an entry of an array.
    fn entry(table: &str, number: usize, name: Option<&str>) -> Label {
        let text = match name {
            Some(name) => format!("{table} {name:?}"),
            None => format!("{table} {}", number + 1),
        };
        Label {
            text,
            separator: ": ",
        }
    }

    fn key(&self, key: &str) -> Label {
        Label::plain(format!("{}{}{key}", self.text, self.separator))
    }

    /// The label, and a text after it.
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
            let rest = part.strip_prefix(whole);
            rest.is_some_and(|r| r.is_empty() || r.starts_with('.'))
        };
        let mut rejected = self.rejected.iter();
        rejected.any(|r| within(r, key) || within(key, r))
    }

    /// Reports a key that is required and is not set. `form` is an example of its value.
    pub(super) fn require(&mut self, key: &str, form: &str, report: &mut Report) {
        if !self.has(key) {
            let name = key.rsplit('.').next().unwrap_or(key);
            let text = format_args!("it is missing; write {name} = {form}");
            report.of(self).error(key, text);
            self.rejected.insert(key.into());
        }
    }

    /// The line and the text of a message about a key: those of the innermost part of its path
    /// that the file has.
    fn message(&self, key: &str, text: &dyn fmt::Display) -> (Option<usize>, String) {
        let mut paths = std::iter::successors(Some(key), |k| Some(k.rsplit_once('.')?.0));
        let known = paths.find_map(|path| Some((path, self.keys.get(path)?)));
        let (known, line, label) = match known {
            Some((path, (line, label))) => (path, Some(*line), label),
            None => ("", self.line, &self.label),
        };
        match key[known.len()..].trim_start_matches('.') {
            "" => (line, label.with(text)),
            rest => (line, label.key(rest).with(text)),
        }
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

/// Reads a file up to the limit of its size: it may be a device that never ends.
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

/// Reads a text file; an error is reported.
pub(super) fn read_text(path: &Path, report: &mut Report) -> Option<String> {
    let text = read_bytes(path).and_then(|bytes| {
        String::from_utf8(bytes).map_err(|e| {
            let valid = e.utf8_error().valid_up_to();
            io::Error::other(format!(
                "byte {} is not UTF-8; save the file as UTF-8",
                valid + 1
            ))
        })
    });
    text.map_err(|e| report.file_error(path, e)).ok()
}

/// A parsed file from which the tables are removed one by one.
pub(super) struct Document<'a> {
    file: Arc<str>,
    text: &'a str,
    root: Spanned<DeTable<'a>>,
    /// The names of the tables that were asked for, for suggestions.
    known: Vec<&'static str>,
}

impl<'a> Document<'a> {
    /// Parses a file. A syntax error is reported alone, since the text after it may be misread.
    pub(super) fn parse(path: &Path, text: &'a str, report: &mut Report) -> Option<Document<'a>> {
        let file: Arc<str> = path.display().to_string().into();
        report.file_index(&file);
        match DeTable::parse(text) {
            Ok(root) => Some(Document {
                file,
                text,
                root,
                known: Vec::new(),
            }),
            Err(e) => {
                let line = e.span().map(|s| line_of(text, s.start));
                let message = e.message().replace('\n', ", ");
                report.add(true, &file, line, format!("syntax error: {message}"));
                None
            }
        }
    }

    fn place(&self, table: &'static str, label: Label) -> Place {
        Place {
            file: self.file.clone(),
            table,
            label,
            ..Place::default()
        }
    }

    /// Reads the table `[name]`; without it, every key has its default.
    pub(super) fn table<T: DeserializeOwned + Default>(
        &mut self,
        name: &'static str,
        report: &mut Report,
    ) -> Table<T> {
        self.known.push(name);
        let mut place = self.place(name, Label::plain(name));
        let old = renamed::old_table(name);
        let root = self.root.get_mut();
        let entry = root.remove_entry(name).or_else(|| root.remove_entry(old?));
        let Some((key, value)) = entry else {
            return self.read(no_keys(), place, report);
        };
        place.line = Some(line_of(self.text, key.span().start));
        if old == Some(key.get_ref()) {
            let text = renamed_table(key.get_ref(), name);
            report.add(true, &place.file, place.line, text);
        }
        let span = value.span();
        let what = match value.into_inner() {
            DeValue::Table(table) => return self.read(Spanned::new(span, table), place, report),
            DeValue::Array(a) if a.iter().all(|v| v.get_ref().is_table()) => "one table",
            _ => "a table",
        };
        let text = format_args!("it is {what}; write [{name}]");
        report.of(&place).error("", text);
        self.read(no_keys(), place, report)
    }

    /// Reads the entries `[[name]]`, in order.
    pub(super) fn entries<T: DeserializeOwned + Default>(
        &mut self,
        name: &'static str,
        report: &mut Report,
    ) -> Vec<Table<T>> {
        self.known.push(name);
        let Some((key, value)) = self.root.get_mut().remove_entry(name) else {
            return Vec::new();
        };
        let place = Place {
            line: Some(line_of(self.text, key.span().start)),
            ..self.place(name, Label::plain(name))
        };
        let DeValue::Array(entries) = value.into_inner() else {
            let text = format_args!("it may be set several times; write [[{name}]]");
            report.of(&place).error("", text);
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
                _ => report
                    .of(&place)
                    .error("", format_args!("it is a table; write [[{name}]]")),
            }
        }
        out
    }

    /// Reads the whole file as one struct.
    pub(super) fn whole<T: DeserializeOwned + Default>(
        self,
        name: &'static str,
        report: &mut Report,
    ) -> Table<T> {
        let place = self.place(name, Label::default());
        self.read(self.root.clone(), place, report)
    }

    /// Reports the tables and keys that were not read: they are unknown.
    pub(super) fn finish(self, report: &mut Report) {
        for (key, value) in self.root.get_ref() {
            let line = Some(line_of(self.text, key.span().start));
            let (key, value) = (key.get_ref(), value.get_ref());
            let what = match value.is_table() || value.is_array() {
                true => "table",
                false => "key",
            };
            let text = match renamed::table(key) {
                Some(new) => renamed_table(key, new),
                None => format!("unknown {what} `{key}`{}", suggest(key, &self.known)),
            };
            report.add(true, &self.file, line, text);
        }
    }

    /// Reads a table as a struct. A value that cannot be read is reported and removed, and the table
    /// is read again, so that the next error is found.
    fn read<T: DeserializeOwned + Default>(
        &self,
        mut table: Spanned<DeTable<'a>>,
        mut place: Place,
        report: &mut Report,
    ) -> Table<T> {
        let nodes = nodes(table.get_ref(), self.text, &place.label);
        let keys = nodes.iter();
        place.keys = keys
            .map(|n| (n.path.clone(), (n.line, n.label.clone())))
            .collect();
        for _ in 0..MAX_TABLE_ERRORS {
            let error = match T::deserialize(Deserializer::from(table.clone())) {
                Ok(value) => return Table { value, place },
                Err(error) => error,
            };
            let span = error.span().unwrap_or_default();
            let Some(node) = find(&nodes, &span) else {
                report.of(&place).error("", error.message());
                break;
            };
            let path = &node.path;
            if let Some((unknown, keys)) = value_errors::unknown_key(error.message()) {
                let outer = path.rsplit_once('.').and_then(|(o, _)| place.keys.get(o));
                let label = outer.map_or(&place.label, |(_, label)| label);
                let new_path = renamed::key(place.table, path);
                let new = new_path.map(|p| p.rsplit('.').next().unwrap_or(p));
                let text = match new {
                    Some(new) => format!("the key `{unknown}` is now called `{new}`"),
                    None => format!("unknown key `{unknown}`{}", suggest(&unknown, &keys)),
                };
                report.add(true, &place.file, Some(node.line), label.with(&text));
                // The key that was probably meant is not reported as missing.
                let meant = new_path.or_else(|| closest(&unknown, &keys));
                let meant = meant.filter(|k| !place.has(k)).map(String::from);
                place.rejected.extend(meant);
            } else {
                let value = self.text.get(node.value.clone()).unwrap_or("");
                let text = value_errors::explain(error.message(), value);
                report.of(&place).error(path, text);
            }
            remove(table.get_mut(), node);
            place.rejected.insert(path.clone());
        }
        let value = T::deserialize(Deserializer::from(no_keys())).unwrap_or_default();
        Table { value, place }
    }
}

/// A table without keys: all its keys have their defaults.
fn no_keys<'a>() -> Spanned<DeTable<'a>> {
    Spanned::new(0..0, DeTable::new())
}

/// The error about a table that has an old name.
fn renamed_table(old: &str, new: &str) -> String {
    format!("the table [{old}] is now called [{new}]")
}

/// A key, or an element of an array, anywhere below a table.
struct Node {
    /// The keys from the table to it, joined by dots.
    path: String,
    label: Label,
    line: usize,
    key: Range<usize>,
    value: Range<usize>,
}

/// All keys and elements below a table, each before those below it.
fn nodes(table: &DeTable<'_>, text: &str, label: &Label) -> Vec<Node> {
    let mut out = Vec::new();
    walk_table(table, text, "", label, &mut out);
    out
}

/// Adds the nodes below a table; `path` and `label` are its own.
fn walk_table(table: &DeTable<'_>, text: &str, path: &str, label: &Label, out: &mut Vec<Node>) {
    for (key, value) in table {
        let inner = label.key(key.get_ref());
        add_node(value, text, path, key.get_ref(), &inner, key.span(), out);
    }
}

/// Adds the node of a value, whose path has one step more than that of its parent, and the nodes
/// below it.
fn add_node(
    value: &Spanned<DeValue<'_>>,
    text: &str,
    parent: &str,
    step: &str,
    label: &Label,
    key: Range<usize>,
    out: &mut Vec<Node>,
) {
    let dot = if parent.is_empty() { "" } else { "." };
    let path = format!("{parent}{dot}{step}");
    out.push(Node {
        path: path.clone(),
        label: label.clone(),
        line: line_of(text, key.start),
        key,
        value: value.span(),
    });
    match value.get_ref() {
        DeValue::Table(table) => walk_table(table, text, &path, label, out),
        DeValue::Array(array) => {
            for (i, v) in array.iter().enumerate() {
                let inner = match v.get_ref() {
                    DeValue::Table(_) => Label::entry(&label.text, i, name_of(v.get_ref())),
                    _ => label.clone(),
                };
                add_node(v, text, &path, &i.to_string(), &inner, v.span(), out);
            }
        }
        _ => {}
    }
}

/// The node with a span, or else the smallest node whose value contains it.
fn find<'n>(nodes: &'n [Node], span: &Range<usize>) -> Option<&'n Node> {
    let contains = |r: &Range<usize>| r.start <= span.start && span.end <= r.end;
    let exact = |n: &&Node| n.key == *span || n.value == *span;
    let around = nodes.iter().filter(|n| contains(&n.value));
    let inner = nodes.iter().rev().find(exact);
    inner.or_else(|| around.min_by_key(|n| n.value.len()))
}

/// Removes a node from a table.
fn remove(table: &mut DeTable<'_>, node: &Node) {
    let is_node =
        |(k, v): &(&Spanned<_>, &Spanned<_>)| k.span() == node.key && v.span() == node.value;
    let key = table
        .iter()
        .find(is_node)
        .map(|(k, _)| k.get_ref().to_string());
    key.map(|key| table.remove(key.as_str()));
    let values = table.iter_mut();
    values.for_each(|(_, v)| remove_below(v.get_mut(), node));
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
    let before = &text.as_bytes()[..at.min(text.len())];
    before.iter().filter(|b| **b == b'\n').count() + 1
}

/// The value of the key that identifies an entry, for messages.
fn name_of<'v>(entry: &'v DeValue<'_>) -> Option<&'v str> {
    let DeValue::Table(table) = entry else {
        return None;
    };
    ["name", "reason", "zone", "path"]
        .iter()
        .find_map(|k| table.get(*k)?.get_ref().as_str())
        .filter(|n| !n.is_empty())
}
