//! Limits of what strangers may ask for: by the client and its networks, by the subject and its
//! networks, and by the registered domain of the subject. Every refusal says when to come again.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{control::host_address, error::TicketError};
use crate::{
    model::{Subject, Time, domain::registered_domain, time::Seconds},
    net::{RateLimit, RateLimited, RateLimiter},
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// New tickets and new tests from an address. A /24 or /48 has 8 times, a /32 of IPv6 64 times as
/// many.
const OPENED_BY_CLIENT: RateLimit = RateLimit {
    times: 20,
    period: HOUR,
};
/// New tickets and new tests for an address; its networks as above.
const OPENED_FOR_SUBJECT: RateLimit = RateLimit {
    times: 20,
    period: HOUR,
};
/// Other changes of tickets from an address: messages, contact addresses, checks of DNS.
const CHANGED_BY_CLIENT: RateLimit = RateLimit {
    times: 120,
    period: HOUR,
};
/// Codes from an address, right or wrong.
const CODES_BY_CLIENT: RateLimit = RateLimit {
    times: 20,
    period: MINUTE,
};
/// Messages to the removal address from an address, before their authors are known.
const MAILS_BY_CLIENT: RateLimit = RateLimit {
    times: 120,
    period: HOUR,
};
/// Messages to the removal address by authors of a registered domain.
const MAILS_BY_DOMAIN: RateLimit = RateLimit {
    times: 20,
    period: HOUR,
};
/// New tickets and new tests for the names of a registered domain.
const OPENED_FOR_DOMAIN: RateLimit = RateLimit {
    times: 20,
    period: HOUR,
};
/// The most registered domains that are counted at the same time.
const MAX_DOMAINS: usize = 10_000;

/// A kind of request that is limited by the address of its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitedRequest {
    /// A new ticket, or a new test.
    Open,
    /// Another change of a ticket.
    Change,
    /// A code.
    Code,
    /// A message to the removal address.
    Mail,
}

/// Counts the requests of strangers.
#[derive(Debug)]
pub struct RequestLimits {
    started: Instant,
    opened: RateLimiter,
    changed: RateLimiter,
    codes: RateLimiter,
    mails: RateLimiter,
    subjects: RateLimiter,
    domains: DomainLimiter,
    authors: DomainLimiter,
}

impl Default for RequestLimits {
    fn default() -> RequestLimits {
        RequestLimits {
            started: Instant::now(),
            opened: RateLimiter::new(OPENED_BY_CLIENT),
            changed: RateLimiter::new(CHANGED_BY_CLIENT),
            codes: RateLimiter::new(CODES_BY_CLIENT),
            subjects: RateLimiter::new(OPENED_FOR_SUBJECT),
            domains: DomainLimiter::new(OPENED_FOR_DOMAIN),
            mails: RateLimiter::new(MAILS_BY_CLIENT),
            authors: DomainLimiter::new(MAILS_BY_DOMAIN),
        }
    }
}

impl RequestLimits {
    /// Counts a request of a client.
    ///
    /// # Errors
    ///
    /// The client or one of its networks is at its limit; the error says when to come again.
    pub fn count_client(
        &self,
        kind: LimitedRequest,
        client: IpAddr,
        now: Time,
    ) -> Result<(), TicketError> {
        let (limiter, what, period) = match kind {
            LimitedRequest::Open => (&self.opened, "requests", "hour"),
            LimitedRequest::Change => (&self.changed, "changes", "hour"),
            LimitedRequest::Code => (&self.codes, "codes", "minute"),
            LimitedRequest::Mail => (&self.mails, "messages", "hour"),
        };
        let counted = limiter.charge(client, self.started.elapsed());
        counted.map_err(|e| {
            let RateLimited { prefix, times, .. } = e;
            let why = format!("at most {times} {what} an {period} are accepted from {prefix}");
            limit_error(&why.replace("an minute", "a minute"), e.wait, now)
        })
    }

