//! Lists that are hard to export: texts, long names, client triggers, overlapping prefixes. The
//! programs that load the files read them.

use std::{collections::BTreeMap, fs, io::Write, net::TcpStream, time::Duration};

use hickory_proto::{
    op::Message,
    rr::{RData, RecordType},
};

use crate::{
    api::Api,
    exports::{in_network, output_text},
    lab::{CONFIG, DOMAINS, Daemon, Folder, ZONE, query, read_tcp, udp},
    peers::program,
};

/// Texts in the form of an rbldnsd file.
const TEXTS: &str = r#"$DATASET ip4set @
45.51.100.1 :127.0.0.2:he said "no"; see C:\list\ and 50% off
45.51.100.2 :127.0.0.2:ends with a backslash \
45.51.100.3 :127.0.0.2:two "strings" "side by side" (and a bracket
45.51.100.4 :127.0.0.2:price $$5; # not a comment here
45.51.100.5 :127.0.0.2:café) and a tab	here
45.51.100.6 :127.0.0.2:LONG the end of a long one $$
"#;

/// The same texts in the form of a TXT record: printable, at most 255 bytes.
fn published() -> BTreeMap<String, Vec<u8>> {
    let long = format!("{} the ", "x".repeat(250));
    let texts = [
        r#"he said "no"; see C:\list\ and 50% off"#,
        r"ends with a backslash \",
        r#"two "strings" "side by side" (and a bracket"#,
        "price $5; # not a comment here",
        "caf??) and a tab?here",
        &long,
    ];
    texts
        .iter()
        .enumerate()
        .map(|(i, t)| {
            (
                format!("{}.100.51.45.bl.orbs.example.", i + 1),
                t.as_bytes()[..t.len().min(255)].to_vec(),
            )
        })
        .collect()
}

/// Returns the TXT records of a message, by owner.
fn texts_of(message: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let message = Message::from_vec(message).unwrap();
    let txt = message
        .answers
        .iter()
        .filter(|r| r.record_type() == RecordType::TXT);
    let data = |r: &hickory_proto::rr::Record| match &r.data {
        RData::TXT(t) => t.txt_data.iter().flat_map(|s| s.to_vec()).collect(),
        other => panic!("{other:?}"),
    };
    txt.map(|r| (r.name.to_string(), data(r))).collect()
}

