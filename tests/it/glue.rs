//! Name servers inside a zone: `check` reports those without an address, and exports and transfers
//! have their addresses.

use std::fs;

use crate::{
    exports::output_text,
    lab::{CONFIG, DIGESTS, DOMAINS, Daemon, Folder, ZONE},
    mirrors::wire::{lines, take},
    peers::program,
};

const INSIDE: &str = r#"
[[record]]
name = "ns1"
type = "A"
data = "192.0.2.1"
[[record]]
name = "ns1"
type = "AAAA"
data = "2001:db8::1"
[[record]]
name = "lab"
type = "NS"
data = "ns1.lab.bl.orbs.example"
[[record]]
name = "ns1.lab"
type = "A"
data = "192.0.2.77"
[transfer]
allow = ["127.0.0.0/8"]
"#;

/// A zone whose name servers are in it, in a zone below it, and in a delegated part of it.
fn folder() -> Folder {
    let bl = ZONE
        .replace("\"ns2.orbs.example\"", "\"ns2.low.bl.orbs.example\"")
        .replace("ns1.orbs", "ns1.bl.orbs")
        + INSIDE;
    let low = DOMAINS
        .replace("dbl.orbs", "low.bl.orbs")
        .replace("ns2.orbs", "ns2.low.bl.orbs")
        + "[[record]]\nname = \"ns2\"\ntype = \"AAAA\"\ndata = \"2001:db8::2\"\n";
    let config = format!("{CONFIG}[[reason]]\nname = \"drop-box\"\ntext = \"Drop box $\"\n");
    Folder::with(&config, &[("bl", &bl), ("low", &low), ("ebl", DIGESTS)])
}

#[test]
fn check_reports_name_servers_without_an_address() {
    let f = folder();
    let said = f.ok(&["check"]);
    assert!(!said.contains("no address"), "{said}");
    let text = fs::read_to_string(f.path().join("zones/low.toml")).unwrap();
    f.write("zones/low.toml", text.split("[[record]]").next().unwrap());
    let said = f.ok(&["check"]);
    let warning = said
        .lines()
        .find(|l| l.contains("no address"))
        .unwrap_or_else(|| panic!("{said}"));
    for part in [
        "zones/low.toml: ",
        "ns2.low.bl.orbs.example",
        "name = \"ns2\"",
        "AAAA",
    ] {
        assert!(warning.contains(part), "{part}: {warning}");
    }
    assert_eq!(said.matches("no address").count(), 1, "{said}");
}

#[test]
fn transfers_carry_glue_of_the_zone_and_of_zones_below_it() {
    let f = folder();
    let daemon = Daemon::start(&f);
    let records = lines(&take(f.addr(), "bl.orbs.example", None).unwrap().records);
    for want in [
        "ns1.bl.orbs.example. 300 A 192.0.2.1",
        "ns1.bl.orbs.example. 300 AAAA 2001:db8::1",
        "ns2.low.bl.orbs.example. 300 AAAA 2001:db8::2",
        "ns1.lab.bl.orbs.example. 300 A 192.0.2.77",
        "lab.bl.orbs.example. 300 NS ns1.lab.bl.orbs.example.",
    ] {
        assert!(records.iter().any(|r| r == want), "{want}: {records:#?}");
    }
    // Glue that changes in the zone below moves the serial of the zone above.
    let before = take(f.addr(), "bl.orbs.example", None).unwrap();
    let low = fs::read_to_string(f.path().join("zones/low.toml")).unwrap();
    f.write("zones/low.toml", &low.replace("db8::2", "db8::3"));
    f.ok(&["reload"]);
    let had = crate::mirrors::wire::serial_of(&before.records[0]);
    let after = lines(&take(f.addr(), "bl.orbs.example", had).unwrap().records);
    assert!(
        after.iter().any(|r| r.ends_with("AAAA 2001:db8::3")),
        "{after:#?}"
    );
    assert!(daemon.stop().success());
}

/// The reader of BIND accepts exports with glue, wildcards and exclusions.
#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn named_checkzone_accepts_master_exports() {
    let f = folder();
    f.write(
        "a.rbl",
        "45.51.100.7\n46.0.0.0/9\n!46.1.2.0/25\n2a00:1:2::/48\n!2a00:1:2:3::/64\n2a00::1\n",
    );
    f.ok(&[
        "import", "--source", "a", "--reason", "relay", "--format", "rbldnsd", "a.rbl",
    ]);
    f.write("d.rbl", "bad.test\n*.worse.test\n!.ok.worse.test\n");
    f.ok(&[
        "import",
        "--source",
        "d",
        "--reason",
        "spam",
        "--format",
        "rbldnsd",
        "--dataset",
        "dnset",
        "d.rbl",
    ]);
    for (stem, origin) in [
        ("bl", "bl.orbs.example"),
        ("low", "low.bl.orbs.example"),
        ("ebl", "ebl.orbs.example"),
    ] {
        f.ok(&[
            "export",
            stem,
            "--format",
            "master",
            "-o",
            &format!("{stem}.zone"),
        ]);
        // Names outside of the zone would be looked up on the Internet.
        let check = |file: &str| {
            let out = program("named-checkzone")
                .args(["-i", "local", origin])
                .arg(f.path().join(file))
                .output()
                .unwrap();
            (out.status.success(), output_text(&out))
        };
        let (good, text) = check(&format!("{stem}.zone"));
        assert!(
            good && !text.contains("warning") && !text.contains("no address"),
            "{stem}: {text}"
        );
        if stem == "bl" {
            let zone = fs::read_to_string(f.path().join("bl.zone")).unwrap();
            let without: String = zone
                .lines()
                .filter(|l| !l.starts_with("ns1 "))
                .map(|l| format!("{l}\n"))
                .collect();
            f.write("without.zone", &without);
            assert!(!check("without.zone").0, "the glue is what makes it pass");
        }
    }
}
