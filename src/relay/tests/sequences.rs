//! Random sequences of events.

use super::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    /// In any sequence of events, a host is listed only for a message that was sent to it after its
    /// last release, was delivered within the lifetime of its token, and is not a bounce.
    #[test]
    fn no_sequence_lists_without_a_valid_delivery(steps in proptest::collection::vec((0u8..10, 0usize..4, 0usize..6, any::<u32>()), 1..60)) {
        let mut b = Bench::new();
        let hosts = ["127.64.0.1", "127.65.0.1", "127.66.0.1", "127.67.0.1"];
        let mut sent: Vec<(usize, Time, PreparedMessage, bool)> = Vec::new();
        let mut proved: Vec<(usize, Time)> = Vec::new();
        let mut deliveries: HashMap<usize, usize> = HashMap::new();
        for (op, host, other, n) in steps {
            let target = hosts[host];
            match op {
                0 | 1 => drop(b.relay.nominate(&who(["anna", "bert"][other % 2]), b.nomination(target, if other == 5 { "owner" } else { "log" }), b.now)),
                2 | 3 => {
                    let due = b.relay.due(9, b.now).unwrap();
                    if let Some(job) = due.get(other % due.len().max(1)) {
                        let outcome = [accepted(), refused(), MessageOutcome::inconclusive("x"), MessageOutcome::TempFail { stage: SmtpStage::Rcpt, code: 450, text: String::new() }][n as usize % 4].clone();
                        let i = hosts.iter().position(|h| ip(h) == job.target).unwrap();
                        let Ok((job, ready)) = b.begin(job) else { continue };
                        let results = ready.iter().map(|r| MessageResult { place: r.place, outcome: outcome.clone() }).collect();
                        b.relay.finish(job.id, results, controls(&ready, &accepted_control()), &[], b.now).unwrap();
                        // A message that the host refused proves nothing.
                        let open = !matches!(outcome, MessageOutcome::Refused { .. });
                        sent.extend(ready.into_iter().map(|r| (i, b.now, r, open)));
                    }
                }
                4 | 5 if !sent.is_empty() => {
                    let (i, at, ready, open) = &sent[n as usize % sent.len()];
                    let output = if other < 3 { hosts[*i] } else { hosts[(*i + 1) % 4] };
                    b.deliver(ready, output);
                    if *open && b.now <= at.plus(TOKEN_LIFETIME) {
                        proved.push((*i, *at));
                        if other >= 3 {
                            *deliveries.entry((*i + 1) % 4).or_default() += 1;
                        }
                    }
                }
                6 if !sent.is_empty() => {
                    // A bounce, and a message with a forged token.
                    let (_, _, ready, _) = &sent[n as usize % sent.len()];
                    let back = ready.envelope.from.trim_matches(['<', '>']).to_string();
                    b.arrive(&back, &ready.message, target);
                    b.arrive(&format!("t{}@probe.example", "a".repeat(26)), b"", target);
                }
                7 => drop(b.relay.claim(&who("owner"), ip(target), other % 2 == 0, b.now)),
                8 => b.later(u64::from(n) % (4 * 86_400)),
                _ => b.relay.tick(b.now).unwrap(),
            }
            for (i, h) in hosts.iter().enumerate() {
                let released = b.relay.host(ip(h)).unwrap().released;
                let valid = proved.iter().any(|(p, at)| *p == i && released.is_none_or(|r| *at > r));
                for reason in b.listed(h) {
                    let is_justified = if reason == "output" { deliveries.get(&i).is_some_and(|n| *n >= 2) } else { valid };
                    prop_assert!(is_justified, "{h} is listed as {reason}");
                }
            }
        }
    }
}
