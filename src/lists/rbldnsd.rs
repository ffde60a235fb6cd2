//! Data files of rbldnsd (rbldnsd(8)), the most common format of DNS blocklists.
//!
//! The types `ip4set`, `ip4trie`, `ip4tset`, `ip6trie`, `ip6tset`, `dnset` and `combined` are read
//! by their keys; `generic` if its names are those of listed subjects. Without a type, a key is
//! recognised by its form: digits with dots are IPv4, hexadecimal groups with colons are IPv6, and
//! other keys are names. After `$DATASET` the type of the data set decides.
//!
//! In orbsd a source has one longest match, and a file is read once, from its start. So some
//! answers differ from those of rbldnsd:
//!
//! * rbldnsd splits the prefixes of an `ip4set` into /32, /24, /16 and /8, and answers with all
//!   entries of the narrowest size that has any. For 1.2.3.4 inside 1.2.3.0/25 it answers with both
//!   values; orbsd answers with the host's value only.
//! * rbldnsd answers with the union of the data sets of a combined file, each with its own longest
//!   match. orbsd reads the data sets as one list, and warns about those with keys of the same
//!   family.
//! * `.a.b` is one entry: if the file also has `a.b` or `*.a.b`, that entry decides for its names.
//!   In rbldnsd's `dnset` all of them count, exclusions first.
//! * If several lines have the same key and the same A value, the first gives the text; rbldnsd's
//!   sets answer with each text.
//! * `$=` and `$0` to `$9` apply to later lines; rbldnsd applies them to earlier entries too. A
//!   warning reports this.
//! * `$` in a text is the listed prefix; in rbldnsd it is the queried address.
//! * In a trie the first of two lines with the same key counts; this is checked for the first 2²⁰
//!   keys of a data set.
//! * An `ip6tset` also accepts entries with `/64`, and data sets without a sub-zone are read.

mod keys;
mod parameters;
mod sets;
mod stamp;
mod values;

use std::net::Ipv4Addr;

use rustc_hash::FxHashSet;

use self::{
    sets::{Kind, Sets},
    stamp::timestamp,
    values::{Template, value_of},
};
use super::{Input, entry::EntryError, input::DEFAULT_CODE, report::Omission};
use crate::model::{Prefix4, Subject, Time};

/// How many keys of a trie are stored to find duplicates.
const MAX_TRIE_KEYS: usize = 1 << 20;

/// The state of the reader; special and default lines change it.
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
    /// The keys of a trie so far.
    seen: FxHashSet<([u8; 16], u8)>,
}

impl State {
    /// The start of a file or data set, with the values of the file's head.
    fn new(kind: Kind, template: Template, max_range: u64) -> State {
        State {
            kind,
            code: DEFAULT_CODE,
            text: String::new(),
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
            input.warn("the last line has no line end; the file may be truncated");
        }
        let column = line.len() - line.trim_start().len() + 1;
        let text = line.trim();
        if let Some(special) = special(text) {
            state.special(input, &mut sets, special, column)?;
        } else if text.is_empty() || text.starts_with(['#', ';']) || state.kind == Kind::Skip {
            // A comment, or a line of a skipped data set.
        } else if text.starts_with(':') && !text.starts_with("::") {
            state.default(input, text, column);
        } else {
            state.entry(input, text, column)?;
        }
    }
    sets.check(input)
}

