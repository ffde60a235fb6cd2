//! Findings from what the daemon reports: its state, the clock, feeds, backups and the removal log.

use super::{
    context::{Context, NoReport},
    finding::{Area, Examination, Finding},
};
use crate::{
    api::{
        ClockResponse, ClockStateName, FeedResponse, LastBackupResponse, RemovalLogResponse,
        StatusResponse, WriteState,
    },
    model::{Time, time::Seconds},
};

/// The age of the last backup that is a warning.
const OLD_BACKUP: Seconds = Seconds(2 * 86_400);
/// The age of the last backup that is a fault.
const TOO_OLD_BACKUP: Seconds = Seconds(7 * 86_400);
/// A feed is dead after this many intervals without a refresh.
const MAX_MISSED_REFRESHES: u64 = 3;

/// Reports the state of the daemon.
pub(super) fn check(context: &Context) -> Vec<Finding> {
    let target = match &context.socket {
        Some(socket) => socket.display().to_string(),
        None => "daemon".into(),
    };
    match &context.daemon {
        Ok(daemon) => state(&daemon.status, &target),
        Err(NoReport::NotRunning(why)) => {
            vec![Examination::new(Area::Daemon, "running", target).fault(
                why.clone(),
                "start it with `systemctl start orbsd` (`orbsd serve`), and read its log if it ends",
            )]
        }
        Err(NoReport::NoAccess(why)) => {
            vec![Examination::new(Area::Daemon, "running", target).not_seen(
                why.clone(),
                "run this as root, as the daemon's user or as a member of `socket_group`, or name the socket with `--socket`",
            )]
        }
    }
}

/// The state of a running daemon.
pub(super) fn state(status: &StatusResponse, target: &str) -> Vec<Finding> {
    let examination = |check, target: &str| Examination::new(Area::Daemon, check, target);
    let mut out =
        vec![examination("running", target).good(format!("it runs since {}", status.started))];
    let why = status.problem.clone().unwrap_or_default();
    out.push(match status.writes {
        WriteState::Accepted => examination("writes", target).good("changes are accepted"),
        WriteState::Refused => examination("writes", target).fault(
            format!("changes are refused: {why}"),
            "`orbsd status` has the cause and its remedy; free space on the disk of the store first",
        ),
    });
    let damage = status.integrity.damage.iter();
    out.extend(damage.map(|d| {
        examination("store", target).fault(
            format!("the store is damaged: {}", d.description),
            "run `orbsd scrub`; if it finds damage again, restore the last backup (`orbsd restore`)",
        )
    }));
    out.extend(status.unconfigured.iter().map(|l| {
        examination("names", &l.name).warning(
            l.message.clone(),
            "configure the name again, or accept its loss by `orbsd reload --force`",
        )
    }));
    let exports = status.exports.iter();
    out.extend(exports.filter_map(|e| {
        let why = e.problem.as_ref()?;
        let target = e.path.display().to_string();
        Some(examination("export", &target).warning(
            format!("the file is not current: {why}"),
            "make its folder writable for the daemon's user, or free space on its disk",
        ))
    }));
    out.extend(status.tester.problem.iter().map(|why| {
        examination("tester", target).warning(
            format!("relay tests are paused: {why}"),
            "remove the cause; `orbsd status` shows when tests run again",
        )
    }));
    out
}

/// The state of the clock.
pub(super) fn clock(clock: &ClockResponse) -> Vec<Finding> {
    let examination = |check| Examination::new(Area::Clock, check, "wall clock");
    let agreement = match (clock.state, &clock.problem) {
        (ClockStateName::Agrees, _) => examination("time").good("it agrees with trusted time"),
        (_, problem) => examination("time").fault(
            problem.clone().unwrap_or_default(),
            "set the clock by NTP (`chronyc makestep`), then run `orbsd clock accept`",
        ),
    };
    let synchronised = match clock.synchronised {
        true => examination("synchronised").good("the kernel reports that it is synchronised"),
        false => examination("synchronised").warning(
            "the kernel does not report that it is synchronised; a wrong clock ends listings at wrong times and breaks TSIG",
            "install and start an NTP client, such as chrony (`apt install chrony`); in a container, on its host",
        ),
    };
    vec![agreement, synchronised]
}

