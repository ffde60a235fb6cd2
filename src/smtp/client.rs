//! The SMTP client session of a relay test: replies in, commands out. `relay::tester` runs it on a
//! socket.
//!
//! The client sends one command at a time, guesses no passwords, verifies no users (VRFY,
//! EXPN), and sends no line of more than [`MAX_COMMAND`] bytes (safety rule S8). A
//! control (`relay::control`) names the server's postmaster by RCPT and then sends RSET, never
//! DATA. An accepted message proves nothing until it reaches the collector.

use super::{
    envelope::{Envelope, MAX_COMMAND, SmtpPort},
    outcome::{MessageOutcome, RecipientReply, SmtpStage},
    reply::SmtpReply,
};

/// The state of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The server's greeting, once it was received.
    pub greeting: Option<String>,
    /// Our EHLO or HELO line that the server accepted.
    pub hello: Option<String>,
    /// Whether the server offers STARTTLS.
    pub starttls: bool,
    /// Whether the server offers SMTPUTF8.
    pub utf8: bool,
    /// Whether the server accepted EHLO.
    pub ehlo: bool,
    /// Whether the server offers AUTH.
    pub auth: bool,
    /// Whether the connection uses TLS.
    pub tls: bool,
    /// Whether the connection cannot be used any more.
    pub closed: bool,
}

/// The next action of the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAction {
    /// Send a command and read its reply.
    Send(Vec<u8>),
    /// Read the greeting.
    Read,
    /// Begin TLS, then call [`ClientSession::tls_established`].
    StartTls,
    /// The test has ended. The connection can be used again unless [`ConnectionInfo::closed`] is
    /// set.
    Done(MessageOutcome),
}

/// What may be sent to a server, by its greeting (safety rule S7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GreetingPolicy {
    /// All forms.
    Open,
    /// No address literal and no loopback name as the sender or in EHLO: the server would loop
    /// (CVE-2000-1203).
    NoLiterals,
    /// Nothing: test messages make the server flood itself.
    SendNothing,
}

/// Returns the policy for a greeting. It recognises the products that tests have harmed.
pub fn greeting_policy(greeting: &str) -> GreetingPolicy {
    let text = greeting.to_ascii_lowercase();
    if text.contains("cc:mail") {
        return GreetingPolicy::SendNothing;
    }
    let domino = text
        .split_once("lotus domino release ")
        .map(|(_, v)| v.trim_start());
    let version = |v: &str| -> Vec<u32> {
        let digits: String = v
            .chars()
            .take_while(|c| c.is_ascii_digit() || *c == '.')
            .collect();
        digits.split('.').filter_map(|n| n.parse().ok()).collect()
    };
    match domino.map(version) {
        Some(v) if v < vec![5, 0, 9] => GreetingPolicy::NoLiterals,
        _ if text.contains("lotus smtp mta") => GreetingPolicy::NoLiterals,
        _ => GreetingPolicy::Open,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Greeting,
    Hello,
    OldHello,
    StartTls,
    Mail,
    Rcpt(usize),
    Data,
    Body,
    Reset,
}

/// A client session that carries one test or one control.
#[derive(Debug)]
pub struct ClientSession<'a> {
    envelope: &'a Envelope,
    message: &'a [u8],
    link: &'a mut ConnectionInfo,
    state: State,
    outcome: Option<MessageOutcome>,
    /// The replies to the recipients of a control; `None` in a test.
    control: Option<Vec<RecipientReply>>,
}

/// The longest text of a reply that is kept, in characters.
const MAX_TEXT: usize = 200;

fn shortened(reply: &SmtpReply) -> String {
    reply.lines.join(" ").chars().take(MAX_TEXT).collect()
}

impl<'a> ClientSession<'a> {
    /// Begins a test on a connection, which may have carried another one. Returns the first action.
    pub fn new(
        envelope: &'a Envelope,
        message: &'a [u8],
        link: &'a mut ConnectionInfo,
    ) -> (ClientSession<'a>, ClientAction) {
        ClientSession::begin(envelope, message, link, None)
    }

    /// Begins a control on a connection: it sends the greeting, sender and recipients of the
    /// envelope, then RSET.
    pub fn control(
        envelope: &'a Envelope,
        link: &'a mut ConnectionInfo,
    ) -> (ClientSession<'a>, ClientAction) {
        ClientSession::begin(envelope, &[], link, Some(Vec::new()))
    }

