//! The content of the laboratory: zones of every kind, feeds with exclusions, and thousands of
//! random changes.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use serde_json::{Value, json};

use super::servers::SECRET;
use crate::lab::Folder;

/// A small random number generator, so that a run can be repeated.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
    pub fn shuffle<T>(&mut self, of: &mut [T]) {
        for i in (1..of.len()).rev() {
            of.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

/// The zones of the laboratory: a plain one, one with all texts, one with mapped addresses, one of
/// domains, one of digests. Those that are not plain have rules, too.
pub const ZONES: [&str; 5] = [
    "bl.orbs.example",
    "all.orbs.example",
    "mapped.orbs.example",
    "dbl.orbs.example",
    "ebl.orbs.example",
];

const REASONS: [&str; 3] = ["relay", "netblock", "dynamic"];

/// Returns `config.toml` with the key of the documentation, and `more` at its end.
pub fn config(more: &str) -> String {
    format!(
        "[admin]\nlisten = \"\"\n[dns]\nlisten = [\"127.0.0.1:PORT\"]\nworkers = 1\n{more}\n[[key]]\nname = \"mirror\"\nfile = \"keys/mirror\"\n\
         [[reason]]\nname = \"relay\"\ntext = \"Open relay, see https://orbs.example/$\"\n[[reason]]\nname = \"netblock\"\ntext = \"Netblock $\"\n\
         [[reason]]\nname = \"dynamic\"\ntext = \"Dynamic\"\n[[reason]]\nname = \"spam\"\ntext = \"Spam $\"\n[[reason]]\nname = \"phish\"\ntext = \"Phish $\"\n\
         [[reason]]\nname = \"drop-box\"\ntext = \"Drop box $\"\n"
    )
}

/// Returns the mirrors to notify, as in a zone file.
fn notify_list(mirrors: &[std::net::SocketAddr]) -> String {
    mirrors
        .iter()
        .map(|m| format!("{{address='{m}',key='mirror'}}"))
        .collect::<Vec<_>>()
        .join(",")
}

/// Returns a zone file that permits transfers to this host and to the key, and notifies the
/// mirrors.
pub fn zone(origin: &str, mirrors: &[std::net::SocketAddr]) -> String {
    let stem = origin.split('.').next().unwrap();
    let rest = match stem {
        "all" => {
            "kind='address'\ntxt='all'\npublish=[{reason='netblock',code='127.0.0.3'},{reason='relay',code='127.0.0.2',text='all: $'},{reason='dynamic',code='127.0.0.4'},\
             {all=['relay','netblock'],code='127.0.0.9'},{any=['relay','netblock','dynamic'],min_sources=2,code='127.0.0.10',text='two: $'},\
             {any=['relay','netblock'],sources=['six','operator'],code='127.0.0.12',text='some: $'},\
             {any=['relay','netblock','dynamic'],weights={xbl=2,six=2,operator=1},min_score=3,code='127.0.0.13',text='score: $'}]"
        }
        "mapped" => {
            "kind='address'\nipv4_mapped=true\nttl='10m'\npublish=[{reason='relay',code='127.0.0.2'},{reason='dynamic',code='127.0.0.4'},\
             {reason='netblock',families=['ipv6'],code='127.0.0.11'}]"
        }
        "dbl" => {
            "kind='domain'\nttl='7m'\npublish=[{reason='spam',code='127.0.1.2'},{reason='phish',code='127.0.1.4'},{all=['spam','phish'],code='127.0.1.8'}]"
        }
        "recent" => {
            "kind='address'\npublish=[{any=['relay','netblock'],seen_within='20s',code='127.0.0.2',text='recent: $'}]"
        }
        "wide" => {
            "kind='address'\npublish=[{reason='relay',width={ipv6=64},code='127.0.0.2',text='wide: $'}]"
        }
        "ebl" => "kind='hash'\ndigest='sha1-hex'\npublish=[{reason='drop-box',code='127.0.1.6'}]",
        _ => {
            "kind='address'\npublish=[{reason='relay',code='127.0.0.2'},{reason='netblock',code='127.0.0.3'}]"
        }
    };
    let fixed = "[[record]]\nname='@'\ntype='A'\ndata='198.51.100.80'\n[[record]]\nname='@'\ntype='CAA'\ndata='0 issue \"ca.example\"'\n\
                 [[record]]\nname='www.info'\ntype='AAAA'\ndata='2001:db8::80'\n[[record]]\nname='@'\ntype='MX'\ndata='10 mx.orbs.example.'\n";
    format!(
        "origin='{origin}'\nns=['ns1.orbs.example','ns2.orbs.example']\ncontact='h@orbs.example'\nrefresh='1h'\nretry='1s'\n{rest}\n{fixed}\
         [transfer]\nallow=['127.0.0.0/8','key:mirror']\nnotify=[{}]\n",
        notify_list(mirrors)
    )
}

/// Returns the zone file of the catalog of all zones.
pub fn catalog(origin: &str, mirrors: &[std::net::SocketAddr]) -> String {
    format!(
        "origin='{origin}'\nkind='catalog'\nns=['invalid.']\ncontact='h@orbs.example'\nrefresh='1h'\nretry='1s'\n\
         [transfer]\nallow=['127.0.0.0/8','key:mirror']\nnotify=[{}]\n",
        notify_list(mirrors)
    )
}

/// Returns a folder with zones, the key, and mirrors to notify.
pub fn folder(more: &str, zones: &[&str], mirrors: &[std::net::SocketAddr]) -> Folder {
    let texts: Vec<(String, String)> = zones
        .iter()
        .map(|z| (z.split('.').next().unwrap().to_string(), zone(z, mirrors)))
        .collect();
    let texts: Vec<(&str, &str)> = texts.iter().map(|(a, b)| (&a[..], &b[..])).collect();
    folder_with(&config(more), &texts)
}

/// Returns a folder with a configuration, zones, and the key of the mirrors.
pub fn folder_with(config: &str, zones: &[(&str, &str)]) -> Folder {
    let f = Folder::with(config, zones);
    std::fs::create_dir(f.path().join("keys")).unwrap();
    let key = f.write("keys/mirror", &format!("{SECRET}\n"));
    std::fs::set_permissions(key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    f
}

/// Returns a random IPv4 subject. The ranges are small, so that many subjects overlap, and one
/// range has only single digits.
pub fn v4(r: &mut Random) -> String {
    let (digits, addr) = match r.below(8) {
        0..=3 => (
            false,
            45 << 24 | r.below(4) << 16 | r.below(8) << 8 | r.below(256),
        ),
        4 => (
            true,
            4 << 24
                | r.below(3) << 16
                | r.below(10) << 8
                | r.below(if r.0 & 1 == 0 { 10 } else { 256 }),
        ),
        5 => (false, 91 << 24 | r.below(1 << 24)),
        _ => (
            false,
            50 << 24 | (60 + r.below(30)) << 16 | r.below(3) << 8 | r.below(256),
        ),
    };
    let len = match r.below(100) {
        0..=54 => 32,
        55..=79 => 24 + r.below(8),
        80..=95 if digits => 22 + r.below(10),
        80..=95 => 16 + r.below(8),
        _ if digits => 23,
        _ => 12 + r.below(8),
    };
    prefix(
        std::net::Ipv4Addr::from((addr as u32) >> (32 - len) << (32 - len)).into(),
        len,
        32,
    )
}

/// Returns a random IPv6 subject, sometimes with digits only.
pub fn v6(r: &mut Random) -> String {
    let low = r.below(1 << 53) as u128;
    let addr = match r.below(4) {
        0 => {
            let digits = (0..24).fold(0u128, |a, _| a << 4 | u128::from(r.below(10)));
            0x2600_1234u128 << 96 | digits
        }
        1 => {
            0x2a00_0001u128 << 96
                | u128::from(r.below(4)) << 80
                | u128::from(r.below(64)) << 64
                | u128::from(r.below(16))
        }
        2 => 0x2a00_0001u128 << 96 | u128::from(r.below(3)) << 80 | low,
        _ => 0x2a10u128 << 112 | low << 60,
    };
    let len = match r.below(100) {
        0..=44 => 128,
        45..=64 => 64,
        65..=74 => 48,
        75..=79 => 21 + r.below(12),
        _ => 33 + r.below(95),
    };
    prefix(
        std::net::Ipv6Addr::from(if len == 128 {
            addr
        } else {
            addr >> (128 - len) << (128 - len)
        })
        .into(),
        len,
        128,
    )
}

fn prefix(addr: std::net::IpAddr, len: u64, whole: u64) -> String {
    if len == whole {
        addr.to_string()
    } else {
        format!("{addr}/{len}")
    }
}

/// Returns a random domain, the names below it, or both.
pub fn domain(r: &mut Random) -> String {
    let name: Vec<String> = (0..1 + r.below(3))
        .map(|i| format!("{}{}", ["x", "y", "mail"][i as usize], r.below(4)))
        .collect();
    let form = ["", "*.", "."][r.below(3) as usize];
    format!("{form}{}.d{}.test", name.join("."), r.below(150))
}

/// Returns a random digest, sometimes with digits only.
pub fn digest(r: &mut Random) -> String {
    let base = if r.chance(10) { 10 } else { 16 };
    let few = r.below(300);
    (0..40)
        .map(|i| format!("{:x}", ((few * (i + 7) * 31) >> (i % 5)) % base))
        .collect()
}

/// Whether a zone publishes the kind of a subject.
pub fn belongs(zone: &str, subject: &str) -> bool {
    let family = |s: &str| match s {
        s if s.ends_with(".test") || s.starts_with("dbl") => 1,
        s if s.len() == 40 && !s.contains(['.', ':']) || s.starts_with("ebl") => 2,
        _ => 0,
    };
    family(zone) == family(subject)
}

pub fn subject(r: &mut Random) -> String {
    match r.below(11) {
        0..=4 => v4(r),
        5..=7 => v6(r),
        8 => digest(r),
        _ => domain(r),
    }
}

/// The subjects that the tests have listed and exempted.
#[derive(Default)]
pub struct World {
    pub listed: Vec<String>,
    pub exempt: Vec<String>,
}

impl World {
    /// Returns `count` random changes.
    pub fn changes(&mut self, r: &mut Random, count: usize) -> Vec<Value> {
        (0..count).map(|_| self.change(r)).collect()
    }

    fn change(&mut self, r: &mut Random) -> Value {
        let take = |from: &mut Vec<String>, r: &mut Random| {
            from.swap_remove(r.below(from.len() as u64) as usize)
        };
        match r.below(100) {
            0..=24 if !self.listed.is_empty() => {
                json!({"op": "delist", "subject": take(&mut self.listed, r)})
            }
            25..=30 => {
                let s = subject(r);
                self.exempt.push(s.clone());
                json!({"op": "exempt", "subject": s})
            }
            31..=35 if !self.exempt.is_empty() => {
                json!({"op": "unexempt", "subject": take(&mut self.exempt, r)})
            }
            _ => {
                let s = subject(r);
                self.listed.push(s.clone());
                let reason = match ZONES[3..].iter().find(|z| belongs(z, &s)) {
                    Some(z) if z.starts_with("dbl") => *r.one(&["spam", "phish"]),
                    Some(_) => "drop-box",
                    None => *r.one(&REASONS),
                };
                let mut order = json!({"op": "list", "subject": s, "reason": reason});
                if r.chance(10) {
                    order["text"] = json!(format!("seen {} times at $", r.below(5)));
                }
                if r.chance(8) {
                    order["until"] = json!(format!("{}s", 2 + r.below(4)));
                }
                order
            }
        }
    }
}

/// Sends changes through the daemon's socket, and returns after the last one is acknowledged.
/// Returns the refused ones.
pub fn send(folder: &Path, orders: &[Value]) -> Vec<Value> {
    let body: String = orders.iter().map(|o| format!("{o}\n")).collect();
    let mut s = UnixStream::connect(folder.join("run/orbsd.sock")).unwrap();
    let head = format!(
        "POST /v1/bulk HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut reader = s.try_clone().unwrap();
    let all = std::thread::spawn(move || {
        let mut out = String::new();
        reader.read_to_string(&mut out).unwrap();
        out
    });
    s.write_all(head.as_bytes()).unwrap();
    s.write_all(body.as_bytes()).unwrap();
    let reply = all.join().unwrap();
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    let answers: Vec<Value> = reply
        .lines()
        .filter(|l| l.starts_with("{\""))
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(answers.len(), orders.len(), "every change is answered");
    answers.into_iter().filter(|a| a["status"] != 201).collect()
}

/// The feeds: listings of both families with exclusions, and a list of domains.
pub fn feeds(f: &Folder) {
    let four = ":127.0.0.3:feed $\n45.0.0.0/14\n!45.1.0.0/17\n45.1.2.0/24\n!45.1.2.64/26\n45.1.2.77\n!45.2.3.4\n91.16.0.0/12\n!91.17.128.0/18\n\
                91.17.130.0/24 :127.0.0.2:own text\n4.1.0.0/21\n!4.1.3.0/24\n!4.1.4.7\n4.1.3.9\n9.4.0.0/15\n!9.5.16.0/20\n";
    let six = ":127.0.0.2:six $\n2a00:1::/33\n!2a00:1:2::/47\n2a00:1:2:5::/64\n!2a00:1:2:5:8000::/66\n2a20::/21\n!2a20:10::/30\n2600:1234:5000::/36\n!2600:1234:5678::/48\n";
    let names = ":127.0.1.2:name $\nbad.test\n*.worse.test\n.both.test\n!ok.both.test\n.deep.ok.both.test :127.0.1.4:deep\nmany.labels.of.one.test\n";
    for (source, zone, set, text) in [
        ("xbl", "bl", "ip4trie", four),
        ("six", "all", "ip6trie", six),
        ("dom", "dbl", "dnset", names),
    ] {
        f.write(source, text);
        f.ok(&[
            "import",
            "--source",
            source,
            "--code-zone",
            zone,
            "--format",
            "rbldnsd",
            "--dataset",
            set,
            source,
        ]);
    }
}
