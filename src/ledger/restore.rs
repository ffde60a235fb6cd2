//! A store that was restored from a copy is brought to what was decided since.

use std::{collections::BTreeMap, path::Path};

use super::{
    LedgerError, NameKind, SeenSerials,
    removal_log::{Known, OnLoss, RemovalLog},
    removals::{Contents, Line, Ranges, Removal},
    transaction::Transaction,
};
use crate::{
    model::{
        Serial, Time,
        serial::{Jump, SeenMirror, left_behind, restore_step},
    },
    store::{Batch, Dictionary, Store, dictionary_rows, schema},
};

/// How many places of damage and gaps an error names.
const MAX_REASONS: usize = 5;
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
    /// Mirrors that keep their old zone until a transfer is forced there: zone, its serial, and
    /// they.
    pub left_behind: Vec<(String, Serial, Vec<SeenMirror>)>,
}

/// What serials of a restored store are decided by, beside the store and the log of removals.
#[derive(Debug, Clone, Default)]
pub struct RestoreSerials {
    /// The age of the copy, in seconds.
    pub age: u64,
    /// What mirrors were seen to have.
    pub mirrors: SeenSerials,
    /// The last serial that each zone is known to have given out, and when, by origin.
    pub given_out: BTreeMap<String, (Serial, Time)>,
    /// When the copy was made.
    pub copied: Time,
    /// Whether serials are taken that are not newer for every mirror.
    pub force: bool,
}

/// Adds a serial that a zone had after all others. By RFC 1982 an allowed jump can make it look
/// older than one of them, which does not count then.
fn add_later(own: &mut Vec<Serial>, later: Serial) {
    if !own.iter().all(|o| *o <= later) {
        own.clear();
    }
    own.push(later);
}

/// What the log of removals says of a zone's serial.
#[derive(Debug, Clone, Copy)]
struct Logged {
    serial: Serial,
    at: Time,
    /// Whether the line was written after the copy was made.
    after_copy: bool,
}

impl RestoreSerials {
    /// The serials that a zone has had, by the copy, the log of removals, and the file of the
    /// mirrors.
    fn own_serials(
        &self,
        origin: &str,
        copied: Option<Serial>,
        logged: Option<Logged>,
    ) -> Vec<Serial> {
        let mut own: Vec<Serial> = copied.into_iter().collect();
        match logged {
            Some(l) if l.after_copy => add_later(&mut own, l.serial),
            l => own.extend(l.map(|l| l.serial)),
        }
        let Some(&(serial, at)) = self.given_out.get(origin) else {
            return own;
        };
        // The log goes ahead of what is given out.
        if at < self.copied
            || logged.is_some_and(|l| l.after_copy && (at <= l.at || serial <= l.serial))
        {
            return own;
        }
        match at > self.copied {
            true => add_later(&mut own, serial),
            false => own.push(serial),
        }
        own
    }

    /// The serial that each zone of a copy goes on from: after those of the log, or without one as
    /// far on as the zone may have come since; and after those that mirrors were seen to have.
    ///
    /// # Errors
    ///
    /// [`LedgerError::SerialNotNewer`] names the mirrors that could not follow, unless it is forced.
    fn decide(
        &self,
        store: &Store,
        lines: Option<&[Line]>,
        out: &mut Replayed,
    ) -> Result<(), LedgerError> {
        let known = store.removals()?;
        let mut logged: BTreeMap<&String, Logged> = BTreeMap::new();
        for l in lines.unwrap_or_default() {
            let (at, after_copy) = (l.at.parse().unwrap_or_default(), l.n > known);
            logged.extend(l.serials.iter().map(|(o, n)| {
                (
                    o,
                    Logged {
                        serial: Serial(*n),
                        at,
                        after_copy,
                    },
                )
            }));
        }
        let mut zones: BTreeMap<String, Option<Serial>> = store
            .zones()?
            .into_iter()
            .map(|(o, r)| (o, Some(r.serial)))
            .collect();
        // Those that came after the copy too: mirrors have seen their serials.
        logged
            .keys()
            .for_each(|o| _ = zones.entry((*o).clone()).or_default());
        for (origin, had) in zones {
            let logged = logged.get(&origin).copied();
            let step = if logged.is_some() {
                1
            } else {
                restore_step(self.age)
            };
            let own = self.own_serials(&origin, had, logged);
            let (serial, left) = self.mirrors.jump(&origin, &own, Jump::Past(step));
            out.serials.push((origin.clone(), serial));
            if !left.is_empty() {
                out.left_behind.push((origin, serial, left));
            }
        }
        if !out.left_behind.is_empty() && !self.force {
            let named: Vec<String> = out
                .left_behind
                .iter()
                .map(|(zone, serial, left)| left_behind(zone, *serial, left))
                .collect();
            return Err(LedgerError::SerialNotNewer(format!(
                "{}; nothing was restored; --force restores all the same",
                named.join("\n")
            )));
        }
        Ok(())
    }
}

