//! The collector's side of the talk: bytes in, replies and messages out. It takes mail for the
//! probe domain alone, sends none, and reads the end of a message in one way only: CRLF, a dot,
//! CRLF. A bare CR or LF, a NUL, or a command that came before its turn (SMTP smuggling: VU#302671)
//! ends in a refusal.

use std::net::IpAddr;

/// The longest command line, in bytes.
pub const MAX_LINE: usize = 1024;
/// The longest message, in bytes.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// The most recipients of a message.
pub const MAX_RECIPIENTS: usize = 10;
/// The most commands of a session.
pub const MAX_COMMANDS: usize = 200;
/// The most commands of a session that were refused.
pub const MAX_ERRORS: usize = 10;
/// A message that went through more hosts is in a loop.
pub const MAX_HOPS: usize = 25;

/// The settings of the collector's sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverSettings {
    /// Its name in the greeting.
    pub hello: String,
    /// The domain whose mail it accepts.
    pub domain: String,
    /// Its addresses: mail for their literals is accepted too.
    pub addresses: Vec<IpAddr>,
    /// Whether it offers STARTTLS.
    pub tls: bool,
}

/// A message as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// The name in the client's greeting.
    pub hello: String,
    /// The sender, without brackets.
    pub from: String,
    /// The recipients, without brackets.
    pub to: Vec<String>,
    /// The message, dots unstuffed, lines ended by CRLF.
    pub data: Vec<u8>,
}

/// What the caller does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerAction {
    /// More bytes are needed.
    More,
    /// Send this line.
    Reply(String),
    /// A message begins: send this line, or refuse the message and call
    /// [`ServerSession::end_message`].
    Data(String),
    /// Send this line, then begin TLS and call [`ServerSession::secured`].
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

/// A session.
#[derive(Debug)]
pub struct ServerSession<'a> {
    receiver: &'a ReceiverSettings,
    state: State,
    tls: bool,
    hello: Option<String>,
    from: Option<String>,
    to: Vec<String>,
    buffer: Vec<u8>,
    /// Why the message that is received will be refused.
    bad: Option<&'static str>,
    commands: usize,
    errors: usize,
}

impl<'a> ServerSession<'a> {
    /// Begins a session; [`ServerSession::greeting`] is sent first.
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

    /// The first line.
    pub fn greeting(&self) -> String {
        format!(
            "220 {} ESMTP for test messages of {} alone",
            self.receiver.hello, self.receiver.domain
        )
    }

    /// TLS is there: everything before it is forgotten (RFC 3207 section 4.2).
    pub fn secured(&mut self) {
        *self = ServerSession {
            tls: true,
            commands: self.commands,
            errors: self.errors,
            ..ServerSession::new(self.receiver)
        };
    }

    /// The recipients of the message that is received.
    pub fn recipients(&self) -> &[String] {
        &self.to
    }

    /// Ends the message: it was handled or refused.
    pub fn end_message(&mut self) {
        self.forget();
    }

    fn forget(&mut self) {
        (self.from, self.bad) = (None, None);
        self.to.clear();
        self.buffer.clear();
        self.state = State::Commands;
    }

    /// Reads bytes. Returns how many it has consumed, and the next action, before it gets the rest.
    pub fn take(&mut self, bytes: &[u8]) -> (usize, ServerAction) {
        match self.state {
            State::Commands => self.take_line(bytes),
            State::Data => self.take_data(bytes),
        }
    }

