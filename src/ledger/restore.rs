//! A store that was restored from a copy is brought to what was decided since.

use super::{
    Refused,
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
    let mut out = Replayed::default();
    let new: Vec<&Line> = lines.unwrap_or_default().iter().filter(|l| l.n > known).collect();
    out.lines = new.len();
    let events: Vec<(Time, &Removal)> =
        new.iter().flat_map(|l| l.events.iter().map(|e| (l.at.parse().unwrap_or_else(|_| now()), e))).collect();
    out.decisions = events.len();
    // The vocabulary of the copy may be older than what was decided.
    let mut v = Vocabulary::clone(&store.vocabulary());
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
    for (origin, record) in store.zones()? {
        let logged = lines.unwrap_or_default().iter().filter_map(|l| l.serials.get(&origin)).next_back();
        let serial = match logged {
            Some(n) => record.serial.max(Serial(*n)),
            None => record.serial.advance(LOST),
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
