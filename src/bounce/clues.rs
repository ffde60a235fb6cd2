//! What the words around an address or a name say about it.

use super::Clue;

/// How far around a token words are read, in bytes.
const WINDOW: usize = 200;

/// Words by which texts speak of a refusal because of a list.
const REFUSAL_WORDS: [&str; 44] = [
    "blocked",
    "blacklist",
    "black list",
    "blocklist",
    "block list",
    "black-list",
    "block-list",
    "blackholed",
    "listed",
    "dnsbl",
    "rbl",
    "banned",
    "denied",
    "rejected",
    "reject:",
    "reject=",
    "refused",
    "reputation",
    "service unavailable",
    "not allowed",
    "not permitted",
    "not accepted",
    "spam",
    "open relay",
    "open proxy",
    "abuse",
    "policy",
    "suspicious",
    "unsolicited",
    "delist",
    "prohibited",
    "throttled",
    "deferred",
    "5.7.1",
    "550",
    "554",
    "gelistet",
    "gesperrt",
    "blockiert",
    "abgelehnt",
    "liste noire",
    "bloqu",
    "bloccat",
    "拒否",
];

/// What may follow a subject that is stated to be blocked.
const BLOCKED_AFTER: [&str; 33] = [
    "blocked",
    "is blocked",
    "was blocked",
    "has been blocked",
    "are blocked",
    "is currently blocked",
    "temporarily blocked",
    "listed",
    "is listed",
    "was listed",
    "is currently listed",
    "is on ",
    "found in",
    "found on",
    "was found in",
    "was found on",
    "is in a black",
    "is in an rbl",
    "is in rbl",
    "is in dnsbl",
    "blacklisted",
    "is blacklisted",
    "was blacklisted",
    "has been blacklisted",
    "is banned",
    "has been banned",
    "banned",
    "rejected due",
    "has a poor",
    "has poor",
    "ist gelistet",
    "ist gesperrt",
    "wurde blockiert",
];

/// What may precede a subject that is refused.
const REFUSED_BEFORE: [&str; 41] = [
    "client host",
    "client",
    "sender address",
    "helo command",
    "banned sending ip",
    "sending ip",
    "sending ip address",
    "sender ip",
    "source ip",
    "connecting ip",
    "remote ip",
    "client ip",
    "your ip",
    "your ip address",
    "your mail server",
    "your server",
    "your host",
    "the ip",
    "the ip address",
    "ip address",
    "ip",
    "ip-adresse",
    "host",
    "from",
    "email from",
    "mail from",
    "messages from",
    "message from",
    "connection from",
    "connections from",
    "connect from",
    "rcpt from",
    "mailserver",
    "mail server",
    "server",
    "address",
    "addr",
    "address:",
    "for",
    "blocked",
    "listed",
];

/// Phrases of logs of the refusing server, before the address of its client.
const LOG_CLIENT_BEFORE: [&str; 6] = [
    "reject: rcpt from",
    "reject: connect from",
    "reject: mail from",
    "reject: helo from",
    "reject: ehlo from",
    "reject: data from",
];

/// What may follow the name or address of the refusing server.
const SERVER_SAID: [&str; 25] = [
    "#<",
    "#4.",
    "#5.",
    "said:",
    "said: ",
    "responded",
    "replied",
    "gave this error",
    "rejected your message",
    "rejected the message",
    "did not accept",
    "does not like",
    "but sender was rejected",
    "but my name was rejected",
    "but connection died",
    "failed after i sent",
    "smtp error from remote",
    "refused to talk",
    "returned the following",
    "after rcpt to",
    "after mail from",
    "after end of data",
    "after pipelined",
    "the server for the domain",
    "antwortete",
];

/// Where texts speak of refusals.
pub(super) struct Refusals(Vec<usize>);

impl Refusals {
    /// Finds the words of refusal in a text in lower case.
    pub fn find(lower: &str) -> Refusals {
        let words = REFUSAL_WORDS.iter();
        let mut at: Vec<usize> = words
            .flat_map(|word| lower.match_indices(word).map(|(at, _)| at))
            .collect();
        at.sort_unstable();
        Refusals(at)
    }

    /// Whether one is within the window around a token.
    fn is_near(&self, start: usize, end: usize) -> bool {
        let first = self.0.partition_point(|at| at + WINDOW < start);
        self.0.get(first).is_some_and(|at| *at <= end + WINDOW)
    }
}

/// A token of a text, and what is around it.
pub(super) struct Token<'a> {
    lower: &'a str,
    start: usize,
    end: usize,
}

impl<'a> Token<'a> {
    /// The token from `start` to `end` of a text in lower case.
    pub fn new(lower: &'a str, start: usize, end: usize) -> Token<'a> {
        Token { lower, start, end }
    }

    /// The text before the token, without the marks next to it.
    pub fn before(&self) -> &'a str {
        let from = self
            .lower
            .ceil_char_boundary(self.start.saturating_sub(WINDOW));
        let marks = |c: char| c.is_whitespace() || "[({<\"'=:".contains(c);
        self.lower[from..self.start].trim_end_matches(marks)
    }

