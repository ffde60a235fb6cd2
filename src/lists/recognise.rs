//! Recognises the format of a file by its first bytes. Each function returns whether a head has one
//! format; if several match, the order in the table of formats decides.

use std::{borrow::Cow, net::IpAddr};

use super::{
    csv::is_header,
    decode::{BOM, MAX_HEAD},
    entry::{TRIGGERS, starts_with_address, zoned_address},
    input::is_subject,
    list::case_number,
    postfix::{ACTIONS, is_reply_code},
    text::is_digits,
};

/// How many data lines are examined.
const MAX_LINES: usize = 200;

/// The start of a file.
pub(super) struct Head<'h> {
    /// Its bytes.
    pub(super) bytes: &'h [u8],
    /// Its lines, trimmed, without empty ones and without an incomplete last line.
    pub(super) lines: Vec<&'h str>,
    /// The lines that are not comments. Special lines of rbldnsd that start like comments are data.
    pub(super) data: Vec<&'h str>,
}

impl<'h> Head<'h> {
    /// The text of a head, for [`Head::new`].
    pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
        let text = String::from_utf8_lossy(bytes);
        if text.contains(BOM) {
            Cow::Owned(text.replace(BOM, ""))
        } else {
            text
        }
    }

    /// Splits a head into lines.
    pub(super) fn new(bytes: &'h [u8], text: &'h str) -> Head<'h> {
        let whole = bytes.len() < MAX_HEAD;
        let text = if whole {
            text
        } else {
            text.rsplit_once('\n').map_or(text, |(lines, _)| lines)
        };
        let lines: Vec<&str> = text
            .lines()
            .map(|l| l.trim_matches(|c: char| c.is_whitespace() || c == '\u{1a}'))
            .filter(|l| !l.is_empty())
            .collect();
        let comment = |l: &&str| l.starts_with(['#', ';']) && !is_rbldnsd_special(l);
        let data = lines
            .iter()
            .copied()
            .filter(|l| !comment(l))
            .take(MAX_LINES)
            .collect();
        Head { bytes, lines, data }
    }

    /// Whether at least half of the data lines match, and at least one.
    pub(super) fn most(&self, like: impl Fn(&str) -> bool) -> bool {
        let n = self.data.iter().filter(|l| like(l)).count();
        n > 0 && n * 2 >= self.data.len()
    }

    /// Whether a data line matches.
    pub(super) fn any(&self, like: impl Fn(&str) -> bool) -> bool {
        self.data.iter().any(|l| like(l))
    }
}

/// Whether the first words of a line, in lower case, match.
fn words_match(line: &str, like: impl FnOnce(&[&str]) -> bool) -> bool {
    let line = line.to_ascii_lowercase();
    like(&line.split_whitespace().take(8).collect::<Vec<_>>())
}

fn starts(line: &str, any: &[&str]) -> bool {
    any.iter().any(|s| {
        line.get(..s.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(s))
    })
}

/// Files of other programs, by their first bytes.
const MAGIC: [(&[u8], &str); 12] = [
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "a zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a rar archive"),
    (b"!<arch>", "an ar archive"),
    (b"%PDF", "a PDF document"),
    (b"\x7fELF", "a program"),
    (b"\x1f\x9d", "a file compressed with compress"),
    (b"\x04\x22\x4d\x18", "a file compressed with lz4"),
    (b"LZIP", "a file compressed with lzip"),
    (b"\x89PNG", "an image"),
    (b"SQLite format 3", "an SQLite database"),
];

/// A description of an archive or another program's file; `None` for other files.
pub(super) fn archive_kind(bytes: &[u8]) -> Option<&'static str> {
    let tar = || (bytes.get(257..262) == Some(b"ustar")).then_some("a tar archive");
    MAGIC
        .iter()
        .find(|m| bytes.starts_with(m.0))
        .map(|m| m.1)
        .or_else(tar)
}

pub(super) fn archive(h: &Head) -> bool {
    archive_kind(h.bytes).is_some()
}

pub(super) fn binary(h: &Head) -> bool {
    let odd = h
        .bytes
        .iter()
        .filter(|b| **b < 0x20 && !b"\t\n\r\x0b\x0c\x1a\x1b".contains(b))
        .count();
    h.bytes.contains(&0) || odd * 20 > h.bytes.len()
}

pub(super) fn git_lfs(h: &Head) -> bool {
    h.lines
        .first()
        .is_some_and(|l| l.starts_with("version https://git-lfs"))
}

