//! Parses one `Received` field (RFC 5321 section 4.4, and the forms that servers write).

use std::net::IpAddr;

use super::address::{bracketed, is_private, plain};

/// How a message came to the server that wrote a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handover {
    /// A client sent it over the network.
    Client,
    /// Another part of the same site handed it over.
    Internal,
    /// A local user or program submitted it.
    LocalSubmission,
}

/// The parts of a line.
pub(super) struct ParsedLine<'a> {
    pub from_name: Option<&'a str>,
    pub reverse_name: Option<&'a str>,
    pub address: Option<IpAddr>,
    pub by: Option<&'a str>,
    pub protocol: Option<&'a str>,
    pub id: Option<&'a str>,
    pub recipient: Option<&'a str>,
    pub received_at: Option<&'a str>,
    pub tls: Option<&'a str>,
    pub handover: Handover,
}

/// A word or a comment of a line.
#[derive(Clone, Copy)]
enum Token<'a> {
    /// Characters without white space.
    Word(&'a str),
    /// The text between parentheses, which may have comments in it.
    Comment(&'a str),
    /// A comment that does not end.
    OpenComment,
}

impl Token<'_> {
    fn is_word(self, expected: &str) -> bool {
        matches!(self, Token::Word(w) if w.eq_ignore_ascii_case(expected))
    }

    fn has_semicolon(self) -> bool {
        matches!(self, Token::Word(w) if w.contains(';'))
    }
}

/// Splits a text into words and comments, each with its offset. A parenthesis opens a comment only
/// at the start of a word, so that a client's name cannot open one.
struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = (usize, Token<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.text.as_bytes();
        let is_space = |b: &u8| b.is_ascii_whitespace();
        let rest = bytes.get(self.at..)?;
        let start = self.at + rest.iter().position(|b| !is_space(b))?;
        if bytes[start] != b'(' {
            let length = bytes[start..].iter().position(is_space);
            self.at = length.map_or(bytes.len(), |l| start + l);
            return Some((start, Token::Word(&self.text[start..self.at])));
        }
        let mut depth = 0;
        for (i, byte) in bytes[start..].iter().enumerate() {
            match byte {
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                self.at = start + i + 1;
                let comment = &self.text[start + 1..start + i];
                return Some((start, Token::Comment(comment)));
            }
        }
        self.at = bytes.len();
        Some((start, Token::OpenComment))
    }
}