    fn begin(
        envelope: &'a Envelope,
        message: &'a [u8],
        link: &'a mut ConnectionInfo,
        control: Option<Vec<RecipientReply>>,
    ) -> (ClientSession<'a>, ClientAction) {
        let mut session = ClientSession {
            envelope,
            message,
            link,
            state: State::Greeting,
            outcome: None,
            control,
        };
        let next = match session.link.greeting {
            None => ClientAction::Read,
            Some(_) => session.handle_greeting(),
        };
        (session, next)
    }

    /// The replies to the recipients of a control.
    pub fn recipient_replies(&self) -> &[RecipientReply] {
        self.control.as_deref().unwrap_or_default()
    }

    /// The step whose reply is awaited.
    pub fn stage(&self) -> SmtpStage {
        match self.state {
            State::Greeting => SmtpStage::Connect,
            State::Hello | State::OldHello | State::StartTls => SmtpStage::Hello,
            State::Mail => SmtpStage::Mail,
            State::Rcpt(_) => SmtpStage::Rcpt,
            State::Data => SmtpStage::Data,
            State::Body | State::Reset => SmtpStage::Body,
        }
    }

    /// Returns the outcome after the connection broke or timed out. A test that has an outcome
    /// keeps it.
    pub fn broken(&mut self, why: &str) -> MessageOutcome {
        self.link.closed = true;
        let stage = self.stage();
        self.outcome
            .take()
            .unwrap_or_else(|| MessageOutcome::inconclusive(format!("{why} ({})", stage.name())))
    }

    /// Continues after TLS was negotiated.
    pub fn tls_established(&mut self) -> ClientAction {
        (self.link.tls, self.link.hello) = (true, None);
        self.handle_greeting()
    }

    fn command(line: &str) -> ClientAction {
        ClientAction::Send([line.as_bytes(), b"\r\n"].concat())
    }

    fn handle_greeting(&mut self) -> ClientAction {
        let e = self.envelope;
        // Any address in any spelling, which includes the target's own.
        let is_address = |name: &str| {
            name.trim_matches(['[', ']', '>', ' '])
                .trim_start_matches("IPv6:")
                .parse::<std::net::IpAddr>()
                .is_ok()
        };
        let may_loop = |t: &str| {
            t.contains("@[")
                || t.contains("localhost")
                || t.rsplit_once('@').is_some_and(|(_, n)| is_address(n))
        };
        match greeting_policy(self.link.greeting.as_deref().unwrap_or("")) {
            GreetingPolicy::SendNothing => {
                return self.skip("the greeting names a product that tests have harmed");
            }
            GreetingPolicy::NoLiterals
                if may_loop(&e.from)
                    || e.hello
                        .iter()
                        .any(|h| h.contains('[') || h.contains("localhost")) =>
            {
                return self.skip("the greeting names a product that loops on such a sender");
            }
            _ => {}
        }
        match &e.hello {
            Some(hello) if self.link.hello.is_none() => {
                self.state = State::Hello;
                ClientSession::command(hello)
            }
            _ => self.mail(),
        }
    }

    fn skip(&mut self, why: &str) -> ClientAction {
        ClientAction::Done(MessageOutcome::Skipped { why: why.into() })
    }

    fn mail(&mut self) -> ClientAction {
        let e = self.envelope;
        if e.utf8 && !self.link.utf8 {
            return self.skip("the server does not offer SMTPUTF8");
        }
        let mail = format!("MAIL FROM:{}", e.from);
        let recipients = e.to.iter().map(|to| to.len() + "RCPT TO:\r\n".len());
        let is_long = |bytes: usize| bytes > MAX_COMMAND;
        if is_long(mail.len() + 2) || recipients.into_iter().any(is_long) {
            return self.skip("a line would be longer than 512 bytes");
        }
        self.state = State::Mail;
        ClientSession::command(&mail)
    }

    fn rcpt(&mut self, n: usize) -> ClientAction {
        match self.envelope.to.get(n) {
            Some(to) => {
                self.state = State::Rcpt(n);
                ClientSession::command(&format!("RCPT TO:{to}"))
            }
            // A control ends here: it never sends a message.
            None if self.control.is_some() => self.end(MessageOutcome::Accepted {
                text: String::new(),
            }),
            None => {
                self.state = State::Data;
                ClientSession::command("DATA")
            }
        }
    }

