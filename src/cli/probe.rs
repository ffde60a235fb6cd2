//! `orbsd probe`: tests a host of one's own from here, and lists nobody; or, with `--server`, sends
//! that server's messages.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clap::Args;
use hyper::Method;
use serde_json::json;

use super::{Common, Failure, client::Client, output, text::plain_line};
use crate::{
    api::{
        AssessmentKind, JobResponse, NominationKind, NominationRequest, PreparedProbesResponse,
        ProbeResultsRequest,
    },
    config::{self, Config},
    http::secrets,
    model::{Subject, Time, special, time::Seconds},
    net::{ConnectionLimiter, ConnectionLimits, Shares},
    relay::{
        Catalogue, HostNames, MessageResult, Phase, PreparedMessage, RelayTest, TokenCodec,
        TokenKind,
        collector::{self, Collector},
        message::{self, MessageMatch, TesterIdentity, proof_reply},
        name_lookup::find_names,
        outcome::{Assessment, assess},
        tester::{self, TesterSettings},
        token::TokenId,
        transcript::{Speaker, TranscriptLine, render_transcript},
    },
    resolver,
    smtp::{Envelope, MessageOutcome, SmtpPort, session::ReceiverSettings},
};

/// Test a host of your own from here; nobody is listed. Exit codes: 0 refused, 1 the server was not
/// reached or says no, 2 delivered, 3 accepted and not delivered, 4 inconclusive, 64 wrong usage
#[derive(Debug, Args)]
pub(super) struct Probe {
    /// One IP address
    target: String,
    /// Only this test; again for more. `orbsd tests` shows them
    #[arg(long = "test")]
    tests: Vec<String>,
    /// One message with this behind `MAIL FROM:`, as it stands; {u}, {s}, {d}, {R}, {L}, {I} are
    /// filled in, and {{ is a brace
    #[arg(long, requires = "rcpt_to")]
    mail_from: Option<String>,
    /// The same behind `RCPT TO:`
    #[arg(long)]
    rcpt_to: Option<String>,
    /// Instead of 25
    #[arg(long)]
    port: Option<u16>,
    /// How long to wait for what comes through
    #[arg(long, default_value = "60s")]
    wait: Seconds,
    /// Take what comes through here, ADDR:PORT; the host has to reach it as its mail exchange for
    /// the probe domain
    #[arg(long)]
    collect: Option<SocketAddr>,
    /// The probe domain; that of the configuration where it is left out
    #[arg(long)]
    domain: Option<String>,
    /// The relay's name, where DNS does not tell it
    #[arg(long)]
    relay: Option<String>,
    /// A domain that it hosts, where DNS does not tell it
    #[arg(long)]
    hosted: Option<String>,
    /// A user of it, as user@domain; DNS does not tell
    #[arg(long)]
    user: Option<String>,
    /// The pause between two messages
    #[arg(long, default_value = "1s")]
    pause: Seconds,
    /// What was seen, for --server: a message's id or a line of a log; without it nobody is tested
    #[arg(long, value_parser = plain_line)]
    evidence: Option<String>,
}

/// Wrong usage has a code of its own here (sysexits).
pub(super) const USAGE: u8 = 64;
/// How long DNS may take to tell the names of a host.
const FIND_NAMES: Duration = Duration::from_secs(10);
/// How long to wait at most, in seconds.
const LONGEST_WAIT: u64 = 30 * 86_400;

fn usage(text: impl Into<String>) -> Failure {
    Failure::Code(USAGE, text.into())
}