/// Returns the TXT records, by owner, of a master file with absolute names and one record on each
/// line, as servers print it.
fn texts_in_file(text: &str) -> BTreeMap<String, Vec<u8>> {
    let one = |line: &str| {
        let (head, data) = line.split_once("TXT")?;
        let owner = head.split_whitespace().next()?.to_string();
        let (mut out, mut chars) = (Vec::new(), data.trim().strip_prefix('"')?.chars());
        while let Some(c) = chars.next() {
            match c {
                '"' => break,
                '\\' => {
                    let rest = chars.as_str();
                    match rest.get(..3).and_then(|d| d.parse::<u8>().ok()) {
                        Some(byte) => {
                            out.push(byte);
                            chars.nth(2);
                        }
                        None => out.extend(chars.next().map(|c| c as u8)),
                    }
                }
                c => out.push(c as u8),
            }
        }
        Some((owner, out))
    };
    text.lines().filter_map(one).collect()
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn texts_are_identical_in_dns_transfers_and_master_files() {
    let zone = format!("{ZONE}\n[transfer]\nallow = [\"127.0.0.1\"]\n");
    let f = Folder::with(CONFIG, &[("bl", &zone)]);
    f.write("texts.rbl", &TEXTS.replace("LONG", &"x".repeat(250)));
    f.ok(&[
        "import",
        "--source",
        "x",
        "--reason",
        "relay",
        "--format",
        "rbldnsd",
        "texts.rbl",
    ]);
    let _daemon = Daemon::start(&f);
    let want = published();
    let ours = |mut found: BTreeMap<String, Vec<u8>>| {
        found.retain(|owner, _| owner.ends_with(".45.bl.orbs.example."));
        found
    };
    let asked = want
        .keys()
        .flat_map(|name| {
            texts_of(&udp(f.addr(), &query(name, 16, true), Duration::from_secs(3)).unwrap())
        })
        .collect();
    assert_eq!(ours(asked), want, "by DNS");
    let axfr = query("bl.orbs.example", 252, false);
    let mut stream = TcpStream::connect(f.addr()).unwrap();
    stream
        .write_all(&[&(axfr.len() as u16).to_be_bytes()[..], &axfr].concat())
        .unwrap();
    assert_eq!(
        ours(texts_of(&read_tcp(&mut stream).unwrap())),
        want,
        "by transfer"
    );
    f.ok(&["export", "bl", "-o", "bl.zone"]);
    let readers: [(&str, &[&str]); 2] = [
        (
            "named-compilezone",
            &["-q", "-i", "local", "-o", "-", "bl.orbs.example", "bl.zone"],
        ),
        ("ldns-read-zone", &["bl.zone"]),
    ];
    for (name, args) in readers {
        let mut reader = program(name);
        let out = reader.args(args).current_dir(f.path()).output().unwrap();
        assert_eq!(
            ours(texts_in_file(&String::from_utf8_lossy(&out.stdout))),
            want,
            "{name}: {}",
            output_text(&out)
        );
    }
}

/// Returns a name of some length below `bad.example`.
fn long_name(len: usize) -> String {
    let letters = "l".repeat(len - ".bad.example".len() - 4);
    let (each, last) = (letters.len() / 5, letters.len() - letters.len() / 5 * 4);
    let labels = [each, each, each, each, last].map(|n| &letters[..n]);
    labels.join(".") + ".bad.example"
}

#[test]
fn overlong_names_are_left_out_of_exports_and_lookup_reports_why() {
    let tables = "[[export]]\nzone='dbl'\nformat='master'\npath='dbl.zone'\ninterval = '1s'\n";
    let f = Folder::with(
        &format!("{CONFIG}{tables}"),
        &[("bl", ZONE), ("dbl", DOMAINS)],
    );
    // The origin has 16 characters, so a name can have 236. A policy zone leaves 195 bytes, one
    // more than the text has.
    let (fits, policy, never) = (long_name(190), long_name(220), long_name(244));
    f.write(
        "names",
        &format!("{fits}\n{policy}\n{never}\nshort.bad.example\n"),
    );
    f.ok(&[
        "import", "--source", "x", "--reason", "spam", "--format", "list", "names",
    ]);
    let exported = |format: &str| {
        let out = f.orbsd(&["export", "dbl", "--format", format]);
        assert!(out.status.success(), "{}", output_text(&out));
        (
            String::from_utf8(out.stdout).unwrap(),
            String::from_utf8(out.stderr).unwrap(),
        )
    };
    let daemon = Daemon::start(&f);
    for format in ["master", "rbldnsd", "list", "jsonl"] {
        let (text, report) = exported(format);
        assert!(
            text.contains(&fits) && text.contains(&policy) && !text.contains(&never),
            "{format}: {text}"
        );
        let want = "1 left out: name and zone together are longer than a DNS name can be (253 characters): ";
        assert_eq!(report, format!("dbl as {format}: {want}{never}\n"));
    }
    let (text, report) = exported("rpz");
    assert!(
        text.contains(&fits) && !text.contains(&policy) && !text.contains(&never),
        "{text}"
    );
    assert!(
        report.lines().count() == 2
            && report.contains("60 are reserved for the policy zone")
            && report.contains(&policy),
        "{report}"
    );
    let looked = String::from_utf8(f.orbsd(&["lookup", &never]).stdout).unwrap();
    assert!(looked.contains("dbl.orbs.example: never asked: name and zone together have 261 characters, at most 253\n"), "{looked}");
    assert!(
        looked.contains("left out of exports as master, rbldnsd, list, cidr, jsonl, rpz\n"),
        "{looked}"
    );
    let looked = f.ok(&["lookup", &policy]);
    assert!(
        looked.contains("left out of exports as rpz: the name has 221 bytes in a message"),
        "{looked}"
    );
    assert!(!f.ok(&["lookup", "short.bad.example"]).contains("left out"));
    // The scheduled file: the log has it once for each change, and the status as long as it
    // applies.
    let status = f.ok(&["status"]);
    assert!(
        status.contains("  1 left out: name and zone together are longer"),
        "{status}"
    );
    assert_eq!(
        f.json(&["status", "--json"])["exports"][0]["changes"][0]["kind"],
        "name-too-long"
    );
    f.ok(&["list", "other.bad.example", "--reason", "spam"]);
    let end = std::time::Instant::now() + Duration::from_secs(15);
    while !fs::read_to_string(f.path().join("dbl.zone"))
        .unwrap()
        .contains("other.bad.example")
    {
        assert!(std::time::Instant::now() < end, "the file is not written");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(daemon.stop().success());
    assert_eq!(
        f.log().matches("export differs from the zone").count(),
        1,
        "{}",
        f.log()
    );
}

#[test]
fn api_reports_subjects_that_an_export_leaves_out() {
    let api = Api::new();
    let never = long_name(244);
    api.list(&never, "spam");
    let report = api.get("/v1/zones/dbl/export/report?format=list").ok();
    assert_eq!(
        (&report["zone"], &report["format"]),
        (&"dbl.orbs.example".into(), &"list".into())
    );
    assert_eq!(report["changes"][0]["kind"], "name-too-long");
    assert_eq!(
        (
            &report["changes"][0]["count"],
            &report["changes"][0]["first"][0]
        ),
        (&1.into(), &never.clone().into())
    );
    assert_eq!(
        api.get("/v1/zones/dbl/export/report?format=ipset")
            .problem(),
        "invalid"
    );
    assert_eq!(api.get("/v1/zones/nope/export/report").status, 404);
    let found = api.get(&format!("/v1/subjects/{never}")).ok();
    let zone = found["zones"]
        .as_array()
        .unwrap()
        .iter()
        .find(|z| z["zone"] == "dbl.orbs.example")
        .unwrap();
    assert_eq!(
        zone["never_asked"],
        "never asked: name and zone together have 261 characters, at most 253"
    );
    assert_eq!(zone["not_exported"].as_array().unwrap().len(), 6);
    let public = api.get(&format!("/lookup?subject={never}")).ok();
    assert_eq!(
        (&public["listed"], &public["never_asked"][0]["zone"]),
        (&false.into(), &"dbl.orbs.example".into())
    );
    // A client that accepts trailers gets the same report at the end of the file; others get only
    // the file.
    let end = |te: &str| {
        let mut s = TcpStream::connect(api.addr).unwrap();
        let head = format!(
            "GET /v1/zones/dbl/export?format=list HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n{te}",
            api.owner
        );
        s.write_all(format!("{head}connection: close\r\n\r\n").as_bytes())
            .unwrap();
        let mut all = String::new();
        std::io::Read::read_to_string(&mut s, &mut all).unwrap();
        all.rsplit_once("\r\n0\r\n").unwrap().1.to_string()
    };
    let trailer = end("te: trailers\r\n");
    let value = trailer
        .strip_prefix("export-report: ")
        .unwrap_or_else(|| panic!("{trailer}"));
    let value: serde_json::Value = serde_json::from_str(value.trim()).unwrap();
    assert_eq!(
        (&value[0]["kind"], &value[0]["count"]),
        (&"name-too-long".into(), &1.into())
    );
    assert_eq!(end(""), "\r\n");
}

/// Clients of both families, as in a list.
const CLIENTS: &str = "45.51.100.7\n45.51.100.8/30\n45.51.101.0/24\n2001:db8:1234:5678:9abc:def0:1234:5678\n2001:db8::/48\n\
    2001:db8:0:0:1::/80\n2001:db8:1:0:0:1:0:0/112\n::ffff:45.51.102.1\n";
/// Client addresses, and whether they are listed.
const ASK_FROM: [(&str, bool); 11] = [
    ("45.51.100.7", true),
    ("45.51.100.11", true),
    ("45.51.100.12", false),
    ("45.51.101.5", true),
    ("45.51.102.1", true),
    ("45.51.102.2", false),
    ("2001:db8:1234:5678:9abc:def0:1234:5678", true),
    ("2001:db8::9", true),
    ("2001:db8:0:0:1::9", true),
    ("2001:db8:1:0:0:1:0:9", true),
    ("2001:db8:2::1", false),
];

/// The program of a resolver, its arguments, and its configuration files, in which `DIR` is their
/// folder.
type Resolver = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const RESOLVERS: [Resolver; 3] = [
    (
        "named",
        "-g -n 1 -c named.conf",
        &[(
            "named.conf",
            "options { directory \"DIR\"; listen-on port 5300 { 127.0.0.1; }; listen-on-v6 port 5300 { ::1; }; pid-file none;\n\
             session-keyfile none; recursion yes; allow-query { any; }; allow-recursion { any; }; dnssec-validation no;\n\
             response-policy { zone \"policy.test\"; } qname-wait-recurse no; };\ncontrols { };\n\
             zone \".\" { type primary; file \"root.zone\"; };\nzone \"policy.test\" { type primary; file \"clients.rpz\"; };\n",
        )],
    ),
    (
        "unbound",
        "-d -c unbound.conf",
        &[(
            "unbound.conf",
            "server:\n interface: 127.0.0.1@5300\n interface: ::1@5300\n access-control: 0.0.0.0/0 allow\n access-control: ::/0 allow\n\
             username: \"\"\n chroot: \"\"\n directory: \"DIR\"\n pidfile: \"\"\n use-syslog: no\n logfile: \"\"\n\
             module-config: \"respip iterator\"\nrpz:\n name: policy.test\n zonefile: clients.rpz\n\
             auth-zone:\n name: example\n zonefile: example.zone\n for-downstream: yes\n for-upstream: no\n\
             remote-control:\n control-enable: no\n",
        )],
    ),
    (
        "pdns_recursor",
        "--config-dir=DIR",
        &[
            (
                "recursor.conf",
                "local-address=127.0.0.1,::1\nlocal-port=5300\nallow-from=0.0.0.0/0,::/0\nauth-zones=example=DIR/example.zone\n\
                 lua-config-file=DIR/recursor.lua\nsocket-dir=DIR\nsecurity-poll-suffix=\ndnssec=off\nwrite-pid=no\nhint-file=no\n\
                 disable-packetcache=yes\n",
            ),
            (
                "recursor.lua",
                "rpzFile('DIR/clients.rpz', {policyName='clients'})\n",
            ),
        ],
    ),
];

/// BIND, unbound and PowerDNS Recursor load the triggers without a warning, and apply them to
/// clients of both families.
#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn resolvers_follow_client_triggers_of_both_families() {
    let f = Folder::new();
    f.write("clients", CLIENTS);
    f.ok(&[
        "import",
        "--source",
        "x",
        "--reason",
        "relay",
        "--format",
        "list",
        "--allow-special-ranges",
        "clients",
    ]);
    f.ok(&["export", "bl", "--format", "rpz", "-o", "clients.rpz"]);
    f.write("example.zone", "$ORIGIN example.\n$TTL 60\n@ SOA a b 1 60 60 60 60\n@ NS a\na A 192.0.2.1\nwww A 192.0.2.53\n");
    f.write(
        "root.zone",
        "$TTL 60\n@ SOA a. b. 1 60 60 60 60\n@ NS a.\na. A 192.0.2.1\n* A 192.0.2.53\n",
    );
    let dir = f.path().display().to_string();
    for (name, args, files) in RESOLVERS {
        let resolver = program(name);
        files
            .iter()
            .for_each(|(name, text)| drop(f.write(name, &text.replace("DIR", &dir))));
        let mut script = "ip link set lo up\n".to_string();
        for (addr, _) in ASK_FROM {
            let more = if addr.contains(':') {
                "/128 dev lo nodad"
            } else {
                "/32 dev lo"
            };
            script += &format!("ip addr add {addr}{more}\n");
        }
        script += &format!(
            "\"$TOOL\" {} >log 2>&1 & pid=$!\nunset LD_LIBRARY_PATH\n",
            args.replace("DIR", &dir)
        );
        let ask = |from: &str| {
            let server = if from.contains(':') {
                "::1"
            } else {
                "127.0.0.1"
            };
            format!(
                "dig +time=1 +tries=1 -b {from} @{server} -p 5300 www.example A | sed -n 's/.*status: \\([A-Z]*\\),.*/\\1/p'"
            )
        };
        script += &format!(
            "i=0; until [ -n \"$({})\" ] || [ $i -gt 20 ]; do i=$((i + 1)); sleep 0.3; done\n",
            ask("127.0.0.1")
        );
        ASK_FROM
            .iter()
            .for_each(|(addr, _)| script += &format!("echo {addr} $({})\n", ask(addr)));
        script += "kill $pid; wait $pid || true\n";
        let out = in_network(&resolver, &script, &f);
        let want: String = ASK_FROM
            .iter()
            .map(|(addr, listed)| {
                format!("{addr} {}\n", if *listed { "NXDOMAIN" } else { "NOERROR" })
            })
            .collect();
        let log = fs::read_to_string(f.path().join("log")).unwrap_or_default();
        assert_eq!(
            String::from_utf8_lossy(&out.stdout),
            want,
            "{name}: {}\n{log}",
            output_text(&out)
        );
        let complaints = ["invalid", "rror loading", "could not parse", "rror parsing"];
        let wrong: Vec<&str> = log
            .lines()
            .filter(|l| complaints.iter().any(|c| l.contains(c)))
            .collect();
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
    }
}

/// Nested prefixes, adjacent prefixes, and a range.
const OVERLAPS: &str = "45.51.100.0/23\n45.51.101.0/24\n45.51.101.7\n45.51.102.0-45.51.102.130\n45.51.102.131\n2001:db8:1::/48\n2001:db8:1:2::/64\n";

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn packet_filter_exports_of_overlapping_prefixes_have_no_overlap() {
    let f = Folder::new();
    f.write("overlaps", OVERLAPS);
    f.ok(&[
        "import",
        "--source",
        "x",
        "--reason",
        "relay",
        "--format",
        "list",
        "--allow-special-ranges",
        "overlaps",
    ]);
    let want = [
        "45.51.100.0/23",
        "45.51.102.0/25",
        "45.51.102.128/30",
        "2001:db8:1::/48",
    ];
    let out = f.orbsd(&["export", "bl", "--format", "cidr"]);
    assert_eq!(
        String::from_utf8_lossy(&out.stdout)
            .lines()
            .skip(1)
            .collect::<Vec<_>>(),
        want
    );
    let report = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        report.starts_with("bl as cidr: ")
            && report.contains("written as a part of a wider prefix: 45.51.101."),
        "{report}"
    );
    f.ok(&["export", "bl", "--format", "nftables", "-o", "bl.nft"]);
    f.ok(&["export", "bl", "--format", "ipset", "-o", "bl.ipset"]);
    f.ok(&["export", "bl", "--format", "postfix", "-o", "bl.postfix"]);
    let prefixes = |file: &str, cut: fn(&str) -> Option<&str>| {
        let text = fs::read_to_string(f.path().join(file)).unwrap();
        text.lines()
            .filter_map(cut)
            .map(String::from)
            .collect::<Vec<_>>()
    };
    assert_eq!(prefixes("bl.nft", |l| l.strip_suffix(',')), want);
    assert_eq!(
        prefixes("bl.ipset", |l| l.strip_prefix("add ")?.split(' ').nth(1)),
        want
    );
    let postfix: Vec<orbsd::model::Subject> =
        prefixes("bl.postfix", |l| Some(l.split_once(" REJECT ")?.0))
            .iter()
            .map(|p| p.parse().unwrap())
            .collect();
    for (i, a) in postfix.iter().enumerate() {
        assert!(
            postfix
                .iter()
                .skip(i + 1)
                .all(|b| !a.covers(b) && !b.covers(a)),
            "{postfix:?}"
        );
    }
    for (name, script) in [
        ("nft", "\"$TOOL\" -c -f bl.nft && \"$TOOL\" -f bl.nft"),
        ("ipset", "\"$TOOL\" restore < bl.ipset"),
    ] {
        let filter = program(name);
        let out = in_network(&filter, script, &f);
        assert!(
            out.status.success() && output_text(&out).is_empty(),
            "{name}: {}",
            output_text(&out)
        );
    }
}