    /// Counts a message whose author is authenticated.
    ///
    /// # Errors
    ///
    /// The registered domain of the author is at its limit; the error says when to come again.
    pub fn count_author(&self, author: &str, now: Time) -> Result<(), TicketError> {
        let domain = author.rsplit_once('@').map_or(author, |(_, d)| d);
        let domain = domain.to_ascii_lowercase();
        let domain = registered_domain(&domain);
        let counted = self.authors.charge(domain, self.started.elapsed());
        counted.map_err(|wait| {
            let times = MAILS_BY_DOMAIN.times;
            let why = format!("at most {times} messages an hour are accepted from {domain}");
            limit_error(&why, wait, now)
        })
    }

    /// Counts a new ticket or a new test for a subject.
    ///
    /// # Errors
    ///
    /// The subject, one of its networks or its registered domain is at its limit; the error says
    /// when to come again.
    pub fn count_subject(&self, subject: &Subject, now: Time) -> Result<(), TicketError> {
        let since_start = self.started.elapsed();
        if let Subject::Domain(d) = subject {
            let domain = registered_domain(d.name());
            return self.domains.charge(domain, since_start).map_err(|wait| {
                let times = OPENED_FOR_DOMAIN.times;
                let why = format!("at most {times} requests an hour are accepted for {domain}");
                limit_error(&why, wait, now)
            });
        }
        let first = host_address(subject).or_else(|| first_address(subject));
        let counted = first.map(|a| self.subjects.charge(a, since_start));
        counted.transpose().map(drop).map_err(|e| {
            let RateLimited { prefix, times, .. } = e;
            let why = format!("at most {times} requests an hour are accepted for {prefix}");
            limit_error(&why, e.wait, now)
        })
    }
}

/// The first address of a prefix.
fn first_address(subject: &Subject) -> Option<IpAddr> {
    match subject {
        Subject::V4(p) => Some(std::net::Ipv4Addr::from(p.first()).into()),
        Subject::V6(p) => Some(std::net::Ipv6Addr::from(p.first()).into()),
        Subject::Domain(_) => None,
    }
}

/// The error of a limit, with the time when to come again.
pub fn limit_error(why: &str, wait: Duration, now: Time) -> TicketError {
    let wait = Seconds(wait.as_secs() + 1);
    let text = format!("{why}; come again after {}", now.plus(wait));
    TicketError::LimitReached(text, wait)
}

/// Limits requests for each registered domain, by the same rule as [`RateLimiter`]: the time at
/// which all requests of a domain are paid off.
#[derive(Debug)]
struct DomainLimiter {
    limit: RateLimit,
    paid_off: Mutex<HashMap<Box<str>, Duration>>,
}

impl DomainLimiter {
    fn new(limit: RateLimit) -> DomainLimiter {
        DomainLimiter {
            limit,
            paid_off: Mutex::default(),
        }
    }

    /// Counts a request; the error is the time to wait.
    fn charge(&self, domain: &str, now: Duration) -> Result<(), Duration> {
        let RateLimit { times, period } = self.limit;
        let mut all = self.paid_off.lock();
        if all.len() >= MAX_DOMAINS {
            all.retain(|_, paid_off| *paid_off > now);
        }
        // If so many domains are in use, strangers use them up; a new one waits.
        if all.len() >= MAX_DOMAINS && !all.contains_key(domain) {
            return Err(period / times);
        }
        let known = all.get(domain).copied().unwrap_or_default();
        let paid_off = known.max(now) + period / times;
        if paid_off > now + period {
            return Err(paid_off - now - period);
        }
        all.insert(domain.into(), paid_off);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_000_000);

    fn opened(limits: &RequestLimits, client: &str) -> usize {
        let client = client.parse().unwrap();
        (0..1000)
            .take_while(|_| {
                limits
                    .count_client(LimitedRequest::Open, client, NOW)
                    .is_ok()
            })
            .count()
    }

