//! Words in names: those of mail servers and static addresses, which are never generic, and those
//! for kinds of access.

use std::sync::LazyLock;

use regex::Regex;

/// Words of names that are never generic. A part of a label may join several of them, and numbers
/// may be before and after them: `mailout2`, `smtp-out-3`, `mx1a`.
const NEVER_GENERIC: [&str; 22] = [
    "mail",
    "mails",
    "mailer",
    "mailserver",
    "mailsrv",
    "mailgate",
    "mailgw",
    "mx",
    "mxs",
    "smtp",
    "smtps",
    "mta",
    "email",
    "webmail",
    "imap",
    "postfix",
    "exchange",
    "static",
    "out",
    "outbound",
    "outgoing",
    "relay",
];

static NEVER_GENERIC_PART: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let words = NEVER_GENERIC.join("|");
    // The words are letters, and a unit test uses the expression.
    Regex::new(&format!("^[0-9]*(?:{words})+[0-9]*[a-z]?$")).ok()
});

/// Words for kinds of access that change their address: `dyn`, or a kind of dial-in.
const DYNAMIC: [&str; 29] = [
    "dhcp",
    "dial",
    "dialin",
    "dialup",
    "dip",
    "dyn",
    "dynamic",
    "dynamicip",
    "dynip",
    "gprs",
    "isdn",
    "lte",
    "mobile",
    "modem",
    "nat",
    "pool",
    "pools",
    "ppp",
    "pppoe",
    "pptp",
    "umts",
    "adsl",
    "dsl",
    "vdsl",
    "xdsl",
    "hsd",
    "catv",
    "wimax",
    "wifi",
];

/// Words for lines of customers, whose addresses may be fixed.
const CUSTOMER: [&str; 14] = [
    "broadband",
    "cable",
    "client",
    "cpe",
    "cust",
    "customer",
    "customers",
    "fiber",
    "fibre",
    "ftth",
    "gpon",
    "res",
    "subscriber",
    "unassigned",
];

/// A word for a kind of access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AccessWord {
    /// The word.
    pub word: &'static str,
    /// Whether addresses of this kind change.
    pub is_dynamic: bool,
}

/// The parts of a host name's labels, between dots, hyphens and underscores.
fn parts(host: &str) -> impl Iterator<Item = &str> {
    host.split(['.', '-', '_']).filter(|p| !p.is_empty())
}

/// Returns the part of a host name that makes it one of a mail server or of a static address.
pub(super) fn never_generic_part(host: &str) -> Option<&str> {
    let pattern = NEVER_GENERIC_PART.as_ref()?;
    parts(host).find(|p| pattern.is_match(p))
}

/// A part without the digits before and after it.
fn bare(part: &str) -> &str {
    part.trim_matches(|c: char| c.is_ascii_digit())
}

/// Whether a part is in a label that other words make the name of something else, such as
/// `pool-supplies` or `cable-guys`: it has no digit, and another word that is not one for access.
fn is_in_other_name(host: &str, part: &str) -> bool {
    let is_other = |p: &str| p.len() >= 3 && !DYNAMIC.contains(&p) && !CUSTOMER.contains(&p);
    let labels = host.split('.');
    labels
        .filter(|label| parts(label).any(|p| std::ptr::eq(p, part)))
        .any(|label| !label.bytes().any(|b| b.is_ascii_digit()) && parts(label).any(is_other))
}

/// Returns the word for a kind of access that a host name has, those of changing addresses first,
/// and whether another part of the name has a digit, as the names of many addresses have.
pub(super) fn access_word(host: &str) -> Option<(AccessWord, bool)> {
    let found = |words: &'static [&'static str], is_dynamic| {
        parts(host).enumerate().find_map(move |(at, part)| {
            let word = words.iter().copied().find(|w| *w == bare(part))?;
            let word = AccessWord { word, is_dynamic };
            (!is_in_other_name(host, part)).then_some((at, word))
        })
    };
    let (at, word) = found(&DYNAMIC, true).or_else(|| found(&CUSTOMER, false))?;
    let mut others = parts(host).enumerate().filter(|(other, _)| *other != at);
    let is_numbered = others.any(|(_, part)| part.bytes().any(|b| b.is_ascii_digit()));
    Some((word, is_numbered))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_mail_servers_are_found_in_parts_of_labels() {
        for host in [
            "mail",
            "mx1",
            "mailout2",
            "smtp-out-3",
            "mx1a",
            "outbound7",
            "a.relay",
            "static-1-2",
            "2mail",
            "webmail.x",
            "mail-relay",
            "smtp01.pool",
        ] {
            assert!(never_generic_part(host).is_some(), "{host}");
        }
        for host in [
            "mailing",
            "router",
            "statistics",
            "host1",
            "outlet",
            "pool",
            "",
        ] {
            assert_eq!(never_generic_part(host), None, "{host}");
        }
    }

    #[test]
    fn access_words_are_whole_parts_without_their_numbers() {
        let word = |host| access_word(host).map(|(w, n)| (w.word, w.is_dynamic, n));
        assert_eq!(word("pool7"), Some(("pool", true, false)));
        assert_eq!(word("dyn-4711"), Some(("dyn", true, true)));
        assert_eq!(word("cable-dyn-a"), Some(("dyn", true, false)));
        assert_eq!(word("12-34.cust"), Some(("cust", false, true)));
        assert_eq!(word("carpool.dynamo"), None);
        assert_eq!(word("pool-supplies.shop"), None);
        assert_eq!(word("pool-supplies.dyn7"), Some(("dyn", true, false)));
        assert_eq!(word("dyn-north-4711"), Some(("dyn", true, true)));
    }
}