/// Replays a log of removals into a restored store, and lets its zones go on after every serial
/// that was handed out: see [`RestoreSerials`]. Transfers across it are full ones.
pub fn restore(
    store: &Store,
    lines: Option<&[Line]>,
    serials: &RestoreSerials,
    now: Time,
) -> Result<Replayed, LedgerError> {
    let known = store.removals()?;
    let mut out = Replayed::default();
    serials.decide(store, lines, &mut out)?;
    let new: Vec<&Line> = lines
        .unwrap_or_default()
        .iter()
        .filter(|l| l.n > known)
        .collect();
    out.lines = new.len();
    let mut events: Vec<(Time, Removal)> = Vec::new();
    let mut v = Dictionary::clone(&store.dictionary());
    for l in &new {
        events.extend(
            l.events
                .iter()
                .map(|e| (l.at.parse().unwrap_or(now), e.clone())),
        );
        let Some(rename) = &l.rename else { continue };
        // A name that the copy does not know yet has no listings in it; decisions before the rename
        // use the old one.
        let _unknown = rename.apply(&mut v);
        for (_, e) in &mut events {
            e.reason
                .iter_mut()
                .for_each(|n| rename.forward(NameKind::Reason, n));
            e.source
                .iter_mut()
                .for_each(|n| rename.forward(NameKind::Source, n));
        }
    }
    out.decisions = events.len();
    // The vocabulary of the copy may be older than what was decided.
    for (_, e) in &events {
        e.reason
            .iter()
            .try_for_each(|r| v.reasons.add(r).map(drop))
            .map_err(LedgerError::Invalid)?;
        if let Some(name) = &e.source {
            let id = v.sources.add(name).map_err(LedgerError::Invalid)?;
            if usize::from(id.0) == v.records.len() {
                v.records.push(schema::SourceRecord {
                    name: name.clone(),
                    ..Default::default()
                });
            }
        }
    }
    let mut batch = Batch::default();
    dictionary_rows(&v, &mut batch);
    store.commit(batch)?;
    store.set_dictionary(v.clone());
    for part in events.chunks(GROUP) {
        let mut transaction = Transaction::new(now);
        for (at, e) in part {
            // What ended meanwhile by its own time is ended by the next start.
            if let Some(what) = e.what(&v) {
                transaction.folded(store, &e.subject, &e.author, what, *at)?;
            }
        }
        let seq = store.seq()? + 1;
        let mut batch = Batch::default();
        transaction.rows(seq, &mut batch);
        transaction.journal(seq, Vec::new(), store.journal_bytes()?, &mut batch);
        store.commit(batch)?;
    }
    let mut batch = Batch::default();
    for (origin, serial) in &out.serials {
        // Another hash: the next start gives out the serial behind it, and sets a barrier.
        batch.put(
            schema::META,
            format!("zone/{origin}").into_bytes(),
            schema::encode(&schema::ZoneRecord {
                serial: *serial,
                hash: 0,
            }),
        );
    }
    // Nobody's serial is in the journal any more.
    batch.delete_range(schema::META, b"serial/".to_vec(), schema::after(b"serial/"));
    let last = lines.and_then(|l| l.last()).filter(|l| l.n >= known);
    batch.put(
        schema::META,
        b"removals".to_vec(),
        last.map_or(known, |l| l.n).to_be_bytes().to_vec(),
    );
    if let Some(last) = last {
        batch.put(
            schema::META,
            schema::REMOVALS_SUM.to_vec(),
            last.sum.to_be_bytes().to_vec(),
        );
    }
    // What the log lacked when the copy was made is of no account: the copy knew it.
    batch.delete(schema::META, schema::REMOVALS_GAP.to_vec());
    store.commit(batch)?;
    Ok(out)
}

