use proptest::prelude::*;

use super::*;
use crate::{
    ledger::{
        Import, LedgerSettings,
        tests::{Bench, DAY},
        writer::expiry::tests::relay_entry,
    },
    model::{Serial, time::Seconds},
};

const HOST: &str = "45.51.1.1";

/// The settings of a bench whose zone publishes only what was seen within some days.
fn within(b: &Bench, days: Option<u64>) -> LedgerSettings {
    let mut settings = b.settings.clone();
    settings.zones[0].publish[0].seen_within = days.map(|days| Seconds(days * DAY));
    settings
}

/// A ledger whose zone publishes only what was seen within seven days.
fn week() -> Bench {
    let mut b = Bench::new();
    b.stop();
    b.settings = within(&b, Some(7));
    b.start();
    b
}

fn serials(b: &Bench) -> Vec<Serial> {
    b.ledger().published.snapshot().serials.to_vec()
}

fn import(b: &Bench, name: &str) -> SourceId {
    let source = b.ledger().source(name).unwrap();
    let mut import = Import::replace(source);
    b.ledger()
        .import_with(&mut import, |_, sink| {
            sink("45.51.2.1".parse().unwrap(), relay_entry(b.ledger()))
        })
        .unwrap();
    source
}

#[test]
fn listing_leaves_the_zone_at_its_second_and_returns_when_it_is_renewed() {
    let b = week();
    b.list(HOST, 90);
    let subject: Subject = HOST.parse().unwrap();
    let listed = b.ledger().store.verdict(&subject).unwrap();
    let until = listed.entries[0].until;
    b.pass(7 * DAY - 1);
    assert!(b.listed(HOST));
    let before = serials(&b);
    b.pass(1);
    assert!(!b.listed(HOST));
    assert!(serials(&b) > before, "a new serial");
    let aged = b.ledger().store.verdict(&subject).unwrap();
    assert_eq!(aged.entries.len(), 1, "it stays listed");
    assert_eq!(
        (aged.entries[0].since, aged.entries[0].until),
        (listed.entries[0].since, until)
    );
    assert_eq!(schema::revision(&aged), schema::revision(&listed));
    assert_eq!(b.ledger().store.history(&subject).unwrap().len(), 1);
    b.list(HOST, 90);
    assert!(b.listed(HOST));
    b.pass(7 * DAY - 1);
    assert!(b.listed(HOST));
    b.pass(1);
    assert!(!b.listed(HOST));
    b.pass(83 * DAY);
    let ended = b.ledger().store.verdict(&subject).unwrap();
    assert!(ended.is_empty(), "its end is that of the renewal");
}

#[test]
fn ages_survive_a_start_from_an_image_and_from_the_rows() {
    let mut b = week();
    b.list(HOST, 90);
    b.pass(7 * DAY);
    b.list("45.51.1.2", 90);
    for has_image in [true, false] {
        b.stop();
        let image = b.dir.path().join("data/image");
        if !has_image {
            std::fs::remove_file(image).unwrap();
        }
        b.start();
        assert!(!b.listed(HOST) && b.listed("45.51.1.2"), "{has_image}");
    }
    // What is due while the daemon is stopped has left the zone before the first answer.
    b.stop();
    b.time.pass(8 * DAY as i64);
    b.start();
    assert!(!b.listed("45.51.1.2"));
}

#[test]
fn upgrade_takes_the_last_sight_from_the_history() {
    let mut b = week();
    b.list(HOST, 90);
    b.pass(5 * DAY);
    b.list(HOST, 90);
    b.list("45.51.1.2", 90);
    let store = &b.ledger().store;
    let subject: Subject = HOST.parse().unwrap();
    let verdict = store.verdict(&subject).unwrap();
    assert_eq!(verdict.entries[0].seen, b.ledger().now());
    let mut batch = Batch::default();
    let earlier = schema::encode(&verdict.without_sights());
    batch.put(schema::VERDICTS, subject.key(), earlier);
    batch.put(
        schema::META,
        b"version".to_vec(),
        8u32.to_be_bytes().to_vec(),
    );
    store.commit(batch).unwrap();
    b.stop();
    b.start();
    assert_eq!(b.ledger().store.verdict(&subject).unwrap(), verdict);
    b.pass(7 * DAY - 60);
    assert!(b.listed(HOST));
}

#[test]
fn interrupted_move_of_due_times_is_done_again_with_the_old_limits() {
    let mut b = Bench::new();
    b.list(HOST, 20);
    let store = &b.ledger().store;
    let subject: Subject = HOST.parse().unwrap();
    let end = store.verdict(&subject).unwrap().entries[0].until.unwrap();
    // A move to other limits has changed this row, and was interrupted before its last batch.
    let mut batch = Batch::default();
    put_sight_limits(&SightLimits::unknown(), &mut batch);
    batch.delete(schema::DUE, schema::due_key(end, &subject));
    store.commit(batch).unwrap();
    b.stop();
    b.start();
    b.pass(20 * DAY);
    assert!(!b.listed(HOST));
}

