//! Watches the collector: whether it answers, whether mail of the probe domain is sent to it, and
//! whether it is under load.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    time::{Instant, sleep, timeout},
};

use super::{
    collector::{Collector, HealthChecks},
    service::{Component, RelayService},
};
use crate::{model::Time, resolver};

/// How often the collector is checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);
/// How often the route of the probe domain's mail is looked up.
const ROUTE_CHECK_INTERVAL: Duration = Duration::from_secs(600);
/// How long that look-up may fail before it counts as a problem.
const MAX_UNANSWERED: Duration = Duration::from_secs(3600);
/// How long after the last sign of load the collector counts as under load.
const LOAD_DURATION: Duration = Duration::from_secs(300);
/// How long the collector may take to greet a health check.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Looks up whether DNS sends the probe domain's mail here. It returns the problem, or an error where
/// no resolver answers.
pub type MailRouteCheck = Arc<
    dyn Fn() -> Pin<Box<dyn Future<Output = Result<Option<String>, String>> + Send>> + Send + Sync,
>;

/// The check of the probe domain's mail route, while hosts on the Internet may be tested by us or by
/// reporters: a message that is delivered elsewhere proves nothing, and a third party gets it (safety
/// rule S10).
pub fn mail_route_check(
    service: RelayService,
    names: Arc<Option<resolver::Names>>,
    addresses: Vec<IpAddr>,
) -> MailRouteCheck {
    Arc::new(move || {
        let (names, settings, addresses) = (names.clone(), service.settings(), addresses.clone());
        Box::pin(async move {
            // A collector that listens on every address is reached at each address of the machine. An
            // address of the tester alone is not one of the collector's.
            let ours =
                |a: IpAddr| addresses.contains(&a) || (settings.is_local)(&settings.listen, a);
            match &*names {
                Some(names) if settings.is_outside() => {
                    route_problem(names, &settings.domain, &ours).await
                }
                _ => Ok(None),
            }
        })
    })
}

/// The problem of a domain's MX, each of whose addresses has to be ours. The error is that of a
/// resolver that does not answer.
async fn route_problem(
    names: &resolver::Names,
    domain: &str,
    ours: &(dyn Fn(IpAddr) -> bool + Send + Sync),
) -> Result<Option<String>, String> {
    let mut hosts = names.exchanges(domain).await?;
    if hosts.is_empty() {
        // Then mail goes to the domain's own addresses (RFC 5321 section 5.1).
        hosts.push(domain.into());
    }
    let mut some = false;
    for host in &hosts {
        let addresses = names.addresses(host).await?;
        some |= !addresses.is_empty();
        if let Some(addr) = addresses.iter().find(|a| !ours(**a)) {
            let how = "[collect] addresses names those under which the collector is reached";
            return Ok(Some(format!(
                "mail for {domain} goes to {host}, {addr}, which is not an address of the collector; {how}"
            )));
        }
    }
    Ok(
        (!some)
            .then(|| format!("DNS has no MX of {domain} with an address: no message would come")),
    )
}

