//! Replays the removal log into a restored store, so that it has the decisions since the copy.

use std::{collections::BTreeMap, path::Path};

use super::{
    LedgerError, MirrorSerials, NameKind,
    removal_log::{LastLine, OnLoss, RemovalLog},
    removal_watch::known_line,
    removals::{Contents, Line, Ranges, Removal},
    transaction::Transaction,
    writer::put_zone,
};
use crate::{
    model::{
        Serial, Time,
        serial::{Jump, MirrorSerial, left_behind, restore_step},
    },
    store::{Batch, Dictionary, Store, dictionary_rows, schema},
};

/// The most damaged lines and gaps that an error names.
const MAX_REASONS: usize = 5;
/// The number of decisions that one batch replays.
const REPLAY_BATCH: usize = 4096;

/// The result of a restore.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// The number of lines of the log that the copy did not know.
    pub lines: usize,
    /// The number of decisions in these lines.
    pub decisions: usize,
    /// The serial from which each zone continues.
    pub serials: Vec<(String, Serial)>,
    /// The mirrors that keep their old zone until a transfer is forced there: zone, serial,
    /// mirrors.
    pub left_behind: Vec<(String, Serial, Vec<MirrorSerial>)>,
}

/// The inputs for the serials of a restored store, besides the store and the removal log.
#[derive(Debug, Clone, Default)]
pub struct RestoreSerials {
    /// The age of the copy, in seconds.
    pub age: u64,
    /// The serials of the mirrors.
    pub mirrors: MirrorSerials,
    /// By origin, the last serial that the zone is known to have published, and when.
    pub given_out: BTreeMap<String, (Serial, Time)>,
    /// The time of the copy.
    pub copied: Time,
    /// Whether to accept serials that are not newer for every mirror.
    pub force: bool,
}

/// Adds a serial that a zone had after all others. If a jump has made it older than another one by
/// RFC 1982, the others are dropped.
fn add_later(own: &mut Vec<Serial>, later: Serial) {
    if !own.iter().all(|o| *o <= later) {
        own.clear();
    }
    own.push(later);
}

/// The serial of a zone in the removal log.
#[derive(Debug, Clone, Copy)]
struct LoggedSerial {
    serial: Serial,
    at: Time,
    /// Whether the line was written after the copy was made.
    after_copy: bool,
}

