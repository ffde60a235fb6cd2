//! The names of a host, and the envelopes that the forms of a test make with them.

use std::net::IpAddr;

use super::forms::{RelayTest, TestGroup};
use crate::smtp::{Envelope, envelope::literal};

/// The names that are filled into the placeholders of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostNames {
    /// The tested host.
    pub target: IpAddr,
    /// A host name whose address is the target.
    pub relay: Option<String>,
    /// A domain whose MX is the target.
    pub hosted: Option<String>,
    /// A mail address of a user of the target, from evidence.
    pub user: Option<String>,
    /// The probe domain.
    pub domain: String,
    /// A second domain of ours.
    pub foreign: Option<String>,
    /// The address of the collector.
    pub collector: Option<IpAddr>,
    /// Our name in the greeting.
    pub hello: String,
}

impl HostNames {
    /// Fills the names into the placeholders of a form. `{{` stands for one brace. `back` is the
    /// token of the return path.
    ///
    /// # Errors
    ///
    /// A name is missing, or a placeholder is not valid; the text names it.
    pub fn fill(&self, form: &str, token: &str, back: &str) -> Result<String, &'static str> {
        let mut out = String::with_capacity(form.len() + 64);
        let mut rest = form;
        while let Some((before, after)) = rest.split_once('{') {
            out.push_str(before);
            // An escaped brace.
            if let Some(after) = after.strip_prefix('{') {
                out.push('{');
                rest = after;
                continue;
            }
            let Some((key, after)) = after.split_once('}') else {
                return Err("a placeholder has no closing brace");
            };
            let name = |name: &Option<String>, missing| name.clone().ok_or(missing);
            out.push_str(&match key {
                "u" => token.into(),
                "s" => back.into(),
                "d" => self.domain.clone(),
                "D" => format!("{}.", self.domain.to_ascii_uppercase()),
                "X" => self.domain.replace('.', "+2E"),
                "e" => name(
                    &self.foreign,
                    "no second domain is configured ([probe] second_domain)",
                )?,
                "r" => format!("x{}", token.get(1..12).unwrap_or("none")),
                "R" => name(&self.relay, "no name of the relay has its address")?,
                "L" => name(&self.hosted, "no domain whose MX is the relay is known")?,
                "I" => literal(self.target),
                "i" => self.target.to_string(),
                "C" => literal(self.collector.ok_or("the collector has no address")?),
                "v" => name(&self.user, "no user of the relay is known from evidence")?,
                _ => return Err("unknown placeholder"),
            });
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }

    /// Returns the envelope and the token of each message of a test. The sender of the group
    /// `recipient` alternates with `turn`. `plain` takes a sender in our own domain instead, to
    /// separate the effect of the recipient's form from that of the sender's.
    ///
    /// # Errors
    ///
    /// The reason why the test is skipped.
    pub fn envelopes(
        &self,
        test: &RelayTest,
        turn: usize,
        plain: bool,
        mut token: impl FnMut() -> (String, String),
    ) -> Result<Vec<(String, Envelope)>, &'static str> {
        let from = match &test.from {
            Some(f) => f.as_str(),
            None if test.group != TestGroup::Recipient || plain => "<{s}@{d}>",
            None if turn.is_multiple_of(2) && self.relay.is_some() => "<{s}@{R}>",
            None => "<{s}@[{I}]>",
        };
        let hello = match test.helo.as_deref() {
            None => Some(format!("EHLO {}", self.hello)),
            Some("") => None,
            Some(h) => Some(self.fill(h, "", "")?),
        };
        let mut out = Vec::new();
        for form in &test.to {
            let (u, s) = token();
            let fill = |form: &str| self.fill(form, &u, &s);
            let first = test.first.as_deref().map(fill).transpose()?;
            let probe = usize::from(first.is_some());
            let to = first
                .into_iter()
                .chain([fill(form)?])
                .chain(test.last.as_deref().map(fill).transpose()?)
                .collect();
            let envelope = Envelope {
                test: test.name.clone(),
                hello: hello.clone(),
                from: fill(from)?,
                to,
                probe,
                utf8: !form.is_ascii(),
                port: test.port,
            };
            out.push((u, envelope));
        }
        Ok(out)
    }
}