    fn take_line(&mut self, bytes: &[u8]) -> (usize, ServerAction) {
        let Some(end) = bytes.iter().position(|b| *b == b'\n') else {
            self.buffer.extend(bytes.iter().take(MAX_LINE + 1));
            let long = self.buffer.len() > MAX_LINE;
            return (
                bytes.len(),
                if long {
                    ServerAction::Close("500 5.5.2 that line is too long".into())
                } else {
                    ServerAction::More
                },
            );
        };
        self.buffer.extend(&bytes[..=end]);
        let line = std::mem::take(&mut self.buffer);
        let more = bytes.len() > end + 1;
        let Some(line) = line
            .strip_suffix(b"\r\n")
            .filter(|l| l.len() <= MAX_LINE && !l.iter().any(|b| matches!(b, b'\r' | 0)))
        else {
            return (
                end + 1,
                ServerAction::Close(
                    "500 5.5.2 a line ends with CRLF, has no NUL, and at most 1024 bytes".into(),
                ),
            );
        };
        self.commands += 1;
        if self.commands > MAX_COMMANDS {
            return (
                end + 1,
                ServerAction::Close("421 4.7.0 too many commands".into()),
            );
        }
        let text = String::from_utf8_lossy(line).into_owned();
        let act = self.command(&text);
        // Bytes that arrive before our reply were not meant as a command for us.
        let early = more
            && (self.state == State::Data
                || matches!(act, ServerAction::Tls(_))
                || is(&text, "EHLO")
                || is(&text, "HELO"));
        if early {
            return (
                bytes.len(),
                ServerAction::Close("554 5.5.1 wait for the reply before you go on".into()),
            );
        }
        if let ServerAction::Reply(r) = &act
            && r.starts_with('5')
        {
            self.errors += 1;
            if self.errors > MAX_ERRORS {
                return (
                    end + 1,
                    ServerAction::Close("421 4.7.0 too many errors".into()),
                );
            }
        }
        (end + 1, act)
    }

