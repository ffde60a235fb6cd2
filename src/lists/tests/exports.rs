//! Exports that are read back.

use super::*;

/// A zone with the listings of one source. Reasons: r0 under 127.0.0.2, r1 under 127.0.0.3.
fn published(kind: &str, txt: &str, facts: &[ListEntry]) -> Snapshot {
    let text = format!(
        "origin = 'bl.orbs.example'\nkind = '{kind}'\nns = ['ns1.orbs.example']\ncontact = 'host.master@orbs.example'\ntxt = '{txt}'\n\
         ttl = '5m'\nnegative_ttl = '1m'\npublish = [{{reason='r0', code='127.0.0.2'}}, {{reason='r1', code='127.0.0.3', text='=One $ and $$3'}}]"
    );
    let mut reasons = Reasons::default();
    let texts = ["r0", "r1"]
        .map(|r| {
            (
                reasons.add(r).map(|_| r.to_string()).unwrap(),
                format!("{r} says $"),
            )
        })
        .into();
    let view = ZoneView::new(&toml::from_str(&text).unwrap(), &reasons, &texts).unwrap();
    let mut rows: BTreeMap<Subject, BTreeMap<ReasonId, &ListEntry>> = BTreeMap::new();
    let rank = |e: &ListEntry| (e.exclusion && !e.implied, !e.exclusion);
    for e in facts {
        let row = rows
            .entry(e.subject.clone())
            .or_default()
            .entry(e.reason)
            .or_insert(e);
        if rank(e) > rank(row) {
            *row = e;
        }
    }
    let mut b = Builder::default();
    for (subject, row) in rows {
        let fact = |e: &ListEntry| RawFact {
            aged: Default::default(),
            reason: e.reason,
            source: SourceId(0),
            exclusion: e.exclusion,
            text: e.text.as_deref().into(),
        };
        let id = b.intern(&RawFacts {
            exempt: false,
            facts: row.into_values().map(fact).collect(),
        });
        let mut c = Changes::default();
        b.add(&mut c, &subject, id);
        b.apply(c);
    }
    let zones = Arc::new(ZoneSet::new(vec![view]).unwrap());
    Snapshot {
        tables: b.tables().clone(),
        zones,
        serials: vec![Serial(7)].into(),
        seq: 1,
        sound: true,
        ..Snapshot::default()
    }
}

fn entries(format: &str, text: &str) -> (Vec<ListEntry>, ListReport) {
    let (mut out, mut report) = (Vec::new(), ListReport::default());
    let options = Options {
        origin: Some("bl.orbs.example".into()),
        ..options(true)
    };
    read(
        format,
        Box::new(text.as_bytes()),
        "f",
        &options,
        &mut report,
        &mut |e| {
            out.push(e);
            Ok(())
        },
    )
    .unwrap();
    (out, report)
}

fn exported(format: &str, snapshot: &Snapshot) -> String {
    let mut out = Vec::new();
    write::Export::new(format, "", snapshot, 0)
        .unwrap()
        .write(&mut out)
        .unwrap();
    String::from_utf8(out).unwrap()
}

const ADDRESSES: &str = "45.1.1.1\n45.1.1.1 :3:=own $\n45.1.1.2 :3:why $\n46.1.0.0/20 :3:in $ it is\n!46.1.1.0/25\n45.1.1.3 :2:a $$5 $\n45.1.1.4 :2:==x\n\
    2a00:1:2::/48 :2:six $\n2a00:1:2::/48 :3:\n2a00:1:2:3::4/128\n!2a00:1:2:4::/64\n47.0.0.0/8\n2a00:9::1/128 :3:x\n";
const NAMES: &str = "a.b :2:x $\n*.w.test :3:y $\n*.w.test :2:\n.both.t\n";

#[test]
fn rbldnsd_exports_read_back_to_the_same_answers() {
    for (kind, text) in [("address", ADDRESSES), ("domain", NAMES)] {
        for txt in ["first", "all"] {
            let first = published(kind, txt, &entries("rbldnsd", text).0);
            let data = exported("rbldnsd", &first);
            let (again, report) = entries("rbldnsd", &data);
            assert_eq!(
                (report.errors, report.omitted(Omission::SpecialRange)),
                (0, 0),
                "{report:?}\n{data}"
            );
            assert!(
                report.omitted(Omission::TestPoint) > 0
                    && report.warnings.iter().all(|w| w.contains("IPv6")),
                "{report:?}"
            );
            // The pieces and their texts are the same, although a prefix with an exclusion has
            // become several.
            let next = published(kind, txt, &again);
            for (was, is) in data.lines().zip(exported("rbldnsd", &next).lines()) {
                assert_eq!(was, is, "{txt}");
            }
            assert_eq!(exported("cidr", &next), exported("cidr", &first));
            if kind == "domain" {
                assert_eq!(exported("master", &next), exported("master", &first));
            }
        }
    }
}

#[test]
fn rbldnsd_exports_are_in_the_form_that_rbldnsd_loads() {
    let data = exported(
        "rbldnsd",
        &published("address", "all", &entries("rbldnsd", ADDRESSES).0),
    );
    for want in [
        "bl.orbs.example:combined:FILE\n$SOA 300 ns1.orbs.example host\\.master.orbs.example 7 ",
        "\n$DATASET ip4set @\n$TTL 300\n127.0.0.2 :127.0.0.2:r0 says 127.0.0.2\n127.0.0.2 :127.0.0.3:==One 127.0.0.2 and $$3\n127.0.0.3 :127.0.0.3:",
        "\n$DATASET ip6trie @\n$TTL 300\n::ffff:7f00:2/128 :127.0.0.2:",
        "\n$DATASET ip6trie:2 @\n$TTL 300\n::ffff:7f00:2/128 :127.0.0.3:",
    ] {
        assert!(data.contains(want), "{want}\n{data}");
    }
    let domains = exported(
        "rbldnsd",
        &published("domain", "first", &entries("rbldnsd", NAMES).0),
    );
    assert!(
        domains.contains("dnset:FILE")
            && domains.contains("\ntest :127.0.0.2:")
            && domains.contains("\ntest :127.0.0.3:\n"),
        "{domains}"
    );
}

#[test]
fn master_exports_have_the_records_that_a_mirror_needs() {
    let equal = entries("rbldnsd", "45.1.1.1 :2:same\n45.1.1.1 :3:same\n").0;
    let data = exported("master", &published("address", "all", &equal));
    assert!(
        data.contains("\n@ 60 IN SOA ns1.orbs.example. host\\.master.orbs.example. 7 "),
        "{data}"
    );
    assert_eq!(data.matches("TXT \"same\"").count(), 1, "{data}");
    assert_eq!(data.matches("1.1.1.45 A ").count(), 2, "{data}");
    let bad = ListEntry {
        subject: "45.1.1.1".parse().unwrap(),
        reason: ReasonId(0),
        exclusion: false,
        implied: false,
        text: Some("a\n9.9.9.9\nb".into()),
        path: Default::default(),
        note: None,
    };
    for format in ["master", "rbldnsd"] {
        let data = exported(
            format,
            &published("address", "first", std::slice::from_ref(&bad)),
        );
        assert!(!data.lines().any(|l| l.starts_with('9')), "{data}");
    }
}
