//! Walks through a text, finds addresses, names and links, and ranks the subjects.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

use super::{
    Bounce, Clue, FoundSubject, FoundZone, MAX_SUBJECTS, MAX_ZONES, NamedHost, OtherLists,
    OwnNames,
    clues::{Refusals, Token},
    normalise::PlainText,
    spelling::{address, name, path_subject, read_name, split_link},
};
use crate::model::{
    Prefix4, Subject,
    special::{Unlistable, unlistable},
};

/// The most addresses and names of a text that are examined. A line of a mail log has four.
const MAX_TOKENS: usize = 2_000;
/// The most zones that are kept, each as often as the text names it.
const MAX_NAMED_ZONES: usize = 200;
/// The longest name, in bytes.
const MAX_NAME: usize = 254;

/// What bounces have if the receiver takes the error code of a list for a listing.
const RECEIVER_ERRORS: [&str; 7] = [
    "error: open resolver",
    "spamhaus.org/returnc/",
    "127.255.255.25",
    "excessive number of queries",
    "query refused. see http",
    "generic rdns",
    "over quota",
];

/// Marks that end a word.
const WORD_ENDS: [char; 9] = ['<', '>', '"', '\'', '`', '|', '\\', '«', '»'];
/// Marks that end a part of a word that is not a link.
const PART_ENDS: [char; 16] = [
    '[', ']', '(', ')', '{', '}', ',', ';', '=', '&', '?', '#', '!', '*', '+', '~',
];

/// Reads a text that is more than one subject.
pub(super) fn scan(plain: &PlainText, own: OwnNames<'_>) -> Bounce {
    let mut scan = Scan {
        plain,
        own,
        refusals: Refusals::find(&plain.lower),
        received: received_headers(&plain.lower),
        subjects: HashMap::new(),
        zones: Vec::new(),
        servers: Vec::new(),
        tokens: 0,
    };
    for (start, word) in words(&plain.text) {
        if scan.tokens >= MAX_TOKENS {
            break;
        }
        scan.word(start, word);
    }
    scan.mentions();
    scan.finish()
}

/// The words of a text, with their offsets.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let ends = |c: char| c.is_whitespace() || WORD_ENDS.contains(&c);
    text.split(ends)
        .map(move |word| (word.as_ptr() as usize - text.as_ptr() as usize, word))
        .filter(|(_, word)| !word.is_empty())
}

/// A `Received` header: where it starts, where its `by` is, and where it ends.
struct Received {
    start: usize,
    by: usize,
    end: usize,
}

fn received_headers(lower: &str) -> Vec<Received> {
    let mut out = Vec::new();
    let (mut start, mut open) = (0, false);
    for line in lower.split_inclusive('\n') {
        let end = start + line.len();
        let head = line.trim_start_matches(['>', ' ', '\t']);
        if head.starts_with("received:") {
            out.push(Received {
                start,
                by: end,
                end,
            });
            open = true;
        } else if !line.starts_with([' ', '\t', '>']) {
            open = false;
        }
        if let Some(header) = out.last_mut().filter(|_| open) {
            // The first `by` counts; one at the start of a continuation line too.
            if header.by == header.end || header.end == end {
                let by = line
                    .find(" by ")
                    .or_else(|| line.find("\tby "))
                    .or_else(|| line.starts_with("by ").then_some(0));
                header.by = by.map_or(end, |at| start + at);
            }
            header.end = end;
        }
        start = end;
    }
    out
}

/// A subject that was found, with the best clue so far.
struct Seen {
    clue: Clue,
    /// The order of the place that has the clue.
    order: usize,
    line: u32,
    is_server: bool,
}

struct Scan<'a> {
    plain: &'a PlainText,
    own: OwnNames<'a>,
    refusals: Refusals,
    received: Vec<Received>,
    subjects: HashMap<Subject, Seen>,
    zones: Vec<FoundZone>,
    /// Names and addresses of refusing servers, with their offsets; names first.
    servers: Vec<(bool, usize, String)>,
    tokens: usize,
}

