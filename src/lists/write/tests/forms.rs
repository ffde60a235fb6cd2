//! The form of each file: what the program that loads it requires.

use super::*;

#[test]
fn sets_hold_one_address_family() {
    let snapshot = snapshot("address", &world("2.0.0.0/8 2a00:1::/32"));
    let nft = exported("nftables", "", &snapshot);
    let (four, six) = nft
        .split_once("add element inet orbsd bl_orbs_example_v6 {\n")
        .unwrap();
    assert!(
        four.contains("\n2.0.0.0/8,\n}\n") && !four.contains("2a00"),
        "{nft}"
    );
    assert_eq!(six, "2a00:1::/32,\n}\n");
    let ipset = exported("ipset", "", &snapshot);
    assert!(
        ipset.contains(
            "add bl_orbs_example_v4_new 2.0.0.0/8\nswap bl_orbs_example_v4_new bl_orbs_example_v4\n"
        ),
        "{ipset}"
    );
    assert!(ipset.ends_with(
        "add bl_orbs_example_v6_new 2a00:1::/32\nswap bl_orbs_example_v6_new bl_orbs_example_v6\ndestroy bl_orbs_example_v6_new\n"
    ));
    let rpz = exported("rpz", "", &snapshot);
    assert!(
        rpz.contains("\n8.0.0.0.2.rpz-client-ip CNAME .\n32.zz.1.2a00.rpz-client-ip CNAME .\n"),
        "{rpz}"
    );
}

#[test]
fn texts_name_the_listed_prefix_and_not_every_address() {
    let snapshot = snapshot(
        "address",
        &world("45.1.0.0/16=in_$ 45.2.0.4=host_$ 45.2.0.5=host_$ 46.1.1.1=alone_$ !45.1.0.0/24"),
    );
    let postfix = exported("postfix", "", &snapshot);
    for want in [
        "\n45.1.128.0/17 REJECT in 45.1.0.0/16\n",
        "\n45.2.0.4/31 REJECT host 45.2.0.4/31\n",
        "\n46.1.1.1 REJECT alone 46.1.1.1\n",
    ] {
        assert!(postfix.contains(want), "{want}{postfix}");
    }
    let jsonl = exported("jsonl", "", &snapshot);
    let want = "{\"reasons\":[{\"code\":\"127.0.0.2\",\"reason\":\"r0\",\"text\":\"host 45.2.0.5\"}],\"subject\":\"45.2.0.5\"}";
    assert!(jsonl.lines().any(|l| l == want), "{jsonl}");
    let rpz = exported("rpz", "192.0.2.80", &snapshot);
    assert!(rpz.contains("\n31.4.0.2.45.rpz-client-ip A 192.0.2.80\n31.4.0.2.45.rpz-client-ip TXT \"host 45.2.0.4/31\"\n"), "{rpz}");
}

#[test]
fn test_points_are_only_in_formats_for_clients() {
    for kind in ["address", "domain"] {
        let snapshot = snapshot(kind, &world("45.1.1.1 .a.test"));
        assert!(
            exported("master", "", &snapshot).contains(if kind == "address" {
                "\n2.0.0.127 A "
            } else {
                "\ntest A "
            })
        );
        for format in FORMATS
            .iter()
            .filter(|f| check(f, "", snapshot.zones.all()[0].spec.kind).is_ok())
        {
            let text = exported(format, "", &snapshot);
            assert!(
                !text.contains("127.0.0.2\",\"reasons")
                    && !text.contains("\ntest ")
                    && !text.contains("0.0.127."),
                "{format}: {text}"
            );
            assert!(!held_has_loopback(format, &text), "{format}: {text}");
        }
    }
}

fn held_has_loopback(format: &str, text: &str) -> bool {
    let loopback = Subject::V4(Prefix4::new(0x7f00_0002, 32));
    held(format, text).iter().any(|p| p.covers(&loopback))
}

#[test]
fn every_file_names_the_serial() {
    let snapshot = snapshot("address", &world("45.1.1.1"));
    for w in WRITERS.iter().filter(|w| w.name != "nsd") {
        let first = exported(w.name, "", &snapshot)
            .lines()
            .next()
            .unwrap()
            .to_string();
        let want = if w.name == "jsonl" {
            "\"serial\":7".to_string()
        } else {
            format!("bl.orbs.example serial 7 as {}", w.name)
        };
        assert!(first.contains(&want), "{first}");
    }
    assert!(
        exported("rpz", "", &snapshot)
            .contains("\n@ SOA ns1.orbs.example. h.orbs.example. 7 600 300 ")
    );
}

