//! Bursts of commits with wide prefixes, as from a change of a feed or a clean-up by an operator.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    Laboratory,
    servers::Kind,
    wire::serial,
    worlds::{Random, send},
};

const ZONE: &str = "bl.orbs.example";
/// The commands of one burst, each of which is a commit.
const BURST: usize = 400;
/// How long a mirror may take after a burst. NSD sometimes drops a transfer and then waits for the
/// repeated NOTIFY after 5 seconds.
const LIMIT: Duration = Duration::from_secs(20);

/// A command that lists, delists or exempts a prefix of either family, wide or narrow.
fn order(r: &mut Random, listed: &mut Vec<String>) -> Option<Value> {
    if r.chance(45) && !listed.is_empty() {
        let subject = listed.swap_remove(r.below(listed.len() as u64) as usize);
        return Some(json!({"op": "delist", "subject": subject, "reason": "relay"}));
    }
    let v4 = |r: &mut Random, addr: u32, len: u32| {
        let addr = addr | r.below(1 << 24) as u32;
        format!("{}/{len}", Ipv4Addr::from(addr & (u32::MAX << (32 - len))))
    };
    let region = ((40 + r.below(60)) as u32) << 24;
    if r.chance(20) {
        let len = 20 + r.below(13) as u32;
        return Some(json!({"op": "exempt", "subject": v4(r, region, len)}));
    }
    let subject = if r.chance(70) {
        let len = if r.chance(25) {
            8 + r.below(8)
        } else {
            16 + r.below(17)
        } as u32;
        v4(r, region, len)
    } else {
        let len = 20 + r.below(109) as u32;
        let addr =
            (0x2a00_u128 << 112 | u128::from(r.below(1 << 40)) << 72) & (u128::MAX << (128 - len));
        format!("{}/{len}", Ipv6Addr::from(addr))
    };
    if listed.contains(&subject) {
        return None;
    }
    listed.push(subject.clone());
    Some(json!({"op": "list", "subject": subject, "reason": "relay"}))
}

/// Long tests, which only `make drill` runs.
mod drill {
    use super::*;

    /// Without the repeated NOTIFY, NSD 4.6 was over a hundred seconds late after about one burst
    /// in ten.
    #[test]
    #[ignore = "takes long; run `make drill`"]
    fn mirrors_follow_bursts_of_wide_prefixes_within_seconds() {
        let first = json!({"op": "list", "subject": "45.1.1.1", "reason": "relay"});
        let lab = Laboratory::new("", &[ZONE], &[Kind::Nsd, Kind::Knot], |f| {
            drop(send(f.path(), &[first]));
        });
        let (mut r, mut listed) = (Random(10), Vec::new());
        for burst in 0..20 {
            for _ in 0..BURST {
                order(&mut r, &mut listed)
                    .into_iter()
                    .for_each(|o| drop(send(lab.folder.path(), &[o])));
            }
            let (begun, ours) = (Instant::now(), serial(lab.folder.addr(), ZONE));
            for m in &lab.mirrors {
                while serial(m.addr, ZONE) != ours {
                    assert!(
                        begun.elapsed() < LIMIT,
                        "burst {burst}: {:?} has not {ours:?}:\n{}",
                        m.kind,
                        m.log()
                    );
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            println!(
                "burst {burst}: {} listed, all in step after {:?}",
                listed.len(),
                begun.elapsed()
            );
        }
        lab.equal(ZONE);
    }
}