impl Scan<'_> {
    fn word(&mut self, start: usize, word: &str) {
        let Some(scheme) = word.find("://") else {
            return self.plain_word(start, word);
        };
        let before = &word[..scheme];
        let from = before
            .trim_end_matches(|c: char| c.is_ascii_alphanumeric())
            .len();
        self.plain_word(start, &word[..from]);
        let link = word[from..].trim_end_matches(['.', ',', ';', ':', ')', ']', '}', '!', '*']);
        self.link(start + from, link);
    }

    fn link(&mut self, at: usize, link: &str) {
        self.tokens += 1;
        let Some((host, path)) = split_link(link) else {
            return;
        };
        let list = OtherLists::get().by_host(&host);
        let own = (self.own.is_host)(&host);
        // The address in a link about a mistake of the receiver is that of its resolver.
        let subject = match path.contains("returnc") {
            true => None,
            false => path_subject(path),
        };
        match (list, own) {
            (Some(list), false) => {
                let (zone, line) = (list.id().to_string(), self.plain.line(at));
                self.zone(FoundZone {
                    zone,
                    own: false,
                    list: Some(list),
                    line,
                });
                if let Some(subject) = subject {
                    self.add(subject, Clue::ListPage, at);
                }
            }
            (_, true) => {
                if let Some(subject) = subject {
                    self.add(subject, Clue::ListPage, at);
                }
            }
            (None, false) => {
                if let Some(subject) = subject.filter(Subject::is_address) {
                    let token = Token::new(&self.plain.lower, at, at + link.len());
                    let clue = match token.clue(&self.refusals) {
                        Clue::Mentioned => Clue::Mentioned,
                        _ => Clue::ListPage,
                    };
                    self.add(subject, clue, at);
                }
            }
        }
    }

    fn plain_word(&mut self, start: usize, word: &str) {
        for part in word.split(|c: char| PART_ENDS.contains(&c)) {
            if !part.contains(['.', ':']) {
                continue;
            }
            let at = start + (part.as_ptr() as usize - word.as_ptr() as usize);
            self.part(at, part);
        }
    }

    /// A part of a word: an address, a prefix, a name, or several of them with `:`, `/` or `@`
    /// between them.
    fn part(&mut self, start: usize, part: &str) {
        let trimmed = part.trim_matches(['.', '-', '_', '%', '$', '^']);
        let start = start + (trimmed.as_ptr() as usize - part.as_ptr() as usize);
        if trimmed.len() < 2 || trimmed.len() > 4 * MAX_NAME || self.tokens >= MAX_TOKENS {
            return;
        }
        for label in ["ipv6:", "ipv4:"] {
            if let Some(rest) = strip_prefix_ignoring_case(trimmed, label) {
                return self.part(start + label.len(), rest);
            }
        }
        let without_colon = trimmed.trim_end_matches(':');
        for text in [trimmed, without_colon] {
            if let Some(subject) = address(text) {
                return self.address(start, start + text.len(), subject);
            }
        }
        for separator in ['@', '/', ':'] {
            if trimmed.contains(separator) {
                let mut parts = trimmed.split(separator);
                // The local part of a mail address is not a name.
                if separator == '@' {
                    parts.next();
                }
                for piece in parts {
                    let at = piece.as_ptr() as usize - trimmed.as_ptr() as usize;
                    self.piece(start + at, piece);
                }
                return;
            }
        }
        self.piece(start, trimmed);
    }

    fn piece(&mut self, start: usize, piece: &str) {
        let trimmed = piece.trim_matches(['.', '-', ':', '/', '@']);
        let start = start + (trimmed.as_ptr() as usize - piece.as_ptr() as usize);
        if !trimmed.contains('.') || trimmed.len() > MAX_NAME {
            return;
        }
        if trimmed.contains(['/', ':', '@']) {
            // The pieces between the next separator; each separator is looked at once.
            return self.part(start, trimmed);
        }
        match address(trimmed) {
            Some(subject) => self.address(start, start + trimmed.len(), subject),
            None => self.name(start, trimmed),
        }
    }

    fn address(&mut self, start: usize, end: usize, subject: Subject) {
        self.tokens += 1;
        if is_result_code(&subject) {
            return;
        }
        let token = Token::new(&self.plain.lower, start, end);
        if token.is_version() {
            return;
        }
        let clue = match (token.clue(&self.refusals), self.received_part(start)) {
            (clue @ (Clue::Blocked | Clue::Client), _) => clue,
            (_, Some(true)) => Clue::Received,
            (_, Some(false)) => Clue::Mentioned,
            (clue, None) => clue,
        };
        if clue == Clue::RefusingServer {
            self.servers.push((false, start, subject.to_string()));
            if let Some(host) = token.name_before().filter(|n| name(n).is_some()) {
                self.servers.push((true, start, host.into()));
            }
        }
        self.add(subject, clue, start);
    }

    /// Whether an offset is in the `from` part of a `Received` header; `None` outside of these
    /// headers.
    fn received_part(&self, at: usize) -> Option<bool> {
        let next = self.received.partition_point(|h| h.start <= at);
        let header = self.received.get(next.checked_sub(1)?)?;
        (at < header.end).then_some(at < header.by)
    }

    fn name(&mut self, start: usize, text: &str) {
        let lower = text.to_lowercase();
        let token = Token::new(&self.plain.lower, start, start + text.len());
        if let Some((subject, zone)) = read_name(&lower, self.own) {
            self.tokens += 1;
            let found = found_zone(&zone, self.own, self.plain.line(start));
            let known = found.own || found.list.is_some();
            // A host name such as `7.100.51.45.static.example` looks like a queried name.
            if known || zone.ends_with("arpa") || token.is_zone() {
                self.add(subject, Clue::QueryName, start);
                if !zone.ends_with("arpa") {
                    self.zone(found);
                }
                return;
            }
        }
        let Some(subject) = name(&lower).filter(|_| has_known_suffix(&lower)) else {
            return;
        };
        self.tokens += 1;
        let found = found_zone(&lower, self.own, self.plain.line(start));
        if found.own || found.list.is_some() || token.is_zone() {
            self.zone(found);
        } else if token.is_mail_domain() {
            if token.is_bracketed_mail_address() {
                self.add(subject, Clue::Blocked, start);
            }
        } else if token.is_blocked() {
            let clue = match token.is_client_name() {
                true => Clue::Refusal,
                false => Clue::Blocked,
            };
            self.add(subject, clue, start);
        } else if token.is_refusing_server() {
            self.servers.push((true, start, lower));
        }
    }

    fn zone(&mut self, zone: FoundZone) {
        if self.zones.len() < MAX_NAMED_ZONES {
            self.zones.push(zone);
        }
    }

    fn add(&mut self, subject: Subject, clue: Clue, at: usize) {
        let line = self.plain.line(at);
        let order = at;
        let is_server = clue == Clue::RefusingServer;
        let seen = self.subjects.entry(subject).or_insert(Seen {
            clue,
            order,
            line,
            is_server,
        });
        seen.is_server |= is_server;
        if clue < seen.clue {
            (seen.clue, seen.order, seen.line) = (clue, order, line);
        }
    }

    /// The lists that the text names by other words than their zones and pages.
    fn mentions(&mut self) {
        let plain = self.plain;
        for list in OtherLists::get().all() {
            let mut phrases = list.mentions.iter();
            if let Some(at) = phrases.find_map(|phrase| plain.lower.find(phrase.as_str())) {
                self.zone(FoundZone {
                    zone: list.id().into(),
                    own: false,
                    list: Some(list),
                    line: self.plain.line(at),
                });
            }
        }
    }

    fn finish(self) -> Bounce {
        let rank = |subject: &Subject, seen: &Seen| {
            // A server that only refused is never the one that is meant.
            let server = seen.is_server && seen.clue > Clue::ListPage;
            let special = matches!(
                unlistable(subject, &[]),
                Some(Unlistable::Special | Unlistable::ContainsNever | Unlistable::Never)
            );
            (server, special, seen.clue, seen.order)
        };
        let mut subjects: Vec<_> = self.subjects.into_iter().collect();
        subjects.sort_by_cached_key(|(subject, seen)| rank(subject, seen));
        let server = |(subject, seen): &(Subject, Seen)| rank(subject, seen).0;
        if subjects.iter().any(|s| !server(s)) {
            subjects.retain(|s| !server(s));
        }
        let subjects = subjects.into_iter().take(MAX_SUBJECTS);
        let found = |(subject, seen): (Subject, Seen)| FoundSubject {
            subject,
            clue: seen.clue,
            line: seen.line,
        };
        let mut servers = self.servers;
        servers.sort_by_key(|(named, at, _)| (Reverse(*named), *at));
        let refusing_host = servers.into_iter().next().map(|(_, at, name)| NamedHost {
            line: self.plain.line(at),
            name,
        });
        Bounce {
            only_subject: false,
            subjects: subjects.map(found).collect(),
            refusing_host,
            zones: distinct(self.zones),
            receiver_misconfigured: RECEIVER_ERRORS
                .iter()
                .any(|words| self.plain.lower.contains(words)),
        }
    }
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix)
        .then(|| &text[prefix.len()..])
}