/// The state of a feed. `interval` is that of its configuration, if it is known.
pub(super) fn feed(feed: &FeedResponse, interval: Option<Seconds>, now: Time) -> Vec<Finding> {
    let examination = |check| Examination::new(Area::Feeds, check, feed.feed.clone());
    let mut out = Vec::new();
    if let Some(held) = &feed.held {
        out.push(examination("held").warning(
            format!(
                "a list is held since {}, because it exceeds a limit: {}",
                held.since, held.limit
            ),
            format!(
                "look at it with `orbsd feed show {0}`, then run `orbsd feed accept {0}` or `orbsd feed refuse {0}`",
                feed.feed
            ),
        ));
    }
    let age = feed.refreshed.map(|at| now.0.saturating_sub(at.0.0));
    let last = match feed.refreshed {
        Some(at) => format!("last refreshed {at}"),
        None => "never refreshed".into(),
    };
    let limit = interval.map(|i| i.0.saturating_mul(MAX_MISSED_REFRESHES));
    let is_dead = match (age, limit) {
        (Some(age), Some(limit)) => age > limit,
        (None, _) | (_, None) => true,
    };
    let remedy = format!(
        "check {} and the network to it, or remove the feed; `orbsd feed show {}` has the last error",
        feed.from, feed.feed
    );
    out.push(match (&feed.problem, is_dead) {
        (Some(why), true) => examination("refresh").fault(format!("{last}: {why}"), remedy),
        (Some(why), false) => examination("refresh").warning(format!("{last}: {why}"), remedy),
        // A feed that has just been added is being checked.
        (None, _) if feed.checked.is_none() => {
            examination("refresh").not_seen("it has not been checked yet", "run this again later")
        }
        (None, true) if feed.refreshed.is_some() && limit.is_some() => examination("refresh")
            .warning(
                format!("{last}, which is more than {MAX_MISSED_REFRESHES} intervals ago"),
                remedy,
            ),
        (None, _) => examination("refresh").good(last),
    });
    out
}

/// The age of the last backup.
pub(super) fn backup(last: Option<&LastBackupResponse>, now: Time) -> Finding {
    const REMEDY: &str = "run `orbsd backup DIR` daily by a timer, and copy DIR and the removal log to another machine";
    let examination = Examination::new(Area::Backup, "age", "store");
    let Some(last) = last else {
        return examination.fault("no backup was ever made", REMEDY);
    };
    let age = Seconds(now.0.saturating_sub(last.at.0.0));
    let what = format!("the last backup is of {} (commit {})", last.at, last.commit);
    if age > TOO_OLD_BACKUP {
        examination.fault(format!("{what}, more than {TOO_OLD_BACKUP} ago"), REMEDY)
    } else if age > OLD_BACKUP {
        examination.warning(format!("{what}, more than {OLD_BACKUP} ago"), REMEDY)
    } else {
        examination.good(what)
    }
}

/// The state of the removal log.
pub(super) fn removal_log(log: &RemovalLogResponse) -> Finding {
    let path = log.path.as_ref();
    let path = path.map_or("removal log".into(), |p| p.display().to_string());
    let examination = Examination::new(Area::Backup, "removal-log", path);
    match (&log.problem, &log.gap) {
        (Some(why), _) => examination.fault(
            why.clone(),
            "put the file back, or set `on_loss = \"restart\"` in [removal_log] and reload; then make a backup",
        ),
        (None, Some(gap)) => examination.fault(
            format!("lines are missing since {}: {}", gap.at, gap.cause),
            "run `orbsd backup DIR` now: older backups cannot be restored without loss",
        ),
        (None, None) => examination.good("it is complete"),
    }
}