#[test]
fn exclusions_below_listed_wildcards_pass() {
    let snapshot = snapshot(
        "domain",
        &world("*.a.bx !.ok.a.bx x.y.ok.a.bx .t.rpz-client-ip plain.bx"),
    );
    let rpz = exported("rpz", "nodata", &snapshot);
    let rules: Vec<&str> = rpz.lines().filter(|l| l.contains("CNAME")).collect();
    let want = [
        "a.bx", // not listed: only names below it are
        "*.a.bx CNAME *.",
        "ok.a.bx CNAME rpz-passthru.",
        "*.ok.a.bx CNAME rpz-passthru.",
        "x.y.ok.a.bx CNAME *.",
        "plain.bx CNAME *.",
    ];
    assert_eq!(rules.len(), want.len() - 1, "{rules:#?}");
    assert!(want[1..].iter().all(|w| rules.contains(w)), "{rules:#?}");
    let jsonl = exported("jsonl", "", &snapshot);
    assert!(
        jsonl.contains(
            "{\"reasons\":[],\"subject\":\"ok.a.bx\"}\n{\"reasons\":[],\"subject\":\"*.ok.a.bx\"}"
        ),
        "{jsonl}"
    );
    let local = exported("rpz", "2001:db8::80", &snapshot);
    assert!(
        local.contains("\nplain.bx AAAA 2001:db8::80\nplain.bx TXT \"reason 0: plain.bx\"\n"),
        "{local}"
    );
}

#[test]
fn ipv6_triggers_are_spelt_canonically() {
    for (text, want) in [
        ("2a00::/19", "19.zz.2a00"),
        ("2a00:0:0:1::/64", "64.zz.1.0.0.2a00"),
        ("2a00:0:0:1:0:0:1:1", "128.1.1.0.0.1.zz.2a00"),
        ("2a00:1:0:2:3:4:5:6", "128.6.5.4.3.2.0.1.2a00"),
        ("2a00::1", "128.1.zz.2a00"),
    ] {
        let Ok(Subject::V6(p)) = text.parse::<Subject>() else {
            panic!("{text}")
        };
        assert_eq!(format!("{}.{}", p.len(), rpz::address_groups(p)), want);
    }
}

#[test]
fn unsupported_format_is_refused_with_the_supported_ones() {
    for format in ["postfix", "nftables", "ipset"] {
        let why = check(format, "", ZoneKind::Domain).err().unwrap();
        assert!(
            why.contains("rpz") && why.contains("jsonl") && !why.contains("ipset,"),
            "{why}"
        );
    }
    let why = check("rpz", "", ZoneKind::Hash).err().unwrap();
    assert!(
        why.contains("a hash zone has digests") && why.contains("rbldnsd"),
        "{why}"
    );
    let why = check("nftables", "", ZoneKind::Hash).err().unwrap();
    assert!(why.contains("jsonl") && !why.contains("rpz"), "{why}");
    assert!(
        check("pdf", "", ZoneKind::Address)
            .err()
            .unwrap()
            .contains("nftables")
    );
    assert!(
        check("list", "drop", ZoneKind::Address)
            .err()
            .unwrap()
            .contains("rpz")
    );
    for good in [
        "",
        "nxdomain",
        "nodata",
        "drop",
        "tcp-only",
        "passthru",
        "192.0.2.1",
        "2001:db8::1",
        "garden.example.org",
    ] {
        assert!(check("rpz", good, ZoneKind::Domain).is_ok(), "{good}");
    }
    for bad in ["reject", "a b.c", "..", "x\n.y"] {
        assert!(
            check("rpz", bad, ZoneKind::Domain)
                .err()
                .unwrap()
                .contains("nxdomain"),
            "{bad}"
        );
    }
}

#[test]
fn set_names_fit_the_length_limit() {
    let mut view = test_zone("address", &[0], "");
    for (stem, want) in [
        ("relays", "relays"),
        ("", "bl_orbs_example"),
        ("4.x", "z4_x"),
        ("a b;c", "a_b_c"),
    ] {
        view.spec.short_name = stem.into();
        assert_eq!(set_name(&view), want);
    }
    let long = |stem: &str| {
        let mut view = test_zone("address", &[0], "");
        view.spec.short_name = stem.into();
        let zones = Arc::new(ZoneSet::new(vec![view]).unwrap());
        let text = exported(
            "ipset",
            "",
            &Snapshot {
                zones,
                ..snapshot("address", &world("45.1.1.1"))
            },
        );
        text.lines()
            .find_map(|l| l.strip_prefix("flush "))
            .unwrap()
            .to_string()
    };
    let (a, b) = (
        long("a-very-long-name-of-a-zone-one"),
        long("a-very-long-name-of-a-zone-two"),
    );
    assert!(a != b && a.len() == 31 && b.len() == 31, "{a} {b}");
}