impl RestoreSerials {
    /// The serials that a zone has had, according to the copy, the removal log, and the file of the
    /// mirrors.
    fn own_serials(
        &self,
        origin: &str,
        copied: Option<Serial>,
        logged: Option<LoggedSerial>,
    ) -> Vec<Serial> {
        let mut own: Vec<Serial> = copied.into_iter().collect();
        match logged {
            Some(l) if l.after_copy => add_later(&mut own, l.serial),
            l => own.extend(l.map(|l| l.serial)),
        }
        let Some(&(serial, at)) = self.given_out.get(origin) else {
            return own;
        };
        // The serials in the log are ahead of the published ones.
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

    /// Decides the serial from which each zone of a copy continues: after those of the log, or
    /// without a log after those that the zone may have reached since; and after those of the
    /// mirrors.
    ///
    /// # Errors
    ///
    /// [`LedgerError::SerialNotNewer`] names the mirrors for which a serial is not newer, without
    /// `force`.
    fn decide(
        &self,
        store: &Store,
        lines: Option<&[Line]>,
        out: &mut RestoreReport,
    ) -> Result<(), LedgerError> {
        let known = store.removals()?;
        let mut logged: BTreeMap<&String, LoggedSerial> = BTreeMap::new();
        for l in lines.unwrap_or_default() {
            let (at, after_copy) = (l.at.parse().unwrap_or_default(), l.n > known);
            for (origin, serial) in &l.serials {
                let serial = LoggedSerial {
                    serial: Serial(*serial),
                    at,
                    after_copy,
                };
                logged.insert(origin, serial);
            }
        }
        let zones = store.zones()?.into_iter();
        let mut zones: BTreeMap<_, _> = zones.map(|(o, r)| (o, Some(r.serial))).collect();
        // Include zones that were added after the copy: mirrors have their serials.
        for origin in logged.keys() {
            zones.entry((*origin).clone()).or_default();
        }
        for (origin, had) in zones {
            let logged = logged.get(&origin).copied();
            let step = logged.map_or(restore_step(self.age), |_| 1);
            let own = self.own_serials(&origin, had, logged);
            let (serial, left) = self.mirrors.jump(&origin, &own, Jump::Past(step));
            out.serials.push((origin.clone(), serial));
            if !left.is_empty() {
                out.left_behind.push((origin, serial, left));
            }
        }
        if !out.left_behind.is_empty() && !self.force {
            let left = out.left_behind.iter();
            let named: Vec<String> = left.map(|(z, s, left)| left_behind(z, *s, left)).collect();
            return Err(LedgerError::SerialNotNewer(format!(
                "{}; nothing was restored; use --force to restore nevertheless",
                named.join("\n")
            )));
        }
        Ok(())
    }
}

/// Replays the lines of a removal log into a restored store, and moves the serials of its zones
/// past all published ones; see [`RestoreSerials`]. The next transfer of each mirror is an AXFR.
///
/// # Errors
///
/// A serial is not newer for a mirror, or the store cannot be read or written.
pub fn restore(
    store: &Store,
    lines: Option<&[Line]>,
    serials: &RestoreSerials,
    now: Time,
) -> Result<RestoreReport, LedgerError> {
    let known = store.removals()?;
    let mut out = RestoreReport::default();
    serials.decide(store, lines, &mut out)?;
    let new = lines.unwrap_or_default().iter().filter(|l| l.n > known);
    let new: Vec<&Line> = new.collect();
    out.lines = new.len();
    let mut events: Vec<(Time, Removal)> = Vec::new();
    let mut v = Dictionary::clone(&store.dictionary());
    for l in &new {
        let at = l.at.parse().unwrap_or(now);
        events.extend(l.events.iter().map(|e| (at, e.clone())));
        let Some(rename) = &l.rename else { continue };
        // A name that the copy does not know has no listings. Decisions before the rename use the
        // old name.
        let _unknown = rename.apply(&mut v);
        for (_, e) in &mut events {
            if let Some(name) = &mut e.reason {
                rename.forward(NameKind::Reason, name);
            }
            if let Some(name) = &mut e.source {
                rename.forward(NameKind::Source, name);
            }
        }
    }
    out.decisions = events.len();
    // The dictionary of the copy may lack names of the decisions.
    for (_, e) in &events {
        if let Some(name) = &e.reason {
            v.reasons.add(name).map_err(LedgerError::Invalid)?;
        }
        if let Some(name) = &e.source {
            v.add_source(name).map_err(LedgerError::Invalid)?;
        }
    }
    let mut batch = Batch::default();
    dictionary_rows(&v, &mut batch);
    store.commit(batch)?;
    store.set_dictionary(v.clone());
    let limits = store.sight_limits()?;
    for part in events.chunks(REPLAY_BATCH) {
        let mut transaction = Transaction::new(now);
        for (at, e) in part {
            // The next start ends what has expired meanwhile.
            if let Some(kind) = e.event_kind(&v) {
                transaction.apply_event(store, &e.subject, &e.author, kind, *at)?;
            }
        }
        let seq = store.seq()? + 1;
        let mut batch = Batch::default();
        transaction.rows(seq, &limits, &mut batch);
        transaction.journal(seq, Vec::new(), store.journal_bytes()?, &mut batch);
        store.commit(batch)?;
    }
    let mut batch = Batch::default();
    for (origin, serial) in &out.serials {
        // With this hash, the next start uses the serial after this one, and sets a barrier.
        put_zone(&mut batch, origin, *serial, 0);
    }
    // The journal no longer leads from any published serial to the present one.
    batch.delete_range(schema::META, b"serial/".to_vec(), schema::after(b"serial/"));
    if let Some(last) = lines.and_then(|l| l.last()).filter(|l| l.n >= known) {
        known_line(last.n, Some(last.sum), &mut batch);
    }
    // A gap from before the copy does not matter: the copy has its decisions.
    batch.delete(schema::META, schema::REMOVALS_GAP.to_vec());
    store.commit(batch)?;
    Ok(out)
}

/// Checks that a log belongs to the store and continues from the last line that the store knows.
/// Returns the runs of missing lines, which are accepted only with `allow_gap`.
///
/// # Errors
///
/// The log belongs to another store, or lines are missing.
pub fn check_log(
    store: &Store,
    log: &Contents,
    allow_gap: bool,
) -> Result<Vec<(u64, u64)>, LedgerError> {
    let refuse = |why: String| Err(LedgerError::Invalid(why));
    let last = LastLine::of(store)?;
    let is_ours = |l: &Line| l.store.is_empty() || l.store == last.store;
    if !log.lines.iter().all(is_ours) {
        return refuse(
            "the removal log belongs to another store; name the log that this store has written"
                .into(),
        );
    }
    let is_other = |l: &Line| l.n == last.n && last.sum.is_some_and(|s| s != l.sum);
    let known = last.n;
    if log.lines.iter().any(is_other) {
        return refuse(format!(
            "line {known} of the removal log is not the one that this store has written; name the log of this store"
        ));
    }
    if log.lines.last().map_or(0, |l| l.n) < known {
        return refuse(format!(
            "the removal log ends before line {known}, which the store knows; name the complete log"
        ));
    }
    // A gap without a record is an error even before `known`, because it makes the rest doubtful.
    let (unrecorded, after) = (log.unrecorded_gaps(), log.missing_after(known));
    let others = after.iter().filter(|run| !unrecorded.contains(run));
    let missing: Vec<_> = unrecorded.iter().chain(others).copied().collect();
    if allow_gap || (missing.is_empty() && !log.end_damaged) {
        return Ok(after);
    }
    let mut why = match &missing[..] {
        [] => "the end of the removal log cannot be read".to_string(),
        missing => format!(
            "the removal log has a gap: {} missing, and the store knows the lines up to {known}",
            Ranges(missing)
        ),
    };
    let gaps = log.lines.iter();
    let gaps = gaps.filter_map(|l| Some(format!("{} {}", l.at, l.gap.as_ref()?)));
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
    refuse(format!(
        "{why}. Hosts that were removed in these lines would be listed again. Use another copy of the log or a newer copy of the store; `orbsd restore --allow-gap` replays the lines that can be read"
    ))
}

/// Restarts the log at a path, with a record of the reason, if the present log is missing or
/// damaged. Without this, the next start or a scrub would report the loss. An intact log stays as
/// it is.
///
/// # Errors
///
/// The file there is the log of another store, or the log cannot be written.
pub fn begin_log(store: &Store, path: &Path, why: &str, now: Time) -> Result<(), LedgerError> {
    let known = LastLine::of(store)?;
    let mut log = RemovalLog::open(path, known).map_err(LedgerError::Invalid)?;
    if log.check(true).is_ok() {
        return Ok(()); // The next start replays it.
    }
    let zones = store.zones()?.into_iter();
    let serials = zones.map(|(origin, zone)| (origin, zone.serial)).collect();
    log.restart(path, now, why, &serials)
        .map_err(LedgerError::Invalid)?;
    let mut batch = Batch::default();
    known_line(log.n(), log.sum(), &mut batch);
    Ok(store.commit(batch)?)
}

/// Replays the lines of the log that the store does not know: a copy was put back by hand, a
/// restore was interrupted, or a line was written whose commit was not. Serials then continue after
/// those in the log.
pub(super) fn catch_up(
    store: &Store,
    path: &Path,
    on_loss: OnLoss,
    mirrors: &MirrorSerials,
    now: Time,
) -> Result<(), LedgerError> {
    if !path.is_file() {
        return Ok(());
    }
    // The whole log is read only if its end has new lines. Damage is reported when the log is
    // opened.
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
    // Mirrors for which a serial is not newer must not prevent the start; they are logged.
    let serials = RestoreSerials {
        mirrors: mirrors.clone(),
        force: true,
        ..RestoreSerials::default()
    };
    let report = restore(store, Some(&log.lines), &serials, now)?;
    for (zone, serial, left) in &report.left_behind {
        tracing::error!("{}", left_behind(zone, *serial, left));
    }
    tracing::warn!(
        lines = report.lines,
        decisions = report.decisions,
        ?missing,
        "replayed decisions of the removal log that the store did not have"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(serial: u32, at: u64, after_copy: bool) -> Option<LoggedSerial> {
        Some(LoggedSerial {
            serial: Serial(serial),
            at: Time(at),
            after_copy,
        })
    }

    /// The serials of a zone that has serial 10 in the copy, which was made at time 100.
    fn own(logged: Option<LoggedSerial>, given_out: Option<(u32, u64)>) -> Vec<u32> {
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
    fn serial_logged_after_the_copy_replaces_one_that_it_jumped_past() {
        let far = 10 + Serial::HALF - 1 + 4096;
        assert_eq!(own(logged(far, 200, true), None), [far]);
        assert_eq!(own(logged(5000, 200, true), None), [10, 5000]);
        assert_eq!(own(logged(4100, 50, false), None), [10, 4100]);
        assert_eq!(
            own(logged(far, 200, true), Some((12, 150))),
            [far],
            "a serial published before the jump does not count"
        );
    }

    #[test]
    fn published_serial_counts_unless_the_copy_or_the_log_has_a_later_one() {
        let far = 10 + Serial::HALF - 1 + 4096;
        assert_eq!(own(None, Some((70, 200))), [10, 70]);
        assert_eq!(own(None, Some((far, 200))), [far]);
        assert_eq!(
            own(None, Some((70, 100))),
            [10, 70],
            "published in the second of the copy"
        );
        assert_eq!(own(None, Some((9, 99))), [10], "the copy is newer");
        assert_eq!(own(logged(5000, 200, true), Some((900, 300))), [10, 5000]);
        assert_eq!(
            own(logged(5000, 200, true), Some((9000, 300))),
            [10, 5000, 9000],
            "the log is older"
        );
    }
}
