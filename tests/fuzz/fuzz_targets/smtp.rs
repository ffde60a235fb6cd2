//! What comes over SMTP from anybody: replies of a host that is tested, sessions at the collector,
//! tokens, messages, and an operator's catalogue. Nothing panics, nothing grows without end, and no
//! message or token is taken that is none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use orbsd::{
    relay::{
        Catalogue, HostNames, TokenCodec,
        message::{match_tokens, redact},
    },
    smtp::{
        MessageOutcome,
        client::{ClientAction, ClientSession, ConnectionInfo},
        mail::parse_mail,
        reply::ReplyReader,
        session::{MAX_MESSAGE, ReceiverSettings, ServerAction, ServerSession},
    },
};

fn names() -> HostNames {
    HostNames {
        target: [192, 0, 2, 1].into(),
        relay: Some("relay.example".into()),
        hosted: Some("relay.example".into()),
        user: None,
        domain: "probe.example".into(),
        foreign: None,
        collector: None,
        hello: "tester.example".into(),
    }
}

/// A host that answers a test with these bytes.
fn host(data: &[u8]) {
    let catalogue = Catalogue::standard();
    let Some((first, mut rest)) = data.split_first() else { return };
    let test = &catalogue.0[usize::from(*first) % catalogue.0.len()];
    let Ok(made) = names().envelopes(test, 0, false, || ("t".repeat(27), "b".repeat(27))) else { return };
    let (mut link, mut reader) = (ConnectionInfo::default(), ReplyReader::default());
    let (mut client, mut next) = ClientSession::new(&made[0].1, b"Subject: x\r\n\r\nx\r\n", &mut link);
    let mut steps = 0;
    loop {
        match &next {
            ClientAction::Done(o) => {
                assert!(!matches!(o, MessageOutcome::Delivered { .. } | MessageOutcome::Bounced { .. }), "a host's word proves nothing");
                return;
            }
            ClientAction::StartTls => {
                next = client.tls_established();
                continue;
            }
            ClientAction::Send(bytes) => assert!(bytes.len() <= 2048 && bytes.ends_with(b"\r\n")),
            ClientAction::Read => {}
        }
        let (n, reply) = reader.feed(rest);
        rest = &rest[n..];
        let Ok(Some(reply)) = reply else { return };
        next = client.reply(&reply);
        steps += 1;
        assert!(steps < 40, "a session ends");
    }
}

/// A client that says this to the collector.
fn client(data: &[u8]) {
    let receiver = ReceiverSettings { hello: "c".into(), domain: "probe.example".into(), addresses: vec![], tls: true };
    let tokens = TokenCodec::new(b"secret");
    let mut session = ServerSession::new(&receiver);
    let cut = usize::from(data.first().copied().unwrap_or(1)).max(1);
    for piece in data.chunks(cut) {
        let mut rest = piece;
        while !rest.is_empty() {
            let (n, act) = session.feed(rest);
            assert!(n > 0 && n <= rest.len());
            rest = &rest[n..];
            match act {
                ServerAction::Message(m) => {
                    assert!(m.data.len() <= MAX_MESSAGE && !m.data.contains(&0));
                    assert_eq!(match_tokens(&tokens, &m.to, &m.data), None, "nobody guesses a token");
                    session.end_message();
                }
                ServerAction::Tls(_) => session.tls_established(),
                ServerAction::Close(_) => return,
                ServerAction::More | ServerAction::Reply(_) | ServerAction::Data(_) => {}
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    match kind % 4 {
        0 => host(data),
        1 => client(data),
        2 => {
            let parsed = parse_mail(data);
            let _ = (parsed.hops(), parsed.is_report());
            let _ = redact(&String::from_utf8_lossy(data), &["probe.example"], &["contact@orbs.example"], b"salt");
            assert_eq!(TokenCodec::new(b"secret").find(data), []);
        }
        _ => {
            let Ok(text) = std::str::from_utf8(data) else { return };
            if let Ok(more) = Catalogue::read(text) {
                let _ = Catalogue(Vec::new()).with(more);
            }
        }
    }
});
