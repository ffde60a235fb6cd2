//! The SMTP server session of the collector: bytes in, replies and messages out. It accepts mail
//! for the probe domain only and sends none. Only CRLF, a dot and CRLF end a message. A bare CR or
//! LF, a NUL, and a command that is sent before the previous reply are refused, against SMTP
//! smuggling (VU#302671).

use std::net::IpAddr;

/// The longest command line, in bytes.
pub const MAX_LINE: usize = 1024;
/// The longest message, in bytes.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// The most recipients of a message.
pub const MAX_RECIPIENTS: usize = 10;
/// The most commands of a session.
pub const MAX_COMMANDS: usize = 200;
/// The most refused commands of a session.
pub const MAX_ERRORS: usize = 10;
/// The most `Received` fields of a message; one with more is in a loop.
pub const MAX_HOPS: usize = 25;

/// The settings of the collector's sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverSettings {
    /// The collector's name in its greeting.
    pub hello: String,
    /// The domain whose mail is accepted.
    pub domain: String,
    /// The collector's addresses. Mail for their literals is accepted too.
    pub addresses: Vec<IpAddr>,
    /// Whether STARTTLS is offered.
    pub tls: bool,
}

/// A received message with its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// The name in the client's greeting.
    pub hello: String,
    /// The sender, without brackets.
    pub from: String,
    /// The recipients, without brackets.
    pub to: Vec<String>,
    /// The message, with CRLF line ends and without the dots of dot-stuffing.
    pub data: Vec<u8>,
}

/// The next action of the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerAction {
    /// Read more bytes.
    More,
    /// Send this line.
    Reply(String),
    /// A message begins: send this line, or refuse the message and call
    /// [`ServerSession::end_message`].
    Data(String),
    /// Send this line, then begin TLS and call [`ServerSession::tls_established`].
    Tls(String),
    /// Handle this message, send the reply, and call [`ServerSession::end_message`].
    Message(ReceivedMessage),
    /// Send this line and close.
    Close(String),
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Commands,
    Data,
}

/// A server session.
#[derive(Debug)]
pub struct ServerSession<'a> {
    receiver: &'a ReceiverSettings,
    state: State,
    tls: bool,
    hello: Option<String>,
    from: Option<String>,
    to: Vec<String>,
    buffer: Vec<u8>,
    /// The reply that will refuse the message which is being received.
    bad: Option<&'static str>,
    commands: usize,
    errors: usize,
}

