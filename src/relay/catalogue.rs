//! The catalogue of relay tests: `catalogue.toml`, and a file of the operator's own tests. The
//! tester sends the messages that it describes, `/v1/tests` lists it, and [`super::lint`] checks
//! it.

use std::net::IpAddr;

use serde::Deserialize;

use super::{
    forms::{RelayTest, TestGroup, TestScope},
    lint,
};

/// The tests that are built in.
const STANDARD: &str = include_str!("catalogue.toml");

/// The most messages of all tests together.
pub const MAX_MESSAGES: usize = 250;

/// The relay tests, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue(pub Vec<RelayTest>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    test: Vec<RelayTest>,
}

impl Catalogue {
    /// The tests that are built in.
    pub fn standard() -> Catalogue {
        // The file is part of the binary, and a unit test parses it.
        Catalogue::read(STANDARD).unwrap_or(Catalogue(Vec::new()))
    }

    /// Parses `[[test]]` tables. The error names the line.
    pub fn read(text: &str) -> Result<Catalogue, String> {
        let file: File = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(0, |s| {
                text[..s.start.min(text.len())].matches('\n').count() + 1
            });
            format!("line {line}: {}", e.message())
        })?;
        Ok(Catalogue(file.test))
    }

    /// Adds the operator's own tests.
    ///
    /// # Errors
    ///
    /// Two tests have the same name, a test does not pass the linter, or there are too many
    /// messages.
    pub fn with(mut self, more: Catalogue) -> Result<Catalogue, String> {
        self.0.extend(more.0);
        let messages: usize = self.0.iter().map(|t| t.to.len()).sum();
        if messages > MAX_MESSAGES {
            return Err(format!(
                "the tests have {messages} messages; at most {MAX_MESSAGES} are allowed"
            ));
        }
        for (i, t) in self.0.iter().enumerate() {
            lint::check(t).map_err(|e| format!("test `{}`: {e}", t.name))?;
            if self.0[..i].iter().any(|o| o.name == t.name) {
                return Err(format!("test `{}` is defined twice", t.name));
            }
        }
        Ok(self)
    }

    /// Returns the test with a name.
    pub fn get(&self, name: &str) -> Option<&RelayTest> {
        self.0.iter().find(|t| t.name == name)
    }

    /// Selects the tests that are run against a target. `enabled` are the opt-in tests that the
    /// operator has enabled. If `only` is not empty, other tests are left out. `own` states whether
    /// the target is one of the operator's own hosts.
    pub fn select<'a>(
        &'a self,
        target: IpAddr,
        enabled: &'a [String],
        only: &'a [String],
        own: bool,
    ) -> Vec<&'a RelayTest> {
        let wanted = |t: &&RelayTest| match t.run {
            // An opt-in test that is named in `only` still has to be enabled by the operator,
            // except on own hosts.
            _ if !only.is_empty() && !only.contains(&t.name) => false,
            _ if !only.is_empty() && own => true,
            TestScope::Live => true,
            TestScope::OptIn | TestScope::Danger => enabled.contains(&t.name),
            TestScope::Lab => own && enabled.contains(&t.name),
        };
        self.0
            .iter()
            .filter(|t| t.group != TestGroup::Ipv6 || target.is_ipv6())
            .filter(wanted)
            .collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::relay::host_names::HostNames;

    pub fn names() -> HostNames {
        HostNames {
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
    fn built_in_catalogue_is_complete_and_passes_the_linter() {
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
        let found: Vec<&str> =
            c.0.iter()
                .map(|t| t.id.as_str())
                .filter(|i| i.starts_with('E'))
                .collect();
        assert_eq!(found, expected, "E18 and E19 do not exist");
        for t in &c.0 {
            let envelopes = names()
                .envelopes(t, 0, false, || ("t".repeat(27), "b".repeat(27)))
                .unwrap();
            assert!(
                !envelopes.is_empty()
                    && envelopes.iter().all(
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
        let second_turn = names()
            .envelopes(c.get("percent-at-name").unwrap(), 1, false, || {
                ("tok".into(), "ret".into())
            })
            .unwrap();
        assert_eq!(second_turn[0].1.from, "<ret@[192.0.2.1]>");
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

    /// A well-known script took `ESMTP` from `220 ESMTP` for the relay's name. We use only names
    /// that were verified.
    #[test]
    fn test_that_lacks_a_name_is_skipped_with_a_reason() {
        let c = Catalogue::standard();
        let bare = HostNames {
            relay: None,
            hosted: None,
            ..names()
        };
        let run =
            |n: &str| bare.envelopes(c.get(n).unwrap(), 0, false, || ("t".into(), "b".into()));
        assert_eq!(
            run("percent-at-name"),
            Err("no name of the relay has its address")
        );
        assert_eq!(
            run("percent-at-hosted"),
            Err("no domain whose MX is the relay is known")
        );
        assert_eq!(
            run("percent-at-literal").unwrap()[0].1.from,
            "<b@[192.0.2.1]>"
        );
    }

    #[test]
    fn operators_tests_are_added_and_invalid_ones_are_refused() {
        let more = |text: &str| Catalogue::read(text).and_then(|m| Catalogue::standard().with(m));
        let own = "[[test]]\nname = \"own\"\ngroup = \"recipient\"\nclass = \"percent\"\nsince = 2026\ndescription = \"Own.\"\nto = [\"<{u}%{d}%{L}@{R}>\"]\n";
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
    fn opt_in_tests_are_run_only_if_they_are_enabled() {
        let c = Catalogue::standard();
        let v4 = "192.0.2.1".parse().unwrap();
        let has = |list: &[&RelayTest], n: &str| list.iter().any(|t| t.name == n);
        let live = c.select(v4, &[], &[], false);
        assert!(
            has(&live, "plain")
                && !has(&live, "local-then-foreign")
                && !has(&live, "localhost-sender")
                && !has(&live, "ipv6")
        );
        let enabled = ["local-then-foreign".to_string()];
        assert!(has(
            &c.select(v4, &enabled, &[], false),
            "local-then-foreign"
        ));
        assert!(has(
            &c.select("2001:db8::1".parse().unwrap(), &[], &[], false),
            "ipv6"
        ));
        assert_eq!(c.select(v4, &[], &["helo-local".into()], true).len(), 1);
        assert_eq!(
            c.select(v4, &[], &["helo-local".into(), "plain".into()], false)
                .len(),
            1,
            "naming an opt-in test does not enable it"
        );
    }
}
