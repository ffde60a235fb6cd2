//! `orbsd relay probe`: tests a host from this machine and lists nothing; or, with `--server`, sends
//! the test messages of that server.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use parking_lot::Mutex;
use serde_json::json;

use super::{
    CliError, Common, ProbeExit,
    advice::{advice_for, print_advice},
    client::{Client, runtime},
    output,
    text::plain_line,
};
use crate::{
    api::{
        AdviceResponse, JobResponse, NominationKind, NominationRequest, PreparedProbesResponse,
        ProbeResultsRequest,
    },
    config::{self, Config},
    http::secrets,
    model::{Subject, special, text::counted, time::Seconds},
    net::{ConnectionLimiter, ConnectionLimits},
    relay::{
        Catalogue, HostNames, MessageResult, Phase, PreparedMessage, RelayTest, TokenCodec,
        TokenKind,
        collector::{self, Collector},
        message::{self, MessageMatch, TesterIdentity, proof_reply},
        name_lookup::find_names,
        outcome::{Assessment, assess},
        tester::{self, RunObserver, TesterSettings},
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
    /// Receive messages at this ADDR:PORT, the MX of the probe domain [default: receive none]
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

/// The messages that the collector of this command received, each with the address of its sender.
type Arrivals = Arc<Mutex<Vec<(MessageMatch, IpAddr)>>>;

/// A wait of the command line, within its limit.
fn wait_of(wait: Seconds) -> Duration {
    Duration::from_secs(wait.0.min(MAX_WAIT_SECONDS))
}

fn usage(text: impl Into<String>) -> CliError {
    CliError::ProbeUsage(text.into())
}

pub(super) fn run(common: &Common, c: &Probe) -> Result<(), CliError> {
    let target = c.target.trim_matches(['[', ']']).parse::<IpAddr>();
    let target = target.map_err(|_| usage(format!("`{}` is not an IP address", c.target)))?;
    let runtime = runtime()?;
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
    let arrivals: Arrivals = Arc::default();
    runtime.block_on(test.collect(c, &arrivals))?;
    let listens = c.collector.is_some();
    let report = runtime.block_on(tester::run(
        target,
        c.port,
        &messages,
        &test.settings,
        &mut TranscriptPrinter { json: common.json },
    ));
    let mut results = report.results;
    let until = Instant::now() + wait_of(c.wait);
    let accepted = |results: &[MessageResult]| {
        let mut outcomes = results.iter().map(|r| &r.outcome);
        outcomes.any(|o| matches!(o, MessageOutcome::Accepted { .. }))
    };
    while listens && accepted(&results) && Instant::now() < until {
        test.record(&arrivals, &mut results);
        std::thread::sleep(Duration::from_millis(100));
    }
    test.record(&arrivals, &mut results);
    let class = |name: &str| test.catalogue.get(name).map_or("", |t| t.class.as_str());
    let outcomes = messages.iter().zip(&results);
    let assessment = assess(outcomes.map(|(m, r)| (class(&m.test), &r.outcome)));
    let came_through = |r: &MessageResult| r.outcome.is_delivered() || r.outcome.is_accepted();
    let delivered: Vec<&str> = messages
        .iter()
        .zip(&results)
        .filter(|(_, r)| came_through(r))
        .map(|(m, _)| m.test.as_str())
        .collect();
    let advice = match delivered.is_empty() {
        true => AdviceResponse::default(),
        false => advice_for(&report.transcript, &delivered),
    };
    print_results(common, target, &messages, &results, assessment, &advice);
    match assessment {
        Assessment::Closed => Ok(()),
        Assessment::Open => Err(CliError::Probe(ProbeExit::Delivered)),
        Assessment::Accepted => Err(CliError::Probe(ProbeExit::Accepted)),
        _ => Err(CliError::Probe(ProbeExit::NoVerdict)),
    }
}

/// Prints the SMTP dialogue, in colour on a terminal, unless the output is JSON.
struct TranscriptPrinter {
    json: bool,
}

impl RunObserver for TranscriptPrinter {
    fn transcript_line(&mut self, line: &TranscriptLine) {
        if self.json {
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
    results: &[MessageResult],
    assessment: Assessment,
    advice: &AdviceResponse,
) {
    let pairs = messages.iter().zip(results);
    if common.json {
        let results = pairs.map(
            |(m, r)| json!({"test": m.test, "from": m.envelope.from, "to": m.envelope.to, "outcome": r.outcome.as_str(), "detail": r.outcome}),
        );
        let results: Vec<_> = results.collect();
        return output::json(
            &json!({"target": target, "assessment": assessment, "results": results, "product_advice": advice}),
        );
    }
    println!();
    for (m, r) in pairs {
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
    // Without a product, only a message that was delivered leaves something to look for.
    if !advice.recognised.is_empty() || assessment == Assessment::Open {
        println!();
        print_advice(advice);
    }
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
        let configured = relay.map(|r| r.domain.clone()).filter(|d| !d.is_empty());
        let domain = c.domain.clone().or(configured).ok_or_else(|| {
            usage("no probe domain; add --domain, or set [probe] domain in config.toml")
        })?;
        let secret = secrets::random::<32>().map_err(CliError::Refused)?;
        let configured = config.map(|c| c.probe.scheduler.tester.clone());
        let settings = TesterSettings {
            pause: wait_of(c.pause),
            min_duration: Duration::ZERO,
            ..configured.unwrap_or_else(default_settings)
        };
        let collector = c.collector.map(|a| a.ip());
        let names = HostNames {
            target,
            relay: c.relay.clone(),
            hosted: c.hosted.clone(),
            user: c.user.clone(),
            foreign: relay.and_then(|r| r.second_domain.clone()),
            collector: collector.filter(|a| a.is_ipv4() == target.is_ipv4()),
            hello: relay.map_or_else(|| domain.clone(), |r| r.ehlo_name.clone()),
            domain,
        };
        let catalogue = relay.map(|r| r.catalogue.clone());
        Ok(LocalTest {
            names,
            tokens: TokenCodec::new(&secret),
            identity: relay.map(|r| r.tester.clone()).unwrap_or_default(),
            settings,
            catalogue: catalogue.unwrap_or_else(|| Arc::new(Catalogue::standard())),
            ids: Mutex::default(),
        })
    }

    /// Asks DNS for the names of the host that were not given.
    async fn find_names(&mut self, config: Option<&Config>) {
        let resolvers = config.map_or(&[][..], |c| &c.http_client.resolvers);
        let Ok(resolver) = resolver::Resolver::new(resolvers, false) else {
            return;
        };
        let names = &mut self.names;
        let given = names.relay.iter().chain(&names.hosted).cloned().collect();
        if names.relay.is_none() || names.hosted.is_none() {
            // A name server that does not answer costs the tests that need a name.
            let _ = tokio::time::timeout(FIND_NAMES, find_names(&resolver, given, names)).await;
        }
    }

    /// A new token, as the parts of two addresses that contain it.
    fn new_token(&self) -> (String, String) {
        let id = secrets::random::<8>().unwrap_or_default();
        self.ids.lock().push(id);
        (
            self.tokens.text(TokenKind::Probe, &id),
            self.tokens.text(TokenKind::Return, &id),
        )
    }

    fn message(&self, test: &str, token: &str, envelope: Envelope) -> PreparedMessage {
        let message = message::probe(
            &self.names,
            &envelope,
            token,
            &self.identity,
            "orbsd relay probe",
            crate::clock::wall(),
        );
        PreparedMessage {
            place: self.ids.lock().len() - 1,
            test: test.into(),
            envelope,
            message,
            control: None,
            phase: Phase::Rest,
        }
    }

    /// The message with the texts of `--mail-from` and `--rcpt-to`.
    fn raw_message(&self, c: &Probe, to: &str) -> Result<PreparedMessage, CliError> {
        let (u, s) = self.new_token();
        let fill = |form: &str| {
            let filled = self.names.fill(form, &u, &s);
            filled.map_err(|e| usage(format!("`{form}`: {e}")))
        };
        let from = fill(c.mail_from.as_deref().unwrap_or("<{s}@{d}>"))?;
        let to = fill(to)?;
        if to.chars().chain(from.chars()).any(char::is_control) {
            return Err(usage("an envelope has no control characters"));
        }
        let envelope = Envelope {
            test: "(raw)".into(),
            hello: Some(format!("EHLO {}", self.names.hello)),
            from,
            to: vec![to],
            probe: 0,
            utf8: false,
            port: SmtpPort::Smtp,
        };
        Ok(self.message("(raw)", &u, envelope))
    }

    fn messages(&self, c: &Probe) -> Result<Vec<PreparedMessage>, CliError> {
        if let Some(to) = &c.rcpt_to {
            return Ok(vec![self.raw_message(c, to)?]);
        }
        if let Some(name) = c.tests.iter().find(|n| self.catalogue.get(n).is_none()) {
            return Err(usage(format!(
                "there is no test `{name}`; `orbsd relay catalogue` shows all"
            )));
        }
        let (mut out, mut nameless) = (Vec::new(), 0);
        let tests = self
            .catalogue
            .select(self.names.target, &[], &c.tests, true);
        for (turn, test) in tests.into_iter().enumerate() {
            // One message at a time, so that numbers and places agree.
            for form in &test.to {
                let one = RelayTest {
                    to: vec![form.clone()],
                    ..test.clone()
                };
                let before = self.ids.lock().len();
                match self.names.envelopes(&one, turn, false, || self.new_token()) {
                    Ok(envelopes) => {
                        let envelopes = envelopes.into_iter();
                        out.extend(envelopes.map(|(u, e)| self.message(&test.name, &u, e)));
                    }
                    Err(_) if c.tests.is_empty() => {
                        self.ids.lock().truncate(before);
                        nameless += 1;
                    }
                    Err(why) => {
                        return Err(usage(format!(
                            "{}: {why}; --relay, --hosted and --user name them",
                            test.name
                        )));
                    }
                }
            }
        }
        if nameless > 0 {
            eprintln!(
                "skipping {} for want of host names; supply them with --relay, --hosted, --user and --collector",
                counted(nameless, "test")
            );
        }
        Ok(out)
    }

    /// Records the messages that arrived in the results.
    fn record(&self, arrivals: &Arrivals, results: &mut [MessageResult]) {
        let (at, ids) = (crate::clock::wall(), self.ids.lock());
        for (seen, output) in arrivals.lock().iter() {
            let output = *output;
            let (id, outcome) = match seen {
                MessageMatch::Probe(id) => (id, MessageOutcome::Delivered { output, at }),
                MessageMatch::Bounce(id) => (id, MessageOutcome::Bounced { at }),
            };
            let place = ids.iter().position(|i| i == id);
            let result = results.iter_mut().find(|r| Some(r.place) == place);
            if let Some(r) = result.filter(|r| r.outcome.superseded_by(&outcome)) {
                r.outcome = outcome;
            }
        }
    }

    /// Starts the collector of `--collector`, if it is given.
    async fn collect(&self, c: &Probe, arrivals: &Arrivals) -> Result<(), CliError> {
        let Some(addr) = c.collector else {
            return Ok(());
        };
        let listener = tokio::net::TcpListener::bind(addr).await;
        let listener = listener.map_err(|e| usage(format!("--collector: {addr}: {e}")))?;
        let (tokens, arrivals) = (self.tokens.clone(), arrivals.clone());
        let domain = self.names.domain.clone();
        let receiver = ReceiverSettings {
            hello: domain.clone(),
            domain,
            addresses: vec![addr.ip()],
            tls: false,
        };
        let handler: collector::MessageHandler = Arc::new(move |incoming, from| {
            match message::match_tokens(&tokens, &incoming.to, &incoming.data) {
                None => collector::NO_TOKEN.into(),
                Some(seen) => {
                    arrivals.lock().push((seen, from));
                    proof_reply("here", from)
                }
            }
        });
        let limits = ConnectionLimits::default();
        let limiter = ConnectionLimiter::new(limits.collect, &limits.shares);
        let collector = Collector::new(receiver, handler, limiter);
        tokio::spawn(collector::run(listener, collector));
        Ok(())
    }
}

fn default_settings() -> TesterSettings {
    TesterSettings {
        ports: config::DEFAULT_PORTS,
        pause: Duration::ZERO,
        min_duration: Duration::ZERO,
        timeout: Duration::from_secs(60),
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
        Client::open(common)?.post_json("/v1/probes", &request)?;
    let path = format!("/v1/jobs/{}", prepared.job);
    let mut settings = default_settings();
    settings.pause = wait_of(c.pause);
    if special::unlistable(&Subject::host(target), &[]).is_none() {
        // Other people's hosts are tested as slowly as the server's own tester does (safety rule
        // S4).
        settings.pause = settings.pause.max(wait_of(config::DEFAULT_PAUSE));
        settings.min_duration = wait_of(config::DEFAULT_MIN_DURATION);
    }
    let report = runtime.block_on(tester::run(
        target,
        c.port,
        &prepared.messages,
        &settings,
        &mut TranscriptPrinter { json: common.json },
    ));
    // A server may have ended the connection meanwhile.
    let results = ProbeResultsRequest {
        results: report.results,
        controls: report.controls,
        transcript: render_transcript(&report.transcript),
    };
    let _: JobResponse = Client::open(common)?.post_json(&format!("{path}/results"), &results)?;
    let until = Instant::now() + wait_of(c.wait);
    loop {
        let job: JobResponse = Client::open(common)?.get(&path)?;
        let decided = matches!(
            job.assessment,
            Some(Assessment::Open | Assessment::Closed | Assessment::Refused)
        );
        if decided || Instant::now() >= until {
            common.print(&job, super::job::print)?;
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