impl<'a> ServerSession<'a> {
    /// Begins a session. The caller sends [`ServerSession::greeting`] first.
    pub fn new(receiver: &'a ReceiverSettings) -> ServerSession<'a> {
        ServerSession {
            receiver,
            state: State::Commands,
            tls: false,
            hello: None,
            from: None,
            to: Vec::new(),
            buffer: Vec::new(),
            bad: None,
            commands: 0,
            errors: 0,
        }
    }

    /// The greeting line.
    pub fn greeting(&self) -> String {
        format!(
            "220 {} ESMTP for test messages to {} only",
            self.receiver.hello, self.receiver.domain
        )
    }

    /// Begins the session anew after TLS was negotiated; everything before is discarded (RFC
    /// 3207 section 4.2).
    pub fn tls_established(&mut self) {
        *self = ServerSession {
            tls: true,
            commands: self.commands,
            errors: self.errors,
            ..ServerSession::new(self.receiver)
        };
    }

    /// The recipients of the message that is being received.
    pub fn recipients(&self) -> &[String] {
        &self.to
    }

    /// Ends the message, which was handled or refused.
    pub fn end_message(&mut self) {
        (self.from, self.bad) = (None, None);
        self.to.clear();
        self.buffer.clear();
        self.state = State::Commands;
    }

    /// Parses bytes. Returns how many were consumed and the next action. The caller performs the
    /// action before it passes the rest.
    pub fn feed(&mut self, bytes: &[u8]) -> (usize, ServerAction) {
        match self.state {
            State::Commands => self.feed_line(bytes),
            State::Data => self.feed_data(bytes),
        }
    }

    fn feed_line(&mut self, bytes: &[u8]) -> (usize, ServerAction) {
        let Some(end) = bytes.iter().position(|b| *b == b'\n') else {
            self.buffer.extend(bytes.iter().take(MAX_LINE + 1));
            let action = if self.buffer.len() > MAX_LINE {
                close("500 5.5.2 line too long")
            } else {
                ServerAction::More
            };
            return (bytes.len(), action);
        };
        self.buffer.extend(&bytes[..=end]);
        let line = std::mem::take(&mut self.buffer);
        let is_allowed =
            |l: &&[u8]| l.len() <= MAX_LINE && !l.iter().any(|b| matches!(b, b'\r' | 0));
        let action = match line.strip_suffix(b"\r\n").filter(is_allowed) {
            Some(line) => self.handle_line(line, bytes.len() > end + 1),
            None => close("500 5.5.2 a line must end with CRLF, without NUL, within 1024 bytes"),
        };
        (end + 1, action)
    }

    /// Handles a command line. `more` states whether the client has sent more bytes already.
    fn handle_line(&mut self, line: &[u8], more: bool) -> ServerAction {
        self.commands += 1;
        if self.commands > MAX_COMMANDS {
            return close("421 4.7.0 too many commands");
        }
        let text = String::from_utf8_lossy(line).into_owned();
        let action = self.command(&text);
        // Bytes that arrive before our reply may be smuggled commands.
        let early = more
            && (self.state == State::Data
                || matches!(action, ServerAction::Tls(_))
                || has_verb(&text, "EHLO")
                || has_verb(&text, "HELO"));
        if early {
            return close(EARLY_COMMAND);
        }
        if matches!(&action, ServerAction::Reply(r) if r.starts_with('5')) {
            self.errors += 1;
            if self.errors > MAX_ERRORS {
                return close("421 4.7.0 too many errors");
            }
        }
        action
    }

    fn command(&mut self, line: &str) -> ServerAction {
        let reply = |text: &str| ServerAction::Reply(text.into());
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" | "HELO" if rest.trim().is_empty() => reply("501 5.5.4 host name missing"),
            verb @ ("EHLO" | "HELO") => {
                self.end_message();
                self.hello = Some(rest.trim().chars().take(255).collect());
                let hello = &self.receiver.hello;
                if verb == "HELO" {
                    return ServerAction::Reply(format!("250 {hello}"));
                }
                let tls = if self.receiver.tls && !self.tls {
                    "250-STARTTLS\r\n"
                } else {
                    ""
                };
                ServerAction::Reply(format!(
                    "250-{hello}\r\n250-SIZE {MAX_MESSAGE}\r\n{tls}250-SMTPUTF8\r\n250 8BITMIME"
                ))
            }
            "STARTTLS" if self.receiver.tls && !self.tls && rest.is_empty() => {
                ServerAction::Tls("220 2.0.0 go ahead".into())
            }
            "MAIL" if self.hello.is_none() => reply("503 5.5.1 send EHLO first"),
            "MAIL" if self.from.is_some() => reply("503 5.5.1 sender already given"),
            "MAIL" => match parse_path(rest, "FROM:") {
                Some((from, parameters)) if declared_size(parameters) <= MAX_MESSAGE => {
                    self.from = Some(from.into());
                    reply("250 2.1.0 ok")
                }
                Some(_) => reply("552 5.3.4 message too large"),
                None => reply("501 5.5.4 syntax: MAIL FROM:<address>"),
            },
            "RCPT" if self.from.is_none() => reply("503 5.5.1 send MAIL first"),
            "RCPT" if self.to.len() >= MAX_RECIPIENTS => reply("452 4.5.3 too many recipients"),
            "RCPT" => match parse_path(rest, "TO:") {
                Some((to, _)) if self.is_accepted_recipient(to) => {
                    self.to.push(to.into());
                    reply("250 2.1.5 ok")
                }
                Some(_) => reply("550 5.7.1 relaying denied; this host accepts test messages only"),
                None => reply("501 5.5.4 syntax: RCPT TO:<address>"),
            },
            "DATA" if self.to.is_empty() => reply("503 5.5.1 send RCPT first"),
            "DATA" => {
                self.state = State::Data;
                ServerAction::Data("354 end with CRLF.CRLF".into())
            }
            "RSET" => {
                self.end_message();
                reply("250 2.0.0 ok")
            }
            "NOOP" => reply("250 2.0.0 ok"),
            "QUIT" => close("221 2.0.0 bye"),
            "VRFY" | "EXPN" => reply("252 2.5.0 addresses are not verified"),
            _ => reply("500 5.5.1 unknown command"),
        }
    }

