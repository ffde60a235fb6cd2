//! The retention of rows.

use super::*;
use crate::relay::{
    ForgottenRows,
    tables::{NETWORK_BUDGETS, PREFIX_BUDGETS},
};

/// S12: evidence is kept while its host is listed, and 90 days after.
#[test]
fn evidence_is_kept_ninety_days_after_its_listing() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    let job = b.nominate(host, "anna");
    let (job, ready) = b.run(&job, &accepted());
    b.deliver(&ready[0], host);
    let proofs = |b: &Bench| b.relay.proofs(ip(host), true, 9).unwrap().len();
    b.later(200 * 86_400);
    b.relay.forget(b.now).unwrap();
    assert_eq!(
        (proofs(&b), b.relay.transcript(job.id).unwrap().is_empty()),
        (1, false),
        "the host is still listed"
    );
    b.relay
        .review(&who("anna"), ip(host), "closed", b.now)
        .unwrap();
    // The history has the release at the time of the ledger's clock, which is the wall clock.
    let released = wall();
    b.relay.forget(released.plus(Seconds(89 * 86_400))).unwrap();
    assert_eq!(proofs(&b), 1);
    b.relay.forget(released.plus(Seconds(91 * 86_400))).unwrap();
    assert_eq!(
        (proofs(&b), b.relay.transcript(job.id).unwrap().is_empty()),
        (0, true)
    );
}

/// S12: the transcript of a closed host is kept for 90 days, which is shorter than its job.
#[test]
fn transcript_of_a_closed_host_is_removed_after_ninety_days() {
    let mut b = Bench::new();
    let job = b.nominate("127.64.0.1", "anna");
    let (job, _) = b.run(&job, &refused());
    let transcript = |b: &Bench| b.relay.transcript(job.id).unwrap();
    b.later(89 * 86_400);
    b.relay.forget(b.now).unwrap();
    assert!(!transcript(&b).is_empty());
    b.later(2 * 86_400);
    b.relay.forget(b.now).unwrap();
    assert!(transcript(&b).is_empty());
    assert_eq!(b.relay.job(job.id).unwrap().id, job.id);
}

#[test]
fn text_of_a_reporter_is_erased_ninety_days_after_the_test() {
    let mut b = Bench::new();
    let job = b.nominate("127.64.0.1", "anna");
    let (job, _) = b.run(&job, &refused());
    let text = |b: &Bench| b.relay.job(job.id).unwrap().evidence.text;
    b.later(89 * 86_400);
    assert_eq!(b.relay.forget(b.now).unwrap().texts, 0);
    assert!(!text(&b).is_empty());
    b.later(2 * 86_400);
    let forgotten = b.relay.forget(b.now).unwrap();
    assert_eq!(
        (forgotten.texts, forgotten.evidence, forgotten.jobs),
        (1, 1, 0)
    );
    assert_eq!(text(&b), "");
    assert_eq!(b.relay.forget(b.now).unwrap(), ForgottenRows::default());
}

/// Once, the rows of hosts, prefixes and reporters were kept for ever.
#[test]
fn records_of_unused_hosts_and_reporters_are_removed() {
    let mut b = Bench::new();
    for (host, delivers) in [("127.64.0.1", true), ("127.65.0.1", false)] {
        let job = b.nominate_as(
            "rep",
            Nomination {
                decides: false,
                ..b.nomination(host, "log")
            },
        );
        let job = b.relay.decide(&who("anna"), job.id, true, b.now).unwrap();
        let (_, ready) = b.run(&job, &accepted());
        if delivers {
            b.deliver(&ready[0], host);
        }
    }
    fn count<K: crate::ledger::KeyPart, V>(b: &Bench, table: &RelayTable<K, V>) -> usize {
        b.relay.batch(b.now).scan(&table.all(), 99).unwrap().len()
    }
    let rows = |b: &Bench| {
        [
            count(b, HOSTS),
            count(b, PREFIX_BUDGETS),
            count(b, NETWORK_BUDGETS),
            count(b, REPORTERS),
        ]
    };
    assert_eq!(rows(&b), [2, 2, 2, 1]);
    b.later(2 * 86_400);
    b.relay.forget(b.now).unwrap();
    assert_eq!(rows(&b), [2, 0, 0, 1]);
    b.later(402 * 86_400);
    b.relay.forget(b.now).unwrap();
    assert_eq!(rows(&b), [1, 0, 0, 0], "the row of a listed host is kept");
}