/// Checks again and again whether each address of the collector answers and whether the probe
/// domain's mail is sent there, and reports to the service.
pub async fn watch(
    addresses: Vec<SocketAddr>,
    route_check: MailRouteCheck,
    collector: Collector,
    service: RelayService,
) {
    let (mut elsewhere, mut next, mut answered, mut asked) =
        (None, Instant::now(), None::<Instant>, false);
    let (mut load, mut turned_away) = (Load::default(), 0);
    loop {
        // After a reload that changes whether the route counts, an earlier result does not hold.
        let number = service.begin_check();
        let asks = service.settings().is_outside();
        if asks != asked || service.is_check_pending() {
            (asked, answered, next) = (asks, None, Instant::now());
        }
        if Instant::now() >= next {
            match route_check().await {
                Ok(wrong) => (elsewhere, answered) = (wrong, Some(Instant::now())),
                // Other mail servers cannot find the route either by now, or it was never known.
                Err(e) if answered.is_none_or(|t| t.elapsed() > MAX_UNANSWERED) => {
                    elsewhere = Some(format!("the route of its mail cannot be looked up: {e}"));
                }
                // The last result holds.
                Err(e) => {
                    tracing::warn!(error = %e, "mail route of the probe domain not looked up");
                }
            }
            // A problem that is mended is noticed soon.
            next = Instant::now()
                + if elsewhere.is_some() {
                    CHECK_INTERVAL
                } else {
                    ROUTE_CHECK_INTERVAL
                };
        }
        let mut problem = elsewhere.clone();
        for addr in &addresses {
            if let Err(e) = answers(*addr, &collector.health_checks).await {
                problem = Some(format!("{addr} does not answer: {e}"));
            }
        }
        if let Some(why) = service.ledger_problem() {
            problem = Some(why);
        }
        let reporter = service.clone();
        let loaded = load.look(
            collector.was_loaded(&mut turned_away),
            Instant::now(),
            reporter.now(),
        );
        let reported = tokio::task::spawn_blocking(move || {
            let problem = problem.map(|p| (p, reporter.now()));
            // Whether the store fails is noted in any case.
            let noted = reporter.report_load(loaded, reporter.now());
            reporter
                .report_health(Component::Collector, problem, reporter.now())
                .and(noted)
        });
        match reported.await {
            Ok(Ok(())) => service.end_check(number),
            Ok(Err(e)) => {
                tracing::warn!(error = ?e, "state of the collector not stored");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = sleep(CHECK_INTERVAL) => {}
            () = service.check_requested() => {}
        }
    }
}

/// Whether, and since when, the collector is under load: it closes or refuses sessions for lack of
/// places, or defers messages. Messages that were sent to it then may not have arrived.
#[derive(Debug, Default)]
struct Load {
    since: Option<Time>,
    last_sign: Option<Instant>,
    last_look: Option<Time>,
}

impl Load {
    /// Takes what was seen since the last look; since when it is under load, if it is.
    fn look(&mut self, is_loaded: bool, instant: Instant, time: Time) -> Option<Time> {
        if is_loaded {
            self.last_sign = Some(instant);
            self.since = self.since.or(self.last_look).or(Some(time));
        } else if self.last_sign.is_none_or(|l| instant - l >= LOAD_DURATION) {
            self.since = None;
        }
        self.last_look = Some(time);
        self.since
    }
}

/// A health check's address and port, while it is under way.
struct HealthCheck<'a>(&'a HealthChecks, SocketAddr);

impl Drop for HealthCheck<'_> {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

pub(super) async fn answers(addr: SocketAddr, checks: &HealthChecks) -> io::Result<()> {
    let greeted = async {
        let mut addr = addr;
        if addr.ip().is_unspecified() {
            addr.set_ip(if addr.is_ipv4() {
                Ipv4Addr::LOCALHOST.into()
            } else {
                Ipv6Addr::LOCALHOST.into()
            });
        }
        // The port is known before the connection is visible, so that no other client gets its
        // place.
        let socket = if addr.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        let mut source = addr;
        source.set_port(0);
        socket.bind(source)?;
        let source = socket.local_addr()?;
        checks.lock().insert(source);
        let _check = HealthCheck(checks, source);
        let mut stream = socket.connect(addr).await?;
        let mut buffer = [0; 3];
        stream.read_exact(&mut buffer).await?;
        stream.write_all(b"QUIT\r\n").await?;
        if &buffer == b"220" {
            Ok(())
        } else {
            Err(io::Error::other("it does not greet"))
        }
    };
    timeout(ANSWER_TIMEOUT, greeted).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_lasts_from_the_look_before_its_first_sign_until_five_minutes_after_the_last() {
        let begun = Instant::now();
        let at = |s: u64| (begun + Duration::from_secs(s), Time(1000 + s));
        let mut load = Load::default();
        let mut look = |loaded, s| load.look(loaded, at(s).0, at(s).1);
        assert_eq!(look(false, 0), None);
        assert_eq!(look(true, 30), Some(Time(1000)));
        assert_eq!(look(false, 60), Some(Time(1000)));
        assert_eq!(look(true, 90), Some(Time(1000)));
        assert_eq!(look(false, 389), Some(Time(1000)));
        assert_eq!(look(false, 390), None);
    }
}
