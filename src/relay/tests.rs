//! Tests of the service, split by rule. This file has their common fixture: a service with a store,
//! and a clock that the test moves.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod budgets;
mod claim_status;
mod claims;
mod control;
mod expiry;
mod nominations;
mod opt_outs;
mod outages;
mod outputs;
mod proofs;
mod reporters;
mod retries;
mod rows;
mod scheduling;
mod sequences;
mod upgrade;
mod waiting;

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use proptest::prelude::*;

use super::{
    actor::Actor,
    arrivals::ArrivalOutcome,
    catalogue::Catalogue,
    claims::ClaimReceipt,
    control::{ControlCheck, ControlSession},
    host_names::HostNames,
    jobs::Nomination,
    message::TesterIdentity,
    messages::{MessageResult, Phase, PreparedMessage},
    networks::Networks,
    outcome::Assessment,
    policy::{
        Claim, EvidenceOrigin, EvidenceSummary, GRANT_UNTESTED_AFTER, HostRecord, Job, JobState,
        MIN_TEST_INTERVAL, Outage, Trigger, WAITING_PERIOD, outage_time,
    },
    proof::TOKEN_LIFETIME,
    queue::save,
    service::{Component, OPT_OUT_REASON, REASONS, RelayError, RelayService},
    settings::{RelaySettings, TesterSource},
    tables::{DUE_JOBS, Due, HOSTS, LISTING_PROOFS, LOADS, OUTAGES, REPORTERS, RelayTable},
    token::{TokenCodec, TokenKind},
    transcript::parse_transcript,
};
use crate::{
    clock::{Clock, SystemTimeSource, wall},
    ledger::{self, ReasonSettings},
    model::{SourceId, Subject, Time, Zone, history::HoldFor, time::Seconds},
    smtp::{MessageOutcome, SmtpStage, outcome::RecipientReply, session::ReceivedMessage},
    store::Store,
};

/// A service with its own store, and a clock that the test moves.
pub struct Bench {
    pub relay: RelayService,
    pub now: Time,
    n: u64,
    _dir: tempfile::TempDir,
}

/// A store that is open when the process ends would abort it: the database has threads of its own.
impl Drop for Bench {
    fn drop(&mut self) {
        let ledger = self.relay.ledger.clone();
        // The ledger waits for its writer, which a thread of a runtime may not do.
        let stopped = std::thread::spawn(move || ledger.stop()).join();
        drop(stopped);
    }
}

pub fn ip(t: &str) -> IpAddr {
    t.parse().unwrap()
}

impl Bench {
    pub fn new() -> Bench {
        Bench::with(&[], Vec::new())
    }

    /// A service whose ledger has more reasons, and zones.
    pub fn with(more_reasons: &[&'static str], zones: Vec<Zone>) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let settings = crate::store::StoreSettings {
            path: dir.path().join("data"),
            journal_age: Seconds(86_400),
            open_tables: crate::store::MAX_OPEN_TABLES,
            journal_size: 1 << 30,
            feed_event_age: Seconds(86_400),
            scrub_interval: Seconds(0),
            scrub_rate: 1 << 23,
        };
        let reasons = REASONS
            .iter()
            .chain([&OPT_OUT_REASON])
            .chain(more_reasons)
            .map(|name| ReasonSettings {
                name: (*name).into(),
                text: "x".into(),
                lifetime: Some(Seconds(90 * 86_400)),
                two_persons: false,
            });
        let special: Vec<Subject> = vec![
            "127.64.0.0/10".parse().unwrap(),
            "fd00::/8".parse().unwrap(),
        ];
        let own = ledger::LedgerSettings {
            reasons: reasons.collect(),
            zones,
            feeds: Vec::new(),
            special: special.clone(),
            nsid: String::new(),
            keys: Default::default(),
            removals: None,
            ..ledger::LedgerSettings::default()
        };
        let ledger = ledger::open(
            Store::open(settings).unwrap(),
            own,
            Clock::without_record(SystemTimeSource::default()),
            || (),
        )
        .unwrap();
        let settings = RelaySettings {
            enabled: true,
            public: false,
            domain: "probe.example".into(),
            second_domain: Some("other.example".into()),
            ehlo_name: "tester.example".into(),
            tester: TesterIdentity::default(),
            is_local: |_, addr| addr == ip("198.51.100.9"),
            listen: vec!["127.127.0.1:25".parse().unwrap()],
            port: 25,
            addresses: vec![ip("127.127.0.1")],
            special_ranges: special,
            max_hosts_per_prefix: 3,
            max_hosts_per_asn: 30,
            asn_table: Arc::default(),
            max_unproved_claims: 100,
            nominations_per_day: 50,
            trusted_reporters: vec!["trusty".into()],
            enabled_tests: Vec::new(),
            grace_period: Seconds(7 * 86_400),
            retry_delays: [Seconds(300), Seconds(900)],
            catalogue: Arc::new(Catalogue::standard()),
            tokens: TokenCodec::new(b"secret"),
            sources: Vec::new(),
            random: |most| most / 2,
        };
        Bench {
            relay: RelayService::new(ledger, settings),
            now: wall(),
            n: 0,
            _dir: dir,
        }
    }

