//! What comes in of a transfer, a NOTIFY or a signature is read or refused, whatever it is; and
//! what is read of a transfer reads the same from the writer's messages.
#![no_main]

use libfuzzer_sys::fuzz_target;
use orbsd::{
    dns::{
        incoming::{TransferQuery, TransferReader, notified},
        notify,
        transfer::MessageWriter,
        tsig,
    },
    index::rows,
    model::{Keys, Serial, Time},
};

const ZONE: &[u8] = b"\x01z\x01x\0";

fuzz_target!(|data: &[u8]| {
    for asked in [TransferQuery::Soa, TransferQuery::Axfr, TransferQuery::Ixfr(Serial(7))] {
        let mut incoming = TransferReader::new(ZONE, 0x1234, asked);
        // Two messages: what the first leaves is what the second meets.
        let (a, b) = data.split_at(data.len() / 2);
        for part in [a, b, data] {
            let message = [&[0x12, 0x34, 0x84, 0, 0, 1, 0, 9, 0, 0, 0, 0][..], ZONE, &[0, 252, 0, 1], part].concat();
            let mut rows = 0;
            let _ = incoming.message(&message, &mut |_| {
                rows += 1;
                Ok(())
            });
            assert!(rows <= message.len());
        }
    }
    let _ = (notified(data), notify::acknowledge(data), tsig::find(data), tsig::verify(&Keys::default(), data, Time(0)).is_ok());
    let _ = rows::read(data);
    // Any owner is written so that its message is whole: labels of a fixed length from the data.
    let query = [&[0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], ZONE, &[0, 252, 0, 1]].concat();
    let mut incoming = TransferReader::new(ZONE, 1, TransferQuery::Axfr);
    let (mut sent, mut got) = (0u64, 0u64);
    let mut take = |m: &mut Vec<u8>| {
        let read = incoming.message(m, &mut |_| {
            got += 1;
            Ok(())
        });
        assert!(read.is_ok(), "{read:?}");
        true
    };
    let mut writer = MessageWriter::new(&query, query.len(), false, &mut take);
    let soa = [&ZONE[..], ZONE, &[0; 20]].concat();
    writer.record(&[], 6, 60, &soa);
    for labels in data.chunks(6) {
        let owner: Vec<u8> = labels.iter().flat_map(|b| [1, b'a' + b % 3]).collect();
        writer.record(&owner, 16, 60, b"\x01t");
        sent += 1;
    }
    writer.record(&[], 6, 60, &soa);
    writer.finish();
    assert_eq!(sent, got);
});
