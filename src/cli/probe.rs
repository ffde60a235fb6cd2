//! `orbsd relay probe`: tests a host from this machine and lists nothing; or, with `--server`, sends
//! the test messages of that server.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use hyper::Method;
use parking_lot::Mutex;
use serde_json::json;

use super::{CliError, Common, ProbeExit, client::Client, output, text::plain_line};
use crate::{
    api::{
        JobResponse, NominationKind, NominationRequest, PreparedProbesResponse, ProbeResultsRequest,
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

/// Test a host of your own from this machine, and list nothing
#[derive(Debug, Args)]
pub(super) struct Probe {
    /// IP address of the host
    target: String,
    /// Run only this test of `orbsd relay catalogue`; repeat for more
    #[arg(long = "test")]
    tests: Vec<String>,
    /// Send one message with this text after `MAIL FROM:`; {u} {s} {d} {R} {L} {I} are replaced
    #[arg(long, requires = "rcpt_to")]
    mail_from: Option<String>,
    /// Send one message with this text after `RCPT TO:`
    #[arg(long)]
    rcpt_to: Option<String>,
    /// Port of the host [default: 25]
    #[arg(long)]
    port: Option<u16>,
    /// How long to wait for delivered messages
    #[arg(long, default_value = "60s")]
    wait: Seconds,
    /// Receive messages at this ADDR:PORT, the MX of the probe domain [default: do not]
    #[arg(long, value_name = "ADDR:PORT")]
    collector: Option<SocketAddr>,
    /// Probe domain [default: `[probe] domain`]
    #[arg(long)]
    domain: Option<String>,
    /// Name of the host [default: from DNS]
    #[arg(long)]
    relay: Option<String>,
    /// Domain that the host accepts mail for [default: from DNS]
    #[arg(long)]
    hosted: Option<String>,
    /// User of the host, as user@domain
    #[arg(long)]
    user: Option<String>,
    /// Pause between two messages
    #[arg(long, default_value = "1s")]
    pause: Seconds,
    /// Evidence for --server: message ID or log line
    #[arg(long, value_parser = plain_line)]
    evidence: Option<String>,
}

/// The timeout for finding the names of a host in DNS.
const FIND_NAMES: Duration = Duration::from_secs(10);
/// The longest wait, in seconds.
const MAX_WAIT_SECONDS: u64 = 30 * 86_400;

fn usage(text: impl Into<String>) -> CliError {
    CliError::ProbeUsage(text.into())
}

pub(super) fn run(common: &Common, c: &Probe) -> Result<(), CliError> {
    let target: IpAddr = c
        .target
        .trim_matches(['[', ']'])
        .parse()
        .map_err(|_| usage(format!("`{}` is not an IP address", c.target)))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    if common.server.is_some() {
        // Exit code 2 is a result of this command.
        return for_server(common, c, target, &runtime).map_err(|e| match e {
            CliError::Usage(text) => usage(text),
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
    let mut test = LocalTest::new(c, config.as_ref(), target)?;
    runtime.block_on(test.find_names(config.as_ref()));
    let messages = test.messages(c)?;
    let arrivals: Arc<Mutex<Vec<(MessageMatch, IpAddr)>>> = Arc::default();
    runtime.block_on(test.collect(c, &arrivals))?;
    let listens = c.collector.is_some();
    let mut ran = runtime
        .block_on(tester::run(
            target,
            c.port,
            &messages,
            &test.settings,
            &mut print_transcript(common.json),
            &mut || true,
        ))
        .results;
    let ids: Vec<TokenId> = test.ids.lock().clone();
    let until = std::time::Instant::now() + Duration::from_secs(c.wait.0.min(MAX_WAIT_SECONDS));
    let accepted = |ran: &[MessageResult]| {
        ran.iter()
            .any(|r| matches!(r.outcome, MessageOutcome::Accepted { .. }))
    };
    while listens && accepted(&ran) && std::time::Instant::now() < until {
        arrived(&arrivals, &ids, &mut ran);
        std::thread::sleep(Duration::from_millis(100));
    }
    arrived(&arrivals, &ids, &mut ran);
    let class = |name: &str| test.catalogue.get(name).map_or("", |t| t.class.as_str());
    let assessment = assess(
        messages
            .iter()
            .zip(&ran)
            .map(|(m, r)| (class(&m.test), &r.outcome)),
    );
    print_results(common, target, &messages, &ran, assessment);
    match assessment {
        Assessment::Closed => Ok(()),
        Assessment::Open => Err(CliError::Probe(ProbeExit::Delivered)),
        Assessment::Accepted => Err(CliError::Probe(ProbeExit::Accepted)),
        Assessment::Refused
        | Assessment::Blocked
        | Assessment::Inconclusive
        | Assessment::Untestable => Err(CliError::Probe(ProbeExit::NoVerdict)),
    }
}

/// Records the messages that arrived in the results.
fn arrived(
    arrivals: &Mutex<Vec<(MessageMatch, IpAddr)>>,
    ids: &[TokenId],
    ran: &mut [MessageResult],
) {
    let at = crate::clock::wall();
    for (seen, output) in arrivals.lock().iter() {
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

/// Prints the SMTP dialogue, in colour on a terminal.
fn print_transcript(json: bool) -> impl FnMut(&TranscriptLine) + Send {
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

fn print_results(
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
    let verdict = match assessment {
        Assessment::Closed => "every kind of test was refused",
        Assessment::Refused => {
            "every kind of test was refused, perhaps because of the tester's address"
        }
        Assessment::Open => "it is an open relay: a message was delivered",
        Assessment::Accepted => "a message was accepted and none has arrived, which proves nothing",
        Assessment::Blocked => {
            "the host refused this machine before a recipient was named, which proves nothing"
        }
        Assessment::Inconclusive => "some tests have no outcome",
        Assessment::Untestable => "no test could be run",
    };
    println!();
    println!("{target}: {verdict}");
}

/// Tests from this machine.
struct LocalTest {
    names: HostNames,
    tokens: TokenCodec,
    identity: TesterIdentity,
    settings: TesterSettings,
    catalogue: Arc<Catalogue>,
    ids: Mutex<Vec<TokenId>>,
}

impl LocalTest {
    fn new(c: &Probe, config: Option<&Config>, target: IpAddr) -> Result<LocalTest, CliError> {
        let relay = config.map(|c| &c.probe.relay);
        let filled = |t: &String| Some(t.clone()).filter(|t| !t.is_empty());
        let domain = c
            .domain
            .clone()
            .or_else(|| relay.and_then(|d| filled(&d.domain)));
        let domain = domain.ok_or_else(|| {
            usage("no probe domain; add --domain, or set [probe] domain in config.toml")
        })?;
        let secret = secrets::random::<32>().map_err(CliError::Refused)?;
        let mut settings =
            config.map_or_else(default_settings, |c| c.probe.scheduler.tester.clone());
        (settings.pause, settings.min_duration) = (
            Duration::from_secs(c.pause.0.min(MAX_WAIT_SECONDS)),
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
                .collector
                .map(|a| a.ip())
                .filter(|a| a.is_ipv4() == target.is_ipv4()),
            hello: relay.map_or_else(|| domain.clone(), |d| d.ehlo_name.clone()),
        };
        Ok(LocalTest {
            names,
            tokens: TokenCodec::new(&secret),
            identity: relay.map(|d| d.tester.clone()).unwrap_or_default(),
            settings,
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
        let given_names: Vec<String> = self
            .names
            .relay
            .iter()
            .chain(&self.names.hosted)
            .cloned()
            .collect();
        if self.names.relay.is_none() || self.names.hosted.is_none() {
            // A name server that does not answer costs the tests that need a name.
            let _ = tokio::time::timeout(
                FIND_NAMES,
                find_names(&resolver, given_names, &mut self.names),
            )
            .await;
        }
    }

    /// A number, and the two addresses that it makes.
    fn fresh(&self) -> (String, String) {
        let id = secrets::random::<8>().unwrap_or_default();
        self.ids.lock().push(id);
        (
            self.tokens.text(TokenKind::Probe, &id),
            self.tokens.text(TokenKind::Return, &id),
        )
    }

    fn messages(&self, c: &Probe) -> Result<Vec<PreparedMessage>, CliError> {
        let mut out: Vec<PreparedMessage> = Vec::new();
        let mut add = |test: &str, token: &str, envelope: Envelope| {
            let at: Time = crate::clock::wall();
            let message = message::probe(
                &self.names,
                &envelope,
                token,
                &self.identity,
                "orbsd relay probe",
                at,
            );
            let place = self.ids.lock().len() - 1;
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
                "there is no test `{name}`; `orbsd relay catalogue` shows all"
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
                let before = self.ids.lock().len();
                match self.names.envelopes(&one, turn, false, || self.fresh()) {
                    Ok(made) => made.into_iter().for_each(|(u, e)| add(&test.name, &u, e)),
                    Err(why) => {
                        self.ids.lock().truncate(before);
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
                "skipping {nameless} tests that need host names; supply them with --relay, --hosted, --user and --collector"
            );
        }
        Ok(out)
    }

    /// Takes what comes through, where that was asked for.
    async fn collect(
        &self,
        c: &Probe,
        arrivals: &Arc<Mutex<Vec<(MessageMatch, IpAddr)>>>,
    ) -> Result<(), CliError> {
        let Some(addr) = c.collector else {
            return Ok(());
        };
        let listener = tokio::net::TcpListener::bind(addr)
            .await
            .map_err(|e| usage(format!("--collector: {addr}: {e}")))?;
        let (tokens, arrivals) = (self.tokens.clone(), arrivals.clone());
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
                    arrivals.lock().push((seen, from));
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

fn default_settings() -> TesterSettings {
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

/// Sends the test messages of a server, and reports the results to it.
fn for_server(
    common: &Common,
    c: &Probe,
    target: IpAddr,
    runtime: &tokio::runtime::Runtime,
) -> Result<(), CliError> {
    if c.rcpt_to.is_some() || c.collector.is_some() {
        return Err(usage(
            "--server has its own messages and its own collector; remove --rcpt-to and --collector",
        ));
    }
    let Some(evidence) = &c.evidence else {
        return Err(usage(
            "--server needs evidence against the host; add --evidence",
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
    let mut settings = default_settings();
    settings.pause = Duration::from_secs(c.pause.0.min(MAX_WAIT_SECONDS));
    if special::unlistable(&Subject::host(target), &[]).is_none() {
        // Other people's hosts are tested as slowly as the server's own tester does (safety rule
        // S4).
        (settings.pause, settings.min_duration) = (
            settings
                .pause
                .max(Duration::from_secs(config::DEFAULT_PAUSE.0)),
            Duration::from_secs(config::DEFAULT_MIN_DURATION.0),
        );
    }
    let report = runtime.block_on(tester::run(
        target,
        c.port,
        &prepared.messages,
        &settings,
        &mut print_transcript(common.json),
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
    let until = std::time::Instant::now() + Duration::from_secs(c.wait.0.min(MAX_WAIT_SECONDS));
    loop {
        let job: JobResponse = Client::open(common)?.get(&path)?;
        let decided = matches!(
            job.assessment,
            Some(Assessment::Open | Assessment::Closed | Assessment::Refused)
        );
        if decided || std::time::Instant::now() >= until {
            output::print(common.json, &job, super::job::print);
            return match job.assessment {
                Some(Assessment::Closed) => Ok(()),
                Some(Assessment::Open) => Err(CliError::Probe(ProbeExit::Delivered)),
                Some(Assessment::Accepted) => Err(CliError::Probe(ProbeExit::Accepted)),
                _ => Err(CliError::Probe(ProbeExit::NoVerdict)),
            };
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}