/// Containers of an Apache configuration, which resemble tags.
const CONTAINERS: [&str; 9] = [
    "<require",
    "<limit",
    "<files",
    "<ifmodule",
    "<ifversion",
    "<directory",
    "<location",
    "<virtualhost",
    "<ifdefine",
];

pub(super) fn html(h: &Head) -> bool {
    const TAGS: [&str; 12] = [
        "<!doctype",
        "<html",
        "<head",
        "<body",
        "<title",
        "<script",
        "<center",
        "<h1",
        "<p>",
        "<div",
        "<table",
        "<br",
    ];
    let first = h.lines.first().copied().unwrap_or("");
    let page = |l: &&str| TAGS.iter().any(|t| starts(l, &[t])) || starts(l, &["</html", "</body"]);
    let container = h.lines.iter().any(|l| starts(l, &CONTAINERS));
    let tags = h.lines.iter().filter(|l| page(l)).count();
    !container
        && ((first.starts_with('<') && !first.starts_with("<?xml") && !first.starts_with("<!--"))
            || tags >= 2)
}

pub(super) fn xml(h: &Head) -> bool {
    h.lines
        .first()
        .is_some_and(|l| l.starts_with("<?xml") || l.starts_with("<!--"))
}

pub(super) fn asn_list(h: &Head) -> bool {
    let number = |w: &str| {
        let (prefix, number) = w.split_at_checked(2).unwrap_or_default();
        prefix.eq_ignore_ascii_case("as") && is_digits(number)
    };
    let text = |l: &str| l.split([' ', '\t', ';', ',']).next().is_some_and(number);
    let json = |l: &str| {
        l.starts_with('{')
            && l.contains("\"asn\"")
            && !["cidr", "\"ip", "prefix"].iter().any(|k| l.contains(k))
    };
    h.most(text) || h.most(json)
}

/// Separators in rules for parts of pages.
const PAGE_RULES: [&str; 6] = ["##", "#@#", "#?#", "#$#", "#%#", "#@?#"];

pub(super) fn adblock(h: &Head) -> bool {
    let title = h
        .lines
        .first()
        .is_some_and(|l| starts(l, &["[adblock", "[adguard", "[ublock"]) || l.starts_with("! "));
    let rule = |l: &str| l.starts_with("||") || l.starts_with("@@");
    let page = |l: &str| {
        PAGE_RULES.iter().any(|s| {
            l.find(s)
                .is_some_and(|i| i > 0 && !l[..i].ends_with(char::is_whitespace))
        })
    };
    let plain = h.data.iter().filter(|l| is_subject(l)).count();
    title || ((h.any(rule) || h.any(page)) && plain * 2 < h.data.len())
}

/// CNAME targets that are actions of a policy zone.
pub(super) const POLICY_TARGETS: [&str; 5] =
    [".", "*.", "rpz-passthru.", "rpz-drop.", "rpz-tcp-only."];

pub(super) fn rpz(h: &Head) -> bool {
    let ours = h
        .lines
        .first()
        .is_some_and(|l| l.starts_with(';') && l.contains(" as rpz"));
    let target = |l: &str| {
        let words: Vec<&str> = l.split_whitespace().collect();
        let at = words.iter().position(|w| w.eq_ignore_ascii_case("CNAME"));
        at.and_then(|i| words.get(i + 1))
            .is_some_and(|t| POLICY_TARGETS.contains(t))
    };
    let trigger = |l: &str| {
        let owner = l
            .split_once(char::is_whitespace)
            .map_or("", |(owner, _)| owner);
        TRIGGERS
            .iter()
            .any(|t| owner.trim_end_matches('.').ends_with(t))
    };
    ours || h.any(target) || h.any(trigger)
}

pub(super) fn master(h: &Head) -> bool {
    h.any(|l| l.starts_with("$ORIGIN") || has_soa(l))
}

/// Whether a line is `owner [ttl] [class] SOA mname rname …`: only a TTL and a class may be between
/// owner and type.
fn has_soa(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let Some(at) = words.iter().take(4).position(|w| *w == "SOA") else {
        return false;
    };
    let between = |w: &&str| *w == "IN" || w.starts_with(|c: char| c.is_ascii_digit());
    words.len() > at + 2
        && words.iter().take(at).skip(1).all(between)
        && !line.starts_with(['$', '!', ':'])
}

pub(super) fn iptables(h: &Head) -> bool {
    // Programs add chains of their own, such as firewalld's INPUT_ZONES.
    let is_chain = |l: &str| starts(l, &[":input", ":forward", ":output"]);
    h.most(|l| {
        words_match(l, |w| {
            matches!(
                w,
                ["-a" | "-i" | "iptables" | "ip6tables", _, ..]
                    | ["*filter" | "*raw" | "*mangle" | "commit", ..]
            )
        }) || is_chain(l)
    })
}

