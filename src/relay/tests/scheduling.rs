//! The order of jobs, and when no job is started.

use super::*;

/// Once, a collector that was not checked yet counted as healthy, and a collector that listened on
/// all addresses could be tested and listed.
#[test]
fn no_host_is_tested_before_the_collector_is_checked_and_own_addresses_never() {
    let b = Bench::new();
    b.relay.request_check();
    let job = b.nominate("127.64.0.1", "anna");
    assert!(
        b.relay.due(9, b.now).unwrap().is_empty()
            && b.relay.problem().unwrap().contains("not checked")
    );
    let check = b.relay.begin_check();
    b.relay.request_check();
    b.relay
        .report_health(Component::Collector, None, b.now)
        .unwrap();
    b.relay.end_check(check);
    assert!(
        b.relay.is_check_pending(),
        "a check that was requested during another one is pending"
    );
    b.relay.end_check(b.relay.begin_check());
    assert_eq!(b.relay.due(9, b.now).unwrap(), [job]);
    assert_eq!(
        b.relay.batch(b.now).get(OUTAGES, &()).unwrap(),
        None,
        "a pending check is not an outage"
    );
    let settings = RelaySettings {
        public: true,
        ..(*b.relay.settings()).clone()
    };
    b.relay.configure(settings.clone());
    assert!(
        b.relay.problem().is_some(),
        "the mail route matters from now on"
    );
    assert!(
        settings.allows_our_test(ip("198.51.100.8")).is_err(),
        "an address in a special range is refused"
    );
    assert!(settings.allows_any_test(ip("8.8.8.8")).is_ok());
    let own_host = RelaySettings {
        is_local: |_, addr| addr == ip("8.8.8.8"),
        ..settings.clone()
    };
    assert!(
        own_host
            .allows_any_test(ip("8.8.8.8"))
            .unwrap_err()
            .contains("belongs to the tester")
    );
    // A new EHLO name needs a restart; until then hosts on the Internet are not tested.
    let renamed = |hello: &str| {
        settings.reloaded(RelaySettings {
            ehlo_name: hello.into(),
            ..settings.clone()
        })
    };
    assert!(
        renamed(&settings.ehlo_name)
            .allows_any_test(ip("8.8.8.8"))
            .is_ok()
            && renamed("other.example")
                .allows_any_test(ip("8.8.8.8"))
                .is_err()
    );
    let without_collector = RelaySettings {
        listen: Vec::new(),
        ..settings.clone()
    };
    assert!(
        without_collector
            .reloaded(settings)
            .allows_our_test(ip("127.64.0.1"))
            .unwrap_err()
            .contains("no collector")
    );
}

#[test]
fn proved_claims_go_first_and_other_queues_alternate() {
    let mut b = Bench::new();
    for i in 0..6 {
        let host = format!("127.{}.0.1", 64 + i);
        let job = b.nominate(&host, "anna");
        let (_, ready) = b.run(&job, &accepted());
        b.deliver(&ready[0], &host);
    }
    b.later(86_401);
    for i in 10..20 {
        b.nominate(&format!("127.{}.0.1", 64 + i), "anna");
    }
    for i in 0..6 {
        b.relay
            .claim(&who("x"), ip(&format!("127.{}.0.1", 64 + i)), i >= 5, b.now)
            .unwrap();
    }
    let kinds = |b: &Bench, most, after| {
        let all = b.relay.due(most, b.now.plus(Seconds(after))).unwrap();
        all.iter()
            .map(|j| match j.trigger {
                Trigger::Claim { proved } => {
                    if proved {
                        'P'
                    } else {
                        'C'
                    }
                }
                _ => 'N',
            })
            .collect::<String>()
    };
    let at = (4 - b.now.0 % 4) % 4;
    assert_eq!(kinds(&b, 8, at), "PCNNCCNN");
    assert_eq!(
        [1, 2, 3].map(|n| kinds(&b, 3, at + n)),
        ["CPN", "PNC", "NPC"]
    );
    assert_eq!(kinds(&b, 99, at).len(), 16);
}

/// Once, each poll read all open jobs, and a page of jobs read all stored ones.
#[test]
fn due_jobs_are_found_without_reading_those_that_wait() {
    let mut b = Bench::new();
    b.relay.configure(RelaySettings {
        max_hosts_per_prefix: 1,
        max_hosts_per_asn: 100_000,
        ..(*b.relay.settings()).clone()
    });
    let first = b.nominate("127.64.0.1", "anna");
    b.run(&first, &refused());
    let mut batch = b.relay.batch(b.now);
    for i in 0..9000u32 {
        let job = Job {
            id: 1000 + u64::from(i),
            target: ip(&format!("127.64.0.{}", 2 + i % 250)),
            ..first.clone()
        };
        let state = if i % 2 == 0 {
            JobState::Held
        } else {
            JobState::Deferred
        };
        let job = Job {
            state,
            not_before: b.now.plus(Seconds(u64::from(i))),
            approved: false,
            by: "new".into(),
            ..job
        };
        save(&mut batch, &job).unwrap();
    }
    b.relay.write(batch).unwrap();
    let job = b.nominate("127.65.0.1", "anna");
    let begun = std::time::Instant::now();
    for _ in 0..20 {
        let due = b.relay.due(8, b.now).unwrap();
        assert_eq!(due.iter().map(|j| j.id).collect::<Vec<_>>(), [job.id]);
    }
    let each = begun.elapsed() / 20;
    assert!(each < std::time::Duration::from_millis(100), "{each:?}");
    let page: Vec<u64> = b
        .relay
        .jobs(Some(9000), true, 3)
        .unwrap()
        .iter()
        .map(|j| j.id)
        .collect();
    assert_eq!(page, [8999, 8998, 8997]);
    assert_eq!(
        b.relay
            .jobs(Some(1001), true, 3)
            .unwrap()
            .iter()
            .map(|j| j.id)
            .collect::<Vec<_>>(),
        [1000, job.id]
    );
    assert_eq!(b.relay.jobs(None, false, 20_000).unwrap().len(), 9002);
    // Due jobs are checked, a thousand in one round.
    b.later(9001);
    b.relay.due(0, b.now).unwrap();
    let batch = b.relay.batch(b.now);
    assert_eq!(
        batch
            .scan_due(Due::At(Time(0)), Due::At(b.now), 9000)
            .unwrap()
            .len(),
        3500
    );
}
