//! A zone as rbldnsd data: a combined file for addresses, a dnset for names, and for the addresses
//! of a domain zone by the names by which clients ask for them. rbldnsd gives the same
//! answers from it, test points included.

use std::io::{self, Write};

use super::{
    Export, ExportChangeKind,
    names::asked_names,
    published::{ListedReason, listed_reasons},
    report::ReportBuilder,
    text_change::TextChange,
};
use crate::{
    index::{
        Items, ZoneView,
        listing::labels_in,
        prefix_cover::CoverMode,
        render::codes_of,
        zones::{rtype, txt_data},
    },
    lists::text::{harmless, literal, name, rname},
    model::{Prefix6, Subject, ZoneKind, zone::TxtPolicy},
};

/// Writes the data. A key of a trie has one value, so a subject with several values is in several
/// data sets; rbldnsd answers with the values of all.
pub(super) fn rbldnsd(e: &Export, report: &ReportBuilder, out: &mut dyn Write) -> io::Result<()> {
    let Export { view, serial, .. } = *e;
    let s = &view.spec;
    let ns: Vec<String> = s.ns.iter().map(|n| name(n)).collect();
    let domains = s.kind != ZoneKind::Address;
    // Without the type of the data set, names of digits would be read as addresses.
    let kind = match domains && !view.has_ip4 {
        true => "dnset",
        false => "combined",
    };
    writeln!(out, "# Data for rbldnsd {}:{kind}:FILE", view.name)?;
    let (ttl, contact) = (s.ttl.0, rname(&s.contact));
    let listing_ttl = listing_ttl(view);
    let first = ns.first().map_or("", |n| n);
    let times = [s.refresh, s.retry, s.expire, s.minimum()]
        .map(|t| t.0.to_string())
        .join(" ");
    writeln!(out, "$SOA {ttl} {first} {contact} {serial} {times}")?;
    writeln!(out, "$NS {ttl} {}\n$TTL {listing_ttl}", ns.join(" "))?;
    let mut w = Writer {
        out,
        e,
        report,
        last: String::new(),
    };
    let tests = test_points(view);
    if domains {
        if view.has_ip4 {
            w.section("dnset")?;
        }
        w.tests(&tests, false, None)?;
        return w.names();
    }
    w.section("ip4set")?;
    w.tests(&tests, false, None)?;
    w.prefix_cover(|s| !matches!(s, Subject::V6(_)), None)?;
    w.section("ip6trie")?;
    w.tests(&tests, true, Some(0))?;
    let pieces_most = w.prefix_cover(|s| matches!(s, Subject::V6(_)), Some(0))?;
    let tests_most = tests
        .iter()
        .filter(|t| t.six)
        .map(|t| t.values.len())
        .max()
        .unwrap_or(0);
    for place in 1..tests_most.max(pieces_most) {
        w.section(&format!("ip6trie:{}", place + 1))?;
        w.tests(&tests, true, Some(place))?;
        if place < pieces_most {
            w.prefix_cover(|s| matches!(s, Subject::V6(_)), Some(place))?;
        }
    }
    Ok(())
}

/// The TTL of all listings, because a data set has one: the least of the published reasons.
fn listing_ttl(view: &ZoneView) -> u32 {
    let ttls = view.publish.iter().map(|p| p.ttl);
    ttls.min().unwrap_or(view.ttls[0])
}

/// A value of an entry: its code, and its text as rbldnsd reads it.
#[derive(Clone, PartialEq, Eq)]
struct Value {
    line: String,
    /// The line contains the subject, so it cannot be a default line for other entries.
    own: bool,
}

/// A test point of RFC 5782.
struct TestPoint {
    key: String,
    six: bool,
    values: Vec<Value>,
}