pub(super) fn ipset(h: &Head) -> bool {
    let restore = |l: &str| {
        words_match(l, |w| {
            matches!(
                w,
                [
                    "add" | "create" | "flush" | "swap" | "destroy" | "ipset" | "-a" | "-n",
                    _,
                    ..
                ]
            )
        })
    };
    let saved = |l: &str| words_match(l, |w| matches!(w, ["create" | "add" | "ipset", _, _, ..]));
    (h.any(saved) && h.most(restore))
        || (h.any(|l| l == "Members:") && h.any(|l| l.starts_with("Name: ")))
}

pub(super) fn nftables(h: &Head) -> bool {
    let table = |l: &str| l.starts_with("table ") && l.ends_with('{');
    let command = |l: &str| {
        words_match(l, |w| {
            matches!(
                w,
                ["define", _, ..]
                    | ["add", "element" | "rule", ..]
                    | ["nft", "add", "element" | "rule", ..]
            )
        })
    };
    h.any(table) || h.any(command) || h.any(|l| l.starts_with("elements = {"))
}

pub(super) fn access_list(h: &Head) -> bool {
    let hex = |c: char| c.is_ascii_hexdigit();
    let rule = |l: &str| {
        words_match(l, |w| match w {
            ["access-list" | "network-object" | "subnet", ..]
            | ["ip" | "ipv6", "access-list" | "prefix-list", ..]
            | ["object-group" | "object", "network", ..]
            | [
                "deny" | "permit",
                "ip" | "tcp" | "udp" | "icmp" | "host" | "any",
                ..,
            ] => true,
            ["ip" | "ipv6", "route", target, ..] => {
                target.starts_with(hex) && w.iter().any(|x| x.starts_with("null"))
            }
            [number, "deny" | "permit", ..] => is_digits(number),
            _ => false,
        })
    };
    h.any(rule) && !h.any(|l| l.ends_with(';'))
}

pub(super) fn ip_route(h: &Head) -> bool {
    h.most(|l| {
        words_match(l, |w| {
            matches!(
                w,
                [
                    "blackhole" | "unreachable" | "prohibit" | "/sbin/route" | "/sbin/ip",
                    _,
                    ..
                ] | ["ip", "route", _, ..]
                    | ["ip", "-6", "route", _, ..]
                    | ["route", "add", _, ..]
                    | ["default", "via", _, ..]
            )
        })
    })
}

pub(super) fn nginx(h: &Head) -> bool {
    h.most(|l| {
        starts(l, &["deny ", "allow "])
            && l.split('#')
                .next()
                .is_some_and(|l| l.trim_end().ends_with(';'))
    })
}

pub(super) fn apache(h: &Head) -> bool {
    h.any(|l| {
        words_match(l, |w| {
            matches!(
                w,
                ["deny" | "allow", "from", ..]
                    | [
                        "order",
                        "allow,deny" | "deny,allow" | "deny," | "allow,",
                        ..
                    ]
                    | ["require", "not" | "ip" | "host" | "all" | "expr", ..]
            )
        })
    })
}

/// Whether a word is an address to which hosts files redirect names to block them.
pub(super) fn is_sinkhole(word: &str) -> bool {
    zoned_address(word).is_some_and(|address| match address {
        IpAddr::V4(a) => matches!(a.octets()[0], 0 | 127 | 255),
        IpAddr::V6(a) => a.is_unspecified() || a.is_loopback() || a.is_unicast_link_local(),
    })
}

pub(super) fn hosts(h: &Head) -> bool {
    let host = |l: &str| {
        let mut w = l.split(['#', ';']).next().unwrap_or("").split_whitespace();
        let name = |n: &str| n.contains(|c: char| c.is_ascii_alphabetic()) || is_sinkhole(n);
        w.next().and_then(zoned_address).is_some() && w.next().is_some_and(name)
    };
    let is_blocked = |l: &str| {
        let mut w = l.split_whitespace();
        let own = |n: &str| {
            n.contains('.')
                || n.starts_with("ip6-")
                || n.starts_with("local")
                || n == "broadcasthost"
        };
        w.next().is_some_and(is_sinkhole) && w.next().is_some_and(own)
    };
    h.most(host) && h.any(is_blocked)
}

pub(super) fn dnsmasq(h: &Head) -> bool {
    h.most(|l| starts(l, &["address=/", "server=/", "local=/", "bogus-nxdomain="]))
}

pub(super) fn unbound(h: &Head) -> bool {
    h.any(|l| starts(l, &["local-zone:", "local-data:"]))
}

