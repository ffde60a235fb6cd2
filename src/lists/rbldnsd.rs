//! rbldnsd data files (rbldnsd(8)), the common format of the field.
//!
//! `ip4set`, `ip4trie`, `ip4tset`, `ip6trie`, `ip6tset`, `dnset` and `combined` by their keys;
//! `generic` if its names are those of listed subjects. Without a type, a key is recognised by its
//! form: one that starts like an IPv4 address is one, hexadecimal groups with colons are IPv6,
//! anything else is a name. After `$DATASET` the data set's type decides.
//!
//! A source has one longest match, and a file is read once, from its start. This leads to known
//! differences:
//!
//! * rbldnsd's `ip4set` answers with all entries of the narrowest of /32, /24, /16 and /8 that has
//!   any, after cutting others into these: 1.2.3.4 under 1.2.3.0/25 answers with both values there,
//!   with the host's alone here.
//! * rbldnsd answers the union of a combined file's data sets, each with a longest match of its
//!   own. Here the data sets that count are one list; a warning names those that have keys of the
//!   same family.
//! * `.a.b` is one entry: if the file has `a.b` or `*.a.b` too, that one decides for its names,
//!   listing or exclusion; in rbldnsd's `dnset` all of them count, and an exclusion before the
//!   others.
//! * Of several lines with the same key and the same A value the first gives the text; rbldnsd's
//!   sets answer with each text.
//! * `$=` and `$0` to `$9` apply to later lines; rbldnsd applies them to earlier entries too. A
//!   warning reports it.
//! * `$` in a text is the listed prefix here, and the address that is asked there.
//! * In a trie the first of two lines with the same key counts; this is checked for the first 2²⁰
//!   keys of a data set.
//! * An `ip6tset` takes entries of the form `/64` too, and data sets without any sub-zone count.

mod keys;
mod parameters;
mod sets;
mod stamp;
mod values;

use std::net::Ipv4Addr;

use rustc_hash::FxHashSet;

use self::{
    parameters::Active,
    sets::{Kind, Sets},
    stamp::timestamp,
    values::{Template, value_of},
};
use super::{Input, report::Omission, word::WordError};
use crate::model::{Prefix4, Subject, Time};

/// How many keys of a trie are remembered, to find duplicates.
const MAX_TRIE_KEYS: usize = 1 << 20;

/// The values that apply until a line changes them.
struct State {
    kind: Kind,
    code: Ipv4Addr,
    text: String,
    template: Template,
    /// The largest accepted range, in addresses.
    max_range: u64,
    /// A default line was read.
    defaulted: bool,
    /// Entries were read.
    filled: bool,
    /// Keys of a trie.
    seen: FxHashSet<([u8; 16], u8)>,
}

impl State {
    /// The start of a file or data set, with the values of the file's head.
    fn new(kind: Kind, template: Template, max_range: u64) -> State {
        let (code, text) = (Ipv4Addr::new(127, 0, 0, 2), String::new());
        State {
            kind,
            code,
            text,
            template,
            max_range,
            defaulted: false,
            filled: false,
            seen: FxHashSet::default(),
        }
    }
}

/// Reads a data file.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    let kind = match &input.options.dataset {
        Some(name) => Kind::of(name).map_err(|why| format!("{}: {why}", input.file))?,
        None => Kind::Any,
    };
    let mut state = State::new(kind, Template::default(), u64::MAX);
    let mut sets = Sets::default();
    while let Some(line) = input.next()? {
        if input.unended && !line.trim().is_empty() {
            input.warn("the last line has no end; is the file whole?");
        }
        let column = line.len() - line.trim_start().len() + 1;
        let text = line.trim();
        if let Some(special) = special(text) {
            state.special(input, &mut sets, special, column)?;
        } else if text.is_empty() || text.starts_with(['#', ';']) || state.kind == Kind::Skip {
            // Nothing to take.
        } else if text.starts_with(':') && !text.starts_with("::") {
            state.default(input, text, column);
        } else {
            state.entry(input, text, column)?;
        }
    }
    sets.check(input)
}

/// What follows `$`, `#$`, `;$` or `:$`.
fn special(text: &str) -> Option<&str> {
    text.strip_prefix('$').or_else(|| {
        text.strip_prefix(['#', ';', ':'])
            .and_then(|t| t.strip_prefix('$'))
    })
}