/// The zone's test points: static names with codes for addresses.
fn test_points(view: &ZoneView) -> Vec<TestPoint> {
    let mut out = Vec::new();
    for (place, fixed) in &view.fixed {
        let labels: Vec<String> = labels_in(place)
            .map(|l| String::from_utf8_lossy(l).into_owned())
            .collect();
        let asked = || labels.join(".");
        let key = match (view.spec.kind, &labels[..]) {
            (ZoneKind::Domain | ZoneKind::Hash, [test]) if test == "test" => test.clone(),
            (ZoneKind::Domain, _) if asked() == "2.0.0.127" => asked(),
            (ZoneKind::Domain, nibbles) if view.has_ip6 && nibbles.len() == 32 => asked(),
            (ZoneKind::Address, [d, zero, nil, net]) if [zero, nil, net] == ["0", "0", "127"] => {
                format!("127.0.0.{d}")
            }
            (ZoneKind::Address, nibbles) if nibbles.len() == 32 => {
                let digits: String = nibbles.iter().rev().map(String::as_str).collect();
                let Ok(addr) = u128::from_str_radix(&digits, 16) else {
                    continue;
                };
                entry(&Subject::V6(Prefix6::host(addr)))
            }
            _ => continue,
        };
        let data = |kind| {
            let records = fixed.rrs.iter().filter(move |r| r.rtype == kind);
            records.map(|r| &r.data[..])
        };
        let codes: Vec<[u8; 4]> = data(rtype::A).filter_map(|c| c.try_into().ok()).collect();
        let texts: Vec<String> = data(rtype::TXT)
            .map(|t| shown(t.get(1..).unwrap_or(&[])))
            .collect();
        // rbldnsd answers each code and each text once.
        let value = |i: usize| Value {
            line: value_line(
                codes[i.min(codes.len() - 1)],
                texts.get(i).map_or("", String::as_str),
            ),
            own: true,
        };
        let count = match codes.is_empty() {
            true => 0,
            false => codes.len().max(texts.len()),
        };
        let values: Vec<Value> = (0..count).map(value).collect();
        out.push(TestPoint {
            six: view.spec.kind == ZoneKind::Address && labels.len() == 32,
            key,
            values,
        });
    }
    out.sort_by(|a, b| a.key.cmp(&b.key));
    out
}

/// Printable bytes of a TXT record as a text of a data file.
fn shown(data: &[u8]) -> String {
    escaped(&literal(&String::from_utf8_lossy(data)))
}

/// Escapes a `=` at the start of a text, which rbldnsd would read as a replaced base template.
fn escaped(text: &str) -> String {
    let escape = if text.starts_with('=') { "=" } else { "" };
    format!("{escape}{text}")
}

fn value_line(code: [u8; 4], text: &str) -> String {
    let [a, b, c, d] = code;
    format!(":{a}.{b}.{c}.{d}:{text}")
}

/// A subject as rbldnsd writes it: IPv6 always with a length, and never with dots.
fn entry(subject: &Subject) -> String {
    match subject {
        Subject::V6(p) if p.first() >> 32 == 0xffff => {
            let low = p.first() as u32;
            format!("::ffff:{:x}:{:x}/{}", low >> 16, low & 0xffff, p.len())
        }
        Subject::V6(p) if p.is_host() => format!("{p}/128"),
        s => s.to_string(),
    }
}

struct Writer<'w> {
    out: &'w mut dyn Write,
    e: &'w Export<'w>,
    report: &'w ReportBuilder,
    /// The current default line.
    last: String,
}