    #[test]
    fn flood_from_one_48_is_stopped_and_others_are_not() {
        let limits = RequestLimits::default();
        let of_network: usize = (0..1000)
            .map(|n| opened(&limits, &format!("2001:db8:1:{n:x}::1")))
            .sum();
        assert_eq!(of_network, 160);
        assert_eq!(opened(&limits, "2001:db8:2::1"), 20);
        assert_eq!(opened(&limits, "192.0.2.1"), 20);
        let of_24: usize = (2..=255)
            .map(|n| opened(&limits, &format!("192.0.2.{n}")))
            .sum();
        assert_eq!(of_24, 140);
    }

    #[test]
    fn refusal_says_when_to_come_again() {
        let limits = RequestLimits::default();
        opened(&limits, "192.0.2.1");
        let client = "192.0.2.1".parse().unwrap();
        let error = limits.count_client(LimitedRequest::Open, client, NOW);
        let Err(TicketError::LimitReached(text, wait)) = error else {
            panic!("{error:?}");
        };
        assert!((170..=181).contains(&wait.0), "{wait:?}");
        let again = NOW.plus(wait).to_string();
        assert_eq!(
            text,
            format!(
                "at most 20 requests an hour are accepted from 192.0.2.1; come again after {again}"
            )
        );
    }

    #[test]
    fn requests_for_a_subject_are_limited_by_its_network() {
        let limits = RequestLimits::default();
        let count = |text: &str| {
            let subject: Subject = text.parse().unwrap();
            (0..1000)
                .take_while(|_| limits.count_subject(&subject, NOW).is_ok())
                .count()
        };
        assert_eq!(count("192.0.2.1"), 20);
        assert_eq!(count("192.0.2.1"), 0);
        let rest: usize = (2..=255).map(|n| count(&format!("192.0.2.{n}"))).sum();
        assert_eq!(rest, 140);
        assert_eq!(count("192.0.3.1"), 20);
    }

    #[test]
    fn requests_for_a_domain_are_limited_by_its_registered_domain() {
        let limits = RequestLimits::default();
        let count = |text: &str| {
            let subject: Subject = text.parse().unwrap();
            (0..1000)
                .take_while(|_| limits.count_subject(&subject, NOW).is_ok())
                .count()
        };
        let all: usize = (0..100)
            .map(|n| count(&format!("h{n}.example.co.uk")))
            .sum();
        assert_eq!(all, 20);
        assert_eq!(count("other.co.uk"), 20);
    }

    #[test]
    fn messages_of_one_domain_do_not_use_up_the_limit_of_others_on_its_server() {
        let limits = RequestLimits::default();
        let server = "192.0.2.1".parse().unwrap();
        let mails = |author: &str| {
            (0..25)
                .filter(|_| {
                    let of_client = limits.count_client(LimitedRequest::Mail, server, NOW);
                    of_client.is_ok() && limits.count_author(author, NOW).is_ok()
                })
                .count()
        };
        assert_eq!(mails("x@mail.evil.example"), 20);
        assert_eq!(mails("y@Evil.example"), 0);
        assert_eq!(mails("anna@example.org"), 20);
    }

    #[test]
    fn guesses_of_codes_are_limited() {
        let limits = RequestLimits::default();
        let client = "192.0.2.1".parse().unwrap();
        let tries = (0..1000)
            .take_while(|_| {
                limits
                    .count_client(LimitedRequest::Code, client, NOW)
                    .is_ok()
            })
            .count();
        assert_eq!(tries, 20);
    }

    #[test]
    fn domains_are_counted_in_bounded_memory() {
        let limiter = DomainLimiter::new(OPENED_FOR_DOMAIN);
        for n in 0..2 * MAX_DOMAINS {
            let _ = limiter.charge(&format!("d{n}.example"), Duration::ZERO);
        }
        assert_eq!(limiter.paid_off.lock().len(), MAX_DOMAINS);
        let later = Duration::from_secs(3600);
        assert_eq!(limiter.charge("new.example", later), Ok(()));
        assert_eq!(limiter.paid_off.lock().len(), 1);
    }
}