pub(super) fn postfix(h: &Head) -> bool {
    let action = |a: &str| ACTIONS.contains(&a) || is_reply_code(a);
    h.most(|l| {
        let mut w = l.split_whitespace();
        w.next().is_some_and(starts_with_address) && w.next().is_some_and(action)
    })
}

pub(super) fn delegated(h: &Head) -> bool {
    h.most(|l| match l.split('|').collect::<Vec<_>>()[..] {
        [first, _, kind, _, _, _, ..] => {
            matches!(kind, "ipv4" | "ipv6" | "asn")
                || first.starts_with(|c: char| c.is_ascii_digit())
        }
        _ => false,
    })
}

pub(super) fn emule(h: &Head) -> bool {
    h.most(|l| {
        let mut fields = l.splitn(3, ',').map(str::trim);
        fields.next().is_some_and(is_padded_range)
            && fields
                .next()
                .is_some_and(|level| level.bytes().all(|b| b.is_ascii_digit()))
    })
}

/// Whether a text is a range of IPv4 addresses, with or without leading zeros.
fn is_padded_range(text: &str) -> bool {
    let padded = |a: &str| a.split('.').count() == 4 && a.split('.').all(is_digits);
    text.split_once('-')
        .is_some_and(|(a, b)| padded(a.trim()) && padded(b.trim()))
}

pub(super) fn p2p(h: &Head) -> bool {
    h.most(|l| {
        l.rsplit_once(':')
            .is_some_and(|(_, range)| is_padded_range(range))
    })
}

/// Whether a line is a special line of rbldnsd, which can also start with `#`, `;` or `:`.
fn is_rbldnsd_special(line: &str) -> bool {
    const NAMES: [&str; 7] = [
        "SOA",
        "NS",
        "TTL ",
        "TIMESTAMP",
        "DATASET",
        "MAXRANGE4",
        "=",
    ];
    let line = line.strip_prefix(['#', ';', ':']).unwrap_or(line);
    line.strip_prefix('$')
        .is_some_and(|special| NAMES.iter().any(|n| special.starts_with(n)))
}

/// A special line, a default value, an exclusion, or an entry with its own value or parameters.
pub(super) fn rbldnsd(h: &Head) -> bool {
    let line = |line: &str| {
        let default = line.starts_with(':') && !line.starts_with("::");
        let digit = |c: char| c.is_ascii_digit();
        let value = |w: &str| {
            w.strip_prefix(':').is_some_and(|v| v.starts_with(digit)) && !w.contains("::")
        };
        let own =
            !line.starts_with(['{', '[', '"']) && line.split_whitespace().nth(1).is_some_and(value);
        let exclusion = line
            .strip_prefix('!')
            .is_some_and(|rest| rest.starts_with(|c: char| !c.is_whitespace()));
        let parameters = line
            .split_once(" @ ")
            .is_some_and(|(_, p)| ["ts=", "delay=", "key="].iter().any(|k| p.contains(k)));
        is_rbldnsd_special(line)
            || default
            || exclusion
            || own
            || parameters
            || line.contains(":127.")
    };
    h.any(line)
}

pub(super) fn json(h: &Head) -> bool {
    let Some(first) = h.data.first() else {
        return false;
    };
    match first.chars().next() {
        Some('{' | '[') => {
            !first.contains("]:")
                && !first.starts_with("[::")
                && first
                    .split(']')
                    .next()
                    .is_none_or(|a| a[1..].parse::<IpAddr>().is_err())
        }
        Some('"') => serde_json::from_str::<String>(first.trim_end_matches(',')).is_ok(),
        _ => false,
    }
}

pub(super) fn csv(h: &Head) -> bool {
    // Ignore a comment, which can follow an entry in other formats.
    let Some(first) = h.data.first() else {
        return false;
    };
    let bare = first.split(['#', ';']).next().unwrap_or("").trim();
    bare.contains(',') || is_header(first).is_some()
}

pub(super) fn drop(h: &Head) -> bool {
    h.most(|l| {
        l.split_once(';')
            .is_some_and(|(_, comment)| case_number(comment).is_some())
    })
}

pub(super) fn dshield(h: &Head) -> bool {
    let is_address = |field: &str| field.trim().parse::<IpAddr>().is_ok();
    let is_block = |l: &str| match l.split('\t').collect::<Vec<_>>()[..] {
        [first, last, length, ..] => {
            is_address(first) && is_address(last) && length.trim().parse::<u32>().is_ok()
        }
        _ => false,
    };
    h.data.first().is_none_or(|l| is_header(l).is_none()) && h.most(is_block)
}
