//! Any file in any format: entries and told problems.
#![no_main]

use libfuzzer_sys::fuzz_target;
use orbsd::{format, model::{ReasonId, subject::HostBits}};

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let codes = vec![([127, 0, 0, 2].into(), ReasonId(0)), ([127, 0, 0, 3].into(), ReasonId(1))];
    let options = format::Options {
        reasoning: if first & 64 == 0 { format::Reasoning::One(ReasonId(0)) } else { format::Reasoning::Codes(codes) },
        host_bits: if first & 128 == 0 { HostBits::Refuse } else { HostBits::Clear },
        special: first & 32 != 0,
        allowed: vec![],
        column: None,
        origin: None,
    };
    let name = format::FORMATS[usize::from(first & 15) % format::FORMATS.len()].name;
    let _ = format::guess(rest);
    let _ = format::read(name, Box::new(rest), "f", &options, &mut Default::default(), &mut |e| {
        assert_eq!(orbsd::model::Subject::from_key(&e.subject.key()), Some(e.subject));
        Ok(())
    });
});
