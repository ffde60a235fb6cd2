//! Any file in any format, read in any way: entries and told problems.
#![no_main]

use libfuzzer_sys::fuzz_target;
use orbsd::{
    lists,
    model::{ReasonId, Time, ZoneAddresses, subject::HostBits},
};

const DATASETS: [&str; 9] = ["ip4set", "ip4trie", "ip4tset", "ip6trie", "ip6tset", "dnset", "generic", "combined", "none such"];

fuzz_target!(|data: &[u8]| {
    let [first, second, format, rest @ ..] = data else { return };
    let codes = vec![([127, 0, 0, 2].into(), ReasonId(0)), ([127, 0, 0, 3].into(), ReasonId(1))];
    let read: Vec<_> = lists::FORMATS.iter().filter(|f| lists::is_read(f.name)).collect();
    let known = read[usize::from(*format) % read.len()];
    let set = |on: u8, value: &str| (second & on != 0).then(|| value.to_string());
    let dataset = if known.name == "rbldnsd" { DATASETS.get(usize::from(second & 15)).map(ToString::to_string) } else { None };
    let options = lists::Options {
        reasoning: if first & 64 == 0 || !known.codes { lists::ReasonMapping::One(ReasonId(0)) } else { lists::ReasonMapping::Codes(codes) },
        host_bits: if first & 128 == 0 { HostBits::Refuse } else { HostBits::Clear },
        special: first & 32 != 0,
        addresses: [ZoneAddresses::None, ZoneAddresses::Ip4, ZoneAddresses::Both][usize::from(format >> 5) % 3],
        allowed: vec![],
        allow_suffixes: vec!["tk".into()],
        followed: false,
        digest: (format & 128 != 0).then_some(orbsd::model::Digest::Sha1Hex),
        column: set(16, if first & 16 == 0 { "ip" } else { "2" }),
        origin: set(32, "bl.x"),
        subzone: set(64, "a").filter(|_| known.name == "rbldnsd"),
        now: Time(if second & 128 == 0 { 0 } else { 1_800_000_000 }),
        dataset,
        untraced: false,
        store: orbsd::model::StoreId(7),
    };
    // What is recognised is read by that name, as an import does.
    let guessed = lists::guess(rest);
    let name = if first & 8 == 0 { known.name } else { guessed.unwrap_or(known.name) };
    if name != known.name && (options.dataset.is_some() || options.subzone.is_some() || first & 64 != 0) {
        return;
    }
    let mut report = lists::ListReport::default();
    let _ = lists::read(name, Box::new(rest), "f", &options, &mut report, &mut |e| {
        assert_eq!(orbsd::model::Subject::from_key(&e.subject.key()), Some(e.subject));
        assert!(e.text.is_none_or(|t| t.bytes().all(|b| (0x20..0x7f).contains(&b))), "a text breaks out of its line");
        Ok(())
    });
    assert!(report.problems.len() <= lists::MAX_PROBLEMS && report.warnings.len() <= lists::MAX_PROBLEMS);
});