    fn nomination(&self, target: &str, kind: &str) -> Nomination {
        let evidence = EvidenceSummary {
            origin: match kind {
                "owner" => EvidenceOrigin::Owner,
                _ => EvidenceOrigin::Log,
            },
            text: format!("seen {}", self.now.0),
            at: self.now,
        };
        Nomination {
            target: ip(target),
            port: None,
            evidence,
            decides: true,
            owner: kind == "owner",
            remote: false,
            names: Vec::new(),
            only: vec!["plain".into()],
        }
    }

    pub fn nominate(&self, target: &str, by: &str) -> Job {
        self.nominate_as(by, self.nomination(target, "log"))
    }

    /// Nominates a host as a reporter whose nominations may need approval.
    fn nominate_as_reporter(&self, by: &str, target: &str) -> Job {
        let n = Nomination {
            decides: false,
            only: Vec::new(),
            ..self.nomination(target, "log")
        };
        self.nominate_as(by, n)
    }

    /// Nominates a host for one test.
    fn nominate_test(&self, host: &str, test: &str) -> Job {
        let n = Nomination {
            only: vec![test.into()],
            ..self.nomination(host, "log")
        };
        self.nominate_as("anna", n)
    }

    fn nominate_as(&self, by: &str, n: Nomination) -> Job {
        self.relay.nominate(&who(by), n, self.now).unwrap()
    }

    /// Proves a host open, claims that it is closed, and begins the waiting period by a test that
    /// the host accepts. Returns the messages that proved it open.
    fn begin_waiting(&mut self, host: &str) -> Vec<PreparedMessage> {
        let ready = self.prove(host);
        self.later(10);
        let claim = self.claim(host);
        self.run(&claim.job, &accepted());
        ready
    }

    /// Claims as the owner of a host that it is closed.
    fn claim(&self, host: &str) -> ClaimReceipt {
        self.relay
            .claim(&who("owner"), ip(host), true, self.now)
            .unwrap()
    }

    fn open_claim(&self, host: &str) -> Option<Claim> {
        self.relay.host(ip(host)).unwrap().claim
    }

    fn tick(&self) {
        self.relay.tick(self.now).unwrap();
    }

    /// Starts the service again on the same ledger.
    fn restart(&mut self) {
        self.relay = RelayService::new(self.relay.ledger.clone(), (*self.relay.settings()).clone());
        self.relay.resume(self.now).unwrap();
    }

    fn stop_collector(&self) {
        let down = Some(("down".into(), self.now));
        self.relay
            .report_health(Component::Collector, down, self.now)
            .unwrap();
    }

    pub fn begin(&mut self, job: &Job) -> Result<(Job, Vec<PreparedMessage>), RelayError> {
        self.begin_with(job, &Bench::names_of(&self.relay, job.target))
    }

    fn begin_with(
        &mut self,
        job: &Job,
        names: &HostNames,
    ) -> Result<(Job, Vec<PreparedMessage>), RelayError> {
        let n = &mut self.n;
        let mut new_token = || {
            *n += 1;
            n.to_be_bytes()
        };
        self.relay.begin(job.id, names, &mut new_token, self.now)
    }

    fn names_of(relay: &RelayService, target: IpAddr) -> HostNames {
        let s = relay.settings();
        HostNames {
            target,
            relay: Some("relay.example".into()),
            hosted: None,
            user: None,
            domain: s.domain.clone(),
            foreign: s.second_domain.clone(),
            collector: Some(ip("127.127.0.1")),
            hello: s.ehlo_name.clone(),
        }
    }

