//! Other programs read the transfers: hickory-proto, ldns, dnspython, and the shell pipelines of
//! the year 2000.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    process::{Command, Stdio},
};

use super::{
    agree::dump,
    servers::program,
    wire::{self, take},
    worlds::{Random, World, ZONES, feeds, folder, send},
};
use crate::{
    lab::{Daemon, Folder},
    peers::peers,
};

/// A filled laboratory without mirrors.
fn filled() -> (Folder, Daemon) {
    let f = folder("", &ZONES, &[]);
    let daemon = Daemon::start(&f);
    feeds(&f);
    send(f.path(), &World::default().changes(&mut Random(99), 1500));
    std::thread::sleep(std::time::Duration::from_secs(6));
    (f, daemon)
}

fn stdout_of(command: &mut Command) -> String {
    let out = command.stderr(Stdio::piped()).output().unwrap();
    assert!(
        out.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout).unwrap()
}

/// Returns owner, TTL and type of lines in master file form.
fn heads(text: &str) -> Vec<String> {
    let mut out: Vec<String> = text
        .lines()
        .filter(|l| !l.starts_with([';', '$']) && !l.trim().is_empty())
        .map(|l| {
            let w: Vec<&str> = l.split_whitespace().collect();
            format!("{} {} {}", w[0].to_lowercase(), w[1], w[3])
        })
        .collect();
    out.sort();
    out
}

