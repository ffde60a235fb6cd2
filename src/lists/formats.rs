//! The table of list formats: how a file is recognised, and whether it is read or refused.

use std::io::Read;

use super::{
    Input, ListReport, Options, Sink, access_list, adblock, apache, csv, delegated, dnsmasq, emule,
    hosts, ip_route, ipset, iptables, json, list, master, nftables, nginx, p2p, plain, postfix,
    rbldnsd,
    recognise::{self, Head},
    rpz, unbound,
};
use ReadMode::{Lines, Refuse, Whole};

/// Whether and how files of a format are read.
enum ReadMode {
    /// The function reads each line, except blank lines and those that start with `#`.
    Lines(fn(&mut Input, &str) -> Result<(), String>),
    /// The function reads the file.
    Whole(fn(&mut Input) -> Result<(), String>),
    /// The files are refused, with this advice.
    Refuse(&'static str),
}

/// A format of lists.
pub struct Format {
    /// Its name on the command line.
    pub name: &'static str,
    /// Whether and how it is read.
    reading: ReadMode,
    /// Whether the first bytes of a file have this format.
    recognise: fn(&Head) -> bool,
    /// Whether its entries can have A values, which a zone's codes map to reasons.
    pub codes: bool,
    /// A short description.
    pub what: &'static str,
}

const fn format(
    name: &'static str,
    reading: ReadMode,
    recognise: fn(&Head) -> bool,
    what: &'static str,
) -> Format {
    Format {
        name,
        reading,
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

/// All known formats. A file has the first format that recognises it, so more specific formats come
/// first.
pub const FORMATS: [Format; 29] = [
    format(
        "archive",
        Refuse("unpack it and import the list inside"),
        recognise::archive,
        "an archive, or a file of another program",
    ),
    format(
        "binary",
        Refuse("a list is a text file; check that the download is the right file"),
        recognise::binary,
        "not a text file",
    ),
    format(
        "git-lfs",
        Refuse("fetch the file with `git lfs pull`"),
        recognise::git_lfs,
        "a pointer of Git LFS and not the file itself",
    ),
    format(
        "html",
        Refuse(
            "the server has sent a web page instead of the list; check whether its URL has changed",
        ),
        recognise::html,
        "an HTML page",
    ),
    format(
        "xml",
        Refuse("convert it to a list with one address or name a line"),
        recognise::xml,
        "an XML document",
    ),
    format(
        "asn-list",
        Refuse("nothing in it can be listed: an entry is an address, a prefix or a name"),
        recognise::asn_list,
        "a list of AS numbers",
    ),
    format(
        "adblock",
        Whole(adblock::read),
        recognise::adblock,
        "browser filter lists: `||name^` is read, other rules are left out",
    ),
    format(
        "rpz",
        Whole(rpz::read),
        recognise::rpz,
        "response policy zones: names, and addresses of answers and clients",
    ),
    with_codes(format(
        "master",
        Whole(master::read),
        recognise::master,
        "a zone's master file: owner names with A and TXT records",
    )),
    format(
        "nftables",
        Whole(nftables::read),
        recognise::nftables,
        "nftables: elements of sets, and rules that drop or reject sources",
    ),
    format(
        "ipset",
        Whole(ipset::read),
        recognise::ipset,
        "ipset save, restore and list",
    ),
    format(
        "iptables",
        Lines(iptables::read_line),
        recognise::iptables,
        "iptables rules that drop or reject sources",
    ),
    format(
        "access-list",
        Lines(access_list::read_line),
        recognise::access_list,
        "access lists of Cisco IOS, PIX and ASA",
    ),
    format(
        "ip-route",
        Lines(ip_route::read_line),
        recognise::ip_route,
        "blackhole, unreachable, prohibited and rejected routes",
    ),
    format(
        "nginx",
        Lines(nginx::read_line),
        recognise::nginx,
        "`deny` rules of nginx",
    ),
    format(
        "apache",
        Lines(apache::read_line),
        recognise::apache,
        "`Deny from` and `Require not` rules of Apache",
    ),
    format(
        "dnsmasq",
        Lines(dnsmasq::read_line),
        recognise::dnsmasq,
        "`address=/name/` and `local=/name/` lines of dnsmasq",
    ),
    format(
        "unbound",
        Lines(unbound::read_line),
        recognise::unbound,
        "`local-zone:` and `local-data:` lines of unbound",
    ),
    format(
        "hosts",
        Lines(hosts::read_line),
        recognise::hosts,
        "hosts files: the names, never the address before them",
    ),
    format(
        "postfix",
        Lines(postfix::read_line),
        recognise::postfix,
        "Postfix cidr tables: patterns that are rejected, discarded or deferred",
    ),
    format(
        "delegated",
        Lines(delegated::read_line),
        recognise::delegated,
        "`delegated` files of the Internet registries",
    ),
    format(
        "emule",
        Lines(emule::read_line),
        recognise::emule,
        "eMule's ipfilter.dat",
    ),
    format(
        "p2p",
        Lines(p2p::read_line),
        recognise::p2p,
        "PeerGuardian lists: name:first-last",
    ),
    with_codes(format(
        "rbldnsd",
        Whole(rbldnsd::read),
        recognise::rbldnsd,
        "rbldnsd data files of every type (ip4set, ip4trie, ip4tset, ip6trie, ip6tset, dnset, generic, combined)",
    )),
    with_codes(format(
        "json",
        Whole(json::read),
        recognise::json,
        "JSON lines or arrays: strings, or objects with cidr, ip, prefix, domain or subject; --column names another key",
    )),
    format(
        "dshield",
        Lines(list::read_line),
        recognise::dshield,
        "DShield blocks: first, last and length in columns",
    ),
    format(
        "drop",
        Lines(list::read_line),
        recognise::drop,
        "Spamhaus DROP: prefixes with a case number in a comment",
    ),
    format(
        "csv",
        Whole(csv::read),
        recognise::csv,
        "tables with commas, semicolons or tabs; --column is the name of the subject's column, or its number from 1",
    ),
    format(
        "list",
        Lines(list::read_line),
        |_| true,
        "one address, prefix, range or name a line, with comments and further columns (IPsum, FireHOL)",
    ),
];

/// The names of the formats that are read, for messages.
pub fn format_names() -> String {
    let read: Vec<&str> = FORMATS
        .iter()
        .map(|f| f.name)
        .filter(|n| is_read(n))
        .collect();
    read.join(", ")
}

/// Whether there is a format of this name that is read.
pub fn is_read(name: &str) -> bool {
    FORMATS
        .iter()
        .any(|f| f.name == name && !matches!(f.reading, Refuse(_)))
}

/// The format of a file, from its first bytes ([`MAX_HEAD`] at most).
///
/// # Errors
///
/// Files of the format are refused; the message says what to do instead.
pub fn guess(head: &[u8]) -> Result<&'static str, String> {
    let text = Head::text(head);
    let head = Head::new(head, &text);
    match FORMATS.iter().find(|f| (f.recognise)(&head)) {
        Some(format) => format.check(&head).map(|()| format.name),
        None => Ok("list"),
    }
}

/// How many characters of a refused file the message shows.
const MAX_SHOWN: usize = 60;

impl Format {
    /// Checks that a file of this format is not refused.
    fn check(&self, head: &Head) -> Result<(), String> {
        let Refuse(advice) = self.reading else {
            return Ok(());
        };
        let name = self.name;
        let what = recognise::archive_kind(head.bytes).unwrap_or(self.what);
        let printable = |l: &&&str| l.chars().all(|c| !c.is_control() && c != '\u{fffd}');
        let first: String = head
            .data
            .first()
            .filter(printable)
            .map_or(String::new(), |l| l.chars().take(MAX_SHOWN).collect());
        let shown = match first.as_str() {
            "" => String::new(),
            first => format!(" and starts with `{first}`"),
        };
        Err(format!(
            "the file is {what} ({name}){shown}; {advice}; nothing was changed"
        ))
    }
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
    let Some(format) = FORMATS.iter().find(|f| f.name == format) else {
        let names = format_names();
        return Err(format!(
            "there is no format `{format}`; the formats are {names}"
        ));
    };
    if matches!(format.reading, Refuse(_)) {
        let (name, names) = (format.name, format_names());
        return Err(format!("`{name}` is not read; the formats are {names}"));
    }
    if !format.codes && options.reasoning.is_by_code() {
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
    let refused = FORMATS
        .iter()
        .take_while(|f| matches!(f.reading, Refuse(_)))
        .find(|f| (f.recognise)(&head));
    // A chosen column may be another one than that of the AS numbers.
    if let Some(refused) = refused.filter(|f| f.name != "asn-list" || options.column.is_none()) {
        refused
            .check(&head)
            .map_err(|why| format!("{file}: {why}"))?;
    }
    match format.reading {
        Whole(read) => read(&mut input)?,
        Lines(read_line) => {
            while let Some(line) = input.next()? {
                if !line.trim_start().starts_with('#') && !line.trim().is_empty() {
                    read_line(&mut input, &line)?;
                }
            }
        }
        Refuse(_) => {}
    }
    Ok(())
}