pub(super) fn run(common: &Common, c: &Probe) -> Result<(), Failure> {
    let target: IpAddr = c
        .target
        .trim_matches(['[', ']'])
        .parse()
        .map_err(|_| usage(format!("`{}` is no IP address", c.target)))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    if common.server.is_some() {
        // 2 means "delivered" here, and nothing else.
        return for_server(common, c, target, &runtime).map_err(|e| match e {
            Failure::Usage(text) => usage(text),
            e => e,
        });
    }
    let config = common.load().ok();
    let own = special::unlistable(&Subject::host(target), &[]).is_some();
    if !own && !config.as_ref().is_some_and(|c| c.probe.relay.public) {
        return Err(usage(
            "that address is on the Internet: test your own hosts, and set allow_public, ehlo_name, contact and info_url of [probe] first",
        ));
    }
    let mut here = Here::new(c, config.as_ref(), target)?;
    runtime.block_on(here.find_names(config.as_ref()));
    let messages = here.messages(c)?;
    let came: Arc<Mutex<Vec<(MessageMatch, IpAddr)>>> = Arc::default();
    runtime.block_on(here.collect(c, &came))?;
    let listens = c.collect.is_some();
    let mut ran = runtime
        .block_on(tester::run(
            target,
            c.port,
            &messages,
            &here.how,
            &mut told(common.json),
            &mut || true,
        ))
        .results;
    let ids: Vec<TokenId> = here
        .ids
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let until = std::time::Instant::now() + Duration::from_secs(c.wait.0.min(LONGEST_WAIT));
    let accepted = |ran: &[MessageResult]| {
        ran.iter()
            .any(|r| matches!(r.outcome, MessageOutcome::Accepted { .. }))
    };
    while listens && accepted(&ran) && std::time::Instant::now() < until {
        arrived(&came, &ids, &mut ran);
        std::thread::sleep(Duration::from_millis(100));
    }
    arrived(&came, &ids, &mut ran);
    let class = |name: &str| here.catalogue.get(name).map_or("", |t| t.class.as_str());
    let assessment = assess(
        messages
            .iter()
            .zip(&ran)
            .map(|(m, r)| (class(&m.test), &r.outcome)),
    );
    shown(common, target, &messages, &ran, assessment);
    match assessment {
        Assessment::Closed => Ok(()),
        Assessment::Open => Err(Failure::Code(2, String::new())),
        Assessment::Accepted => Err(Failure::Code(3, String::new())),
        Assessment::Refused
        | Assessment::Blocked
        | Assessment::Inconclusive
        | Assessment::Untestable => Err(Failure::Code(4, String::new())),
    }
}

/// What came goes into the results.
fn arrived(came: &Mutex<Vec<(MessageMatch, IpAddr)>>, ids: &[TokenId], ran: &mut [MessageResult]) {
    let at = crate::clock::wall();
    for (seen, output) in came.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        let (id, outcome) = match seen {
            MessageMatch::Probe(id) => (
                id,
                MessageOutcome::Delivered {
                    output: *output,
                    at,
                },
            ),
            MessageMatch::Bounce(id) => (id, MessageOutcome::Bounced { at }),
        };
        let place = ids.iter().position(|i| i == id);
        if let Some(r) = ran
            .iter_mut()
            .find(|r| Some(r.place) == place)
            .filter(|r| r.outcome.superseded_by(&outcome))
        {
            r.outcome = outcome;
        }
    }
}

/// Prints what is said, in colour on a terminal.
fn told(json: bool) -> impl FnMut(&TranscriptLine) + Send {
    move |line| {
        if json {
            return;
        }
        let code = match line.speaker {
            Some(Speaker::Client) => "36",
            Some(Speaker::Server) if line.text.starts_with(['2', '3']) => "32",
            Some(Speaker::Server) => "31",
            Some(Speaker::Tester) | None => "2",
        };
        let sign = line.speaker.map_or(' ', Speaker::sign);
        output::coloured_line(code, format_args!("{sign} {}", line.text));
    }
}

fn shown(
    common: &Common,
    target: IpAddr,
    messages: &[PreparedMessage],
    ran: &[MessageResult],
    assessment: Assessment,
) {
    if common.json {
        let results = messages.iter().zip(ran).map(
            |(m, r)| json!({"test": m.test, "from": m.envelope.from, "to": m.envelope.to, "outcome": r.outcome.as_str(), "detail": r.outcome}),
        );
        let results: Vec<_> = results.collect();
        output::json(&json!({"target": target, "assessment": assessment, "results": results}));
        return;
    }
    println!();
    for (m, r) in messages.iter().zip(ran) {
        println!("{:<28} {}", m.test, r.outcome.as_str());
    }
    let words = match assessment {
        Assessment::Closed => "every kind of test was refused",
        Assessment::Refused => "every kind of test was refused, and perhaps because of who tested",
        Assessment::Open => "it relays: a message came through",
        Assessment::Accepted => "something was accepted; nothing came (yet), which proves nothing",
        Assessment::Blocked => {
            "we were refused before a recipient was named, which says nothing about relaying"
        }
        Assessment::Inconclusive => "some tests have no outcome",
        Assessment::Untestable => "no test could be run",
    };
    println!();
    println!("{target}: {words}");
}

/// Tests from this machine.
struct Here {
    names: HostNames,
    tokens: TokenCodec,
    who: TesterIdentity,
    how: TesterSettings,
    catalogue: Arc<Catalogue>,
    ids: Mutex<Vec<TokenId>>,
}

