//! Outages and load of the collector.

use super::*;

/// If an outage cannot be stored while it lasts, it is stored later with its full length.
#[test]
fn outage_that_cannot_be_stored_is_stored_later() {
    let b = Bench::new();
    let written = || {
        b.relay
            .batch(b.now)
            .get(OUTAGES, &())
            .unwrap()
            .unwrap_or_default()
    };
    let full = |full: bool| {
        b.relay
            .ledger
            .health
            .set(full.then(|| "the disk is full".into()));
    };
    let at = |n: u64| b.now.plus(Seconds(n));
    let down = |n: u64| {
        b.relay
            .report_health(Component::Collector, Some(("down".into(), at(n))), at(n))
    };
    // The outage still lasts when the store recovers.
    full(true);
    assert!(down(0).is_err());
    assert_eq!(
        (b.relay.problem().as_deref(), written()),
        (Some("collector: down"), vec![]),
        "the problem counts even if it is not stored"
    );
    full(false);
    down(30).unwrap();
    assert_eq!(written(), [(at(0), None)]);
    b.relay
        .report_health(Component::Collector, None, at(60))
        .unwrap();
    assert_eq!(written(), [(at(0), Some(at(60)))]);
    // The outage is over when the store recovers.
    full(true);
    assert!(down(100).is_err());
    assert!(
        b.relay
            .report_health(Component::Collector, None, at(130))
            .is_err()
    );
    full(false);
    b.relay
        .report_health(Component::Collector, None, at(160))
        .unwrap();
    assert_eq!(written(), [(at(0), Some(at(60))), (at(100), Some(at(160)))]);
    assert_eq!(b.relay.problem(), None);
}

/// Once, idle sessions of other clients occupied all slots of the collector, and after two days
/// every waiting claim was granted untested.
#[test]
fn load_delays_an_untested_grant_by_at_most_seven_days() {
    let day = |n: u64| n * 86_400;
    for (load, granted) in [(0, 2), (1, 3), (5, 7), (30, 9)] {
        let mut b = Bench::new();
        let host = "127.64.0.1";
        b.prove(host);
        b.later(10);
        b.claim(host);
        let claimed = b.now;
        let at = |n: u64| claimed.plus(Seconds(n));
        b.relay
            .report_load((load > 0).then_some(at(0)), at(0))
            .unwrap();
        b.relay
            .report_load((load > 0).then_some(at(0)), at(30))
            .unwrap();
        for hour in (0..day(12)).step_by(3600) {
            if hour == day(load) {
                b.relay.report_load(None, at(hour)).unwrap();
            }
            b.relay.tick(at(hour)).unwrap();
            assert_eq!(
                b.listed(host).is_empty(),
                hour >= day(granted),
                "{load} days of load, after {hour} s"
            );
        }
        assert_eq!(b.relay.problem(), None, "load does not stop tests");
    }
}

/// A message that was sent under load may not have arrived, so its absence does not count for the
/// host.
#[test]
fn waiting_period_is_paused_under_load_across_a_restart() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    b.begin_waiting(host);
    b.tick();
    let begun = b.now;
    b.relay.report_load(Some(b.now), b.now).unwrap();
    b.later(2 * 86_400);
    b.tick();
    // The daemon stops under load and starts a moment later without load.
    b.restart();
    b.relay.report_load(None, b.now).unwrap();
    b.now = begun.plus(WAITING_PERIOD).plus(Seconds(2 * 86_400 - 1));
    b.tick();
    assert_eq!(b.listed(host), ["relay"]);
    b.later(200);
    b.tick();
    assert!(b.listed(host).is_empty());
}

/// Once, an outage that was open at a stop paused every waiting period for ever, and downtime did
/// not count as an outage.
#[test]
fn downtime_ends_an_outage_and_counts_as_one() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    b.begin_waiting(host);
    let begun = b.now;
    b.tick();
    b.stop_collector();
    // The daemon is down for two days, then starts without knowledge of the problem.
    b.later(2 * 86_400);
    b.restart();
    let outages: Vec<Outage> = b.relay.batch(b.now).get(OUTAGES, &()).unwrap().unwrap();
    assert!(outages.iter().all(|o| o.1.is_some()), "{outages:?}");
    let lost = outage_time(&outages, begun, b.now);
    assert!(
        lost >= Seconds(2 * 86_400) && lost <= Seconds(4 * 86_400 + 10),
        "{lost:?}"
    );
    b.now = begun.plus(WAITING_PERIOD).plus(lost);
    b.tick();
    assert!(b.listed(host).is_empty());
}
