//! Checks of the daemon, its backups, its files and its certificates.

use super::*;

/// The findings about a clock.
fn clock_findings(clock: &Clock) -> Vec<Finding> {
    clock.check();
    daemon::clock(&(&clock.report()).into())
}

#[test]
fn clock_that_differs_or_is_not_synchronised_is_named_with_its_remedy() {
    let time = ManualTime::at(1_800_000_000);
    let own = Clock::start(time.clone(), None, TrustAtStart::Plausible, None);
    let [agrees, synchronised] = &clock_findings(&own)[..] else {
        panic!("two findings");
    };
    assert_eq!(agrees.state, State::Good);
    expect(synchronised, State::Warning, "synchronised", "chrony");
    assert_eq!(synchronised.target, "wall clock");
    time.set_synchronised(true);
    assert!(clock_findings(&own).iter().all(|f| f.state == State::Good));
    time.step(3600);
    let found = clock_findings(&own);
    expect(
        &found[0],
        State::Fault,
        "3600 s ahead of",
        "orbsd clock accept",
    );
}

fn feed() -> FeedResponse {
    FeedResponse {
        feed: "xbl".into(),
        from: "lists/xbl.txt".into(),
        checked: Some(NOW.into()),
        refreshed: Some(Time(NOW.0 - 900).into()),
        ..FeedResponse::default()
    }
}

#[test]
fn feed_without_a_refresh_for_three_intervals_is_dead() {
    let problem = || Some("lists/xbl.txt: No such file or directory".to_string());
    let assess = |f: FeedResponse, interval| daemon::feed(&f, Some(Seconds(interval)), NOW);
    let failing = || FeedResponse {
        problem: problem(),
        ..feed()
    };
    expect(&assess(feed(), 900)[0], State::Good, "last refreshed", "");
    expect(
        &assess(failing(), 300)[0],
        State::Warning,
        "No such file",
        "lists/xbl.txt",
    );
    let dead = &assess(failing(), 299)[0];
    expect(dead, State::Fault, "No such file", "orbsd feed show xbl");
    assert_eq!((dead.check, dead.target.as_str()), ("refresh", "xbl"));
    let never = FeedResponse {
        refreshed: None,
        ..failing()
    };
    expect(
        &assess(never, 86_400)[0],
        State::Fault,
        "never refreshed",
        "xbl",
    );
    // Without the configuration, the interval is unknown.
    expect(
        &daemon::feed(&failing(), None, NOW)[0],
        State::Fault,
        "No such file",
        "xbl",
    );
    expect(
        &assess(feed(), 200)[0],
        State::Warning,
        "3 intervals",
        "xbl",
    );
    let new = FeedResponse {
        checked: None,
        refreshed: None,
        ..feed()
    };
    expect(
        &assess(new, 900)[0],
        State::NotSeen,
        "not been checked",
        "later",
    );
}

#[test]
fn missing_and_old_backups_are_named() {
    let backup = |age: u64| LastBackupResponse {
        at: Time(NOW.0 - age).into(),
        commit: 7,
    };
    expect(
        &daemon::backup(None, NOW),
        State::Fault,
        "no backup",
        "orbsd backup",
    );
    expect(
        &daemon::backup(Some(&backup(2 * DAY)), NOW),
        State::Good,
        "commit 7",
        "",
    );
    expect(
        &daemon::backup(Some(&backup(2 * DAY + 1)), NOW),
        State::Warning,
        "2d ago",
        "orbsd backup",
    );
    expect(
        &daemon::backup(Some(&backup(7 * DAY + 1)), NOW),
        State::Fault,
        "7d ago",
        "timer",
    );
}

#[test]
fn lost_removal_log_is_a_fault() {
    let mut log = RemovalLogResponse {
        path: Some("data/removals.log".into()),
        line: Some(3),
        problem: None,
        gap: None,
    };
    expect(&daemon::removal_log(&log), State::Good, "complete", "");
    log.gap = Some(RemovalGapResponse {
        line: 3,
        at: NOW.into(),
        missing: vec![(1, 2)],
        cause: "it was truncated".into(),
    });
    expect(
        &daemon::removal_log(&log),
        State::Fault,
        "truncated",
        "orbsd backup",
    );
    log.problem = Some("it was deleted".into());
    expect(
        &daemon::removal_log(&log),
        State::Fault,
        "deleted",
        "on_loss",
    );
}

#[test]
fn disk_is_judged_by_its_free_space_and_the_size_of_the_store() {
    let mib = |n: u64| n << 20;
    let assess = |free: u64, store: u64| {
        let found = Disk {
            name: "store",
            free: mib(free),
            size: mib(100_000),
        };
        disk(&found, mib(store))
    };
    expect(&assess(512, 10), State::Good, "512 MiB of 100000 MiB", "");
    expect(&assess(511, 10), State::Warning, "511 MiB", "[store] path");
    expect(&assess(63, 10), State::Fault, "63 MiB", "[store] path");
    expect(
        &assess(3999, 4000),
        State::Warning,
        "4000 MiB",
        "larger disk",
    );
    expect(&assess(999, 4000), State::Fault, "999 MiB", "larger disk");
    assert_eq!(assess(999, 4000).target, "disk of store");
}

#[test]
fn open_files_near_the_limit_are_a_fault_and_lowered_connections_a_warning() {
    let short = || Some("[connections] is reduced".to_string());
    expect(
        &assess_files(examination(), Some(20), 1024, None),
        State::Good,
        "20 files",
        "",
    );
    expect(
        &assess_files(examination(), None, 1024, None),
        State::Good,
        "at most 1024",
        "",
    );
    expect(
        &assess_files(examination(), Some(20), 256, short()),
        State::Warning,
        "reduced",
        "LimitNOFILE",
    );
    expect(
        &assess_files(examination(), Some(922), 1024, short()),
        State::Fault,
        "922 files",
        "LimitNOFILE",
    );
    let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                  Max processes             100                  200                  processes \n\
                  Max open files            1024                 524288               files     \n";
    assert_eq!(file_limit(limits), Some(1024));
    assert_eq!(
        file_limit("Max open files            unlimited            unlimited            files"),
        Some(u64::MAX)
    );
    assert_eq!(file_limit("Max processes 5 5 processes"), None);
}

#[test]
fn certificate_is_judged_by_its_end() {
    let assess = |end: u64| assess_end(examination(), Time(end), NOW);
    expect(&assess(NOW.0), State::Fault, "expired", "renew");
    expect(
        &assess(NOW.0 + 14 * DAY - 1),
        State::Warning,
        "less than",
        "renew",
    );
    expect(&assess(NOW.0 + 14 * DAY), State::Good, "valid until", "");
}