impl Here {
    fn new(c: &Probe, config: Option<&Config>, target: IpAddr) -> Result<Here, Failure> {
        let relay = config.map(|c| &c.probe.relay);
        let filled = |t: &String| Some(t.clone()).filter(|t| !t.is_empty());
        let domain = c
            .domain
            .clone()
            .or_else(|| relay.and_then(|d| filled(&d.domain)));
        let domain = domain.ok_or_else(|| {
            usage("no probe domain: say --domain, or set [probe] domain in config.toml")
        })?;
        let secret = secrets::random::<32>().map_err(Failure::No)?;
        let mut how = config.map_or_else(default_ways, |c| c.probe.scheduler.tester.clone());
        (how.pause, how.min_duration) = (
            Duration::from_secs(c.pause.0.min(LONGEST_WAIT)),
            Duration::ZERO,
        );
        let names = HostNames {
            target,
            relay: c.relay.clone(),
            hosted: c.hosted.clone(),
            user: c.user.clone(),
            domain: domain.clone(),
            foreign: relay.and_then(|d| d.second_domain.clone()),
            collector: c
                .collect
                .map(|a| a.ip())
                .filter(|a| a.is_ipv4() == target.is_ipv4()),
            hello: relay.map_or_else(|| domain.clone(), |d| d.ehlo_name.clone()),
        };
        Ok(Here {
            names,
            tokens: TokenCodec::new(&secret),
            who: relay.map(|d| d.tester.clone()).unwrap_or_default(),
            how,
            catalogue: relay
                .map_or_else(|| Arc::new(Catalogue::standard()), |d| d.catalogue.clone()),
            ids: Mutex::default(),
        })
    }

    /// Asks DNS for the names of the host that were not given.
    async fn find_names(&mut self, config: Option<&Config>) {
        let resolvers = config.map_or(&[][..], |c| &c.http_client.resolvers);
        let Ok(resolver) = resolver::Resolver::new(resolvers, false) else {
            return;
        };
        let said: Vec<String> = self
            .names
            .relay
            .iter()
            .chain(&self.names.hosted)
            .cloned()
            .collect();
        if self.names.relay.is_none() || self.names.hosted.is_none() {
            // A name server that does not answer costs the tests that need a name.
            let _ = tokio::time::timeout(FIND_NAMES, find_names(&resolver, said, &mut self.names))
                .await;
        }
    }

    /// A number, and the two addresses that it makes.
    fn fresh(&self) -> (String, String) {
        let id = secrets::random::<8>().unwrap_or_default();
        self.ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(id);
        (
            self.tokens.text(TokenKind::Probe, &id),
            self.tokens.text(TokenKind::Return, &id),
        )
    }

    fn messages(&self, c: &Probe) -> Result<Vec<PreparedMessage>, Failure> {
        let mut out: Vec<PreparedMessage> = Vec::new();
        let mut add = |test: &str, token: &str, envelope: Envelope| {
            let at: Time = crate::clock::wall();
            let message =
                message::probe(&self.names, &envelope, token, &self.who, "orbsd probe", at);
            let place = self
                .ids
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .len()
                - 1;
            out.push(PreparedMessage {
                place,
                test: test.into(),
                envelope,
                message,
                control: None,
                phase: Phase::Rest,
            });
        };
        if let Some(to) = &c.rcpt_to {
            let (u, s) = self.fresh();
            let fill = |form: &str| {
                self.names
                    .fill(form, &u, &s)
                    .map_err(|e| usage(format!("`{form}`: {e}")))
            };
            let from = fill(c.mail_from.as_deref().unwrap_or("<{s}@{d}>"))?;
            let to = fill(to)?;
            if to.chars().chain(from.chars()).any(char::is_control) {
                return Err(usage("an envelope has no control characters"));
            }
            let hello = Some(format!("EHLO {}", self.names.hello));
            add(
                "(raw)",
                &u,
                Envelope {
                    test: "(raw)".into(),
                    hello,
                    from,
                    to: vec![to],
                    probe: 0,
                    utf8: false,
                    port: SmtpPort::Smtp,
                },
            );
            return Ok(out);
        }
        if let Some(name) = c.tests.iter().find(|n| self.catalogue.get(n).is_none()) {
            return Err(usage(format!(
                "there is no test `{name}`; `orbsd tests` shows all"
            )));
        }
        let mut nameless = 0;
        for (turn, test) in self
            .catalogue
            .select(self.names.target, &[], &c.tests, true)
            .into_iter()
            .enumerate()
        {
            // One message at a time, so that numbers and places agree.
            for form in &test.to {
                let one = RelayTest {
                    to: vec![form.clone()],
                    ..test.clone()
                };
                let before = self
                    .ids
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .len();
                match self.names.envelopes(&one, turn, false, || self.fresh()) {
                    Ok(made) => made.into_iter().for_each(|(u, e)| add(&test.name, &u, e)),
                    Err(why) => {
                        self.ids
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .truncate(before);
                        if !c.tests.is_empty() {
                            return Err(usage(format!(
                                "{}: {why}; --relay, --hosted and --user name them",
                                test.name
                            )));
                        }
                        nameless += 1;
                    }
                }
            }
        }
        if nameless > 0 {
            eprintln!(
                "skipping {nameless} messages that need names which DNS does not tell; supply them with --relay, --hosted, --user and --collect"
            );
        }
        Ok(out)
    }

