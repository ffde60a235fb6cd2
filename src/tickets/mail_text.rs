//! The texts of mail about tickets, in the language of the requester.

use serde::{Deserialize, Serialize};

use super::{Ticket, TicketKind, TicketState};
use crate::{
    mail::AutomaticMail,
    texts::{FluentValue, Language, text},
};

/// What a mail is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MailKind {
    /// A code to a role address, which proves control.
    RoleCode,
    /// A link that confirms the contact address.
    Confirmation,
    /// A new state of the ticket.
    State(TicketState),
    /// A reply of an operator.
    Reply,
    /// The subject is listed again.
    ListedAgain,
    /// The answer to a message that opened the ticket.
    Answer,
}

impl MailKind {
    /// Whether the mail goes to the confirmed contact address, who can end such mail.
    pub fn is_notification(self) -> bool {
        matches!(
            self,
            MailKind::State(_) | MailKind::Reply | MailKind::ListedAgain
        )
    }

    /// The key of the texts about a change of a ticket.
    fn key(self, ticket: TicketKind) -> &'static str {
        match ticket {
            TicketKind::Removal => self.removal_key(),
            TicketKind::Test => match self {
                MailKind::State(TicketState::Failed) => "test-failed",
                MailKind::State(TicketState::Blocked) => "test-blocked",
                MailKind::State(TicketState::Delayed) => "test-delayed",
                MailKind::State(_) => "test-tested",
                _ => self.removal_key(),
            },
            TicketKind::Correction => match self {
                MailKind::State(TicketState::Granted) => "correction-granted",
                MailKind::State(TicketState::Refused) => "correction-refused",
                MailKind::Reply => "correction-reply",
                _ => "correction-changed",
            },
        }
    }

    fn removal_key(self) -> &'static str {
        match self {
            MailKind::State(state) => state.as_str(),
            MailKind::Reply => "reply",
            MailKind::ListedAgain => "listed-again",
            MailKind::RoleCode | MailKind::Confirmation | MailKind::Answer => "",
        }
    }
}

