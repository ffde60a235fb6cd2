//! A store that was restored from a copy is brought to what was decided since.

use std::collections::BTreeMap;

use super::{
    NameKind, Refused,
    group::Work,
    now,
    removals::{Line, Removal},
};
use crate::{
    model::{Serial, Time},
    store::{Batch, Store, Vocabulary, schema, vocabulary_rows},
};

/// How far serials jump where it is not known what mirrors have seen: half of what RFC 1982 can tell from a step back.
const LOST: u32 = 1 << 30;
/// How many decisions one batch replays.
const GROUP: usize = 4096;

/// What was replayed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Lines of the log that the copy did not know.
    pub lines: usize,
    /// Decisions in them.
    pub decisions: usize,
    /// The serial each zone goes on from.
    pub serials: Vec<(String, Serial)>,
}

/// Replays a log of removals into a restored store, and lets its zones go on behind every serial that was handed out: those
/// of the log, or without one a long way ahead. Transfers across it are full ones.
pub fn restore(store: &Store, lines: Option<&[Line]>) -> Result<Replayed, Refused> {
    let known = store.removals()?;
    if let Some(lines) = lines {
        follows(lines, known)?;
    }
    let mut out = Replayed::default();
    let new: Vec<&Line> = lines.unwrap_or_default().iter().filter(|l| l.n > known).collect();
    out.lines = new.len();
    let mut events: Vec<(Time, Removal)> = Vec::new();
    let mut v = Vocabulary::clone(&store.vocabulary());
    for l in &new {
        events.extend(l.events.iter().map(|e| (l.at.parse().unwrap_or_else(|_| now()), e.clone())));
        let Some(rename) = &l.rename else { continue };
        // A name that the copy does not know yet has no listings in it; decisions before the rename use the old one.
        let _unknown = rename.apply(&mut v);
        for (_, e) in &mut events {
            e.reason.iter_mut().for_each(|n| rename.forward(NameKind::Reason, n));
            e.source.iter_mut().for_each(|n| rename.forward(NameKind::Source, n));
        }
    }
    out.decisions = events.len();
    // The vocabulary of the copy may be older than what was decided.
    for (_, e) in &events {
        e.reason.iter().try_for_each(|r| v.reasons.add(r).map(drop)).map_err(Refused::Settings)?;
        if let Some(name) = &e.source {
            let id = v.sources.add(name).map_err(Refused::Settings)?;
            if usize::from(id.0) == v.records.len() {
                v.records.push(schema::SourceRecord { name: name.clone(), ..Default::default() });
            }
        }
    }
    let mut batch = Batch::default();
    vocabulary_rows(&v, &mut batch);
    store.commit(batch)?;
    store.set_vocabulary(v.clone());
    for part in events.chunks(GROUP) {
        let mut work = Work::new(now());
        for (at, e) in part {
            // What ended meanwhile by its own time is ended by the next start.
            if let Some(what) = e.what(&v) {
                work.folded(store, &e.subject, &e.author, what, *at)?;
            }
        }
        let seq = store.seq()? + 1;
        let mut batch = Batch::default();
        work.rows(seq, &mut batch);
        work.journal(seq, Vec::new(), store.journal_bytes()?, &mut batch);
        store.commit(batch)?;
    }
    let mut batch = Batch::default();
    let mut logged: BTreeMap<&String, Serial> = BTreeMap::new();
    for l in lines.unwrap_or_default() {
        logged.extend(l.serials.iter().map(|(o, n)| (o, Serial(*n))));
    }
    let mut zones: BTreeMap<String, Option<Serial>> = store.zones()?.into_iter().map(|(o, r)| (o, Some(r.serial))).collect();
    // Those that came after the copy too: mirrors have seen their serials.
    logged.keys().for_each(|o| _ = zones.entry((*o).clone()).or_default());
    for (origin, had) in zones {
        let serial = match (logged.get(&origin), had) {
            (Some(n), had) => had.map_or(*n, |h| h.max(*n)),
            (None, Some(had)) => had.advance(LOST),
            (None, None) => continue,
        };
        out.serials.push((origin.clone(), serial));
        // Another hash: the next start gives out the serial behind it, and sets a barrier.
        batch.put(schema::META, format!("zone/{origin}").into_bytes(), schema::encode(&schema::ZoneRecord { serial, hash: 0 }));
    }
    // Nobody's serial is in the journal any more.
    batch.delete_range(schema::META, b"serial/".to_vec(), schema::after(b"serial/"));
    let last = lines.and_then(|l| l.last()).map_or(known, |l| l.n.max(known));
    batch.put(schema::META, b"removals".to_vec(), last.to_be_bytes().to_vec());
    store.commit(batch)?;
    Ok(out)
}

/// Refuses a log that does not go on from what the store knows: decisions would be missing.
fn follows(lines: &[Line], known: u64) -> Result<(), Refused> {
    let no = |why: String| Err(Refused::Settings(format!("{why}; is it the log of this store, and the whole of it?")));
    if let Some(gap) = lines.windows(2).find(|w| w[1].n != w[0].n + 1) {
        return no(format!("the log of removals has a gap behind line {}", gap[0].n));
    }
    match (lines.first(), lines.last()) {
        (Some(first), _) if first.n > known + 1 => {
            no(format!("the log of removals begins with line {}, and the copy knows up to {known}", first.n))
        }
        (_, last) if last.map_or(0, |l| l.n) < known => no(format!("the log of removals ends before line {known}, which the copy knows")),
        _ => Ok(()),
    }
}

/// Brings a store to what its log says, where it lacks lines: it was copied back by hand, a restore was cut, or a decision was
/// written down and the power went before it was true. Serials go on behind those of the log then.
pub(super) fn catch_up(store: &Store, path: &std::path::Path) -> Result<(), Refused> {
    if !path.is_file() {
        return Ok(());
    }
    // The end tells whether there is anything to do; all of it is read only then.
    let (end, _) = super::removals::tail(path).map_err(Refused::Settings)?;
    let known = store.removals()?;
    if end.last().is_none_or(|l| l.n <= known) {
        return Ok(());
    }
    let lines = super::removals::read(path).map_err(Refused::Settings)?;
    let done = restore(store, Some(&lines))?;
    tracing::warn!(lines = done.lines, decisions = done.decisions, "the store lacked decisions of the log of removals; they were replayed");
    Ok(())
}