impl State {
    fn special(
        &mut self,
        input: &mut Input,
        sets: &mut Sets,
        text: &str,
        column: usize,
    ) -> Result<(), String> {
        let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest = rest.trim();
        let name = name.to_ascii_uppercase();
        if self.kind == Kind::Skip && name != "DATASET" {
            return Ok(());
        }
        match name.as_bytes() {
            b"SOA" | b"NS" | b"TTL" => {} // the zone's own file says this here
            [b'=' | b'0'..=b'9'] => {
                if self.filled {
                    input.warn(&format!("`${name}` holds for the entries below it; rbldnsd takes it for those above too"));
                }
                match name.as_bytes()[0] {
                    b'=' => self.template.set_frame(rest),
                    digit => self.template.set_word(digit - b'0', rest),
                }
            }
            b"TIMESTAMP" => self.timestamp(input, rest, column)?,
            b"MAXRANGE4" => {
                let size = match rest.strip_prefix('/') {
                    Some(len) => len
                        .parse::<u32>()
                        .ok()
                        .filter(|l| *l <= 32)
                        .map(|l| 1u64 << (32 - l)),
                    None => rest.parse().ok(),
                };
                match size {
                    Some(n) => self.max_range = self.max_range.min(n),
                    None => {
                        let what = format!(
                            "$MAXRANGE4 `{rest}` is neither a length such as /24 nor a number of addresses"
                        );
                        input.problem(column, &what);
                    }
                }
            }
            b"DATASET" => match input.options.dataset.as_deref() {
                None | Some("combined") => sets.start(input, self, rest, column),
                Some(kind) => input.problem(
                    column,
                    &format!("$DATASET stands in a combined file, and this is read as {kind}"),
                ),
            },
            // Other lines belong to rbldnsd's own way of serving.
            _ => input.warn(&format!("`${name}` is read over")),
        }
        Ok(())
    }

    /// When the list was made, and when it ends. An end that has passed ends the import: rbldnsd
    /// serves no such file.
    fn timestamp(&self, input: &mut Input, text: &str, column: usize) -> Result<(), String> {
        let now = input.options.now;
        let (made, ends) = match timestamp(text) {
            Ok(times) => times,
            Err(why) => {
                input.problem(column, &why);
                return Ok(());
            }
        };
        if let Some(made) = made.filter(|t| now > Time(0) && *t > now) {
            input.problem(
                column,
                &format!("the list was made at {made}, which is in the future"),
            );
        }
        if let Some(end) = ends {
            if now > Time(0) && end <= now {
                return Err(format!(
                    "{}:{}: the list has expired at {end}",
                    input.file, input.line
                ));
            }
            input.report.expires = Some(input.report.expires.map_or(end, |old| old.min(end)));
        }
        Ok(())
    }

    /// `:A:TXT`: the value of later entries that have none of their own.
    fn default(&mut self, input: &mut Input, text: &str, column: usize) {
        let kind = self.kind;
        if kind.one_value() && self.defaulted {
            return input.warn("the data set has one value, and the first default line says it; this one is read over");
        }
        if kind.one_value() && self.filled {
            return input.problem(
                column,
                "the data set has one value, so its default line stands before the entries",
            );
        }
        match value_of(text, (Ipv4Addr::new(127, 0, 0, 2), "")) {
            Ok((code, text)) => (self.code, self.text, self.defaulted) = (code, text, true),
            Err(why) => input.problem(column, &why),
        }
    }

    fn entry(&mut self, input: &mut Input, text: &str, column: usize) -> Result<(), String> {
        self.filled = true;
        let (exclusion, body) = match text.strip_prefix('!') {
            Some(rest) => (true, rest.trim_start()),
            None => (false, text),
        };
        let column = column + (text.len() - body.len());
        let kind = match self.kind {
            Kind::Generic => return generic(input, body, column),
            Kind::Any => keys::guess(body),
            // The trie of rspamd's rbldnsd has both families.
            Kind::Ip4Trie if keys::guess(body) == Kind::Ip6Trie => Kind::Ip6Trie,
            kind => kind,
        };
        let end = match kind {
            Kind::Ip6Trie | Kind::Ip6Tset => {
                body.find(|c: char| c.is_whitespace() || c == '#' || c == ';')
            }
            _ => body.find(|c: char| c.is_whitespace() || ":#;".contains(c)),
        };
        let (key, value) = body.split_at(end.unwrap_or(body.len()));
        // A tset has no values of entries, and the value of an exclusion means nothing.
        let value = if kind.one_value() || exclusion {
            ""
        } else {
            value
        };
        let (value, active) = match parameters::split(value, input.options.now) {
            Ok(split) => split,
            Err(why) => {
                input.problem(column + key.len(), &why);
                return Ok(());
            }
        };
        if active == Active::No {
            input.leave_out(Omission::Inactive, column, key);
            return Ok(());
        }
        let (subjects, value) = match (
            self.subjects(input, kind, key, exclusion),
            value_of(value, (self.code, &self.text)),
        ) {
            (Ok(s), Ok(v)) => (s, v),
            (Err(e), _) => {
                input.word_problem(column, &e);
                return Ok(());
            }
            (_, Err(why)) => {
                input.problem(column + key.len(), &why);
                return Ok(());
            }
        };
        if matches!(self.kind, Kind::Ip4Trie | Kind::Ip6Trie) && !self.first(&subjects) {
            input.warn(&format!("`{key}` is there twice; the first line counts"));
            return Ok(());
        }
        let text = self.template.text(&value.1);
        subjects
            .into_iter()
            .try_for_each(|s| input.take(s, exclusion, Some(value.0), Some(&text), column))
    }