/// Writes a mail about a ticket. `site` is the URL of the site, and `code` the code of a mail that
/// needs one.
pub fn write_mail(
    kind: MailKind,
    ticket: &Ticket,
    to: &str,
    site: &str,
    code: Option<&str>,
    answers: Option<&str>,
) -> AutomaticMail {
    let language: Language = ticket.language.parse().unwrap_or_default();
    let subject = ticket.subject.to_string();
    let page = format!("{site}{}", ticket.path());
    let link = match code {
        Some(code) => format!("{site}/confirm/{code}"),
        None => page.clone(),
    };
    let unsubscribe = format!("{page}/unsubscribe");
    let mut args: Vec<(&str, FluentValue<'_>)> = vec![
        ("subject", subject.as_str().into()),
        ("number", ticket.number.to_string().into()),
        ("site", site.into()),
        ("link", link.as_str().into()),
        ("unsubscribe", page.as_str().into()),
    ];
    let get = |key: &str, args: &[(&str, FluentValue<'_>)]| text(language, key, args);
    let name = match kind {
        MailKind::RoleCode => "mail-code",
        MailKind::Confirmation => "mail-confirm",
        MailKind::Answer => "mail-answer",
        MailKind::State(_) | MailKind::Reply | MailKind::ListedAgain => "mail-change",
    };
    let text_name = match (kind, ticket.kind) {
        (MailKind::Confirmation, TicketKind::Correction) => "mail-correction-confirm",
        (MailKind::Confirmation, TicketKind::Test) => "mail-test-confirm",
        (MailKind::RoleCode, TicketKind::Test) => "mail-test-code",
        _ => name,
    };
    if kind.is_notification() {
        let mut what = get(&format!("mail-{}-what", kind.key(ticket.kind)), &args);
        let reply = ticket.messages.iter().rev().find(|m| m.operator.is_some());
        if let Some(reply) = reply.filter(|_| kind == MailKind::Reply) {
            what = format!("{what}\n\n{}", reply.text);
        }
        let change = get(&format!("mail-{}", kind.key(ticket.kind)), &args);
        args.push(("change", change.into()));
        args.push(("what", what.into()));
    }
    let mut body = get(&format!("{text_name}-text"), &args);
    if kind.is_notification() {
        body = format!("{body}\n\n{}", get("mail-footer", &args));
    }
    AutomaticMail {
        to: to.into(),
        subject: get(&format!("{name}-subject"), &args),
        text: format!("{body}\n"),
        answers: answers.map(Into::into),
        unsubscribe: kind.is_notification().then_some(unsubscribe),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ticket(language: Language, kind: TicketKind) -> Ticket {
        let ticket = json!({
            "number": 7, "kind": kind.as_str(), "secret": "0123456789abcdefghijklmnop", "subject": "192.0.2.1", "reasons": ["relay"],
            "policy": "after-retest", "state": "granted", "opened": 0, "changed": 0, "closed": null, "steps": [],
            "language": language.tag(),
            "messages": [
                {"at": 0, "operator": "anna", "text": "first"},
                {"at": 0, "operator": "anna", "text": "second\nline"},
                {"at": 0, "operator": null, "text": "mine"},
            ],
        });
        serde_json::from_value(ticket).unwrap()
    }

    const KINDS: [MailKind; 14] = [
        MailKind::RoleCode,
        MailKind::Confirmation,
        MailKind::Reply,
        MailKind::ListedAgain,
        MailKind::Answer,
        MailKind::State(TicketState::Delayed),
        MailKind::State(TicketState::Waiting),
        MailKind::State(TicketState::Blocked),
        MailKind::State(TicketState::Failed),
        MailKind::State(TicketState::Review),
        MailKind::State(TicketState::Suspended),
        MailKind::State(TicketState::Granted),
        MailKind::State(TicketState::Refused),
        MailKind::State(TicketState::Ended),
    ];

    /// The mail about corrections.
    const TEST_KINDS: [MailKind; 7] = [
        MailKind::RoleCode,
        MailKind::Confirmation,
        MailKind::State(TicketState::Failed),
        MailKind::State(TicketState::Blocked),
        MailKind::State(TicketState::Delayed),
        MailKind::State(TicketState::Tested),
        MailKind::Reply,
    ];

    const CORRECTION_KINDS: [MailKind; 5] = [
        MailKind::Confirmation,
        MailKind::Reply,
        MailKind::State(TicketState::Review),
        MailKind::State(TicketState::Granted),
        MailKind::State(TicketState::Refused),
    ];

    #[test]
    fn every_mail_is_complete_in_every_language() {
        for language in Language::ALL {
            let of_removals = KINDS.map(|kind| (kind, TicketKind::Removal));
            let of_corrections = CORRECTION_KINDS.map(|kind| (kind, TicketKind::Correction));
            let of_tests = TEST_KINDS.map(|kind| (kind, TicketKind::Test));
            let all = of_removals
                .into_iter()
                .chain(of_corrections)
                .chain(of_tests);
            for (kind, of) in all {
                let code = matches!(kind, MailKind::RoleCode | MailKind::Confirmation);
                let code = code.then_some("7-abc");
                let ticket = ticket(language, of);
                let site = "https://lists.example";
                let mail = write_mail(kind, &ticket, "anna@example.org", site, code, None);
                for text in [&mail.subject, &mail.text] {
                    let is_whole = !text.contains("mail-") && !text.contains(['{', '}', '$']);
                    assert!(
                        is_whole && !text.trim().is_empty(),
                        "{language:?} {kind:?}: {text}"
                    );
                }
                let page = "https://lists.example/tickets/0123456789abcdefghijklmnop\n";
                let link = match code {
                    Some(_) => "\n\nhttps://lists.example/confirm/7-abc\n",
                    None => page,
                };
                assert!(
                    mail.text.contains(link),
                    "{language:?} {kind:?}: {}",
                    mail.text
                );
                assert_eq!(mail.text.contains(page), code.is_none(), "{kind:?}");
                let is_notification = kind.is_notification();
                assert_eq!(mail.unsubscribe.is_some(), is_notification, "{kind:?}");
            }
        }
    }

    #[test]
    fn mail_about_a_correction_speaks_of_no_listing() {
        for kind in CORRECTION_KINDS {
            let ticket = ticket(Language::En, TicketKind::Correction);
            let site = "https://lists.example";
            let mail = write_mail(kind, &ticket, "anna@example.org", site, Some("7-a"), None);
            for word in ["delist", "listed", "removal"] {
                assert!(!mail.text.contains(word), "{kind:?}: {}", mail.text);
            }
        }
    }

    #[test]
    fn reply_has_the_last_message_of_an_operator() {
        let ticket = ticket(Language::En, TicketKind::Removal);
        let to = "anna@example.org";
        let mail = write_mail(
            MailKind::Reply,
            &ticket,
            to,
            "https://lists.example",
            None,
            None,
        );
        assert!(mail.text.contains("\n\nsecond\nline\n\n"), "{}", mail.text);
        assert!(
            !mail.text.contains("mine") && !mail.text.contains("anna"),
            "{}",
            mail.text
        );
    }
}
