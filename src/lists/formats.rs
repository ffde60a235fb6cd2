//! The table of list formats: how a file is recognised, and whether it is read or refused.

use std::io::Read;

use super::{
    Input, ListReport, Options, Reasoning, Sink, access_list, adblock, apache, csv, delegated,
    dnsmasq, emule, hosts, ip_route, ipset, iptables, json, list, master, nftables, nginx, p2p,
    plain, postfix, rbldnsd,
    recognise::{self, Head},
    rpz, unbound,
};

/// Whether files of a format are read.
enum Reading {
    /// The files are read by this function.
    Read(fn(&mut Input) -> Result<(), String>),
    /// The files are refused, with this advice.
    Refuse(&'static str),
}

/// A format of lists.
pub struct Format {
    /// Its name on the command line.
    pub name: &'static str,
    /// Whether and how it is read.
    reading: Reading,
    /// Whether the first bytes of a file have this format.
    recognise: fn(&Head) -> bool,
    /// Whether its entries can have A values, which a zone's codes map to reasons.
    pub codes: bool,
    /// A short description.
    pub what: &'static str,
}

const fn read_by(
    name: &'static str,
    read: fn(&mut Input) -> Result<(), String>,
    recognise: fn(&Head) -> bool,
    what: &'static str,
) -> Format {
    Format {
        name,
        reading: Reading::Read(read),
        recognise,
        codes: false,
        what,
    }
}

const fn with_codes(format: Format) -> Format {
    Format {
        codes: true,
        ..format
    }
}

const fn refused(
    name: &'static str,
    what: &'static str,
    recognise: fn(&Head) -> bool,
    advice: &'static str,
) -> Format {
    Format {
        name,
        reading: Reading::Refuse(advice),
        recognise,
        codes: false,
        what,
    }
}

/// All known formats. A file has the first format that recognises it, so more specific formats come
/// first.
pub const FORMATS: [Format; 29] = [
    refused(
        "archive",
        "an archive, or a file of another program",
        recognise::archive,
        "unpack it and import the list inside",
    ),
    refused(
        "binary",
        "not a text file",
        recognise::binary,
        "a list is a text file; check that the download is the right file",
    ),
    refused(
        "git-lfs",
        "a pointer of Git LFS and not the file itself",
        recognise::git_lfs,
        "fetch the file with `git lfs pull`",
    ),
    refused(
        "html",
        "an HTML page",
        recognise::html,
        "the server has sent a web page instead of the list; check whether its URL has changed",
    ),
    refused(
        "xml",
        "an XML document",
        recognise::xml,
        "convert it to a list with one address or name a line",
    ),
    refused(
        "asn-list",
        "a list of AS numbers",
        recognise::asn_list,
        "nothing in it can be listed: an entry is an address, a prefix or a name",
    ),
    read_by(
        "adblock",
        adblock::read,
        recognise::adblock,
        "browser filter lists: `||name^` is read, other rules are left out",
    ),
    read_by(
        "rpz",
        rpz::read,
        recognise::rpz,
        "response policy zones: names, and addresses of answers and clients",
    ),
    with_codes(read_by(
        "master",
        master::read,
        recognise::master,
        "a zone's master file: owner names with A and TXT records",
    )),
    read_by(
        "nftables",
        nftables::read,
        recognise::nftables,
        "nftables: elements of sets, and rules that drop or reject sources",
    ),
    read_by(
        "ipset",
        ipset::read,
        recognise::ipset,
        "ipset save, restore and list",
    ),
    read_by(
        "iptables",
        iptables::read,
        recognise::iptables,
        "iptables rules that drop or reject sources",
    ),
    read_by(
        "access-list",
        access_list::read,
        recognise::access_list,
        "access lists of Cisco IOS, PIX and ASA",
    ),
    read_by(
        "ip-route",
        ip_route::read,
        recognise::ip_route,
        "blackhole, unreachable, prohibited and rejected routes",
    ),
    read_by(
        "nginx",
        nginx::read,
        recognise::nginx,
        "`deny` rules of nginx",
    ),
    read_by(
        "apache",
        apache::read,
        recognise::apache,
        "`Deny from` and `Require not` rules of Apache",
    ),
    read_by(
        "dnsmasq",
        dnsmasq::read,
        recognise::dnsmasq,
        "`address=/name/` and `local=/name/` lines of dnsmasq",
    ),
    read_by(
        "unbound",
        unbound::read,
        recognise::unbound,
        "`local-zone:` and `local-data:` lines of unbound",
    ),
    read_by(
        "hosts",
        hosts::read,
        recognise::hosts,
        "hosts files: the names, never the address before them",
    ),
    read_by(
        "postfix",
        postfix::read,
        recognise::postfix,
        "Postfix cidr tables: patterns that are rejected, discarded or deferred",
    ),
    read_by(
        "delegated",
        delegated::read,
        recognise::delegated,
        "`delegated` files of the Internet registries",
    ),
    read_by(
        "emule",
        emule::read,
        recognise::emule,
        "eMule's ipfilter.dat",
    ),
    read_by(
        "p2p",
        p2p::read,
        recognise::p2p,
        "PeerGuardian lists: name:first-last",
    ),
    with_codes(read_by(
        "rbldnsd",
        rbldnsd::read,
        recognise::rbldnsd,
        "rbldnsd data files of every type (ip4set, ip4trie, ip4tset, ip6trie, ip6tset, dnset, generic, combined)",
    )),
    with_codes(read_by(
        "json",
        json::read,
        recognise::json,
        "JSON lines or arrays: strings, or objects with cidr, ip, prefix, domain or subject; --column names another key",
    )),
    read_by(
        "dshield",
        list::read,
        recognise::dshield,
        "DShield blocks: first, last and length in columns",
    ),
    read_by(
        "drop",
        list::read,
        recognise::drop,
        "Spamhaus DROP: prefixes with a case number in a comment",
    ),
    read_by(
        "csv",
        csv::read,
        recognise::csv,
        "tables with commas, semicolons or tabs; --column is the name of the subject's column, or its number from 1",
    ),
    read_by(
        "list",
        list::read,
        |_| true,
        "one address, prefix, range or name a line, with comments and further columns (IPsum, FireHOL)",
    ),
];

/// Whether there is a format of this name that is read.
pub fn is_read(name: &str) -> bool {
    FORMATS
        .iter()
        .any(|f| f.name == name && matches!(f.reading, Reading::Read(_)))
}

/// The names of the formats that are read, for messages.
pub fn known() -> String {
    let read = FORMATS
        .iter()
        .filter(|f| matches!(f.reading, Reading::Read(_)));
    read.map(|f| f.name).collect::<Vec<_>>().join(", ")
}

/// The format of a file, from its first bytes ([`MAX_HEAD`] at most).
///
/// # Errors
///
/// Files of the format are refused; the message says what to do instead.
pub fn guess(head: &[u8]) -> Result<&'static str, String> {
    let text = Head::text(head);
    let head = Head::new(head, &text);
    let found = FORMATS.iter().find(|f| (f.recognise)(&head));
    match found.map(|f| (f.name, &f.reading)) {
        Some((name, Reading::Refuse(_))) => Err(refusal(name, &head)),
        Some((name, Reading::Read(_))) => Ok(name),
        None => Ok("list"),
    }
}

