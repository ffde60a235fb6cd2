//! A zone as rbldnsd data: a combined file for addresses, a dnset for names. rbldnsd gives the same
//! answers from it, test points included.

use std::io::{self, Write};

use super::{
    Export, ExportChangeKind, names::names, report::ReportBuilder, text_change::TextChange,
};
use crate::{
    index::{
        Items, Listing, Where, ZoneView,
        find::labels_in,
        pieces::Cut,
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
    let kind = if domains { "dnset" } else { "combined" };
    writeln!(out, "# Data for rbldnsd {}:{kind}:FILE", view.name)?;
    writeln!(
        out,
        "$SOA {} {} {} {serial} {} {} {} {}",
        s.ttl.0,
        ns.first().map_or("", |n| n),
        rname(&s.contact),
        s.refresh.0,
        s.retry.0,
        s.expire.0,
        s.minimum().0
    )?;
    writeln!(out, "$NS {} {}\n$TTL {}", s.ttl.0, ns.join(" "), s.ttl.0)?;
    let mut w = Writer {
        out,
        e,
        report,
        last: String::new(),
    };
    let tests = test_points(view);
    if domains {
        w.tests(&tests, false, None)?;
        return w.names();
    }
    w.section("ip4set")?;
    w.tests(&tests, false, None)?;
    let mut six = 0;
    w.pieces(|s| !matches!(s, Subject::V6(_)), None)?;
    let most = tests
        .iter()
        .filter(|t| t.six)
        .map(|t| t.values.len())
        .max()
        .unwrap_or(0);
    for place in 0.. {
        if place > 0 && place >= most.max(six) {
            break;
        }
        w.section(&if place == 0 {
            "ip6trie".to_string()
        } else {
            format!("ip6trie:{}", place + 1)
        })?;
        w.tests(&tests, true, Some(place))?;
        if place == 0 || place < six {
            six = w.pieces(|s| matches!(s, Subject::V6(_)), Some(place))?;
        }
    }
    Ok(())
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
        let key = match (view.spec.kind, &labels[..]) {
            (ZoneKind::Domain | ZoneKind::Hash, [test]) if test == "test" => test.clone(),
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
            fixed
                .rrs
                .iter()
                .filter(move |r| r.rtype == kind)
                .map(|r| &r.data[..])
        };
        let mut texts = data(rtype::TXT).map(|t| shown(t.get(1..).unwrap_or(&[])));
        let value = |code: &[u8]| {
            code.try_into().ok().map(|c| Value {
                line: value_line(c, &texts.next().unwrap_or_default()),
                own: true,
            })
        };
        let values: Vec<Value> = data(rtype::A).filter_map(value).collect();
        out.push(TestPoint {
            six: labels.len() == 32,
            key,
            values,
        });
    }
    out.sort_by(|a, b| a.key.cmp(&b.key));
    out
}

/// Printable bytes of a TXT record as a text of a data file.
fn shown(data: &[u8]) -> String {
    escaped(literal(&String::from_utf8_lossy(data)))
}

/// Escapes a `=` at the start of a text, which rbldnsd would read as a replaced base template.
fn escaped(text: String) -> String {
    if text.starts_with('=') {
        format!("={text}")
    } else {
        text
    }
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
            self.e.view.spec.ttl.0
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
    fn pieces(
        &mut self,
        family: impl Fn(&Subject) -> bool,
        place: Option<usize>,
    ) -> io::Result<usize> {
        let mut most = 0;
        // Each walk visits both families; only the first one counts changes.
        let report = place.is_none().then_some(self.report);
        let e = self.e;
        e.pieces(Cut::Answers, report, &mut |subject, items| {
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

    /// Writes the names, and exclusions for the names to which a listed wildcard above does not
    /// apply.
    fn names(&mut self) -> io::Result<()> {
        let e = self.e;
        names(e, &mut |domain, items| {
            if items.is_empty() {
                return writeln!(self.out, "!{domain}");
            }
            let subject = Subject::Domain(domain.clone());
            let values = values(e, Some(self.report), &subject, items);
            self.entry(&entry(&subject), &values, None)
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
    let (snapshot, view) = (e.snapshot, e.view);
    let mut wire = Vec::new();
    let (at, alone) = match subject {
        Subject::V4(p) => (Where::V4(p.first()), p.is_host()),
        Subject::V6(p) => (Where::V6(p.first()), p.is_host()),
        Subject::Domain(d) => {
            for l in d.name().split('.') {
                wire.push(l.len() as u8);
                wire.extend(l.as_bytes());
            }
            (Where::Name(&wire), true)
        }
    };
    let piece = match subject {
        Subject::Domain(d) => d.name().to_string(),
        s => s.to_string(),
    };
    let l = Listing {
        own: items.as_slice(),
        cover: &[],
        at,
    };
    let (mut out, mut codes, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    for p in view.publish.iter() {
        let Some(item) = l.item(p.reason) else {
            continue;
        };
        let mut listed = String::new();
        let _ = l.write_subject(item, &mut listed);
        let template = snapshot
            .tables
            .interned
            .own_text(item.text)
            .unwrap_or(&p.text);
        let data = txt_data(template, &listed);
        if let Some(report) = report {
            let shown = data.get(1..).unwrap_or(&[]);
            let trimmed = shown.first() == Some(&b' ') || shown.last() == Some(&b' ');
            report.add_text(
                TextChange {
                    trimmed,
                    ..TextChange::of(template, || listed.len())
                },
                subject,
            );
            if codes.contains(&p.code) {
                report.add(ExportChangeKind::ReasonsWithOneCode, subject);
            }
        }
        let is_reported = data.len() < 2
            || texts.contains(&data)
            || (view.spec.txt == TxtPolicy::First && !codes.is_empty());
        if is_reported && codes.contains(&p.code) {
            continue;
        }
        codes.push(p.code);
        let template = harmless(template);
        let value = match (is_reported, alone && listed == piece && plain(&template)) {
            (true, _) => Value {
                line: value_line(p.code, ""),
                own: false,
            },
            (_, true) => Value {
                line: value_line(p.code, &escaped(template.into_owned())),
                own: false,
            },
            // rbldnsd replaces `$` by the queried address, but here `$` is the listed subject, so
            // the subject is written.
            _ => Value {
                line: value_line(p.code, &shown(&data[1..])),
                own: listed == piece && template.replace("$$", "").contains('$'),
            },
        };
        if !is_reported {
            texts.push(data);
        }
        out.push(value);
    }
    out
}

/// Whether rbldnsd replaces the same `$` in a text: a digit or `=` after it would have another
/// meaning.
fn plain(template: &str) -> bool {
    let mut bytes = template.bytes().peekable();
    while let Some(b) = bytes.next() {
        if b == b'$'
            && bytes.next_if_eq(&b'$').is_none()
            && bytes
                .peek()
                .is_some_and(|n| n.is_ascii_digit() || *n == b'=')
        {
            return false;
        }
    }
    true
}
