//! Stores of earlier versions.

use super::*;

/// Proofs of an earlier version get their index rows at the start.
#[test]
fn proofs_of_an_earlier_store_still_count() {
    let mut b = Bench::new();
    let host = "127.64.0.1";
    b.prove(host);
    let mut batch = b.relay.batch(b.now);
    for k in batch.scan(&LISTING_PROOFS.all(), 9).unwrap() {
        batch.delete(LISTING_PROOFS, &k);
    }
    b.relay.write(batch).unwrap();
    assert!(b.relay.listing(ip(host), 9, |_| true).unwrap().is_empty());
    b.relay.resume(b.now).unwrap();
    assert_eq!(b.relay.listing(ip(host), 9, |_| true).unwrap().len(), 1);
}

/// A store of an earlier version has no index of due jobs.
#[test]
fn open_jobs_of_an_earlier_store_become_due() {
    let mut b = Bench::new();
    let queued = b.nominate("127.64.0.1", "anna");
    let job = b.nominate("127.65.0.1", "anna");
    let (job, _) = b.begin(&job).unwrap();
    let mut batch = b.relay.batch(b.now);
    for k in batch.scan(&DUE_JOBS.all(), 99).unwrap() {
        batch.delete(DUE_JOBS, &k);
    }
    b.relay.write(batch).unwrap();
    assert!(b.relay.due(9, b.now).unwrap().is_empty());
    b.relay.resume(b.now).unwrap();
    assert_eq!(b.relay.due(9, b.now).unwrap()[0].id, queued.id);
    b.later(300);
    assert_eq!(
        b.relay
            .due(9, b.now)
            .unwrap()
            .iter()
            .map(|j| j.id)
            .collect::<Vec<_>>(),
        [queued.id, job.id]
    );
}