/// The rest of a special line, after `$`, `#$`, `;$` or `:$`.
fn special(text: &str) -> Option<&str> {
    text.strip_prefix(['#', ';', ':'])
        .unwrap_or(text)
        .strip_prefix('$')
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
            b"SOA" | b"NS" | b"TTL" => {} // the zone file has these settings
            [b'=' | b'0'..=b'9'] => {
                if self.filled {
                    input.warn(&format!("`${name}` applies to the entries below it; rbldnsd applies it to those above too"));
                }
                match name.as_bytes()[0] {
                    b'=' => self.template.set_frame(rest),
                    digit => self.template.set_word(digit - b'0', rest),
                }
            }
            b"TIMESTAMP" => self.timestamp(input, rest, column)?,
            b"MAXRANGE4" => {
                let size = match rest.strip_prefix('/').map(str::parse) {
                    Some(len) => len.ok().and_then(|l| Some(1 << 32u32.checked_sub(l)?)),
                    None => rest.parse().ok(),
                };
                match size {
                    Some(n) => self.max_range = self.max_range.min(n),
                    None => input.problem(column, &format!(
                        "$MAXRANGE4 `{rest}` is neither a length such as /24 nor a number of addresses"
                    )),
                }
            }
            b"DATASET" => match input.options.dataset.as_deref() {
                None | Some("combined") => sets.start(input, self, rest, column),
                Some(kind) => input.problem(
                    column,
                    &format!(
                        "$DATASET is only allowed in a combined file; this file is read as {kind}"
                    ),
                ),
            },
            // Other special lines are settings of rbldnsd.
            _ => input.warn(&format!("`${name}` is ignored")),
        }
        Ok(())
    }

    /// Reads the time at which the list was made and the time at which it expires. An expired list
    /// is an error, because rbldnsd does not serve it.
    fn timestamp(&self, input: &mut Input, text: &str, column: usize) -> Result<(), String> {
        let now = input.options.now;
        let Some((made, ends)) = input.valid(column, timestamp(text)) else {
            return Ok(());
        };
        if let Some(made) = made.filter(|t| now > Time(0) && *t > now) {
            input.problem(
                column,
                &format!("the list was made at {made}, which is in the future"),
            );
        }
        if let Some(end) = ends {
            if now > Time(0) && end <= now {
                return Err(input.located(format_args!("the list has expired at {end}")));
            }
            input.report.expires = Some(input.report.expires.map_or(end, |old| old.min(end)));
        }
        Ok(())
    }

    /// Reads a default line, `:A:TXT`: the value of later entries without their own.
    fn default(&mut self, input: &mut Input, text: &str, column: usize) {
        let kind = self.kind;
        if kind.one_value() && self.defaulted {
            return input.warn("the data set has one value, which the first default line has set; this line is ignored");
        }
        if kind.one_value() && self.filled {
            return input.problem(
                column,
                "the data set has one value, so its default line has to be before the entries",
            );
        }
        if let Some((code, text)) = input.valid(column, value_of(text, (DEFAULT_CODE, ""))) {
            (self.code, self.text, self.defaulted) = (code, text, true);
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
        // The entries of a tset have no values, and the value of an exclusion is ignored.
        let value = if kind.one_value() || exclusion {
            ""
        } else {
            value
        };
        let value = parameters::active_value(value, input.options.now);
        let Some(value) = input.valid(column + key.len(), value) else {
            return Ok(());
        };
        let Some(value) = value else {
            input.leave_out(Omission::Inactive, column, key);
            return Ok(());
        };
        let subjects = self.subjects(input, kind, key, exclusion);
        let Some(subjects) = input.valid(column, subjects) else {
            return Ok(());
        };
        let value = value_of(value, (self.code, &self.text));
        let Some((code, text)) = input.valid(column + key.len(), value) else {
            return Ok(());
        };
        if matches!(self.kind, Kind::Ip4Trie | Kind::Ip6Trie) && !self.first(&subjects) {
            input.warn(&format!("`{key}` is a duplicate; the first line counts"));
            return Ok(());
        }
        let text = self.template.text(&text);
        subjects
            .into_iter()
            .try_for_each(|s| input.take(s, exclusion, Some(code), Some(&text), column))
    }

    /// The subjects of a key; empty if the range is larger than the file allows.
    fn subjects(
        &self,
        input: &mut Input,
        kind: Kind,
        key: &str,
        exclusion: bool,
    ) -> Result<Vec<Subject>, EntryError> {
        let subject = match kind {
            Kind::Ip6Trie => keys::ip6(key, input.options.host_bits)?,
            Kind::Ip6Tset => keys::ip6tset(key, exclusion)?,
            Kind::Combined => {
                let why = "entries of a combined file have to follow a $DATASET line";
                return Err(why.to_string().into());
            }
            Kind::Ip4Set | Kind::Ip4Trie | Kind::Ip4Tset => {
                if kind != Kind::Ip4Set && key.contains('-') {
                    return Err(format!("`{key}`: only an ip4set can have ranges").into());
                }
                let (first, last) = keys::range4(key, input.options.host_bits)?;
                if kind == Kind::Ip4Tset && exclusion {
                    return Err("an ip4tset has no exclusions".to_string().into());
                }
                if kind == Kind::Ip4Tset && first != last {
                    return Err(format!("`{key}`: an ip4tset has single addresses only").into());
                }
                if u64::from(last - first) >= self.max_range {
                    input.warn(&format!("`{key}` is larger than $MAXRANGE4 and is skipped"));
                    return Ok(Vec::new());
                }
                return Ok(Prefix4::cover(first, last).map(Subject::V4).collect());
            }
            // If the type is unknown, a key in the form of an address is read as one.
            _ => match keys::name(key, self.kind == Kind::Any, input.options)? {
                Some(subject) => subject,
                // An exclusion of a name that is not an address changes no listing.
                None if exclusion => return Ok(Vec::new()),
                None => return Err(keys::not_asked(key)),
            },
        };
        Ok(vec![subject])
    }

    /// Whether a trie's key is new, as far as keys are stored.
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
/// Other lines, which are records of the zone itself, are left out.
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
        let what = format!("{kind} record of {name}: {why}");
        input.leave_out(Omission::OtherRecord, column, &what);
        Ok(())
    };
    if !kind.eq_ignore_ascii_case("A") {
        return other("only A records list");
    }
    if name.starts_with('*') {
        return other("a generic data set has no wildcards");
    }
    let code = match value.parse::<Ipv4Addr>() {
        Ok(code) if code.octets()[0] == 127 && name != "@" => code,
        Ok(_) => return other("it is the address of a host, not a listing"),
        Err(_) => {
            input.problem(column, &format!("`{value}` is not an IPv4 address"));
            return Ok(());
        }
    };
    match input.valid(column, super::master::subject(&name)) {
        Some(s) => input.take(s, false, Some(code), None, column),
        None => Ok(()),
    }
}