    /// Notes the reply to a recipient of a control.
    fn control_reply(&mut self, n: usize, reply: &SmtpReply) -> ClientAction {
        let recipient = self.envelope.to.get(n).cloned().unwrap_or_default();
        let (code, text) = (reply.code, shortened(reply));
        let reply_to = RecipientReply {
            recipient,
            code,
            text,
        };
        self.control.get_or_insert_default().push(reply_to);
        match code == 421 || !matches!(code / 100, 2 | 4 | 5) {
            true => self.refused(reply),
            false => self.rcpt(n + 1),
        }
    }

    /// Ends the test with RSET, so that the server is ready for the next one.
    fn end(&mut self, outcome: MessageOutcome) -> ClientAction {
        self.outcome = Some(outcome);
        self.state = State::Reset;
        ClientSession::command("RSET")
    }

    fn refused(&mut self, reply: &SmtpReply) -> ClientAction {
        let (stage, code, text) = (self.stage(), reply.code, shortened(reply));
        let outcome = match code / 100 {
            4 => MessageOutcome::TempFail { stage, code, text },
            5 => MessageOutcome::Refused { stage, code, text },
            // Such a code is not a refusal, and may be the reply to another command.
            _ => {
                self.link.closed = true;
                let why = format!("unexpected reply code {code}");
                return ClientAction::Done(MessageOutcome::inconclusive(why));
            }
        };
        if code == 421 || stage == SmtpStage::Connect {
            self.link.closed = true;
            return ClientAction::Done(outcome);
        }
        self.end(outcome)
    }

    /// Our name, if the greeting is EHLO.
    fn ehlo_name(&self) -> Option<&str> {
        self.envelope.hello.as_deref()?.strip_prefix("EHLO ")
    }

