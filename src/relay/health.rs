//! Monitors the collector: whether it answers, whether DNS directs the mail of the probe
//! domain to it, and whether it is under load.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep, timeout},
};

use super::{
    collector::{Collector, HealthChecks},
    service::{Component, RelayService},
    tester::tcp_socket,
};
use crate::{model::Time, resolver};

/// How often the collector is checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);
/// How often the mail route of the probe domain is looked up.
const ROUTE_CHECK_INTERVAL: Duration = Duration::from_secs(600);
/// How long look-ups of the mail route may fail before that counts as a problem.
const MAX_UNANSWERED: Duration = Duration::from_secs(3600);
/// How long after the last sign of load the collector counts as under load.
const LOAD_DURATION: Duration = Duration::from_secs(300);
/// The timeout of a health check.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Looks up whether DNS directs the mail of the probe domain to the collector. Returns the problem,
/// if there is one. The error is that of a resolver that does not answer.
pub type MailRouteCheck = Arc<
    dyn Fn() -> Pin<Box<dyn Future<Output = Result<Option<String>, String>> + Send>> + Send + Sync,
>;

/// Returns a check of the mail route of the probe domain. The route matters only while hosts on the
/// Internet may be tested: a message that is delivered elsewhere proves nothing and reaches a
/// third party (safety rule S10).
pub fn mail_route_check(
    service: RelayService,
    names: Arc<Option<resolver::Resolver>>,
    addresses: Vec<IpAddr>,
) -> MailRouteCheck {
    Arc::new(move || {
        let (names, settings, addresses) = (names.clone(), service.settings(), addresses.clone());
        Box::pin(async move {
            // A collector that listens on all addresses is reached at each address of the machine.
            // Addresses that only the tester uses do not count.
            let ours =
                |a: IpAddr| addresses.contains(&a) || (settings.is_local)(&settings.listen, a);
            match &*names {
                Some(names) if settings.may_test_internet() => {
                    route_problem(names, &settings.domain, &ours).await
                }
                _ => Ok(None),
            }
        })
    })
}

/// Returns the problem of a domain's MX: each of its addresses has to be an address of the
/// collector. The error is that of a resolver that does not answer.
async fn route_problem(
    names: &resolver::Resolver,
    domain: &str,
    ours: &(dyn Fn(IpAddr) -> bool + Send + Sync),
) -> Result<Option<String>, String> {
    let mut hosts = names.exchanges(domain).await?;
    if hosts.is_empty() {
        // Without an MX, mail goes to the addresses of the domain itself (RFC 5321 section 5.1).
        hosts.push(domain.into());
    }
    let mut has_address = false;
    for host in &hosts {
        let addresses = names.addresses(host).await?;
        has_address |= !addresses.is_empty();
        if let Some(addr) = addresses.iter().find(|a| !ours(**a)) {
            let hint = "list the public addresses of the collector in [collector] public_addresses";
            return Ok(Some(format!(
                "mail for {domain} goes to {host}, {addr}, which is not an address of the collector; {hint}"
            )));
        }
    }
    Ok((!has_address).then(|| {
        format!("{domain} has no MX with an address in DNS, so test messages cannot arrive")
    }))
}