    /// The text before the token.
    fn text_before(&self) -> &'a str {
        let from = self
            .lower
            .ceil_char_boundary(self.start.saturating_sub(WINDOW));
        &self.lower[from..self.start]
    }

    /// The text after the token, without the marks next to it.
    pub fn after(&self) -> &'a str {
        self.text_after()
            .trim_start_matches(|c: char| c.is_whitespace() || "])}>.,:;\"'".contains(c))
    }

    /// The text after the token.
    fn text_after(&self) -> &'a str {
        let to = self.lower.floor_char_boundary(self.end + WINDOW);
        &self.lower[self.end..to]
    }

    /// The part of the line before the token.
    fn line_before(&self) -> &'a str {
        let before = self.text_before();
        before.rsplit('\n').next().unwrap_or(before)
    }

    /// The part of the line after the token.
    fn line_after(&self) -> &'a str {
        let after = self.text_after();
        after.split('\n').next().unwrap_or(after)
    }

    /// Whether the text states that the token is blocked.
    pub fn is_blocked(&self) -> bool {
        let after = self.after();
        // A port may follow the bracket, as in the logs of postscreen.
        let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
        let after = after.trim_start_matches([' ', ':', ')', ']', ',', ';']);
        BLOCKED_AFTER.iter().any(|words| after.starts_with(words))
            || self.before().ends_with("banned sending ip")
    }

    /// Whether it is the refusing server, by the words around its name or address.
    pub fn is_refusing_server(&self) -> bool {
        let (line, after) = (self.line_before(), self.after());
        let own_log = is_refusing_log(line);
        if SERVER_SAID.iter().any(|words| after.starts_with(words)) {
            return !self.before().ends_with("client host");
        }
        if SERVER_SAID
            .iter()
            .any(|words| self.after_port().starts_with(words))
        {
            return true;
        }
        // `host mx.example[192.0.2.1]`, `relay=mx.example[192.0.2.1]`, `H=mx.example [192.0.2.1]`.
        let named = self.text_before().trim_end_matches(['[', '(', ' ']);
        let name_start = named
            .trim_end_matches(|c: char| !c.is_whitespace() && !"=<([".contains(c))
            .len();
        let lead = &named[..name_start];
        let label = [lead, named].iter().find_map(|text| {
            ["relay=", " h=", "host "]
                .iter()
                .find(|l| text.ends_with(*l))
        });
        let sent = !own_log && self.reports_delivery(line);
        match label {
            Some(&"host ") => {
                let lead = lead.trim_end();
                let client = ["client host", "your host", "sender host", "from host"];
                !client.iter().any(|words| lead.ends_with(words)) && sent
            }
            Some(_) => sent,
            None => self.is_remote_mta(line),
        }
    }

    /// The text after the token and a port.
    fn after_port(&self) -> &'a str {
        let after = self.text_after();
        let after = after.trim_start_matches([']', ')', '.']);
        after
            .trim_start_matches(|c: char| c == ':' || c.is_ascii_digit() || c == ' ')
            .trim_start_matches(['(', ')', ':', ' ', '\n'])
    }

    /// Whether the line is the report of the sending server.
    fn reports_delivery(&self, line: &str) -> bool {
        let after = self.text_after();
        let words = [
            "status=",
            "stat=",
            "said:",
            "smtp error from remote",
            "dsn=",
            "remote server",
            "delays=",
            "refused to talk",
        ];
        words.iter().any(|w| after.contains(w) || line.contains(w))
            || line.contains(" ** ")
            || line.contains(" == ")
            || line.contains("host ") && self.line_after().contains(": 5")
    }

    /// Whether a line of a delivery status notification or a prose bounce names it as the remote
    /// server.
    fn is_remote_mta(&self, line: &str) -> bool {
        let before = self.before();
        line.trim_start().starts_with("remote-mta")
            || line.trim_start().starts_with("x-remote-")
            || [
                "while talking to",
                "connected to",
                "connection to",
                "delivered to server",
            ]
            .iter()
            .any(|words| before.ends_with(words))
            || line.contains("rejected by the server for the recipient domain")
            || line.contains("remote server at")
    }

    /// Whether the token is the client in a log of the refusing server.
    fn is_log_client(&self) -> bool {
        let line = self.line_before();
        LOG_CLIENT_BEFORE.iter().any(|words| line.contains(words))
            || line.contains("ruleset=check_")
            || line.contains("postscreen") && self.before().ends_with("for")
            || line.contains("dnsblog") && self.before().ends_with("addr")
            || line.contains(" h=")
                && self.text_after().contains("rejected")
                && !self.text_after().contains("smtp error from remote")
    }

    /// Whether a header names the token as the client of the server that received the message.
    fn is_client_header(&self) -> bool {
        let before = self.before();
        [
            "client-ip",
            "remote-ip",
            "sender ip is",
            "cip",
            "x-sender-ip",
            "x-client-ip",
            "policy.iprev",
            "connecting-ip",
        ]
        .iter()
        .any(|words| before.ends_with(words))
    }

    /// How the text names an address.
    pub fn clue(&self, refusals: &Refusals) -> Clue {
        if self.is_blocked() {
            Clue::Blocked
        } else if self.is_refusing_server() {
            Clue::RefusingServer
        } else if self.is_log_client() {
            Clue::RefusedClient
        } else if self.is_client_header() {
            Clue::Client
        } else if refusals.is_near(self.start, self.end) && self.is_refused() {
            Clue::Refusal
        } else {
            Clue::Mentioned
        }
    }

    /// Whether the words before the token name what is refused, or what it is refused for follows
    /// in the same sentence.
    fn is_refused(&self) -> bool {
        let before = self.before();
        REFUSED_BEFORE.iter().any(|words| {
            before.strip_suffix(words).is_some_and(|rest| {
                rest.is_empty() || !rest.ends_with(|c: char| c.is_alphanumeric())
            })
        }) || self.bracketed()
    }

    fn bracketed(&self) -> bool {
        self.text_before().ends_with(['[', '(']) && self.text_after().starts_with([']', ')'])
    }

    /// Whether the token is the number of a version, such as that of Exchange in `Received` headers.
    pub fn is_version(&self) -> bool {
        let before = self.before();
        let word = before
            .rsplit(|c: char| !c.is_ascii_alphanumeric())
            .next()
            .unwrap_or("");
        matches!(word, "id" | "version" | "ver" | "v" | "release" | "build")
            || self.text_before().ends_with(['-', '_', '/'])
    }

    /// The name before an address, as in `mx.example[192.0.2.1]`.
    pub fn name_before(&self) -> Option<&'a str> {
        let before = self.text_before().trim_end_matches(['[', '(', ' ', '<']);
        let is_name = |c: char| c.is_alphanumeric() || ".-_".contains(c);
        let name = &before[before.trim_end_matches(is_name).len()..];
        let name = name.trim_matches('.');
        name.contains('.').then_some(name)
    }

    /// Whether the token is the domain of a mail address.
    pub fn is_mail_domain(&self) -> bool {
        self.text_before().ends_with('@')
    }

    /// Whether the token is the domain of a mail address in brackets that is stated to be blocked.
    pub fn is_bracketed_mail_address(&self) -> bool {
        let is_local = |c: char| !c.is_whitespace() && !"[]<>()\"',;".contains(c);
        let before = self.text_before().trim_end_matches(is_local);
        before.ends_with('[') && self.is_blocked()
    }

    /// Whether a name in its place is the name of the client, and not what a list of domains has.
    pub fn is_client_name(&self) -> bool {
        let before = self.before();
        ["client host", "client", "your host"]
            .iter()
            .any(|words| before.ends_with(words))
    }

    /// Whether the words before the token introduce the zone of a DNS blocklist.
    pub fn is_zone(&self) -> bool {
        let before = self.text_before();
        let trimmed =
            before.trim_end_matches(|c: char| c.is_whitespace() || "[({<\"':=".contains(c));
        let mut words = trimmed
            .rsplit(|c: char| c.is_whitespace() || "[](){}<>\"',;=:".contains(c))
            .filter(|w| !w.is_empty());
        for _ in 0..4 {
            let Some(word) = words.next() else {
                return false;
            };
            match word {
                "rbl" | "dnsbl" | "dnsrbl" | "rhsbl" | "surbl" | "uribl" | "dnslist"
                | "dnslists" | "rblname" | "blacklist" | "blocklist" | "block-list"
                | "black-list" | "blacklists" | "blocklists" | "rblserver" | "dnsbl_name" => {
                    return true;
                }
                "the" | "our" | "a" | "an" | "zone" | "domain" | "list" | "named" | "server"
                | "lists" => {}
                "using" | "by" | "at" | "in" | "on" | "via" | "from" | "per" | "bei" | "von"
                | "durch" | "auf" | "par" | "por" => {
                    let verb = words.next().unwrap_or("");
                    let listed = [
                        "blocked",
                        "listed",
                        "found",
                        "blacklisted",
                        "blocklisted",
                        "list",
                        "blacklist",
                        "blocklist",
                        "lookup",
                        "entry",
                        "gelistet",
                        "blockiert",
                        "rbl",
                        "dnsbl",
                        "listing",
                    ];
                    return listed.contains(&verb);
                }
                // The reply code of a continued line.
                code if code.starts_with(['4', '5']) && code.len() <= 6 => {}
                _ => return false,
            }
        }
        false
    }
}

/// Whether a line is one of a refusing server's log.
fn is_refusing_log(line: &str) -> bool {
    [
        "noqueue: reject",
        "ruleset=check_",
        "postscreen",
        "rejected rcpt",
        "reject: ",
    ]
    .iter()
    .any(|words| line.contains(words))
}
