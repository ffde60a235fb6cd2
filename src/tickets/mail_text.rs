//! The texts of mail about tickets, in the language of the requester.

use serde::{Deserialize, Serialize};

use super::{Ticket, TicketState};
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

    /// The key of the texts about a change.
    fn key(self) -> &'static str {
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
    if kind.is_notification() {
        let mut what = get(&format!("mail-{}-what", kind.key()), &args);
        let reply = ticket.messages.iter().rev().find(|m| m.operator.is_some());
        if let Some(reply) = reply.filter(|_| kind == MailKind::Reply) {
            what = format!("{what}\n\n{}", reply.text);
        }
        args.push(("change", get(&format!("mail-{}", kind.key()), &args).into()));
        args.push(("what", what.into()));
    }
    let mut body = get(&format!("{name}-text"), &args);
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