/// How many characters of a refused file the message shows.
const MAX_SHOWN: usize = 60;

/// The message for a file of a refused format.
fn refusal(name: &str, head: &Head) -> String {
    let format = FORMATS.iter().find(|f| f.name == name);
    let advice = format.map_or("", |f| {
        if let Reading::Refuse(advice) = f.reading {
            advice
        } else {
            ""
        }
    });
    let what = recognise::archive_kind(head.bytes).unwrap_or_else(|| format.map_or("", |f| f.what));
    let printable = |l: &&&str| l.chars().all(|c| !c.is_control() && c != '\u{fffd}');
    let first: String = head
        .data
        .first()
        .filter(printable)
        .map_or(String::new(), |l| l.chars().take(MAX_SHOWN).collect());
    let shown = if first.is_empty() {
        String::new()
    } else {
        format!(" and starts with `{first}`")
    };
    format!("the file is {what} ({name}){shown}; {advice}; nothing was changed")
}

/// Reads one file in a format; a compressed file is unpacked. Problems of lines are in the report.
///
/// # Errors
///
/// The file cannot be read to its end, is refused, or the sink has failed.
pub fn read<'a>(
    format: &str,
    input: Box<dyn Read + 'a>,
    file: &'a str,
    options: &'a Options,
    report: &'a mut ListReport,
    sink: Sink<'a>,
) -> Result<(), String> {
    let known = FORMATS.iter().find(|f| f.name == format);
    let format = known.ok_or_else(|| {
        format!(
            "there is no format `{format}`; the formats are {}",
            self::known()
        )
    })?;
    let Reading::Read(read) = &format.reading else {
        return Err(format!(
            "`{}` is not read; the formats are {}",
            format.name,
            self::known()
        ));
    };
    if !format.codes && matches!(options.reasoning, Reasoning::Codes(_)) {
        let with: Vec<&str> = FORMATS.iter().filter(|f| f.codes).map(|f| f.name).collect();
        return Err(format!(
            "{file}: the format `{}` has no A values for codes; give a reason instead. Formats with codes: {}",
            format.name,
            with.join(", ")
        ));
    }
    if format.name != "rbldnsd" && (options.dataset.is_some() || options.subzone.is_some()) {
        return Err(format!(
            "{file}: only the format rbldnsd has data set types and sub-zones; this file is read as `{}`",
            format.name
        ));
    }
    let lines = plain(input).map_err(|e| format!("{file}: {e}"))?;
    let mut input = Input::new(lines, file, options, report, sink);
    // Refuse a file that cannot be a list, whichever format the caller has chosen.
    let head = input.head()?.to_vec();
    let text = Head::text(&head);
    let head = Head::new(&head, &text);
    let never = FORMATS
        .iter()
        .take_while(|f| matches!(f.reading, Reading::Refuse(_)))
        .find(|f| (f.recognise)(&head));
    // A chosen column may be another one than that of the AS numbers.
    if let Some(refused) = never.filter(|f| f.name != "asn-list" || options.column.is_none()) {
        return Err(format!("{file}: {}", refusal(refused.name, &head)));
    }
    read(&mut input)
}
