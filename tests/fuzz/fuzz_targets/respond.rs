//! Any datagram is answered within its limit or dropped.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use orbsd::{
    dns::{AnswerKind, Peer, TCP_SIZE, UDP_SIZE, respond},
    index::{Builder, Changes, RawFact, RawFacts, Snapshot, ZoneSet, ZoneView},
    model::{ReasonId, Reasons, Serial, SourceId, Time},
};

static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| {
    let mut b = Builder::default();
    let listed = [("1.2.3.4", false), ("1.2.0.0/20", false), ("1.2.1.0/25", true), ("2606:4700::/32", false), ("*.a.b", false), ("c.a.b", true)];
    for (s, exclusion) in listed.into_iter().chain([(".d", false), (".e.d", true), ("45.1.0.0/16", false), ("45.1.7.7", true)]) {
        let exempt = s == ".e.d";
        let id = b.intern(&RawFacts { exempt, facts: vec![RawFact { aged: Default::default(), reason: ReasonId(0), source: SourceId(0), exclusion, text: orbsd::model::EntryText::default() }] });
        let mut c = Changes::default();
        b.add(&mut c, &s.parse().unwrap(), id);
        b.apply(c);
    }
    let mut reasons = Reasons::default();
    reasons.add("r").unwrap();
    let zone = |origin: &str, kind: &str| {
        let text = format!("origin='{origin}'\nkind='{kind}'\nmapped=true\ntxt='all'\nns=['n.x']\ncontact='h@x'\npublish=[{{reason='r',code='127.0.0.2',text='t $'}}]\n[[record]]\nname='www'\ntype='TXT'\ndata='a'");
        ZoneView::new(&toml::from_str(&text).unwrap(), &reasons, &Default::default()).unwrap()
    };
    let zones = ZoneSet::new(vec![zone("z.x", "address"), zone("d", "domain"), zone("names.z.x", "domain")]).unwrap();
    Snapshot {
        tables: b.tables().clone(),
        zones: Arc::new(zones),
        serials: vec![Serial(1); 3].into(),
        sound: true,
        nsid: "n".into(),
        keys: Default::default(),
        ..Snapshot::default()
    }
});

fuzz_target!(|data: &[u8]| {
    let mut out = [0u8; TCP_SIZE];
    for stream in [false, true] {
        let addr = [127, 0, 0, 1].into();
        let peer = if stream { Peer::tcp(addr) } else { Peer::udp(addr) };
        let size = if stream { TCP_SIZE } else { UDP_SIZE };
        let o = respond(&SNAPSHOT, data, peer, Time(0), &mut out[..size]);
        assert_eq!(o.len == 0, o.kind == AnswerKind::Dropped);
        assert!(o.len == 0 || (out[2] & 0x80 != 0 && out[..2] == data[..2]));
        // In less room the reply is shorter or none, never more than fits.
        let room = usize::from(data.first().copied().unwrap_or(0)) * 3;
        assert!(respond(&SNAPSHOT, data, peer, Time(0), &mut out[..room]).len <= room);
    }
});