/// Checks that a log is the store's, and goes on from what the store knows.
///
/// # Errors
/// It is another store's, or decisions are missing in it; the text says which, and what they mean.
/// Missing ones are accepted where `allow_gap` is set, and returned.
pub fn check_log(
    store: &Store,
    log: &Contents,
    allow_gap: bool,
) -> Result<Vec<(u64, u64)>, LedgerError> {
    let no = |why: String| Err(LedgerError::Invalid(why));
    let (known, id) = (store.removals()?, hex(&store.id()));
    if log
        .lines
        .iter()
        .any(|l| !l.store.is_empty() && l.store != id)
    {
        return no("the log of removals is that of another store; name the one that this store has written".into());
    }
    let sum = store.removals_sum()?;
    if log
        .lines
        .iter()
        .any(|l| l.n == known && sum.is_some_and(|s| s != l.sum))
    {
        return no(format!(
            "the log of removals has another line {known} than the one that this store has written; name its own log"
        ));
    }
    if log.lines.last().map_or(0, |l| l.n) < known {
        return no(format!(
            "the log of removals ends before line {known}, which the store knows; is it the whole of it?"
        ));
    }
    // One that is not on record makes the rest doubtful, also where the store knows the lines.
    let mut missing = log.unrecorded_holes();
    match missing.is_empty() || allow_gap {
        true => missing = log.missing_after(known),
        false => missing.extend(
            log.missing_after(known)
                .into_iter()
                .filter(|run| !log.unrecorded_holes().contains(run)),
        ),
    }
    if allow_gap || (missing.is_empty() && !log.end_damaged) {
        return Ok(missing);
    }
    let mut why = match &missing[..] {
        [] => "the end of the log of removals cannot be read".to_string(),
        missing => format!(
            "the log of removals has a gap: {} missing, and the store knows up to {known}",
            Ranges(missing)
        ),
    };
    let gaps = log
        .lines
        .iter()
        .filter_map(|l| l.gap.as_ref().map(|gap| format!("{} {gap}", l.at)));
    let known: Vec<String> = log
        .damaged
        .iter()
        .cloned()
        .chain(gaps)
        .take(MAX_REASONS)
        .collect();
    if !known.is_empty() {
        why += &format!(" ({})", known.join("; "));
    }
    no(format!(
        "{why}. Hosts that were taken off there would be listed again. Take another copy of the log or a newer copy of the store; `orbsd restore --allow-gap` replays what can be read"
    ))
}

/// Begins the log at a path, with a record of why, where the one that was written before is not
/// there or not whole: its loss would be noticed at the next start, or by a scrub. A whole log
/// stays as it is.
///
/// # Errors
/// The file there is the log of another store, or the log cannot be written.
pub fn begin_log(store: &Store, path: &Path, why: &str, now: Time) -> Result<(), LedgerError> {
    let known = Known {
        n: store.removals()?,
        sum: store.removals_sum()?,
        store: hex(&store.id()),
    };
    let mut log = RemovalLog::open(path, known).map_err(LedgerError::Invalid)?;
    if log.check(true).is_ok() {
        return Ok(()); // the next start replays it
    }
    let serials = store
        .zones()?
        .into_iter()
        .map(|(origin, record)| (origin, record.serial))
        .collect();
    log.restart(path, now, why, &serials)
        .map_err(LedgerError::Invalid)?;
    let mut batch = Batch::default();
    super::removal_watch::known_line(&log, &mut batch);
    Ok(store.commit(batch)?)
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|b| format!("{b:02x}")).collect()
}