impl Writer<'_> {
    fn section(&mut self, kind: &str) -> io::Result<()> {
        self.last.clear();
        writeln!(
            self.out,
            "$DATASET {kind} @\n$TTL {}",
            listing_ttl(self.e.view)
        )
    }

    fn tests(&mut self, tests: &[TestPoint], six: bool, place: Option<usize>) -> io::Result<()> {
        for t in tests.iter().filter(|t| t.six == six) {
            self.entry(&t.key, &t.values, place)?;
        }
        Ok(())
    }

    /// Writes the pieces of a family with all their values, or only the value at the index `place`.
    /// Returns the largest number of values of a piece.
    fn prefix_cover(
        &mut self,
        family: impl Fn(&Subject) -> bool,
        place: Option<usize>,
    ) -> io::Result<usize> {
        let mut most = 0;
        // Each walk visits both families; only the first one counts changes.
        let report = place.is_none().then_some(self.report);
        let e = self.e;
        e.prefix_cover(CoverMode::Answers, report, &mut |subject, items| {
            if !family(subject) {
                return Ok(());
            }
            let counted = place.is_none_or(|p| p == 0).then_some(self.report);
            let values = values(e, counted, subject, items);
            most = most.max(values.len());
            self.entry(&entry(subject), &values, place)
        })?;
        Ok(most)
    }

    /// Writes the names, with those of addresses, and exclusions for the names to which a listed wildcard above does not
    /// apply.
    fn names(&mut self) -> io::Result<()> {
        let e = self.e;
        asked_names(e, &mut |domain, items| {
            if items.is_empty() {
                return writeln!(self.out, "!{domain}");
            }
            let address = e.view.spec.addresses.asked_subject(domain);
            let subject = address.unwrap_or_else(|| Subject::Domain(domain.clone()));
            let values = values(e, Some(self.report), &subject, items);
            self.entry(&domain.to_string(), &values, None)
        })
    }

    /// Writes an entry. A single value is written as a default line, for the next entries too.
    fn entry(&mut self, key: &str, values: &[Value], place: Option<usize>) -> io::Result<()> {
        let values = match place {
            Some(i) => values.get(i..values.len().min(i + 1)).unwrap_or(&[]),
            None => values,
        };
        match values {
            [one] if !one.own => {
                if self.last != one.line {
                    self.last.clone_from(&one.line);
                    writeln!(self.out, "{}", one.line)?;
                }
                writeln!(self.out, "{key}")
            }
            many => many
                .iter()
                .try_for_each(|v| writeln!(self.out, "{key} {}", v.line)),
        }
    }
}

/// The values of a piece: one for each code, with its text, unless an earlier value has that text.
fn values(
    e: &Export,
    report: Option<&ReportBuilder>,
    subject: &Subject,
    items: &Items,
) -> Vec<Value> {
    let is_dnset = e.view.spec.has_names();
    let (piece, alone) = match subject {
        // In a dnset `$` would be the queried name.
        Subject::V4(p) => (subject.to_string(), p.is_host() && !is_dnset),
        Subject::V6(p) => (subject.to_string(), p.is_host() && !is_dnset),
        Subject::Domain(d) => (d.name().to_string(), true),
    };
    let (mut out, mut codes, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    let mut written: Vec<[u8; 4]> = Vec::new();
    let reasons = listed_reasons(e, subject, items);
    let rrset = codes_of(e.view, items.as_slice());
    if let Some(report) = report.filter(|_| rrset.ttl > listing_ttl(e.view)) {
        report.add(ExportChangeKind::ShorterTtl, subject);
    }
    for ListedReason {
        code,
        template,
        listed,
        ..
    } in reasons
    {
        let is_shared = codes.contains(&code);
        codes.push(code);
        // In a zone of bit masks, every value has the bits of all reasons.
        let record = rrset.record_of(code);
        let data = txt_data(template, &listed);
        if let Some(report) = report {
            let shown = data.get(1..).unwrap_or(&[]);
            let trimmed = shown.first() == Some(&b' ') || shown.last() == Some(&b' ');
            let change = TextChange::of(template, || listed.len());
            report.add_text(TextChange { trimmed, ..change }, subject);
            if is_shared {
                report.add(ExportChangeKind::ReasonsWithOneCode, subject);
            }
        }
        let has_no_text = data.len() < 2
            || texts.contains(&data)
            || (e.view.spec.txt == TxtPolicy::First && !written.is_empty());
        if has_no_text && written.contains(&record) {
            continue;
        }
        written.push(record);
        let template = harmless(template);
        let (text, own) = if has_no_text {
            (String::new(), false)
        } else if alone && listed == piece && plain(&template) {
            (escaped(&template), false)
        } else {
            // rbldnsd replaces `$` by the queried address, but here `$` is the listed subject, so
            // the subject is written.
            let own = listed == piece && template.replace("$$", "").contains('$');
            (shown(&data[1..]), own)
        };
        out.push(Value {
            line: value_line(record, &text),
            own,
        });
        if !has_no_text {
            texts.push(data);
        }
    }
    out
}

/// Whether rbldnsd replaces the same `$` in a text: a digit or `=` after it would have another
/// meaning.
fn plain(template: &str) -> bool {
    let singles = template.replace("$$", "\0");
    let mut after = singles.split('$').skip(1);
    !after.any(|text| text.starts_with(|c: char| c.is_ascii_digit() || c == '='))
}