    /// Takes what comes through, where that was asked for.
    async fn collect(
        &self,
        c: &Probe,
        came: &Arc<Mutex<Vec<(MessageMatch, IpAddr)>>>,
    ) -> Result<(), Failure> {
        let Some(addr) = c.collect else { return Ok(()) };
        let listener = tokio::net::TcpListener::bind(addr)
            .await
            .map_err(|e| usage(format!("--collect: {addr}: {e}")))?;
        let (tokens, came) = (self.tokens.clone(), came.clone());
        let domain = self.names.domain.clone();
        let receiver = ReceiverSettings {
            hello: domain.clone(),
            domain,
            addresses: vec![addr.ip()],
            tls: false,
        };
        let judge: collector::MessageHandler = Arc::new(move |incoming, from| {
            match message::match_tokens(&tokens, &incoming.to, &incoming.data) {
                None => collector::NO_TOKEN.into(),
                Some(seen) => {
                    came.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push((seen, from));
                    proof_reply("here", from)
                }
            }
        });
        let limiter =
            ConnectionLimiter::new(ConnectionLimits::default().collect, &Shares::default());
        tokio::spawn(collector::run(
            listener,
            Collector::new(receiver, judge, limiter),
        ));
        Ok(())
    }
}

fn default_ways() -> TesterSettings {
    let timeout = Duration::from_secs(60);
    TesterSettings {
        ports: config::DEFAULT_PORTS,
        pause: Duration::ZERO,
        min_duration: Duration::ZERO,
        timeout,
        source: Vec::new(),
        max_extra: tester::MAX_EXTRA,
    }
}

/// Sends the messages of a server, and tells it what was said.
fn for_server(
    common: &Common,
    c: &Probe,
    target: IpAddr,
    runtime: &tokio::runtime::Runtime,
) -> Result<(), Failure> {
    if c.rcpt_to.is_some() || c.collect.is_some() {
        return Err(usage(
            "--server has its own messages and its own collector; leave --rcpt-to and --collect out",
        ));
    }
    let Some(evidence) = &c.evidence else {
        return Err(usage(
            "--server tests what somebody has evidence against: say what you saw with --evidence",
        ));
    };
    let request = NominationRequest {
        target: target.to_string(),
        evidence: evidence.clone(),
        kind: NominationKind::Log,
        at: None,
        port: c.port,
        names: Vec::new(),
        tests: c.tests.clone(),
    };
    let prepared: PreparedProbesResponse =
        Client::open(common)?.call_json(Method::POST, "/v1/probes", &request)?;
    let path = format!("/v1/jobs/{}", prepared.job);
    let mut how = default_ways();
    how.pause = Duration::from_secs(c.pause.0.min(LONGEST_WAIT));
    if special::unlistable(&Subject::host(target), &[]).is_none() {
        // Other people's hosts are tested as slowly as the server's own tester does (safety rule
        // S4).
        (how.pause, how.min_duration) = (
            how.pause.max(Duration::from_secs(config::DEFAULT_PAUSE.0)),
            Duration::from_secs(config::DEFAULT_MIN_DURATION.0),
        );
    }
    let report = runtime.block_on(tester::run(
        target,
        c.port,
        &prepared.messages,
        &how,
        &mut told(common.json),
        &mut || true,
    ));
    // A server may have ended the connection meanwhile.
    let results = ProbeResultsRequest {
        results: report.results,
        controls: report.controls,
        transcript: render_transcript(&report.transcript),
    };
    let _: JobResponse =
        Client::open(common)?.call_json(Method::POST, &format!("{path}/results"), &results)?;
    let until = std::time::Instant::now() + Duration::from_secs(c.wait.0.min(LONGEST_WAIT));
    loop {
        let job: JobResponse = Client::open(common)?.get(&path)?;
        let decided = matches!(
            job.assessment,
            Some(AssessmentKind::Open | AssessmentKind::Closed | AssessmentKind::Refused)
        );
        if decided || std::time::Instant::now() >= until {
            output::print(common.json, &job, super::relay::job);
            return match job.assessment {
                Some(AssessmentKind::Closed) => Ok(()),
                Some(AssessmentKind::Open) => Err(Failure::Code(2, String::new())),
                Some(AssessmentKind::Accepted) => Err(Failure::Code(3, String::new())),
                _ => Err(Failure::Code(4, String::new())),
            };
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}