    /// Runs a job with one outcome for all its messages.
    pub fn run(&mut self, job: &Job, outcome: &MessageOutcome) -> (Job, Vec<PreparedMessage>) {
        let (job, ready) = self.begin(job).unwrap();
        let ran = results_of(&ready, outcome);
        // A host that is skipped because of its greeting gets no control either.
        let check = if matches!(outcome, MessageOutcome::Skipped { .. }) {
            ControlCheck::default()
        } else {
            accepted_control()
        };
        (
            self.relay
                .finish(
                    job.id,
                    ran,
                    controls(&ready, &check),
                    &parse_transcript("C EHLO\n"),
                    self.now,
                )
                .unwrap(),
            ready,
        )
    }

    /// Nominates a host and proves it open. Returns the messages of the test.
    pub fn prove(&mut self, host: &str) -> Vec<PreparedMessage> {
        let job = self.nominate(host, "anna");
        let (_, ready) = self.run(&job, &accepted());
        self.deliver(&ready[0], host);
        ready
    }

    /// Delivers a message to the collector from a host.
    pub fn deliver(&self, ready: &PreparedMessage, output: &str) -> ArrivalOutcome {
        let to = ready.envelope.to[ready.envelope.probe]
            .trim_matches(['<', '>'])
            .to_string();
        self.arrive(&to, &ready.message, output)
    }

    pub fn arrive(&self, to: &str, message: &[u8], output: &str) -> ArrivalOutcome {
        let incoming = ReceivedMessage {
            hello: "x".into(),
            from: "s@relay.example".into(),
            to: vec![to.into()],
            data: message.to_vec(),
        };
        self.relay.arrived(&incoming, ip(output), self.now).unwrap()
    }

    /// The ledger of the service.
    pub fn ledger(&self) -> &ledger::Ledger {
        &self.relay.ledger
    }

    pub fn later(&mut self, seconds: u64) {
        self.now = self.now.plus(Seconds(seconds));
    }

    pub fn listed(&self, target: &str) -> Vec<&'static str> {
        let verdict = self
            .relay
            .ledger
            .store
            .verdict(&Subject::host(ip(target)))
            .unwrap();
        REASONS
            .into_iter()
            .filter(|r| self.relay.is_listed(&verdict, r))
            .collect()
    }
}

pub fn who(name: &str) -> Actor {
    Actor {
        name: name.into(),
        from: "test".into(),
        idempotency: None,
    }
}
/// Returns the same outcome for each message.
fn results_of(ready: &[PreparedMessage], outcome: &MessageOutcome) -> Vec<MessageResult> {
    let result = |r: &PreparedMessage| MessageResult {
        place: r.place,
        outcome: outcome.clone(),
    };
    ready.iter().map(result).collect()
}
pub fn refused() -> MessageOutcome {
    MessageOutcome::Refused {
        stage: SmtpStage::Rcpt,
        code: 550,
        text: "no".into(),
    }
}
/// A control whose postmaster was accepted.
pub fn accepted_control() -> ControlCheck {
    control_reply(250, "ok")
}
pub fn control_reply(code: u16, text: &str) -> ControlCheck {
    ControlCheck {
        replies: vec![RecipientReply {
            recipient: "<postmaster>".into(),
            code,
            text: text.into(),
        }],
        failure: None,
    }
}
/// Returns the sessions of messages, with the same control before and after.
pub fn controls(ready: &[PreparedMessage], check: &ControlCheck) -> Vec<ControlSession> {
    let mut out: Vec<(u32, ControlSession)> = Vec::new();
    for r in ready {
        let Some(plan) = &r.control else { continue };
        if out.last().is_none_or(|(n, _)| *n != plan.session) {
            let greeting = r.envelope.hello.clone().unwrap_or_default();
            let session = ControlSession {
                greeting,
                before: check.clone(),
                after: check.clone(),
                ..ControlSession::default()
            };
            out.push((plan.session, session));
        }
        out.last_mut().unwrap().1.places.push(r.place);
    }
    out.into_iter().map(|(_, s)| s).collect()
}
pub fn accepted() -> MessageOutcome {
    MessageOutcome::Accepted {
        text: "queued".into(),
    }
}

impl RelayService {
    /// What is known of a host.
    pub fn host(&self, addr: IpAddr) -> Result<HostRecord, RelayError> {
        Ok(self.batch(Time(0)).get_or_default(HOSTS, &addr)?)
    }
}