/// Each zone once. A list that is known by its pages or its name alone is left out if another zone
/// of the same operator is named.
fn distinct(zones: Vec<FoundZone>) -> Vec<FoundZone> {
    let operator = |zone: &FoundZone| {
        let hosts = zone.list.map(|l| l.hosts.as_slice()).unwrap_or_default();
        hosts.first().cloned()
    };
    // The zones that are not only the general list of an operator.
    let specific: HashSet<(String, String)> = zones
        .iter()
        .filter_map(|z| Some((operator(z)?, z.zone.clone())))
        .collect();
    let mut seen = HashSet::new();
    let mut out = Vec::new();
    for zone in zones {
        let general = operator(&zone).is_some_and(|o| {
            let general = OtherLists::get().by_host(&o);
            let is_general = general.is_some_and(|l| l.id() == zone.zone);
            is_general
                && specific
                    .iter()
                    .any(|(op, name)| *op == o && *name != zone.zone)
        });
        if !general && seen.insert(zone.zone.clone()) && out.len() < MAX_ZONES {
            out.push(zone);
        }
    }
    out
}

/// A zone by its name.
pub(super) fn found_zone(name: &str, own: OwnNames<'_>, line: u32) -> FoundZone {
    let own = (own.is_zone)(name);
    let lists = OtherLists::get();
    let list = match own {
        true => None,
        false => lists.by_zone(name),
    };
    FoundZone {
        zone: name.into(),
        own,
        list,
        line,
    }
}

/// Whether an address is a result of a DNS blocklist, or no address of a host.
fn is_result_code(subject: &Subject) -> bool {
    match subject {
        Subject::V4(p) => {
            Prefix4::network(0x7f00_0000, 8).contains(*p) || p.first() == 0 || p.first() == u32::MAX
        }
        Subject::V6(p) => p.first() <= 1,
        Subject::Domain(_) => false,
    }
}

/// Whether a name ends in a public suffix or a top-level domain that documents and tests use, so
/// that `mail.log` is not a name.
fn has_known_suffix(name: &str) -> bool {
    let top = name.rsplit('.').next().unwrap_or("");
    matches!(
        top,
        "example" | "test" | "invalid" | "local" | "lan" | "internal" | "localdomain"
    ) || psl::Psl::suffix(&psl::List, name.as_bytes()).is_some_and(|s| s.typ().is_some())
}