#[test]
fn reload_applies_a_new_limit_to_what_is_listed() {
    let b = Bench::new();
    b.list(HOST, 90);
    b.pass(10 * DAY);
    assert!(b.listed(HOST));
    let reload = |days| b.ledger().configure(within(&b, days)).unwrap();
    reload(Some(7));
    assert!(!b.listed(HOST), "at once");
    reload(Some(30));
    assert!(b.listed(HOST));
    b.pass(20 * DAY);
    assert!(!b.listed(HOST), "at its second");
    reload(None);
    assert!(b.listed(HOST));
}

#[test]
fn aging_changes_only_the_serials_of_zones_with_the_limit() {
    let mut b = Bench::new();
    b.stop();
    let mut settings = within(&b, Some(7));
    let mut other = b.settings.zones[0].clone();
    other.origin = "other.orbs.example".into();
    let mut longer = other.clone();
    longer.origin = "longer.orbs.example".into();
    longer.publish[0].seen_within = Some(Seconds(30 * DAY));
    settings.zones.extend([other, longer]);
    b.settings = settings;
    b.start();
    b.list(HOST, 90);
    let before = serials(&b);
    b.pass(7 * DAY);
    let after = serials(&b);
    assert!(!b.listed(HOST));
    let moved = before.iter().zip(&after).map(|(b, a)| a != b);
    assert_eq!(moved.collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn rule_for_one_source_gets_no_serial_for_listings_of_others() {
    let mut b = Bench::new();
    b.stop();
    b.settings.zones[0].publish[0].sources = vec!["xbl".into()];
    b.start();
    let before = serials(&b);
    b.list(HOST, 90);
    assert!(!b.listed(HOST));
    assert_eq!(serials(&b), before);
    import(&b, "xbl");
    assert!(b.listed("45.51.2.1"));
    assert!(serials(&b) > before);
}

#[test]
fn feed_leaves_the_zone_as_a_whole_and_returns_with_the_same_list() {
    let mut b = week();
    let source = import(&b, "xbl");
    b.pass(5 * DAY);
    import(&b, "xbl");
    b.pass(7 * DAY - 1);
    assert!(b.listed("45.51.2.1"));
    let before = serials(&b);
    b.pass(1);
    assert!(!b.listed("45.51.2.1"));
    assert!(serials(&b) > before, "a new serial");
    b.stop();
    b.start();
    assert!(!b.listed("45.51.2.1"));
    let row = |b: &Bench| {
        let dictionary = b.ledger().store.dictionary();
        let generation = dictionary.records[usize::from(source.0)].generation;
        let rows = b.ledger().store.feed_rows(source, generation, 9);
        rows.unwrap()
    };
    let rows = row(&b);
    import(&b, "xbl");
    assert!(b.listed("45.51.2.1"));
    assert_eq!(row(&b), rows, "no row is written for it");
}

#[derive(Debug, Clone)]
enum Step {
    List(u8),
    Pass(u64),
    Limit(Option<u64>),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u8..5).prop_map(Step::List),
        4 => (1u64..12 * DAY).prop_map(Step::Pass),
        1 => prop::option::of(1u64..30).prop_map(Step::Limit),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    /// After each step, each address is published if it was listed or renewed within the limit.
    #[test]
    fn addresses_are_published_while_they_were_seen_within_the_limit(
        steps in prop::collection::vec(step(), 1..20),
    ) {
        let mut b = week();
        let host = |n: u8| format!("45.51.3.{n}");
        let mut limit = Some(7);
        let mut seen: [Option<Time>; 5] = [None; 5];
        for step in steps {
            match step {
                Step::List(n) => {
                    b.list(&host(n), 3000);
                    seen[usize::from(n)] = Some(b.ledger().now());
                }
                Step::Pass(seconds) => b.pass(seconds),
                Step::Limit(days) => {
                    limit = days;
                    b.settings = within(&b, days);
                    b.ledger().configure(b.settings.clone()).unwrap();
                }
                Step::Restart => {
                    b.stop();
                    b.time.pass(5);
                    b.start();
                }
            }
            b.tick();
            let now = b.ledger().now();
            for (n, seen) in (0u8..).zip(&seen) {
                let is_recent = |seen: &Time| limit.is_none_or(|d| now < seen.plus(Seconds(d * DAY)));
                let expected = seen.as_ref().is_some_and(is_recent);
                prop_assert_eq!(b.listed(&host(n)), expected, "{} at {}", host(n), now);
            }
        }
    }
}
