//! The tests of RFC 8906 section 8, with its own `dig` commands.

use std::process::Command;

use crate::lab::{Folder, Lab};

fn dig(lab: &Lab, args: &str) -> String {
    let out = Command::new("dig")
        .args([
            "@127.0.0.1",
            "-p",
            &lab.addr.port().to_string(),
            "+time=2",
            "+tries=1",
            "+nocookie",
        ])
        .args(args.split_whitespace())
        .output()
        .expect("dig is there: `make need` installs it");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Each line: the options of dig, the text that the reply must show, and the text that it must not.
const TESTS: [(&str, &[&str], &[&str]); 20] = [
    // 8.1: without EDNS.
    (
        "+noedns +noad +norec soa ZONE",
        &["status: NOERROR", "flags: qr aa;", "SOA\tns1"],
        &["OPT PSEUDO"],
    ),
    (
        "+noedns +noad +norec type1000 ZONE",
        &["status: NOERROR", "flags: qr aa;", "ANSWER: 0"],
        &["OPT PSEUDO"],
    ),
    (
        "+noedns +noad +norec +cd soa ZONE",
        &["status: NOERROR", "flags: qr aa;"],
        &["OPT PSEUDO"],
    ),
    (
        "+noedns +ad +norec soa ZONE",
        &["status: NOERROR", "flags: qr aa;"],
        &[],
    ),
    (
        "+noedns +noad +norec +zflag soa ZONE",
        &["status: NOERROR", "flags: qr aa;"],
        &["MBZ"],
    ),
    (
        "+noedns +noad +rec soa ZONE",
        &["status: NOERROR", "flags: qr aa rd;"],
        &["flags: qr aa rd ra"],
    ),
    (
        "+noedns +noad +norec +opcode=15 +header-only",
        &[
            "opcode: RESERVED15",
            "status: NOTIMP",
            "flags: qr;",
            "QUERY: 0",
        ],
        &["OPT PSEUDO"],
    ),
    (
        "+noedns +noad +norec +opcode=4 soa ZONE",
        &["opcode: NOTIFY", "status: NOTIMP", "QUERY: 1"],
        &["OPT PSEUDO"],
    ),
    // RFC 6891 section 6.1.1: an OPT in every reply to one.
    (
        "+edns=0 +noad +norec +opcode=4 soa ZONE",
        &[
            "status: NOTIMP",
            "flags: qr;",
            "QUERY: 1",
            "EDNS: version: 0, flags:; udp: 1232",
        ],
        &[],
    ),
    (
        "+edns=0 +noad +norec +opcode=15 +header-only",
        &[
            "status: NOTIMP",
            "QUERY: 0",
            "EDNS: version: 0, flags:; udp: 1232",
        ],
        &[],
    ),
    (
        "+noedns +noad +norec +tcp soa ZONE",
        &["status: NOERROR", "flags: qr aa;"],
        &[],
    ),
    // 8.2: with EDNS.
    (
        "+edns=0 +noad +norec soa ZONE",
        &[
            "status: NOERROR",
            "EDNS: version: 0, flags:; udp: 1232",
            "SOA\tns1",
        ],
        &[],
    ),
    (
        "+edns=1 +noednsneg +noad +norec soa ZONE",
        &["status: BADVERS", "EDNS: version: 0", "ANSWER: 0"],
        &["SOA\tns1"],
    ),
    (
        "+edns=0 +noad +norec +ednsopt=100 soa ZONE",
        &["status: NOERROR", "EDNS: version: 0"],
        &["OPT=100"],
    ),
    (
        "+edns=0 +noad +norec +ednsflags=0x40 soa ZONE",
        &["status: NOERROR", "EDNS: version: 0, flags:;"],
        &["MBZ"],
    ),
    (
        "+edns=1 +noednsneg +noad +norec +ednsflags=0x40 soa ZONE",
        &["status: BADVERS", "EDNS: version: 0, flags:;"],
        &["SOA\tns1"],
    ),
    (
        "+edns=1 +noednsneg +noad +norec +ednsopt=100 soa ZONE",
        &["status: BADVERS"],
        &["OPT=100", "SOA\tns1"],
    ),
    (
        "+edns=0 +noad +norec +dnssec soa ZONE",
        &["status: NOERROR", "EDNS: version: 0, flags:;"],
        &["RRSIG"],
    ),
    (
        "+edns=0 +noad +norec +dnssec +bufsize=512 +ignore dnskey ZONE",
        &["status: NOERROR", "EDNS: version: 0"],
        &[],
    ),
    (
        "+edns=0 +noad +norec +nsid +subnet=0.0.0.0/0 +expire +ednsopt=8 soa ZONE",
        &["status: NOERROR", "EDNS: version: 0"],
        &[],
    ),
];

#[test]
fn rfc8906_section_8_tests_pass() {
    let lab = Lab::new(Folder::new());
    for (args, wants, nots) in TESTS {
        let said = dig(&lab, &args.replace("ZONE", "bl.orbs.example"));
        wants
            .iter()
            .for_each(|w| assert!(said.contains(w), "dig {args}: no `{w}` in\n{said}"));
        nots.iter()
            .for_each(|n| assert!(!said.contains(n), "dig {args}: `{n}` in\n{said}"));
    }
}