/// Brings a store to what its log says, where it lacks lines: it was copied back by hand, a restore
/// was cut, or a decision was written down and the power went before it was true. Serials go on
/// behind those of the log then.
pub(super) fn catch_up(
    store: &Store,
    path: &Path,
    on_loss: OnLoss,
    mirrors: &SeenSerials,
    now: Time,
) -> Result<(), LedgerError> {
    if !path.is_file() {
        return Ok(());
    }
    // The end tells whether there is anything to do; all of it is read only then. What is wrong
    // with the log is reported when it is opened.
    let Ok((end, _)) = std::fs::File::open(path).and_then(|mut f| super::removals::tail(&mut f))
    else {
        return Ok(());
    };
    let known = store.removals()?;
    if end.iter().flatten().last().is_none_or(|l| l.n <= known) {
        return Ok(());
    }
    let log = super::removals::read(path).map_err(LedgerError::Invalid)?;
    let missing = check_log(store, &log, on_loss == OnLoss::Restart)?;
    // A start has to come to an end: mirrors that cannot follow are named, and not waited for.
    let serials = RestoreSerials {
        mirrors: mirrors.clone(),
        force: true,
        ..RestoreSerials::default()
    };
    let done = restore(store, Some(&log.lines), &serials, now)?;
    done.left_behind
        .iter()
        .for_each(|(zone, serial, left)| tracing::error!("{}", left_behind(zone, *serial, left)));
    tracing::warn!(
        lines = done.lines,
        decisions = done.decisions,
        ?missing,
        "the store lacked decisions of the log of removals; they were replayed"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(serial: u32, at: u64, after_copy: bool) -> Option<Logged> {
        Some(Logged {
            serial: Serial(serial),
            at: Time(at),
            after_copy,
        })
    }

    /// The serials that count of a zone that the copy, made at 100, has at 10.
    fn own(logged: Option<Logged>, given_out: Option<(u32, u64)>) -> Vec<u32> {
        let given_out = given_out
            .map(|(s, at)| ("bl".to_string(), (Serial(s), Time(at))))
            .into_iter()
            .collect();
        let serials = RestoreSerials {
            given_out,
            copied: Time(100),
            ..RestoreSerials::default()
        };
        serials
            .own_serials("bl", Some(Serial(10)), logged)
            .into_iter()
            .map(|s| s.0)
            .collect()
    }

    #[test]
    fn a_serial_that_was_logged_after_the_copy_wins_however_far_it_has_jumped() {
        let far = 10 + Serial::HALF - 1 + 4096;
        assert_eq!(own(logged(far, 200, true), None), [far]);
        assert_eq!(own(logged(5000, 200, true), None), [10, 5000]);
        assert_eq!(own(logged(4100, 50, false), None), [10, 4100]);
        assert_eq!(
            own(logged(far, 200, true), Some((12, 150))),
            [far],
            "what was given out before the jump does not count"
        );
    }

    #[test]
    fn what_was_given_out_after_the_copy_counts_where_the_log_does_not_say_more() {
        let far = 10 + Serial::HALF - 1 + 4096;
        assert_eq!(own(None, Some((70, 200))), [10, 70]);
        assert_eq!(own(None, Some((far, 200))), [far]);
        assert_eq!(
            own(None, Some((70, 100))),
            [10, 70],
            "in the second of the copy"
        );
        assert_eq!(own(None, Some((9, 99))), [10], "the copy knows more");
        assert_eq!(own(logged(5000, 200, true), Some((900, 300))), [10, 5000]);
        assert_eq!(
            own(logged(5000, 200, true), Some((9000, 300))),
            [10, 5000, 9000],
            "an old log"
        );
    }
}