    /// Whether an address is in the probe domain, in any spelling.
    fn is_accepted_recipient(&self, address: &str) -> bool {
        let Some((local, domain)) = address.rsplit_once('@') else {
            return false;
        };
        // Any local part is accepted, because the message is not relayed. A source
        // route is refused, because it leads to a third party.
        if local.is_empty() || address.starts_with('@') {
            return false;
        }
        if let Some(literal) = domain.strip_prefix('[').and_then(|d| d.strip_suffix(']')) {
            let bare = literal.strip_prefix("IPv6:").unwrap_or(literal);
            return bare
                .parse::<IpAddr>()
                .is_ok_and(|a| self.receiver.addresses.contains(&a));
        }
        domain
            .trim_end_matches('.')
            .eq_ignore_ascii_case(&self.receiver.domain)
    }

    fn feed_data(&mut self, bytes: &[u8]) -> (usize, ServerAction) {
        for (i, b) in bytes.iter().enumerate() {
            let before = self.buffer.last().copied();
            let bare = match (before, *b) {
                (Some(b'\r'), b'\n') => false,
                (Some(b'\r'), _) => true,
                (_, b) => matches!(b, b'\n' | 0),
            };
            if bare {
                self.bad
                    .get_or_insert("550 5.6.0 the message has a bare CR or LF, or a NUL");
            }
            self.buffer.push(*b);
            let is_end =
                *b == b'\n' && (self.buffer.ends_with(b"\r\n.\r\n") || self.buffer == b".\r\n");
            if is_end {
                let action = self.end_data(bytes.len() > i + 1);
                return (i + 1, action);
            }
            if self.buffer.len() > MAX_MESSAGE + 1024 {
                self.bad.get_or_insert("552 5.3.4 message too large");
                // The last bytes are kept to recognise the end of the message.
                self.buffer.drain(..self.buffer.len() - 8);
            }
        }
        (bytes.len(), ServerAction::More)
    }

    fn end_data(&mut self, more: bool) -> ServerAction {
        if more {
            return close(EARLY_COMMAND);
        }
        let data = std::mem::take(&mut self.buffer);
        let bad = self
            .bad
            .or((data.len() > MAX_MESSAGE).then_some("552 5.3.4 message too large"));
        if let Some(bad) = bad {
            self.end_message();
            return ServerAction::Reply(bad.into());
        }
        let data = remove_dot_stuffing(&data[..data.len() - 3]);
        if super::mail::parse_mail(&data).hops() > MAX_HOPS {
            self.end_message();
            return ServerAction::Reply("554 5.4.6 mail loop: too many Received fields".into());
        }
        self.state = State::Commands;
        ServerAction::Message(ReceivedMessage {
            hello: self.hello.clone().unwrap_or_default(),
            from: self.from.clone().unwrap_or_default(),
            to: self.to.clone(),
            data,
        })
    }
}

/// The reply to a client that does not wait for our replies.
const EARLY_COMMAND: &str = "554 5.5.1 command sent before the previous reply";

fn close(reply: &str) -> ServerAction {
    ServerAction::Close(reply.into())
}

fn has_verb(line: &str, verb: &str) -> bool {
    line.get(..verb.len())
        .is_some_and(|v| v.eq_ignore_ascii_case(verb))
}

/// Removes the dots that were added for transparency (RFC 5321 section 4.5.2).
fn remove_dot_stuffing(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    for line in data.split_inclusive(|b| *b == b'\n') {
        out.extend(line.strip_prefix(b".").unwrap_or(line));
    }
    out
}

/// Splits the arguments of MAIL or RCPT into the address and the parameters.
fn parse_path<'t>(rest: &'t str, word: &str) -> Option<(&'t str, &'t str)> {
    let rest = rest.trim_start();
    let (found, rest) = rest.split_at_checked(word.len())?;
    if !found.eq_ignore_ascii_case(word) {
        return None;
    }
    let rest = rest.trim();
    match rest.strip_prefix('<') {
        Some(inner) => {
            // A quoted local part may contain a bracket.
            let mut quoted = false;
            let end = inner.char_indices().find(|(_, c)| {
                quoted ^= *c == '"';
                *c == '>' && !quoted
            })?;
            Some((&inner[..end.0], inner[end.0 + 1..].trim()))
        }
        None => Some(rest.split_once(' ').unwrap_or((rest, "")))
            .filter(|(a, _)| !a.is_empty() && !a.contains('>')),
    }
}