impl<'a> ParsedLine<'a> {
    /// Parses the value of a field. Adds the bytes that it looks at to `work`.
    pub fn parse(value: &'a str, work: &mut usize) -> ParsedLine<'a> {
        let tokens: Vec<_> = Tokens { text: value, at: 0 }.collect();
        *work += value.len();
        let has_from = tokens.first().is_some_and(|(_, t)| t.is_word("from"));
        // The word after `from` is a name, even if it is `by`.
        let clause = if has_from { 1 } else { 0 };
        let name = match tokens.get(clause) {
            Some((_, Token::Word(_))) if has_from => 1,
            _ => 0,
        };
        let clause_end = tokens[clause + name..]
            .iter()
            .position(|(_, t)| t.is_word("by") || t.has_semicolon())
            .map_or(tokens.len(), |i| clause + name + i);
        let client = match has_from {
            true => {
                let is_complete = clause_end < tokens.len();
                Client::parse(&tokens[clause..clause_end], is_complete, work)
            }
            false => Client::default(),
        };
        let mut line = ParsedLine {
            from_name: client.name,
            reverse_name: client.reverse_name,
            address: client.address,
            by: None,
            protocol: None,
            id: None,
            recipient: None,
            received_at: None,
            tls: tokens.iter().find_map(|(_, t)| tls_comment(*t, work)),
            handover: Handover::Client,
        };
        let protocol_follows_by = line.parse_server(value, &tokens[clause_end..]);
        let servers = tokens[clause + name..]
            .iter()
            .filter(|(_, t)| t.is_word("by"));
        let is_plain =
            servers.count() == 1 && !tokens.iter().any(|(_, t)| matches!(t, Token::OpenComment));
        let protocol = match protocol_follows_by && is_plain {
            true => line.protocol_name(),
            false => None,
        };
        line.handover = match has_from {
            true => client.handover(protocol.as_deref()),
            false => line.clientless_handover(&tokens, work),
        };
        line
    }

    /// Reads the part that starts with `by`. Returns whether the protocol is on the line of the
    /// text that has the `by`: text that is appended to a field cannot add it then.
    fn parse_server(&mut self, value: &'a str, tokens: &[(usize, Token<'a>)]) -> bool {
        let mut protocol_follows_by = false;
        let by = tokens.first().map_or(value.len(), |(at, _)| *at);
        let mut keyword = "";
        let mut protocol_start = None;
        for &(at, token) in tokens {
            let Token::Word(word) = token else {
                keyword = "";
                continue;
            };
            if keyword != "with" && protocol_start.is_some() && word.eq_ignore_ascii_case("with") {
                // The first one counts.
                keyword = "";
                continue;
            }
            let (part, date) = match word.find(';') {
                Some(i) => (&word[..i], Some(at + i + 1)),
                None => (word, None),
            };
            let known = ["by", "with", "id", "for", "via", "tls"];
            match known.iter().find(|k| part.eq_ignore_ascii_case(k)) {
                Some(known) => keyword = known,
                None if !part.is_empty() => match keyword {
                    "with" => {
                        let start = *protocol_start.get_or_insert(at);
                        if start == at {
                            protocol_follows_by = !value[by..at].contains('\n');
                        }
                        self.protocol = Some(&value[start..at + part.len()]);
                    }
                    "by" if self.by.is_none() => self.by = Some(part),
                    "id" if self.id.is_none() => self.id = Some(part),
                    "for" if self.recipient.is_none() => {
                        self.recipient = Some(part.trim_matches(['<', '>']));
                    }
                    _ => {}
                },
                None => {}
            }
            if let Some(date) = date {
                self.received_at = Some(&value[date..]);
                break;
            }
        }
        protocol_follows_by
    }

    /// The first word of the protocol, in lower case.
    fn protocol_name(&self) -> Option<String> {
        let word = self.protocol?.split_ascii_whitespace().next()?;
        Some(word.to_ascii_lowercase())
    }

    /// How the message came to a server whose line has no `from`.
    fn clientless_handover(&self, tokens: &[(usize, Token<'a>)], work: &mut usize) -> Handover {
        let mut comments = Vec::new();
        for (_, token) in tokens {
            if let Token::Comment(text) = token {
                *work += text.len();
                comments.push(text.to_ascii_lowercase());
            }
        }
        let first = match tokens.first() {
            Some((_, Token::Comment(_))) => comments.first().map(String::as_str),
            _ => None,
        };
        if let Some(invoked) = first.filter(|c| c.contains(" invoked ")) {
            let internal = ["invoked from network", "invoked by alias"];
            return match invoked.starts_with("qmail ")
                && internal.iter().any(|i| invoked.ends_with(i))
            {
                true => Handover::Internal,
                false => Handover::LocalSubmission,
            };
        }
        let is_submission = |c: &String| c.contains("from userid ") || c.ends_with("/submit");
        if first.is_some_and(|c| c.starts_with("from ")) || comments.iter().any(is_submission) {
            return Handover::LocalSubmission;
        }
        let by_private = || self.by.and_then(plain).is_some_and(is_private);
        match self.protocol_name() {
            Some(p) if is_local_protocol(&p) => Handover::LocalSubmission,
            Some(p) if is_site_protocol(&p) => Handover::Internal,
            Some(p) if p.contains("smtp") && by_private() => Handover::Internal,
            None if self.by.is_some() => Handover::Internal,
            // The line hides its client.
            _ => Handover::Client,
        }
    }
}

/// Whether both ends of a protocol (in lower case) belong to one site: LMTP (RFC 2033), and the
/// protocols by which a reader fetches mail.
fn is_site_protocol(protocol: &str) -> bool {
    protocol.contains("lmtp")
        || ["pop3", "apop", "imap"]
            .iter()
            .any(|p| protocol.starts_with(p))
}

/// Whether a protocol (in lower case) is that of a user or a program on the server.
fn is_local_protocol(protocol: &str) -> bool {
    ["local", "http"].iter().any(|p| protocol.starts_with(p))
}

/// A comment about TLS.
fn tls_comment<'a>(token: Token<'a>, work: &mut usize) -> Option<&'a str> {
    let Token::Comment(text) = token else {
        return None;
    };
    *work += text.len();
    let starts = |start: &&str| {
        text.get(..start.len())
            .is_some_and(|t| t.eq_ignore_ascii_case(start))
    };
    let known = [
        "using tls",
        "using ssl",
        "tls",
        "version=tls",
        "version=ssl",
    ];
    (known.iter().any(starts) || text.contains("cipher=")).then_some(text)
}

