//! The relay tests as data: `catalogue.toml`, and an operator's own file beside it. One table, from
//! which the tester sends, which `/v1/tests` shows, and which [`super::lint`] checks.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// What is shipped.
const STANDARD: &str = include_str!("catalogue.toml");

/// The most messages of all tests together.
pub const MAX_MESSAGES: usize = 250;

/// What part of a message's way a test is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// A form of the sender.
    Sender,
    /// A form of the recipient.
    Recipient,
    /// The greeting, or several recipients.
    Session,
    /// Another port.
    Port,
    /// IPv6 targets alone.
    Ipv6,
}

/// Where a test is run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Run {
    /// Against every target.
    #[default]
    Live,
    /// Only where the operator has named it: somebody beside us may get a copy.
    OptIn,
    /// Only against hosts of one's own.
    Lab,
    /// It has stopped old servers: only where the operator has named it, and never past a greeting
    /// of those.
    Danger,
}

/// The port that a test goes to.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Port {
    /// 25, or the port that the job names.
    #[default]
    Smtp,
    /// 587, with STARTTLS where it is offered (RFC 6409).
    Submission,
    /// 465, under TLS from the first byte (RFC 8314).
    Submissions,
}

/// A relay test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// Its number in the literature; may be empty.
    #[serde(default)]
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is about.
    pub group: Group,
    /// The kind of hole that it finds.
    pub class: String,
    /// The year since which it is known.
    pub since: u16,
    /// Whether spammers have used it.
    #[serde(default)]
    pub seen: bool,
    /// Where it is run.
    #[serde(default)]
    pub run: Run,
    /// The port.
    #[serde(default)]
    pub port: Port,
    /// What it does, in a sentence.
    pub what: String,
    /// What follows `MAIL FROM:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What follows `RCPT TO:`; several are a message each.
    #[serde(default = "plain_recipient")]
    pub to: Vec<String>,
    /// A recipient before it in the same message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// A recipient behind it in the same message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// The greeting instead of EHLO and our name; empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helo: Option<String>,
}

fn plain_recipient() -> Vec<String> {
    vec!["<{u}@{d}>".into()]
}

/// All tests in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue(pub Vec<Test>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    test: Vec<Test>,
}

impl Catalogue {
    /// What is shipped.
    pub fn standard() -> Catalogue {
        // The file is part of this binary, and a test reads it.
        Catalogue::read(STANDARD).unwrap_or(Catalogue(Vec::new()))
    }

    /// Reads `[[test]]` tables. The error names the line.
    pub fn read(text: &str) -> Result<Catalogue, String> {
        let file: File = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(0, |s| {
                text[..s.start.min(text.len())].matches('\n').count() + 1
            });
            format!("line {line}: {}", e.message())
        })?;
        Ok(Catalogue(file.test))
    }

    /// With an operator's own tests; each name stands once, and every test passes the linter.
    pub fn with(mut self, more: Catalogue) -> Result<Catalogue, String> {
        self.0.extend(more.0);
        let messages: usize = self.0.iter().map(|t| t.to.len()).sum();
        if messages > MAX_MESSAGES {
            return Err(format!(
                "the tests are {messages} messages; at most {MAX_MESSAGES} are sent to a host"
            ));
        }
        for (i, t) in self.0.iter().enumerate() {
            super::lint::check(t).map_err(|e| format!("test `{}`: {e}", t.name))?;
            if self.0[..i].iter().any(|o| o.name == t.name) {
                return Err(format!("test `{}` is there twice", t.name));
            }
        }
        Ok(self)
    }

    /// The test of a name.
    pub fn get(&self, name: &str) -> Option<&Test> {
        self.0.iter().find(|t| t.name == name)
    }

    /// Those that are run against a target where the operator has named `chosen`, or just the ones
    /// in `only`.
    pub fn chosen<'a>(
        &'a self,
        target: IpAddr,
        chosen: &'a [String],
        only: &'a [String],
        own: bool,
    ) -> Vec<&'a Test> {
        let wanted = |t: &&Test| match t.run {
            // Naming a test does not make it harmless: what is opt-in stays the operator's word,
            // but on hosts of one's own.
            _ if !only.is_empty() && !only.contains(&t.name) => false,
            _ if !only.is_empty() && own => true,
            Run::Live => true,
            Run::OptIn | Run::Danger => chosen.contains(&t.name),
            Run::Lab => own && chosen.contains(&t.name),
        };
        self.0
            .iter()
            .filter(|t| t.group != Group::Ipv6 || target.is_ipv6())
            .filter(wanted)
            .collect()
    }
}