    /// Handles a reply. Returns the next action.
    pub fn reply(&mut self, reply: &SmtpReply) -> ClientAction {
        match self.state {
            State::Greeting if reply.is_success() => {
                self.link.greeting = Some(reply.lines.join(" "));
                self.handle_greeting()
            }
            State::Hello | State::OldHello if reply.is_success() => {
                self.link.hello.clone_from(&self.envelope.hello);
                (self.link.starttls, self.link.utf8) =
                    (reply.offers("STARTTLS"), reply.offers("SMTPUTF8"));
                self.link.ehlo |= self.state == State::Hello && self.ehlo_name().is_some();
                self.link.auth |= reply.offers("AUTH");
                let is_submission = self.envelope.port == SmtpPort::Submission;
                if is_submission && self.link.starttls && !self.link.tls {
                    self.state = State::StartTls;
                    return ClientSession::command("STARTTLS");
                }
                self.mail()
            }
            // The server does not know EHLO.
            State::Hello if reply.code / 100 == 5 && self.ehlo_name().is_some() => {
                let helo = format!("HELO {}", self.ehlo_name().unwrap_or_default());
                self.state = State::OldHello;
                ClientSession::command(&helo)
            }
            State::StartTls if reply.is_success() => ClientAction::StartTls,
            State::StartTls => self.mail(),
            State::Mail if reply.is_success() => self.rcpt(0),
            State::Rcpt(n) if self.control.is_some() => self.control_reply(n, reply),
            State::Rcpt(n) if reply.is_success() => self.rcpt(n + 1),
            State::Data if reply.is_intermediate() => {
                self.state = State::Body;
                ClientAction::Send([self.message, b".\r\n"].concat())
            }
            State::Body if reply.is_success() => {
                let text = shortened(reply);
                self.end(MessageOutcome::Accepted { text })
            }
            State::Reset => {
                self.link.closed |= !reply.is_success();
                let outcome = self.outcome.take();
                let missing = || MessageOutcome::inconclusive("no outcome");
                ClientAction::Done(outcome.unwrap_or_else(missing))
            }
            _ => self.refused(reply),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::{
        catalogue::{Catalogue, tests::names},
        control_plan, message,
    };
    use proptest::prelude::*;

    fn reply(text: &str) -> SmtpReply {
        let (mut r, bytes) = (
            super::super::reply::ReplyReader::default(),
            format!("{}\r\n", text.replace('\n', "\r\n")),
        );
        r.feed(bytes.as_bytes()).1.unwrap().unwrap()
    }

    /// Runs a test against fixed replies. Returns the commands that were sent, the outcome, and the
    /// state of the connection.
    fn run(test: &str, replies: &[&str]) -> (Vec<String>, MessageOutcome, ConnectionInfo) {
        let messages = names()
            .envelopes(Catalogue::standard().get(test).unwrap(), 0, false, || {
                ("tok".into(), "ret".into())
            })
            .unwrap();
        let (mut link, mut sent) = (ConnectionInfo::default(), Vec::new());
        let (mut session, mut next) =
            ClientSession::new(&messages[0].1, b"Subject: x\r\n\r\nx\r\n", &mut link);
        let mut replies = replies.iter();
        let outcome = loop {
            match next {
                ClientAction::Done(o) => break o,
                ClientAction::StartTls => {
                    sent.push("(TLS)".into());
                    next = session.tls_established();
                    continue;
                }
                ClientAction::Send(bytes) => {
                    sent.push(String::from_utf8(bytes).unwrap().trim_end().to_string());
                }
                ClientAction::Read => {}
            }
            match replies.next() {
                Some(r) => next = session.reply(&reply(r)),
                None => break session.broken("cut"),
            }
        };
        (sent, outcome, link)
    }

    #[test]
    fn whole_session_ends_with_accepted_and_rset() {
        let (sent, outcome, link) = run(
            "plain",
            &[
                "220 x ESMTP",
                "250-x\n250 SIZE",
                "250 ok",
                "250 ok",
                "354 go",
                "250 queued as 1",
                "250 reset",
            ],
        );
        assert_eq!(
            sent[..4],
            [
                "EHLO tester.example",
                "MAIL FROM:<ret@probe.example>",
                "RCPT TO:<tok@probe.example>",
                "DATA"
            ]
        );
        assert_eq!(
            (sent[4].as_str(), sent[5].as_str()),
            ("Subject: x\r\n\r\nx\r\n.", "RSET")
        );
        assert_eq!(
            (outcome, link.closed),
            (
                MessageOutcome::Accepted {
                    text: "queued as 1".into()
                },
                false
            )
        );
    }

    /// S7: a Domino server that loops gets no address as the domain of a sender, in any spelling.
    #[test]
    fn looping_product_gets_no_address_literal_in_any_spelling() {
        let domino = "220 x ESMTP Service (Lotus Domino Release 5.0.8) ready";
        for test in [
            "relay-literal-sender",
            "relay-ip-sender-unbracketed",
            "localhost-sender",
            "helo-local",
            "helo-target-literal",
        ] {
            assert!(
                matches!(
                    run(test, &[domino, "250 x", "250 x"]).1,
                    MessageOutcome::Skipped { .. }
                ),
                "{test}"
            );
        }
        assert_eq!(run("plain", &[domino, "250 x", "250 x"]).0.len(), 3);
    }

    #[test]
    fn refusal_names_its_step_and_the_session_continues() {
        let at = |replies: &[&str]| {
            let (sent, outcome, link) = run("plain", replies);
            match outcome {
                MessageOutcome::Refused { stage, code, .. }
                | MessageOutcome::TempFail { stage, code, .. } => (
                    stage,
                    code,
                    sent.last().cloned().unwrap_or_default(),
                    link.closed,
                ),
                o => panic!("{o:?}"),
            }
        };
        assert_eq!(
            at(&["554 no"]),
            (SmtpStage::Connect, 554, String::new(), true)
        );
        assert_eq!(
            at(&["220 x", "550 no", "550 no", "250 r"]),
            (SmtpStage::Hello, 550, "RSET".into(), false)
        );
        assert_eq!(
            at(&["220 x", "250 x", "450 later", "250 r"]),
            (SmtpStage::Mail, 450, "RSET".into(), false)
        );
        assert_eq!(
            at(&["220 x", "250 x", "250 x", "550 no relay", "250 r"]),
            (SmtpStage::Rcpt, 550, "RSET".into(), false)
        );
        assert_eq!(
            at(&["220 x", "250 x", "250 x", "250 x", "503 no", "250 r"]),
            (SmtpStage::Data, 503, "RSET".into(), false)
        );
        assert_eq!(
            at(&[
                "220 x", "250 x", "250 x", "250 x", "354 x", "550 spam", "500 r"
            ]),
            (SmtpStage::Body, 550, "RSET".into(), true)
        );
        assert_eq!(
            at(&["220 x", "250 x", "250 x", "421 bye"]),
            (
                SmtpStage::Rcpt,
                421,
                "RCPT TO:<tok@probe.example>".into(),
                true
            )
        );
    }

    /// Another tool went on after the peer had closed the connection, and reported success.
    #[test]
    fn closed_connection_is_inconclusive_without_an_earlier_outcome() {
        assert!(
            matches!(run("plain", &["220 x", "250 x", "250 x"]).1, MessageOutcome::Inconclusive { why, .. } if why == "cut (RCPT)")
        );
        assert!(matches!(
            run(
                "plain",
                &["220 x", "250 x", "250 x", "250 x", "354 x", "250 queued"]
            )
            .1,
            MessageOutcome::Accepted { .. }
        ));
        assert!(matches!(
            run("plain", &["220 x", "250 x", "250 x", "550 no"]).1,
            MessageOutcome::Refused { .. }
        ));
    }

    #[test]
    fn helo_starttls_and_several_recipients_are_supported() {
        let (sent, ..) = run("plain", &["220 x", "502 what?", "250 x", "550 no", "250 r"]);
        assert_eq!(sent[..2], ["EHLO tester.example", "HELO tester.example"]);
        let (sent, ..) = run(
            "submission-no-auth",
            &[
                "220 x",
                "250-x\n250 STARTTLS",
                "220 go",
                "250 x",
                "530 log in",
                "250 r",
            ],
        );
        assert_eq!(
            sent[..4],
            [
                "EHLO tester.example",
                "STARTTLS",
                "(TLS)",
                "EHLO tester.example"
            ]
        );
        let (sent, outcome, _) = run(
            "local-then-foreign",
            &["220 x", "250 x", "250 x", "250 x", "550 no", "250 r"],
        );
        assert_eq!(
            sent[2..],
            [
                "RCPT TO:<postmaster@relay.example>",
                "RCPT TO:<tok@probe.example>",
                "RSET"
            ]
        );
        assert!(
            matches!(
                outcome,
                MessageOutcome::Refused {
                    stage: SmtpStage::Rcpt,
                    ..
                }
            ),
            "the message is not sent unless both recipients are accepted"
        );
        assert!(matches!(
            run("utf8-local-part", &["220 x", "250 x"]).1,
            MessageOutcome::Skipped { .. }
        ));
        assert_eq!(
            run("no-helo", &["220 x", "503 greet", "250 r"]).0[0],
            "MAIL FROM:<ret@probe.example>"
        );
    }

    /// Runs a control against fixed replies. Returns the commands that were sent, the codes of the
    /// replies to its recipients, the outcome, and the state of the connection.
    fn run_control(replies: &[&str]) -> (Vec<String>, Vec<u16>, MessageOutcome, ConnectionInfo) {
        let (_, plain) = names()
            .envelopes(
                Catalogue::standard().get("plain").unwrap(),
                0,
                false,
                || ("t".into(), "b".into()),
            )
            .unwrap()
            .remove(0);
        let envelope = Envelope {
            to: control_plan::recipients(&names()),
            ..plain
        };
        let (mut link, mut sent) = (ConnectionInfo::default(), Vec::new());
        let (mut session, mut next) = ClientSession::control(&envelope, &mut link);
        let mut replies = replies.iter();
        let outcome = loop {
            match next {
                ClientAction::Done(o) => break o,
                ClientAction::Send(bytes) => {
                    sent.push(String::from_utf8(bytes).unwrap().trim_end().to_string());
                }
                ClientAction::StartTls | ClientAction::Read => {}
            }
            match replies.next() {
                Some(r) => next = session.reply(&reply(r)),
                None => break session.broken("cut"),
            }
        };
        let codes = session.recipient_replies().iter().map(|r| r.code).collect();
        (sent, codes, outcome, link)
    }

    #[test]
    fn control_names_its_recipients_and_sends_no_message() {
        let (sent, codes, _, link) = run_control(&[
            "220 x",
            "250-x\n250 AUTH PLAIN",
            "250 ok",
            "550 no",
            "250 ok",
            "250 reset",
        ]);
        assert_eq!(
            sent[1..],
            [
                "MAIL FROM:<b@probe.example>",
                "RCPT TO:<postmaster>",
                "RCPT TO:<postmaster@relay.example>",
                "RSET"
            ]
        );
        assert_eq!(
            (codes, link.closed, link.auth),
            (vec![550, 250], false, true)
        );
        let (sent, codes, outcome, link) = run_control(&["220 x", "250 x", "250 ok", "421 bye"]);
        assert_eq!(
            (codes, link.closed, sent.last().unwrap().as_str()),
            (vec![421], true, "RCPT TO:<postmaster>")
        );
        assert!(matches!(
            outcome,
            MessageOutcome::TempFail { code: 421, .. }
        ));
        let (_, codes, outcome, _) = run_control(&["220 x", "250 x", "550 go away", "250 reset"]);
        assert!(
            codes.is_empty()
                && matches!(
                    outcome,
                    MessageOutcome::Refused {
                        stage: SmtpStage::Mail,
                        ..
                    }
                ),
            "RCPT is not reached"
        );
        let (_, codes, outcome, _) = run_control(&["220 x", "250 x", "250 ok"]);
        assert!(codes.is_empty() && matches!(outcome, MessageOutcome::Inconclusive { .. }));
    }

    #[test]
    fn greeting_decides_what_may_be_sent() {
        assert_eq!(
            greeting_policy("x ESMTP Service (Lotus Domino Release 5.0.8) ready"),
            GreetingPolicy::NoLiterals
        );
        assert_eq!(
            greeting_policy("x ESMTP Service (Lotus Domino Release 5.0.9a) ready"),
            GreetingPolicy::Open
        );
        assert_eq!(
            greeting_policy("x ESMTP Service (Lotus Domino Release 6.5) ready"),
            GreetingPolicy::Open
        );
        assert_eq!(
            greeting_policy("Lotus SMTP MTA Service Ready"),
            GreetingPolicy::NoLiterals
        );
        assert_eq!(
            greeting_policy("cc:Mail Link to SMTP"),
            GreetingPolicy::SendNothing
        );
        assert_eq!(greeting_policy("mx ESMTP Postfix"), GreetingPolicy::Open);
        let (sent, outcome, _) = run(
            "relay-literal-sender",
            &["220 x (Lotus Domino Release 5.0.8)"],
        );
        assert!(sent.is_empty() && matches!(outcome, MessageOutcome::Skipped { .. }));
        assert!(run("plain", &["220 cc:Mail"]).0.is_empty());
    }

    proptest! {
        /// S8, S10: whatever a server replies, a control names only postmaster and sends no
        /// message.
        #[test]
        fn control_never_sends_a_message(codes in proptest::collection::vec(200u16..600, 0..20)) {
            let replies: Vec<String> = codes.iter().map(|c| format!("{c} x")).collect();
            let (sent, ..) = run_control(&replies.iter().map(String::as_str).collect::<Vec<_>>());
            for line in sent {
                let known = ["EHLO tester.example", "HELO tester.example", "MAIL FROM:<b@probe.example>", "RSET"].contains(&line.as_str());
                prop_assert!(known || line.starts_with("RCPT TO:<postmaster"), "{}", line);
            }
        }

        /// Whatever a server replies: the session ends, sends one line at a time, and nothing that
        /// S8 forbids.
        #[test]
        fn session_ends_and_obeys_s8_for_any_replies(test in 0usize..56, codes in proptest::collection::vec((200u16..600, any::<bool>()), 0..30)) {
            let all = Catalogue::standard();
            let t = &all.0[test];
            let messages = names().envelopes(t, test, false, || ("t".repeat(27), "b".repeat(27))).unwrap();
            let message = message::probe(&names(), &messages[0].1, "tok", &Default::default(), "", crate::model::Time(0));
            let mut link = ConnectionInfo::default();
            let (mut session, mut next) = ClientSession::new(&messages[0].1, &message, &mut link);
            let mut steps = 0;
            for (code, tls) in codes {
                steps += 1;
                prop_assert!(steps < 30);
                match &next {
                    ClientAction::Done(_) => break,
                    ClientAction::StartTls => { next = session.tls_established(); continue; }
                    ClientAction::Send(bytes) if bytes.ends_with(b"\r\n.\r\n") => prop_assert!(bytes.len() < message::MAX_PROBE_BYTES),
                    ClientAction::Send(bytes) => {
                        prop_assert!(bytes.len() <= MAX_COMMAND && bytes.ends_with(b"\r\n"));
                        prop_assert_eq!(bytes.iter().filter(|b| **b == b'\n').count(), 1, "one command at a time");
                        let text = String::from_utf8_lossy(bytes).to_ascii_uppercase();
                        prop_assert!(!["AUTH", "VRFY", "EXPN", "HELP", "TURN"].iter().any(|c| text.starts_with(c)), "{}", text);
                    }
                    ClientAction::Read => {}
                }
                let lines = if tls { vec!["x".into(), "STARTTLS".into(), "SMTPUTF8".into()] } else { vec!["x".into()] };
                next = session.reply(&SmtpReply { code, lines });
            }
        }
    }
}