/// What a `from` clause has about the client.
#[derive(Default)]
struct Client<'a> {
    name: Option<&'a str>,
    reverse_name: Option<&'a str>,
    address: Option<IpAddr>,
    is_socket: bool,
    is_local: bool,
}

/// What a comment of a `from` clause gives.
enum ClientComment<'a> {
    /// The address and the reverse name that the server knows, and the client's own name.
    Address(IpAddr, Option<&'a str>, Option<&'a str>),
    /// The client's own name, if it is not empty.
    Greeting(Option<&'a str>),
    /// The client is connected by a Unix socket.
    Socket,
    /// The client is a local program.
    Local,
    /// An address that can be the server's or a word of the client.
    Ambiguous,
    /// Anything else, such as a comment about TLS or authentication.
    Other,
}

impl<'a> Client<'a> {
    /// Parses the tokens between `from` and `by`. If there is no `by`, the clause is not complete,
    /// and text that is appended to the field could add an address.
    fn parse(tokens: &[(usize, Token<'a>)], is_complete: bool, work: &mut usize) -> Client<'a> {
        let (name, items) = match tokens {
            [(_, Token::Word(name)), items @ ..] => (Some(*name), items),
            items => (None, items),
        };
        let mut client = Client::default();
        let (mut greeting, mut has_greeting) = (None, false);
        let mut addresses = Vec::new();
        let mut is_certain = is_complete;
        for (i, (_, item)) in items.iter().enumerate() {
            match item {
                Token::Word(word) => match bracketed(word) {
                    Some(address) if i == 0 => addresses.push(address),
                    Some(_) => is_certain = false,
                    None => {}
                },
                Token::OpenComment => is_certain = false,
                Token::Comment(text) => {
                    *work += text.len();
                    match ClientComment::parse(text, has_greeting) {
                        ClientComment::Address(address, reverse, helo) => {
                            addresses.push(address);
                            client.reverse_name = client.reverse_name.or(reverse);
                            greeting = greeting.or(helo);
                        }
                        ClientComment::Greeting(helo) => {
                            has_greeting = true;
                            greeting = greeting.or(helo);
                            // The name of the client is here, so the word before is the server's.
                            addresses.extend(name.and_then(bracketed).filter(|_| i == 0));
                        }
                        ClientComment::Socket => client.is_socket = true,
                        ClientComment::Local => client.is_local = true,
                        ClientComment::Ambiguous => is_certain = false,
                        ClientComment::Other => {}
                    }
                }
            }
        }
        addresses.dedup();
        if let ([address], true) = (&addresses[..], is_certain) {
            client.address = Some(*address);
        }
        let word = name.map(|n| n.trim_end_matches(';'));
        client.name = greeting.or(word);
        if greeting.is_some() {
            let is_name = |w: &&str| bracketed(w).or_else(|| plain(w)).is_none();
            let reverse = word.filter(is_name).and_then(reverse_name);
            client.reverse_name = client.reverse_name.or(reverse);
        }
        client
    }

    /// How the message came from this client by a protocol (in lower case).
    fn handover(&self, protocol: Option<&str>) -> Handover {
        match protocol {
            Some(p) if is_site_protocol(p) => Handover::Internal,
            _ if self.address.is_some() => Handover::Client,
            _ if self.is_socket => Handover::Internal,
            _ if self.is_local => Handover::LocalSubmission,
            Some(p) if is_local_protocol(p) => Handover::LocalSubmission,
            _ => Handover::Client,
        }
    }
}

impl<'a> ClientComment<'a> {
    /// The most words of a comment that has an address.
    const MAX_WORDS: usize = 8;

    /// Parses a comment. After a comment with the client's name, as qmail writes it, `helo=` is a
    /// part of the client's answer to an ident query (RFC 1413).
    fn parse(text: &'a str, has_greeting: bool) -> ClientComment<'a> {
        if text.trim().eq_ignore_ascii_case("[unix socket]") {
            return ClientComment::Socket;
        }
        let (mut words, mut is_nested) = (Vec::new(), false);
        for (_, token) in (Tokens { text, at: 0 }).take(ClientComment::MAX_WORDS + 1) {
            match token {
                Token::Word(word) => words.push(word),
                // Such as `(may be forged)`. A comment with an address is not part of any form.
                Token::Comment(inner) => is_nested |= inner.contains('['),
                Token::OpenComment => is_nested = true,
            }
        }
        if is_nested {
            return ClientComment::Other;
        }
        let is =
            |word: &&str, expected: &[&str]| expected.iter().any(|e| word.eq_ignore_ascii_case(e));
        let greetings = ["HELO", "EHLO", "LHLO"];
        let account = words.first().is_some_and(|w| is(w, &["account"]));
        if let Some(at) = words.iter().position(|w| is(w, &greetings))
            && (at == 0 || account)
        {
            return ClientComment::Greeting(words.get(at + 1).copied());
        }
        let value = |word: &&'a str, key: &str| {
            let head = word.get(..key.len())?;
            head.eq_ignore_ascii_case(key).then(|| &word[key.len()..])
        };
        let keys = ["helo=", "ident=", "port="];
        let end = words
            .iter()
            .position(|w| keys.iter().any(|k| value(w, k).is_some()))
            .filter(|_| !has_greeting)
            .unwrap_or(words.len());
        if end == 0 && words.get(1).is_some_and(|w| bracketed(w).is_some()) {
            return ClientComment::Ambiguous;
        }
        let helo = words[end..].iter().find_map(|w| value(w, "helo="));
        if words.len() > ClientComment::MAX_WORDS && helo.is_none() {
            return ClientComment::Other;
        }
        let has_bracket = |words: &[&str]| words.iter().any(|w| w.contains('['));
        match &words[..end] {
            [] if end < words.len() => ClientComment::Greeting(helo),
            [first, rest @ ..] if first.starts_with('[') => match bracketed(first) {
                Some(address) if !has_bracket(rest) => ClientComment::Address(address, None, helo),
                _ => ClientComment::Other,
            },
            [name, address, rest @ ..] if !name.ends_with(':') && !has_bracket(&[name]) => {
                match bracketed(address) {
                    Some(address) if !has_bracket(rest) => {
                        ClientComment::Address(address, reverse_name(name), helo)
                    }
                    None if is(address, &["[local]"]) => ClientComment::Local,
                    _ => ClientComment::Other,
                }
            }
            [address] => {
                let host = address.rsplit_once('@').map_or(*address, |(_, host)| host);
                match plain(host) {
                    Some(address) => ClientComment::Address(address, None, helo),
                    None => ClientComment::Other,
                }
            }
            _ => ClientComment::Other,
        }
    }
}

/// The reverse name of a client, without the user that RFC 1413 gives; `None` for the words that
/// servers write if there is none.
fn reverse_name(word: &str) -> Option<&str> {
    let name = word.rsplit_once('@').map_or(word, |(_, name)| name);
    let name = name.trim_matches(['<', '>']).trim_end_matches('.');
    let none = ["", "unknown", "unknownhost", "unverified", "none"];
    (!none.iter().any(|n| name.eq_ignore_ascii_case(n))).then_some(name)
}