/// Checks periodically whether each address of the collector answers and whether the mail
/// route is correct, and reports the results to the service.
pub async fn watch(
    addresses: Vec<SocketAddr>,
    route_check: MailRouteCheck,
    collector: Collector,
    service: RelayService,
) {
    let (mut route_error, mut next_route_check, mut last_answer, mut was_outside) =
        (None, Instant::now(), None::<Instant>, false);
    let (mut load, mut turned_away) = (Load::default(), 0);
    loop {
        // After a reload that changes whether the route matters, the earlier result is not valid.
        let number = service.begin_check();
        let may_test_internet = service.settings().may_test_internet();
        if may_test_internet != was_outside || service.is_check_pending() {
            (was_outside, last_answer, next_route_check) =
                (may_test_internet, None, Instant::now());
        }
        if Instant::now() >= next_route_check {
            match route_check().await {
                Ok(wrong) => (route_error, last_answer) = (wrong, Some(Instant::now())),
                // Other mail servers can probably not find the route either, or it was never known.
                Err(e) if last_answer.is_none_or(|t| t.elapsed() > MAX_UNANSWERED) => {
                    route_error = Some(format!("the mail route cannot be looked up: {e}"));
                }
                // The last result stays valid.
                Err(e) => {
                    tracing::warn!(error = %e, "mail route of the probe domain not looked up");
                }
            }
            // While there is a problem, the route is checked more often.
            let interval = match route_error {
                Some(_) => CHECK_INTERVAL,
                None => ROUTE_CHECK_INTERVAL,
            };
            next_route_check = Instant::now() + interval;
        }
        let mut problem = route_error.clone();
        for addr in &addresses {
            if let Err(e) = check_answers(*addr, &collector.health_checks).await {
                problem = Some(format!("{addr} does not answer: {e}"));
            }
        }
        if let Some(why) = service.ledger_problem() {
            problem = Some(why);
        }
        let reporter = service.clone();
        let is_loaded = collector.was_loaded(&mut turned_away);
        let loaded = load.update(is_loaded, Instant::now(), reporter.now());
        let reported = tokio::task::spawn_blocking(move || {
            let problem = problem.map(|p| (p, reporter.now()));
            // Both reports are attempted, even if the first one fails.
            let load_reported = reporter.report_load(loaded, reporter.now());
            reporter
                .report_health(Component::Collector, problem, reporter.now())
                .and(load_reported)
        });
        match reported.await {
            Ok(Ok(())) => service.end_check(number),
            Ok(Err(e)) => {
                tracing::warn!(error = ?e, "collector health not stored");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = sleep(CHECK_INTERVAL) => {}
            () = service.check_requested() => {}
        }
    }
}

/// Tracks whether, and since when, the collector is under load: it closes or refuses sessions for
/// lack of slots, or defers messages. Messages that are sent meanwhile may not arrive.
#[derive(Debug, Default)]
struct Load {
    since: Option<Time>,
    last_sign: Option<Instant>,
    last_check: Option<Time>,
}

impl Load {
    /// Updates the state by whether there were signs of load since the last call. Returns since
    /// when the collector is under load; `None` if it is not.
    fn update(&mut self, is_loaded: bool, instant: Instant, time: Time) -> Option<Time> {
        if is_loaded {
            self.last_sign = Some(instant);
            self.since = self.since.or(self.last_check).or(Some(time));
        } else if self.last_sign.is_none_or(|l| instant - l >= LOAD_DURATION) {
            self.since = None;
        }
        self.last_check = Some(time);
        self.since
    }
}

/// The registration of a health check in progress. It ends when this value is dropped.
struct HealthCheck<'a>(&'a HealthChecks, SocketAddr);

impl Drop for HealthCheck<'_> {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

pub(super) async fn check_answers(addr: SocketAddr, checks: &HealthChecks) -> io::Result<()> {
    let greeted = async {
        let mut addr = addr;
        if addr.ip().is_unspecified() {
            addr.set_ip(if addr.is_ipv4() {
                Ipv4Addr::LOCALHOST.into()
            } else {
                Ipv6Addr::LOCALHOST.into()
            });
        }
        // The source is registered before the connection is made, so that its session is
        // recognised.
        let socket = tcp_socket(addr)?;
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
            Err(io::Error::other("no 220 greeting"))
        }
    };
    timeout(ANSWER_TIMEOUT, greeted).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_lasts_from_the_check_before_its_first_sign_until_five_minutes_after_the_last() {
        let begun = Instant::now();
        let at = |s: u64| (begun + Duration::from_secs(s), Time(1000 + s));
        let mut load = Load::default();
        let mut update = |loaded, s| load.update(loaded, at(s).0, at(s).1);
        assert_eq!(update(false, 0), None);
        assert_eq!(update(true, 30), Some(Time(1000)));
        assert_eq!(update(false, 60), Some(Time(1000)));
        assert_eq!(update(true, 90), Some(Time(1000)));
        assert_eq!(update(false, 389), Some(Time(1000)));
        assert_eq!(update(false, 390), None);
    }
}