    fn command(&mut self, line: &str) -> ServerAction {
        let reply = |text: &str| ServerAction::Reply(text.into());
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" | "HELO" if rest.trim().is_empty() => reply("501 5.5.4 say who you are"),
            "EHLO" => {
                self.forget();
                self.hello = Some(rest.trim().chars().take(255).collect());
                let tls = if self.receiver.tls && !self.tls {
                    "250-STARTTLS\r\n"
                } else {
                    ""
                };
                ServerAction::Reply(format!(
                    "250-{}\r\n250-SIZE {MAX_MESSAGE}\r\n{tls}250-SMTPUTF8\r\n250 8BITMIME",
                    self.receiver.hello
                ))
            }
            "HELO" => {
                self.forget();
                self.hello = Some(rest.trim().chars().take(255).collect());
                ServerAction::Reply(format!("250 {}", self.receiver.hello))
            }
            "STARTTLS" if self.receiver.tls && !self.tls && rest.is_empty() => {
                ServerAction::Tls("220 2.0.0 go ahead".into())
            }
            "MAIL" if self.hello.is_none() => reply("503 5.5.1 EHLO first"),
            "MAIL" if self.from.is_some() => reply("503 5.5.1 there is a sender already"),
            "MAIL" => match path(rest, "FROM:") {
                Some((from, parameters)) if size(parameters) <= MAX_MESSAGE => {
                    self.from = Some(from.into());
                    reply("250 2.1.0 ok")
                }
                Some(_) => reply("552 5.3.4 that is too large"),
                None => reply("501 5.5.4 MAIL FROM:<address>"),
            },
            "RCPT" if self.from.is_none() => reply("503 5.5.1 MAIL first"),
            "RCPT" if self.to.len() >= MAX_RECIPIENTS => reply("452 4.5.3 too many recipients"),
            "RCPT" => match path(rest, "TO:") {
                Some((to, _)) if self.ours(to) => {
                    self.to.push(to.into());
                    reply("250 2.1.5 ok")
                }
                Some(_) => reply("550 5.7.1 we take mail for ourselves alone, and carry none"),
                None => reply("501 5.5.4 RCPT TO:<address>"),
            },
            "DATA" if self.to.is_empty() => reply("503 5.5.1 RCPT first"),
            "DATA" => {
                self.state = State::Data;
                ServerAction::Data("354 end with CRLF.CRLF".into())
            }
            "RSET" => {
                self.forget();
                reply("250 2.0.0 ok")
            }
            "NOOP" => reply("250 2.0.0 ok"),
            "QUIT" => ServerAction::Close("221 2.0.0 bye".into()),
            "VRFY" | "EXPN" => reply("252 2.5.0 we tell nothing about addresses"),
            _ => reply("500 5.5.1 there is no such command here"),
        }
    }

    /// Whether an address is in the probe domain, in any spelling of it.
    fn ours(&self, address: &str) -> bool {
        let Some((local, domain)) = address.rsplit_once('@') else {
            return false;
        };
        // Any local part is accepted, because the message is passed on no further. A source route
        // leads to a third party.
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

    fn take_data(&mut self, bytes: &[u8]) -> (usize, ServerAction) {
        for (i, b) in bytes.iter().enumerate() {
            let before = self.buffer.last().copied();
            let bare = match (before, *b) {
                (Some(b'\r'), b'\n') => false,
                (Some(b'\r'), _) | (_, b'\n') | (_, 0) => true,
                _ => false,
            };
            if bare {
                self.bad
                    .get_or_insert("550 5.6.0 the message has a bare CR or LF, or a NUL");
            }
            self.buffer.push(*b);
            let ended =
                *b == b'\n' && (self.buffer.ends_with(b"\r\n.\r\n") || self.buffer == b".\r\n");
            if ended {
                let act = self.ended(bytes.len() > i + 1);
                return (i + 1, act);
            }
            if self.buffer.len() > MAX_MESSAGE + 1024 {
                self.bad.get_or_insert("552 5.3.4 the message is too large");
                // The end is still looked for: its last bytes are kept.
                self.buffer.drain(..self.buffer.len() - 8);
            }
        }
        (bytes.len(), ServerAction::More)
    }

    fn ended(&mut self, more: bool) -> ServerAction {
        if more {
            return ServerAction::Close("554 5.5.1 wait for the reply before you go on".into());
        }
        let data = std::mem::take(&mut self.buffer);
        let bad = self
            .bad
            .or((data.len() > MAX_MESSAGE).then_some("552 5.3.4 the message is too large"));
        if let Some(bad) = bad {
            self.forget();
            return ServerAction::Reply(bad.into());
        }
        let data = unstuffed(&data[..data.len() - 3]);
        if super::mail::parse_mail(&data).hops() > MAX_HOPS {
            self.forget();
            return ServerAction::Reply("554 5.4.6 this message goes in circles".into());
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

fn is(line: &str, verb: &str) -> bool {
    line.get(..verb.len())
        .is_some_and(|v| v.eq_ignore_ascii_case(verb))
}

/// A message without the dots that were added before dots (RFC 5321 section 4.5.2).
fn unstuffed(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    for line in data.split_inclusive(|b| *b == b'\n') {
        out.extend(line.strip_prefix(b".").unwrap_or(line));
    }
    out
}

/// The address and the parameters of MAIL or RCPT.
fn path<'t>(rest: &'t str, word: &str) -> Option<(&'t str, &'t str)> {
    let rest = rest.trim_start();
    let rest = rest
        .get(..word.len())
        .filter(|w| w.eq_ignore_ascii_case(word))
        .map(|w| &rest[w.len()..])?
        .trim();
    match rest.strip_prefix('<') {
        Some(inner) => {
            // A quoted local part may hold a bracket.
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

/// The size that a sender announces (RFC 1870).
fn size(parameters: &str) -> usize {
    let declared = parameters.split_whitespace().find_map(|p| {
        p.split_once('=')
            .filter(|(k, _)| k.eq_ignore_ascii_case("SIZE"))
    });
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

    /// Hands bytes in, in pieces; the first lines of the replies, and the messages.
    fn talk(pieces: &[&[u8]]) -> (Vec<String>, Vec<ReceivedMessage>) {
        let r = receiver();
        let (mut s, mut replies, mut messages) = (ServerSession::new(&r), Vec::new(), Vec::new());
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let (n, act) = s.take(rest);
                rest = &rest[n..];
                match act {
                    ServerAction::More => {}
                    ServerAction::Reply(t) | ServerAction::Data(t) => replies.push(t),
                    ServerAction::Tls(t) => {
                        replies.push(t);
                        s.secured();
                    }
                    ServerAction::Message(m) => {
                        messages.push(m);
                        s.end_message();
                        replies.push("(judged)".into());
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
    fn a_message_is_taken_as_it_is() {
        let (replies, messages) =
            with(&[b"Subject: x\r\n\r\n..dot\r\n", b".", b"\r\n", b"QUIT\r\n"]);
        assert_eq!(replies, ["(judged)", "CLOSE 221 2.0.0 bye"]);
        assert_eq!(messages[0].data, b"Subject: x\r\n\r\n.dot\r\n");
        assert_eq!(
            (messages[0].to.as_slice(), messages[0].from.as_str()),
            (&["a@probe.example".to_string()][..], "")
        );
    }

    #[test]
    fn mail_for_us_alone_in_any_spelling() {
        let r = receiver();
        let to = |a: &str| {
            let mut s = ServerSession::new(&r);
            s.take(b"HELO x\r\n");
            s.take(b"MAIL FROM:<>\r\n");
            matches!(s.take(format!("RCPT TO:{a}\r\n").as_bytes()).1, ServerAction::Reply(t) if t.starts_with("250"))
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

    /// X03: every way to end a message that a lax server takes for the end and a strict one does
    /// not.
    #[test]
    fn no_smuggled_end_ends_a_message() {
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
                "nothing inside was read as a command: {replies:?}"
            );
        }
        let (replies, messages) = with(&[b"Subject: x\r\n\r\nx\r\n.\r\nMAIL FROM:<evil@x>\r\n"]);
        assert_eq!(
            (replies.as_slice(), messages.len()),
            (
                &["CLOSE 554 5.5.1 wait for the reply before you go on".to_string()][..],
                0
            )
        );
        assert!(
            talk(&[b"EHLO x\r\n", b"STARTTLS\r\nMAIL FROM:<>\r\n"]).0[1].starts_with("CLOSE"),
            "nothing before TLS is read behind it"
        );
        assert!(talk(&[b"EHLO x\n"]).0[0].starts_with("CLOSE"));
    }

    #[test]
    fn limits_have_ends() {
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
            ("552 5.3.4 the message is too large", "250 2.0.0 ok", 0)
        );
        let circles = b"Received: x\r\n".repeat(MAX_HOPS + 1);
        assert!(with(&[&circles, b"\r\n.\r\n"]).0[0].starts_with("554"));
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
        /// Whatever comes, however it is cut: no panic, no growth, and no message but one that
        /// ended as the rules say.
        #[test]
        fn no_bytes_do_harm(words in proptest::collection::vec(proptest::sample::select(vec![
            "EHLO x\r\n", "MAIL FROM:<>\r\n", "RCPT TO:<a@probe.example>\r\n", "DATA\r\n", ".", "\r\n", "\r", "\n", "\r\n.\r\n", "RSET\r\n", "\0", "abc", "<\">",
        ]), 0..60), cut in 1usize..20) {
            let r = receiver();
            let mut s = ServerSession::new(&r);
            for piece in words.concat().as_bytes().chunks(cut) {
                let mut rest = piece;
                while !rest.is_empty() {
                    let (n, act) = s.take(rest);
                    prop_assert!(n > 0 && n <= rest.len() && s.buffer.len() <= MAX_MESSAGE + 2048);
                    rest = &rest[n..];
                    if let ServerAction::Message(m) = act {
                        let naked = m.data.iter().enumerate().any(|(i, b)| *b == b'\n' && (i == 0 || m.data[i - 1] != b'\r') || *b == b'\r' && m.data.get(i + 1) != Some(&b'\n') || *b == 0);
                        prop_assert!(!naked && m.to.iter().all(|t| t == "a@probe.example"));
                        s.end_message();
                    } else if let ServerAction::Close(_) = act {
                        return Ok(());
                    }
                }
            }
        }
    }
}
