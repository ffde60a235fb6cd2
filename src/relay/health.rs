//! Watches the collector: whether it answers, whether mail of the probe domain is sent to it, and
//! whether it is under load.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    time::{Instant, sleep, timeout},
};

use super::{
    collector::{Collector, HealthChecks},
    service::{COLLECTOR, RelayService},
};
use crate::{model::Time, resolver};

/// How often the collector looks whether it can be reached.
const LOOK: Duration = Duration::from_secs(30);
/// How often it looks whether DNS sends the probe domain's mail to it.
const LOOK_OUTSIDE: Duration = Duration::from_secs(600);
/// How long nobody may answer that question.
const UNANSWERED: Duration = Duration::from_secs(3600);
/// How long after the last sign of load the collector still counts as under load.
const LOAD_LASTS: Duration = Duration::from_secs(300);
/// How long it may take to answer itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks whether DNS sends the probe domain's mail here: what is wrong with it, or an error where
/// nobody answers.
pub type MailRouteCheck = Arc<
    dyn Fn() -> Pin<Box<dyn Future<Output = Result<Option<String>, String>> + Send>> + Send + Sync,
>;

/// Looks where the probe domain's mail goes, while hosts on the Internet may be tested, by us or by
/// reporters: what comes elsewhere proves nothing, and somebody else gets it (safety rule S10).
pub fn outside(
    desk: RelayService,
    names: Arc<Option<resolver::Names>>,
    addresses: Vec<IpAddr>,
) -> MailRouteCheck {
    Arc::new(move || {
        let (names, settings, addresses) = (names.clone(), desk.settings(), addresses.clone());
        Box::pin(async move {
            // Who listens everywhere is reached under each address of the machine. The tester's are
            // no collector's.
            let ours =
                |a: IpAddr| addresses.contains(&a) || (settings.at_home)(&settings.listen, a);
            match &*names {
                Some(names) if settings.is_outside() => {
                    goes_elsewhere(names, &settings.domain, &ours).await
                }
                _ => Ok(None),
            }
        })
    })
}

/// What is wrong with a domain's MX: each of its addresses has to be ours. The error is that of a
/// resolver that does not answer.
async fn goes_elsewhere(
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
                "mail for {domain} goes to {host}, {addr}, which is no address of the collector; {how}"
            )));
        }
    }
    Ok(
        (!some)
            .then(|| format!("DNS has no MX of {domain} with an address: no message would come")),
    )
}

/// Looks, as long as it runs, whether each address of the collector answers, and whether mail is
/// sent there, and tells the desk.
pub async fn watch(
    addresses: Vec<SocketAddr>,
    outside: MailRouteCheck,
    collector: Collector,
    desk: RelayService,
) {
    let (mut elsewhere, mut next, mut answered, mut asked) =
        (None, Instant::now(), None::<Instant>, false);
    let (mut load, mut turned_away) = (Load::default(), 0);
    loop {
        // From a reload on it counts, or does not: what was known before does not hold.
        let number = desk.look();
        let asks = desk.settings().is_outside();
        if asks != asked || desk.is_unseen() {
            (asked, answered, next) = (asks, None, Instant::now());
        }
        if Instant::now() >= next {
            match outside().await {
                Ok(wrong) => (elsewhere, answered) = (wrong, Some(Instant::now())),
                // Others cannot find it either, for long; or nobody has ever known.
                Err(e) if answered.is_none_or(|t| t.elapsed() > UNANSWERED) => {
                    elsewhere = Some(format!("nobody can say where its mail goes: {e}"));
                }
                // What was known last holds.
                Err(e) => {
                    tracing::warn!(error = %e, "where the mail of the probe domain goes could not be looked up");
                }
            }
            // Whoever mends it does not wait for long.
            next = Instant::now()
                + if elsewhere.is_some() {
                    LOOK
                } else {
                    LOOK_OUTSIDE
                };
        }
        let mut wrong = elsewhere.clone();
        for addr in &addresses {
            if let Err(e) = answers(*addr, &collector.health_checks).await {
                wrong = Some(format!("{addr} does not answer: {e}"));
            }
        }
        if let Some(why) = desk.ledger_wrong() {
            wrong = Some(why);
        }
        let told = desk.clone();
        let loaded = load.look(
            collector.was_loaded(&mut turned_away),
            Instant::now(),
            told.now(),
        );
        let said = tokio::task::spawn_blocking(move || {
            // Whether the store fails is noted in any case.
            let noted = told.loaded(loaded, told.now());
            told.well(COLLECTOR, wrong.map(|w| (w, told.now())), told.now())
                .and(noted)
        });
        let said = said.await;
        match said {
            Ok(Ok(())) => desk.looked(number),
            Ok(Err(e)) => {
                tracing::warn!(error = ?e, "the state of the collector could not be written down");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = sleep(LOOK) => {}
            () = desk.asked() => {}
        }
    }
}

/// Whether, and since when, the collector is under load: it closes or refuses sessions for want of
/// places, or puts messages off. What was sent to it then may not have come.
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
        } else if self.last_sign.is_none_or(|l| instant - l >= LOAD_LASTS) {
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
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.1);
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
        // The port is known before anybody can see the connection, so that nobody else has its
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
        checks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(source);
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
    timeout(PATIENCE, greeted).await?
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