    /// The subjects of a key; none if it is a larger range than the file allows.
    fn subjects(
        &self,
        input: &mut Input,
        kind: Kind,
        key: &str,
        exclusion: bool,
    ) -> Result<Vec<Subject>, WordError> {
        let one = |s: Subject| vec![s];
        match kind {
            Kind::Ip6Trie => keys::ip6(key, input.options.host_bits)
                .map(one)
                .map_err(WordError::from),
            Kind::Ip6Tset => keys::ip6tset(key, exclusion)
                .map(one)
                .map_err(WordError::from),
            Kind::Combined => Err(WordError::from(
                "entries of a combined file have to follow a $DATASET line".to_string(),
            )),
            Kind::Ip4Set | Kind::Ip4Trie | Kind::Ip4Tset => {
                if kind != Kind::Ip4Set && key.contains('-') {
                    return Err(format!("`{key}`: ranges stand in an ip4set only").into());
                }
                let (first, last) = keys::range4(key, input.options.host_bits)?;
                let found: Vec<Subject> = match u64::from(last - first) < self.max_range {
                    true => Prefix4::cover(first, last).map(Subject::V4).collect(),
                    false => Vec::new(),
                };
                if found.is_empty() {
                    input.warn(&format!("`{key}` is larger than $MAXRANGE4 and is skipped"));
                }
                match kind {
                    Kind::Ip4Tset if exclusion => {
                        Err("an ip4tset has no exclusions".to_string().into())
                    }
                    Kind::Ip4Tset if first != last => {
                        Err(format!("`{key}`: an ip4tset has single addresses only").into())
                    }
                    _ => Ok(found),
                }
            }
            // If the type is unknown, a key that looks like an address was meant as one.
            _ => keys::name(key, self.kind == Kind::Any, input.options.digest).map(one),
        }
    }

    /// Whether a trie's key is new, as far as keys are remembered.
    fn first(&mut self, subjects: &[Subject]) -> bool {
        let key = match subjects {
            [Subject::V4(p)] => (u128::from(p.first()).to_be_bytes(), p.len()),
            [Subject::V6(p)] => (p.first().to_be_bytes(), p.len()),
            _ => return true,
        };
        if self.seen.len() < MAX_TRIE_KEYS {
            self.seen.insert(key)
        } else {
            !self.seen.contains(&key)
        }
    }
}

/// Reads a line of a generic data set: `name [ttl] [IN] A value` lists the subject of its name.
/// Other lines, which are records of the zone itself, are counted and reported.
fn generic(input: &mut Input, body: &str, column: usize) -> Result<(), String> {
    let mut words = body.split_whitespace().peekable();
    let name = words.next().unwrap_or("").to_ascii_lowercase();
    words.next_if(|ttl| ttl.starts_with(|c: char| c.is_ascii_digit()));
    words.next_if(|class| class.eq_ignore_ascii_case("IN"));
    let (Some(kind), Some(value)) = (words.next(), words.next()) else {
        input.problem(column, "a record is written as name, TTL, type and value");
        return Ok(());
    };
    let mut other = |why: &str| {
        input.leave_out(
            Omission::OtherRecord,
            column,
            &format!("{kind} record of {name}: {why}"),
        );
        Ok(())
    };
    if !kind.eq_ignore_ascii_case("A") {
        return other("A records list");
    }
    if name.starts_with('*') {
        return other("a generic data set has no wildcards");
    }
    let code = match value.parse::<Ipv4Addr>() {
        Ok(code) if code.octets()[0] == 127 && name != "@" => code,
        Ok(_) => return other("it is a host's address, no listing"),
        Err(_) => {
            input.problem(column, &format!("`{value}` is not an IPv4 address"));
            return Ok(());
        }
    };
    match super::master::subject(&name) {
        Ok(s) => input.take(s, false, Some(code), None, column),
        Err(why) => {
            input.problem(column, &why);
            Ok(())
        }
    }
}