/// Returns what ldns and dnspython must read: our own parse, without the second SOA.
fn wanted(at: SocketAddr, zone: &str) -> Vec<String> {
    let head = |l: &String| l.split(' ').take(3).collect::<Vec<_>>().join(" ");
    let mut out: Vec<String> = dump(at, zone).iter().map(head).collect();
    out.sort();
    out
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn hickory_ldns_and_dnspython_read_axfr() {
    let (f, _daemon) = filled();
    let port = f.port.to_string();
    for zone in ZONES {
        let taken = take(f.addr(), zone, None).unwrap();
        assert!(taken.records.len() > 20, "{zone}");
        let want = wanted(f.addr(), zone);
        // ldns transfers the zone itself, and then reads its own output as a zone.
        let mut drill = program("drill");
        let text = stdout_of(drill.args(["-t", "-p", &port, "@127.0.0.1", zone, "AXFR"]));
        let mut got = heads(&text);
        let soa = got.iter().position(|l| l.ends_with(" SOA")).unwrap();
        got.remove(soa); // it comes twice
        assert_eq!(got, want, "{zone}");
        let file = f.write("axfr", &text.replace("\t\t", "\t"));
        let read = stdout_of(program("ldns-read-zone").arg(&file));
        assert_eq!(heads(&read), want, "{zone}");
        // dnspython checks the order of SOA records and builds a zone, which fails on records
        // outside of it and on duplicates.
        let script = "import sys, dns.query, dns.zone, dns.rdatatype, dns.message, dns.versioned\n\
                      zone, port = sys.argv[1], int(sys.argv[2])\n\
                      z = dns.zone.from_xfr(dns.query.xfr('127.0.0.1', zone, port=port, relativize=False), relativize=False)\n\
                      v = dns.versioned.Zone(zone, relativize=False)\n\
                      dns.query.inbound_xfr('127.0.0.1', v, port=port)\n\
                      for n, ttl, d in v.iterate_rdatas(): print(n, ttl, 'IN', dns.rdatatype.to_text(d.rdtype), d)\n\
                      assert sorted(map(str, z.iterate_rdatas())) == sorted(map(str, v.iterate_rdatas()))\n";
        let mut python = Command::new("python3");
        let lines = stdout_of(
            python
                .env(
                    "PYTHONPATH",
                    peers().join("root/usr/lib/python3/dist-packages"),
                )
                .args(["-c", script, zone, &port]),
        );
        assert_eq!(heads(&lines), want, "{zone}");
    }
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn dnspython_and_hickory_read_ixfr() {
    let (f, _daemon) = filled();
    let zone = "bl.orbs.example";
    let script = f.write(
        "follow.py",
        "import sys, dns.query, dns.message, dns.versioned, dns.rdatatype\n\
         zone, port = sys.argv[1], int(sys.argv[2])\n\
         v = dns.versioned.Zone(zone, relativize=False)\n\
         dns.query.inbound_xfr('127.0.0.1', v, port=port)\n\
         for line in sys.stdin:\n\
         \x20   dns.query.inbound_xfr('127.0.0.1', v, query=dns.xfr.make_query(v)[0], port=port)\n\
         \x20   print(sum(1 for _ in v.iterate_rdatas()), flush=True)\n\
         for n, ttl, d in v.iterate_rdatas(): print(n, ttl, 'IN', dns.rdatatype.to_text(d.rdtype), d)\n",
    );
    let mut python = Command::new("python3")
        .env(
            "PYTHONPATH",
            peers().join("root/usr/lib/python3/dist-packages"),
        )
        .arg(script)
        .args([zone, &f.port.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    use std::io::{BufRead, BufReader, Write};
    let mut input = python.stdin.take().unwrap();
    let mut lines = BufReader::new(python.stdout.take().unwrap()).lines();
    let mut world = World::default();
    let mut r = Random(4242);
    let mut steps = 0;
    // The first step starts the client and changes nothing.
    for count in [0, 1, 30, 400] {
        let before = wire::serial(f.addr(), zone).unwrap();
        if count > 0 {
            send(
                f.path(),
                &world
                    .changes(&mut r, count)
                    .into_iter()
                    .map(|mut o| (o["until"].take(), o).1)
                    .map(clean)
                    .collect::<Vec<_>>(),
            );
        }
        writeln!(input, "go").unwrap();
        let have: usize = lines.next().unwrap().unwrap().parse().unwrap();
        assert_eq!(have, dump(f.addr(), zone).len(), "after {count} changes");
        let after = wire::serial(f.addr(), zone).unwrap();
        if after != before {
            let taken = take(f.addr(), zone, Some(before)).unwrap();
            assert_eq!(
                wire::serial_of(&taken.records[1]),
                Some(before),
                "an IXFR from the last serial"
            );
            steps += 1;
        }
    }
    assert!(steps >= 2);
    drop(input);
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(heads(&rest.join("\n")), wanted(f.addr(), zone));
    assert!(python.wait().unwrap().success());
}

/// A command without the end that was removed from it.
fn clean(mut order: serde_json::Value) -> serde_json::Value {
    order.as_object_mut().unwrap().retain(|_, v| !v.is_null());
    order
}

/// The two pipelines of the founding document, except for server, port and zone, and with the parts
/// of the second that its web page had lost: the handle in `<>` and the last braces.
#[test]
fn shell_pipelines_of_the_founding_document_read_axfr() {
    let config = "[admin]\nlisten = \"\"\n[dns]\nlisten = [\"127.0.0.1:PORT\"]\n[[reason]]\nname = \"relay\"\ntext = \"see <https://orbs.example/cgi-bin/nph-lookup?$>\"\n";
    let zone = "origin='bl.orbs.example'\nkind='address'\nns=['ns1.orbs.example','ns2.orbs.example']\ncontact='h@orbs.example'\n\
                publish=[{reason='relay',code='127.0.0.2'}]\n[transfer]\nallow=['127.0.0.0/8']\n";
    let f = Folder::with(config, &[("bl", zone)]);
    let _daemon = Daemon::start(&f);
    let mut r = Random(2000);
    let hosts: BTreeSet<String> = (0..2000)
        .map(|_| std::net::Ipv4Addr::from((45 << 24) + r.below(1 << 24) as u32).to_string())
        .collect();
    f.write(
        "hosts",
        &hosts.iter().map(|h| format!("{h}\n")).collect::<String>(),
    );
    f.ok(&[
        "import", "--source", "hosts", "--reason", "relay", "--format", "list", "hosts",
    ]);
    let first = format!(
        "dig -p {} @127.0.0.1 bl.orbs.example axfr | grep nph | cut -f2 -d\\? | cut -f1 -d\\> | sort",
        f.port
    );
    let got: Vec<String> = stdout_of(Command::new("sh").args(["-c", &first]))
        .lines()
        .map(String::from)
        .collect();
    // The test point is in the list twice: its mapped form is the same address.
    let points: Vec<&String> = got.iter().filter(|l| !hosts.contains(*l)).collect();
    assert_eq!(points, ["127.0.0.2", "127.0.0.2"]);
    assert_eq!(got.len(), hosts.len() + 2, "each once");
    let second = format!(
        r#"open(DIG,"dig -p {} \@127.0.0.1 bl.orbs.example axfr|");
while(<DIG>) {{
        if(/^([0-9]+)\.([0-9]+)\.([0-9]+)\.([0-9]+)/) {{
           ($d,$c,$b,$a) = ($1,$2,$3,$4);
           print "${{a}}.${{b}}.${{c}}.${{d}}\n";
}}
}}
"#,
        f.port
    );
    let file = f.write("list.pl", &second);
    let got: Vec<String> = stdout_of(Command::new("perl").arg(file))
        .lines()
        .map(String::from)
        .collect();
    let lines = got.iter().filter(|l| hosts.contains(*l)).count();
    assert_eq!(
        lines,
        2 * hosts.len(),
        "a line for the A record and one for the TXT record of each"
    );
    // The pipeline does not know IPv6: it takes the last four nibbles of the mapped test point.
    let others: BTreeSet<&str> = got
        .iter()
        .map(String::as_str)
        .filter(|l| !hosts.contains(*l))
        .collect();
    assert_eq!(others, BTreeSet::from(["127.0.0.2", "0.0.0.2"]));
}
