//! Budgets of prefixes and networks.

use super::*;

/// Proved claims do not use up the budget of the prefix, so none is granted untested.
#[test]
fn all_proved_claims_of_a_prefix_are_tested() {
    let mut b = Bench::new();
    let hosts: Vec<String> = (1..=7).map(|i| format!("127.64.0.{i}")).collect();
    for host in &hosts {
        let job = b.nominate(host, "anna");
        b.now = job.not_before.max(b.now);
        b.relay.due(9, b.now).unwrap();
        let (_, ready) = b.run(&job, &accepted());
        b.deliver(&ready[0], host);
        b.later(9 * 3600);
    }
    for host in &hosts {
        assert_eq!(b.claim(host).job.state, JobState::Queued, "{host}");
    }
}

/// S3: the budget of a network spans its prefixes. Proved claims do not count.
#[test]
fn few_hosts_of_a_network_are_tested_in_a_day() {
    let mut b = Bench::new();
    let table = Networks::read("127.64.0.0/16 64500\n127.65.0.0/16 64500\n").unwrap();
    b.relay.configure(RelaySettings {
        max_hosts_per_asn: 4,
        asn_table: Arc::new(table),
        ..(*b.relay.settings()).clone()
    });
    for i in 0..4 {
        let job = b.nominate(&format!("127.{}.{i}.1", 64 + i % 2), "anna");
        let (_, ready) = b.run(&job, &accepted());
        b.deliver(&ready[0], &job.target.to_string());
    }
    let fifth = b.nominate("127.65.9.1", "anna");
    assert_eq!(
        (fifth.state, fifth.not_before),
        (JobState::Deferred, b.now.plus(Seconds(86_400)))
    );
    assert!(fifth.waiting_for.unwrap().starts_with("AS64500"));
    assert_eq!(
        b.nominate("127.66.0.1", "anna").state,
        JobState::Queued,
        "a host of another network is queued"
    );
    assert_eq!(
        b.relay
            .claim(&who("owner"), ip("127.64.0.1"), true, b.now)
            .unwrap()
            .job
            .state,
        JobState::Queued
    );
}

/// Once, a flood of unproved claims was granted untested or waited for ever. Only as many are
/// accepted as can be tested.
#[test]
fn unproved_claims_are_accepted_as_far_as_they_can_be_tested_in_time() {
    let mut b = Bench::new();
    b.relay.configure(RelaySettings {
        max_hosts_per_prefix: 1000,
        max_hosts_per_asn: 1000,
        ..(*b.relay.settings()).clone()
    });
    let hosts: Vec<String> = (0..14).map(|i| format!("127.64.{}.{i}", i / 12)).collect();
    for host in &hosts {
        b.prove(host);
    }
    b.relay.configure(RelaySettings {
        max_hosts_per_prefix: 3,
        max_unproved_claims: 8,
        ..(*b.relay.settings()).clone()
    });
    let claim = |b: &Bench, host: &str| b.relay.claim(&who("claimant"), ip(host), false, b.now);
    let accepted_claims: Vec<bool> = hosts[..12].iter().map(|h| claim(&b, h).is_ok()).collect();
    assert_eq!(
        accepted_claims.iter().filter(|t| **t).count(),
        6,
        "three today and three tomorrow: {accepted_claims:?}"
    );
    let Err(RelayError::LimitReached(why, wait)) = claim(&b, &hosts[11]) else {
        panic!("the claim was accepted")
    };
    assert!(
        why.contains("its network") && why.ends_with(&b.now.plus(wait).to_string()),
        "{why} {wait:?}"
    );
    assert!(claim(&b, &hosts[12]).is_ok() && claim(&b, &hosts[13]).is_ok());
    let other = b.nominate("127.66.0.1", "anna");
    let (_, ready) = b.run(&other, &accepted());
    b.deliver(&ready[0], "127.66.0.1");
    assert!(
        matches!(claim(&b, "127.66.0.1"), Err(RelayError::LimitReached(why, _)) if why.contains("tomorrow")),
        "eight claims wait"
    );
    assert!(
        b.relay
            .claim(&who("owner"), ip("127.66.0.1"), true, b.now)
            .is_ok(),
        "a proved claim is accepted"
    );
    // All accepted claims are tested within two days, and none is granted untested.
    for _ in 0..49 {
        while let Some(job) = b.relay.due(1, b.now).unwrap().first() {
            b.run(job, &accepted());
        }
        b.tick();
        b.later(3600);
    }
    assert!(b.relay.jobs(None, true, 99).unwrap().is_empty());
    assert!(hosts.iter().all(|h| b.listed(h) == ["relay"]));
    assert_eq!(
        b.relay.count_unproved(&b.relay.batch(b.now)).unwrap(),
        0,
        "claims in their waiting period do not wait for a test"
    );
    // A claim that is not tested is granted, proved or not.
    b.later(30 * 86_400);
    b.relay
        .review(&who("anna"), ip(&hosts[1]), "x", b.now)
        .unwrap();
    claim(&b, &hosts[13]).unwrap();
    b.later(2 * GRANT_UNTESTED_AFTER.0);
    b.tick();
    assert!(b.listed(&hosts[13]).is_empty());
}

/// Once, several hosts of one prefix began at the same time, all with an unused budget.
#[test]
fn budget_of_a_prefix_is_checked_when_a_test_begins() {
    let mut b = Bench::new();
    let jobs: Vec<Job> = (1..=5)
        .map(|i| b.nominate(&format!("127.66.0.{i}"), "anna"))
        .collect();
    let began = jobs.iter().filter(|j| b.begin(j).is_ok()).count();
    assert_eq!(began, 3);
}