/// Returns the message size that the client declares (RFC 1870); 0 if it declares none.
fn declared_size(parameters: &str) -> usize {
    let mut pairs = parameters
        .split_whitespace()
        .filter_map(|p| p.split_once('='));
    let declared = pairs.find(|(key, _)| key.eq_ignore_ascii_case("SIZE"));
    declared.and_then(|(_, v)| v.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn receiver() -> ReceiverSettings {
        ReceiverSettings {
            hello: "collector.example".into(),
            domain: "probe.example".into(),
            addresses: vec![
                "198.51.100.9".parse().unwrap(),
                "2001:db8::9".parse().unwrap(),
            ],
            tls: true,
        }
    }

    /// Feeds bytes in pieces. Returns the replies and the messages.
    fn talk(pieces: &[&[u8]]) -> (Vec<String>, Vec<ReceivedMessage>) {
        let r = receiver();
        let (mut s, mut replies, mut messages) = (ServerSession::new(&r), Vec::new(), Vec::new());
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let (n, action) = s.feed(rest);
                rest = &rest[n..];
                match action {
                    ServerAction::More => {}
                    ServerAction::Reply(t) | ServerAction::Data(t) => replies.push(t),
                    ServerAction::Tls(t) => {
                        replies.push(t);
                        s.tls_established();
                    }
                    ServerAction::Message(m) => {
                        messages.push(m);
                        s.end_message();
                        replies.push("(handled)".into());
                    }
                    ServerAction::Close(t) => {
                        replies.push(format!("CLOSE {t}"));
                        return (replies, messages);
                    }
                }
            }
        }
        (replies, messages)
    }

    const START: [&[u8]; 4] = [
        b"EHLO x\r\n",
        b"MAIL FROM:<>\r\n",
        b"RCPT TO:<a@probe.example>\r\n",
        b"DATA\r\n",
    ];

    fn with(data: &[&[u8]]) -> (Vec<String>, Vec<ReceivedMessage>) {
        let (mut r, m) = talk(&[&START[..], data].concat());
        r.drain(..4);
        (r, m)
    }

    #[test]
    fn message_is_received_unchanged() {
        let (replies, messages) =
            with(&[b"Subject: x\r\n\r\n..dot\r\n", b".", b"\r\n", b"QUIT\r\n"]);
        assert_eq!(replies, ["(handled)", "CLOSE 221 2.0.0 bye"]);
        assert_eq!(messages[0].data, b"Subject: x\r\n\r\n.dot\r\n");
        assert_eq!(
            (messages[0].to.as_slice(), messages[0].from.as_str()),
            (&["a@probe.example".to_string()][..], "")
        );
    }

    #[test]
    fn only_recipients_in_the_probe_domain_are_accepted_in_any_spelling() {
        let r = receiver();
        let to = |a: &str| {
            let mut s = ServerSession::new(&r);
            s.feed(b"HELO x\r\n");
            s.feed(b"MAIL FROM:<>\r\n");
            matches!(s.feed(format!("RCPT TO:{a}\r\n").as_bytes()).1, ServerAction::Reply(t) if t.starts_with("250"))
        };
        for yes in [
            "<x%y.example@probe.example>",
            "<\"a@y.example\"@probe.example>",
            "<a@probe.example>",
            "<a@PROBE.example.>",
            "<a@[198.51.100.9]>",
            "<a@[IPv6:2001:db8::9]>",
            " <a@probe.example>",
            "a@probe.example",
            "<\u{fc}.a@probe.example>",
            "<\"a b\"@probe.example> NOTIFY=NEVER",
        ] {
            assert!(to(yes), "{yes}");
        }
        for no in [
            "<a@other.example>",
            "<a>",
            "<>",
            "",
            "<a@[198.51.100.8]>",
            "<@probe.example:a@y.example>",
            "<a@sub.probe.example>",
        ] {
            assert!(!to(no), "{no}");
        }
    }

    /// X03: all line sequences that a lax server takes for the end of a message and a strict one
    /// does not.
    #[test]
    fn smuggled_end_does_not_end_a_message() {
        let smuggled = b"MAIL FROM:<evil@x>\r\nRCPT TO:<b@probe.example>\r\nDATA\r\nfake\r\n.\r\n";
        for end in [
            &b"\n.\n"[..],
            b"\n.\r\n",
            b"\r\n.\n",
            b"\r.\r",
            b"\r\n.\r",
            b"\r.\r\n",
            b"\n.\r",
            b"\r\n\0.\r\n",
            b"\r\n.\0\r\n",
            b"\0\r\n.\n",
        ] {
            let (replies, messages) = with(&[&[b"Subject: x\r\n\r\nx", end, smuggled].concat()]);
            assert_eq!(messages, [], "{end:?}");
            assert!(
                replies[0].starts_with("550") || replies[0].starts_with("CLOSE 554"),
                "{end:?}: {replies:?}"
            );
            assert_eq!(
                replies.len(),
                1,
                "no part of the message was read as a command: {replies:?}"
            );
        }
        let (replies, messages) = with(&[b"Subject: x\r\n\r\nx\r\n.\r\nMAIL FROM:<evil@x>\r\n"]);
        assert_eq!(
            (replies.as_slice(), messages.len()),
            (
                &["CLOSE 554 5.5.1 command sent before the previous reply".to_string()][..],
                0
            )
        );
        assert!(
            talk(&[b"EHLO x\r\n", b"STARTTLS\r\nMAIL FROM:<>\r\n"]).0[1].starts_with("CLOSE"),
            "bytes before TLS are not read after it"
        );
        assert!(talk(&[b"EHLO x\n"]).0[0].starts_with("CLOSE"));
    }

    #[test]
    fn sizes_errors_commands_and_hops_are_limited() {
        let long = vec![b'x'; MAX_LINE + 10];
        assert!(talk(&[&long, b"\r\n"]).0[0].starts_with("CLOSE 500"));
        let big = b"x"
            .repeat(60)
            .into_iter()
            .chain(*b"\r\n")
            .collect::<Vec<u8>>()
            .repeat(MAX_MESSAGE / 50);
        let (replies, messages) = with(&[&big, b".\r\n", b"NOOP\r\n"]);
        assert_eq!(
            (replies[0].as_str(), replies[1].as_str(), messages.len()),
            ("552 5.3.4 message too large", "250 2.0.0 ok", 0)
        );
        let looping = b"Received: x\r\n".repeat(MAX_HOPS + 1);
        assert!(with(&[&looping, b"\r\n.\r\n"]).0[0].starts_with("554"));
        assert!(
            talk(&[b"X\r\n".as_slice(); 20])
                .0
                .last()
                .unwrap()
                .starts_with("CLOSE 421")
        );
        assert!(
            talk(&[b"NOOP\r\n".as_slice(); 300])
                .0
                .last()
                .unwrap()
                .starts_with("CLOSE 421")
        );
        assert!(talk(&[b"HELO x\r\n", b"MAIL FROM:<> SIZE=9999999\r\n"]).0[1].starts_with("552"));
    }

    proptest! {
        /// Whatever bytes arrive, however they are divided: the session does not panic, its buffer
        /// stays within its limit, and a message has only CRLF line ends.
        #[test]
        fn any_input_stays_within_limits_and_yields_clean_messages(words in proptest::collection::vec(proptest::sample::select(vec![
            "EHLO x\r\n", "MAIL FROM:<>\r\n", "RCPT TO:<a@probe.example>\r\n", "DATA\r\n", ".", "\r\n", "\r", "\n", "\r\n.\r\n", "RSET\r\n", "\0", "abc", "<\">",
        ]), 0..60), cut in 1usize..20) {
            let r = receiver();
            let mut s = ServerSession::new(&r);
            for piece in words.concat().as_bytes().chunks(cut) {
                let mut rest = piece;
                while !rest.is_empty() {
                    let (n, action) = s.feed(rest);
                    prop_assert!(n > 0 && n <= rest.len() && s.buffer.len() <= MAX_MESSAGE + 2048);
                    rest = &rest[n..];
                    if let ServerAction::Message(m) = action {
                        let is_unclean = m.data.iter().enumerate().any(|(i, b)| *b == b'\n' && (i == 0 || m.data[i - 1] != b'\r') || *b == b'\r' && m.data.get(i + 1) != Some(&b'\n') || *b == 0);
                        prop_assert!(!is_unclean && m.to.iter().all(|t| t == "a@probe.example"));
                        s.end_message();
                    } else if let ServerAction::Close(_) = action {
                        return Ok(());
                    }
                }
            }
        }
    }
}
