//! Any text is a subject that prints as itself, or an error; any bytes are a key or none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use orbsd::model::{Subject, subject::HostBits};

fuzz_target!(|data: &[u8]| {
    if let Some(s) = Subject::from_key(data) {
        assert_eq!(s.key(), data);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(s) = Subject::parse(text, HostBits::Clear) {
        assert_eq!(s.to_string().parse::<Subject>(), Ok(s.clone()));
        assert_eq!(Subject::from_key(&s.key()), Some(s));
    }
});
