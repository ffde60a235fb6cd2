//! Bursts of commits with wide prefixes, as a feed's change or an operator's clean-up brings them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    Laboratory,
    servers::Kind,
    wire::serial,
    worlds::{Random, send},
};

const ZONE: &str = "bl.orbs.example";

/// Orders that list or delist prefixes of both families, wide and narrow.
fn churn(r: &mut Random, n: usize, held: &mut Vec<String>) -> Vec<Value> {
    let mut out = Vec::new();
    for _ in 0..n {
        if r.chance(45) && !held.is_empty() {
            let subject = held.swap_remove(r.below(held.len() as u64) as usize);
            out.push(json!({"op": "delist", "subject": subject, "reason": "relay"}));
            continue;
        }
        let subject = if r.chance(70) {
            let len = if r.chance(25) { 8 + r.below(8) } else { 16 + r.below(17) } as u32;
            let addr = (40 + r.below(60)) << 24 | r.below(1 << 24);
            format!("{}/{len}", std::net::Ipv4Addr::from((addr as u32) & (u32::MAX << (32 - len))))
        } else {
            let len = 20 + r.below(109) as u32;
            let addr = (0x2a00_u128 << 112 | u128::from(r.below(1 << 40)) << 72) & (u128::MAX << (128 - len));
            format!("{}/{len}", std::net::Ipv6Addr::from(addr))
        };
        if !held.contains(&subject) {
            held.push(subject.clone());
            out.push(json!({"op": "list", "subject": subject, "reason": "relay"}));
        }
    }
    out
}

#[test]
#[ignore = "an experiment"]
fn experiment() {
    let rounds: usize = std::env::var("ROUNDS").map_or(10, |n| n.parse().unwrap());
    let size: usize = std::env::var("SIZE").map_or(200, |n| n.parse().unwrap());
    let step: usize = std::env::var("STEP").map_or(1, |n| n.parse().unwrap());
    let mut r = Random(std::env::var("SEED").map_or(77, |n| n.parse().unwrap()));
    let kinds: &[Kind] = if std::env::var("KNOT").is_ok() { &[Kind::Knot] } else { &[Kind::Nsd] };
    let lab = Laboratory::new("", &[ZONE], kinds, |f| drop(send(f.path(), &[json!({"op": "list", "subject": "45.1.1.1", "reason": "relay"})])));
    let mut held = Vec::new();
    for round in 0..rounds {
        let orders = churn(&mut r, size, &mut held);
        let begun = Instant::now();
        for some in orders.chunks(step) {
            send(lab.folder.path(), some);
        }
        let sent = begun.elapsed();
        let begun = Instant::now();
        let ours = serial(lab.folder.addr(), ZONE);
        while lab.mirrors.iter().any(|m| serial(m.addr, ZONE) != ours) {
            if begun.elapsed() > Duration::from_secs(100) {
                println!("{}", lab.mirrors[0].log());
                panic!("round {round}: {:?} not {ours:?}", serial(lab.mirrors[0].addr, ZONE));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let passed: Vec<_> = lab.mirrors[0].wire.passed().iter().map(|p| (p.kind, p.bytes)).collect();
        println!(
            "round {round}: {} held, sent in {sent:?}, lag {:?}, {} transfers, largest {:?}, whole {}",
            held.len(),
            begun.elapsed(),
            passed.len(),
            passed.iter().max_by_key(|p| p.1),
            passed.iter().filter(|p| p.0 != super::proxy::Kind::Ixfr).count()
        );
    }
}
