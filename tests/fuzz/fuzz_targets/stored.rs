//! Any bytes as a stored value or an image: read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use orbsd::store::schema;

fuzz_target!(|data: &[u8]| {
    let _ = schema::decode::<orbsd::model::Verdict>(data);
    let _ = schema::decode::<orbsd::model::Event>(data);
    let _ = schema::decode::<schema::Commit>(data);
    let _ = schema::decode::<Vec<schema::SourceRecord>>(data);
    let _ = schema::decode::<schema::ZoneRecord>(data);
    if let Some(row) = schema::read_feed(data) {
        let mut out = Vec::new();
        schema::write_feed(&row, &mut out);
        assert_eq!(schema::read_feed(&out), Some(row));
    }
    let _ = orbsd::index::image::read(&mut &data[..], Default::default());
});