/// What stands for the names in a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The host that is tested.
    pub target: IpAddr,
    /// A name whose address is the target's.
    pub relay: Option<String>,
    /// A domain whose MX is the target.
    pub hosted: Option<String>,
    /// A user of the target, from evidence.
    pub user: Option<String>,
    /// The probe domain.
    pub domain: String,
    /// A second domain of ours.
    pub foreign: Option<String>,
    /// The collector's address.
    pub collector: Option<IpAddr>,
    /// Our own name in the greeting.
    pub hello: String,
}

/// One message of a test, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The test.
    pub test: String,
    /// The greeting's whole line; none where there is no greeting.
    pub hello: Option<String>,
    /// What follows `MAIL FROM:`.
    pub from: String,
    /// What follows each `RCPT TO:`, in order; the message is sent only if all are accepted.
    pub to: Vec<String>,
    /// Which of them is the probe's.
    pub probe: usize,
    /// It takes an extension.
    pub utf8: bool,
    /// The port.
    pub port: Port,
}

/// An address as it stands in a literal (RFC 5321 section 4.1.3), without brackets.
pub fn literal(addr: IpAddr) -> String {
    match addr {
        IpAddr::V4(a) => a.to_string(),
        IpAddr::V6(a) => format!("IPv6:{a}"),
    }
}

impl Names {
    /// Fills a form; `{{` stands for a brace. The error says which name is missing.
    pub fn fill(&self, form: &str, token: &str, back: &str) -> Result<String, &'static str> {
        let mut out = String::with_capacity(form.len() + 64);
        let mut rest = form;
        while let Some((before, after)) = rest.split_once('{') {
            out.push_str(before);
            // Two stand for one.
            if let Some(after) = after.strip_prefix('{') {
                out.push('{');
                rest = after;
                continue;
            }
            let Some((key, after)) = after.split_once('}') else {
                return Err("a brace that is never closed");
            };
            match key {
                "u" => out.push_str(token),
                "s" => out.push_str(back),
                "d" => out.push_str(&self.domain),
                "D" => out.push_str(&format!("{}.", self.domain.to_ascii_uppercase())),
                "X" => out.push_str(&self.domain.replace('.', "+2E")),
                "e" => out.push_str(
                    self.foreign
                        .as_deref()
                        .ok_or("no second domain is configured ([probe] foreign)")?,
                ),
                "r" => out.push_str(&format!("x{}", token.get(1..12).unwrap_or("none"))),
                "R" => out.push_str(
                    self.relay
                        .as_deref()
                        .ok_or("no name of the relay points at its address")?,
                ),
                "L" => out.push_str(
                    self.hosted
                        .as_deref()
                        .ok_or("no domain is known whose MX is the relay")?,
                ),
                "I" => out.push_str(&literal(self.target)),
                "i" => out.push_str(&self.target.to_string()),
                "C" => out.push_str(&literal(
                    self.collector
                        .ok_or("the collector has no address to be named by")?,
                )),
                "v" => out.push_str(
                    self.user
                        .as_deref()
                        .ok_or("no user of the relay is known from evidence")?,
                ),
                _ => return Err("a brace with a name that is none"),
            }
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }

    /// The messages of a test. `turn` alternates the sender of the group "recipient"; `plain` sends
    /// from our own domain instead, to tell the recipient's form from the sender's. The error says
    /// why the test is skipped.
    pub fn envelopes(
        &self,
        test: &Test,
        turn: usize,
        plain: bool,
        mut token: impl FnMut() -> (String, String),
    ) -> Result<Vec<(String, Envelope)>, &'static str> {
        let from = match &test.from {
            Some(f) => f.as_str(),
            None if test.group != Group::Recipient || plain => "<{s}@{d}>",
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn names() -> Names {
        Names {
            target: "192.0.2.1".parse().unwrap(),
            relay: Some("mail.relay.example".into()),
            hosted: Some("relay.example".into()),
            user: Some("anna@relay.example".into()),
            domain: "probe.example".into(),
            foreign: Some("other-probe.example".into()),
            collector: Some("198.51.100.9".parse().unwrap()),
            hello: "tester.example".into(),
        }
    }

    #[test]
    fn the_standard_catalogue_is_whole() {
        let c = Catalogue::read(STANDARD).unwrap();
        assert_eq!(
            c.clone().with(Catalogue(Vec::new())).map(|c| c.0.len()),
            Ok(c.0.len()),
            "every test passes the linter"
        );
        let expected: Vec<String> = (1..=17)
            .chain(20..=49)
            .map(|n| format!("E{n:02}"))
            .collect();
        let there: Vec<&str> =
            c.0.iter()
                .map(|t| t.id.as_str())
                .filter(|i| i.starts_with('E'))
                .collect();
        assert_eq!(there, expected, "E18 and E19 are not in the literature");
        for t in &c.0 {
            let made = names()
                .envelopes(t, 0, false, || ("t".repeat(27), "b".repeat(27)))
                .unwrap();
            assert!(
                !made.is_empty()
                    && made.iter().all(
                        |(_, e)| !e.from.contains('{') && e.to.iter().all(|r| !r.contains('{'))
                    )
            );
        }
        let percent = names()
            .envelopes(c.get("percent-at-name").unwrap(), 0, false, || {
                ("tok".into(), "ret".into())
            })
            .unwrap();
        assert_eq!(
            (percent[0].1.from.as_str(), percent[0].1.to[0].as_str()),
            (
                "<ret@mail.relay.example>",
                "<tok%probe.example@mail.relay.example>"
            )
        );
        assert_eq!(
            names().fill("<a{{b@{d}>", "tok", "ret").as_deref(),
            Ok("<a{b@probe.example>")
        );
        let turned = names()
            .envelopes(c.get("percent-at-name").unwrap(), 1, false, || {
                ("tok".into(), "ret".into())
            })
            .unwrap();
        assert_eq!(turned[0].1.from, "<ret@[192.0.2.1]>");
        let encapsulated = names()
            .envelopes(c.get("encapsulated-smtp").unwrap(), 0, true, || {
                ("tok".into(), "ret".into())
            })
            .unwrap();
        assert_eq!(
            encapsulated[0].1.to[0],
            "<IMCEASMTP-tok+40probe+2Eexample@relay.example>"
        );
    }

    /// The well-known script took `ESMTP` from `220 ESMTP` for the relay's name; ours takes no name
    /// that it does not know.
    #[test]
    fn a_test_that_lacks_a_name_is_skipped_and_says_so() {
        let c = Catalogue::standard();
        let bare = Names {
            relay: None,
            hosted: None,
            ..names()
        };
        let run =
            |n: &str| bare.envelopes(c.get(n).unwrap(), 0, false, || ("t".into(), "b".into()));
        assert_eq!(
            run("percent-at-name"),
            Err("no name of the relay points at its address")
        );
        assert_eq!(
            run("percent-at-hosted"),
            Err("no domain is known whose MX is the relay")
        );
        assert_eq!(
            run("percent-at-literal").unwrap()[0].1.from,
            "<b@[192.0.2.1]>"
        );
    }

    #[test]
    fn an_operators_own_test_joins_and_a_bad_one_is_refused() {
        let more = |text: &str| Catalogue::read(text).and_then(|m| Catalogue::standard().with(m));
        let own = "[[test]]\nname = \"own\"\ngroup = \"recipient\"\nclass = \"percent\"\nsince = 2026\nwhat = \"Own.\"\nto = [\"<{u}%{d}%{L}@{R}>\"]\n";
        assert!(more(own).unwrap().get("own").is_some());
        assert!(
            more(&own.replace("own", "plain"))
                .unwrap_err()
                .contains("twice")
        );
        assert!(
            more(&own.replace("<{u}%{d}%{L}@{R}>", "<{u}@victim.example>"))
                .unwrap_err()
                .contains("victim.example")
        );
        assert!(
            more("[[test]]\nname = \"x\"\ngroop = \"recipient\"\n")
                .unwrap_err()
                .starts_with("line 3")
        );
    }

    #[test]
    fn what_is_not_asked_for_is_not_run() {
        let c = Catalogue::standard();
        let v4 = "192.0.2.1".parse().unwrap();
        let has = |list: &[&Test], n: &str| list.iter().any(|t| t.name == n);
        let live = c.chosen(v4, &[], &[], false);
        assert!(
            has(&live, "plain")
                && !has(&live, "local-then-foreign")
                && !has(&live, "localhost-sender")
                && !has(&live, "ipv6")
        );
        let chosen = ["local-then-foreign".to_string()];
        assert!(has(
            &c.chosen(v4, &chosen, &[], false),
            "local-then-foreign"
        ));
        assert!(has(
            &c.chosen("2001:db8::1".parse().unwrap(), &[], &[], false),
            "ipv6"
        ));
        assert_eq!(c.chosen(v4, &[], &["helo-local".into()], true).len(), 1);
        assert_eq!(
            c.chosen(v4, &[], &["helo-local".into(), "plain".into()], false)
                .len(),
            1,
            "whoever names it"
        );
    }
}
