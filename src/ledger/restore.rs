//! A store that was restored from a copy is brought to what was decided since.

use std::collections::BTreeMap;

use super::{
    Refused, SeenSerials,
    group::Work,
    removals::{Line, Removal},
};
use crate::{
    model::{
        Serial, Time,
        serial::{Jump, SeenMirror, left_behind, restore_step},
    },
    store::{Batch, Store, Vocabulary, schema, vocabulary_rows},
};

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
    /// Mirrors that keep their old zone until a transfer is forced there: zone, its serial, and they.
    pub left_behind: Vec<(String, Serial, Vec<SeenMirror>)>,
}

/// What serials of a restored store are decided by, beside the store and the log of removals.
#[derive(Debug, Clone, Default)]
pub struct RestoreSerials {
    /// The age of the copy, in seconds.
    pub age: u64,
    /// What mirrors were seen to have.
    pub mirrors: SeenSerials,
    /// Whether serials are taken that are not newer for every mirror.
    pub force: bool,
}

impl RestoreSerials {
    /// The serial that each zone of a copy goes on from: after those of the log, or without one as far on as the zone may
    /// have come since; and after those that mirrors were seen to have.
    ///
    /// # Errors
    ///
    /// [`Refused::Serial`] names the mirrors that could not follow, unless it is forced.
    fn decide(&self, store: &Store, lines: Option<&[Line]>, out: &mut Replayed) -> Result<(), Refused> {
        let mut logged: BTreeMap<&String, Serial> = BTreeMap::new();
        for l in lines.unwrap_or_default() {
            logged.extend(l.serials.iter().map(|(o, n)| (o, Serial(*n))));
        }
        let mut zones: BTreeMap<String, Option<Serial>> = store.zones()?.into_iter().map(|(o, r)| (o, Some(r.serial))).collect();
        // Those that came after the copy too: mirrors have seen their serials.
        logged.keys().for_each(|o| _ = zones.entry((*o).clone()).or_default());
        for (origin, had) in zones {
            let logged = logged.get(&origin).copied();
            let step = if logged.is_some() { 1 } else { restore_step(self.age) };
            let own: Vec<Serial> = had.into_iter().chain(logged).collect();
            let (serial, left) = self.mirrors.jump(&origin, &own, Jump::Past(step));
            out.serials.push((origin.clone(), serial));
            if !left.is_empty() {
                out.left_behind.push((origin, serial, left));
            }
        }
        if !out.left_behind.is_empty() && !self.force {
            let named: Vec<String> = out.left_behind.iter().map(|(zone, serial, left)| left_behind(zone, *serial, left)).collect();
            return Err(Refused::Serial(format!("{}; nothing was restored; --force restores all the same", named.join("\n"))));
        }
        Ok(())
    }
}

/// Replays a log of removals into a restored store, and lets its zones go on after every serial that was handed out: see
/// [`RestoreSerials`]. Transfers across it are full ones.
pub fn restore(store: &Store, lines: Option<&[Line]>, serials: &RestoreSerials, now: Time) -> Result<Replayed, Refused> {
    let known = store.removals()?;
    if let Some(lines) = lines {
        follows(lines, known)?;
    }
    let mut out = Replayed::default();
    serials.decide(store, lines, &mut out)?;
    let new: Vec<&Line> = lines.unwrap_or_default().iter().filter(|l| l.n > known).collect();
    out.lines = new.len();
    let events: Vec<(Time, &Removal)> = new.iter().flat_map(|l| l.events.iter().map(|e| (l.at.parse().unwrap_or(now), e))).collect();
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
        let mut work = Work::new(now);
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
    for (origin, serial) in &out.serials {
        // Another hash: the next start gives out the serial behind it, and sets a barrier.
        batch.put(schema::META, format!("zone/{origin}").into_bytes(), schema::encode(&schema::ZoneRecord { serial: *serial, hash: 0 }));
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
pub(super) fn catch_up(store: &Store, path: &std::path::Path, mirrors: &SeenSerials, now: Time) -> Result<(), Refused> {
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
    // A start has to come to an end: mirrors that cannot follow are named, and not waited for.
    let serials = RestoreSerials { mirrors: mirrors.clone(), force: true, ..RestoreSerials::default() };
    let done = restore(store, Some(&lines), &serials, now)?;
    done.left_behind.iter().for_each(|(zone, serial, left)| tracing::error!("{}", left_behind(zone, *serial, left)));
    tracing::warn!(lines = done.lines, decisions = done.decisions, "the store lacked decisions of the log of removals; they were replayed");
    Ok(())
}
