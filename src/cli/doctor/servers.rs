//! One name server of a zone: whether it answers as users need, and whether it has the same zone as
//! this server.

use std::{net::SocketAddr, time::Duration};

use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{RData, RecordType},
};
use tokio::task::JoinSet;

use super::{
    finding::{Area, Examination, Finding},
    query::{NoAnswer, Protocol, ask, rcode},
    sample::TestNames,
};
use crate::{
    api::LagResponse,
    model::{
        Serial, Zone, serial::forced_transfers, text::counted, time::Seconds, zone::QueryRules,
    },
};

/// A mirror may be behind for this long, or for the zone's refresh if it is shorter: NOTIFY and a
/// transfer take their time.
const MAX_LAG: Seconds = Seconds(60);
/// How long a mirror whose lag is unknown has to catch up.
const CATCH_UP: Duration = Duration::from_secs(1);

/// The reply to a query.
pub(super) type Reply = Result<Message, NoAnswer>;

/// A name server of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ZoneServer {
    pub(super) zone: String,
    pub(super) name: String,
    pub(super) address: SocketAddr,
}

impl ZoneServer {
    /// Begins a check of this server.
    pub(super) fn examination(&self, check: &'static str) -> Examination {
        let target = format!("{} at {} ({})", self.zone, self.name, self.address.ip());
        Examination::new(Area::Servers, check, target)
    }
}

/// The answer to a query of the sample: its RCODE and its data, in order.
pub(super) type SampleAnswer = (ResponseCode, Vec<String>);

/// What a server answered.
#[derive(Debug)]
pub(super) struct Examined {
    pub(super) server: ZoneServer,
    pub(super) findings: Vec<Finding>,
    /// Its serial; `None` if it does not have the zone.
    pub(super) serial: Option<Serial>,
    /// Its answers to the sample, in the order of the names.
    pub(super) sample: Vec<Option<SampleAnswer>>,
}

/// Asks a server everything, at the same time.
pub(super) async fn examine(server: ZoneServer, zone: &Zone, sample: &[String]) -> Examined {
    let (address, origin) = (server.address, server.zone.as_str());
    let names = TestNames::of(zone);
    let (plain, edns, tcp, listed, unlisted, sample) = tokio::join!(
        ask(address, Protocol::Udp, origin, RecordType::SOA, false),
        ask(address, Protocol::Udp, origin, RecordType::SOA, true),
        ask(address, Protocol::Tcp, origin, RecordType::SOA, true),
        ask(address, Protocol::Udp, &names.listed, RecordType::A, true),
        ask(address, Protocol::Udp, &names.unlisted, RecordType::A, true),
        ask_sample(address, sample),
    );
    let (mut findings, serial) = match assess_answer(&server, zone, &plain) {
        Ok((good, serial)) => (vec![good], Some(serial)),
        Err(finding) => (vec![finding], None),
    };
    if serial.is_some() {
        findings.push(assess_edns(&server, &edns));
        findings.push(assess_tcp(&server, &tcp));
        findings.push(assess_test_names(&server, &names, &listed, &unlisted));
    }
    Examined {
        server,
        findings,
        serial,
        sample,
    }
}

/// The answers of a server to a sample; `None` where it did not answer.
pub(super) async fn ask_sample(server: SocketAddr, names: &[String]) -> Vec<Option<SampleAnswer>> {
    let mut tasks = JoinSet::new();
    for (i, name) in names.iter().cloned().enumerate() {
        tasks.spawn(async move {
            let reply = ask(server, Protocol::Udp, &name, RecordType::A, true).await;
            (i, reply.ok().map(|m| sample_answer(&m)))
        });
    }
    let mut out = vec![None; names.len()];
    while let Some(Ok((i, answer))) = tasks.join_next().await {
        out[i] = answer;
    }
    out
}

fn sample_answer(message: &Message) -> SampleAnswer {
    let mut data: Vec<String> = message.answers.iter().map(|r| r.data.to_string()).collect();
    data.sort();
    (message.metadata.response_code, data)
}

/// The serial in an authoritative answer to a query for the SOA.
pub(super) fn serial(message: &Message) -> Option<Serial> {
    let mut answers = message.answers.iter();
    answers.find_map(|r| match &r.data {
        RData::SOA(soa) if message.metadata.authoritative => Some(Serial(soa.serial)),
        _ => None,
    })
}

/// Whether a server answers for the zone. The error is the finding about one that does not.
pub(super) fn assess_answer(
    server: &ZoneServer,
    zone: &Zone,
    reply: &Reply,
) -> Result<(Finding, Serial), Finding> {
    let examination = server.examination("answer");
    let message = match reply {
        Ok(message) => message,
        Err(NoAnswer::Unreachable(why)) => {
            return Err(examination.not_seen(
                format!("this machine cannot reach it: {why}"),
                "run this on a machine that can",
            ));
        }
        Err(NoAnswer::Failed(why)) => {
            return Err(examination.fault(
                format!("it does not answer over UDP: {why}"),
                "start its name server and open UDP port 53 in its firewall, or remove it from `ns` and from the parent zone",
            ));
        }
    };
    if let Some(serial) = serial(message) {
        return Ok((examination.good(format!("it has serial {serial}")), serial));
    }
    let code = message.metadata.response_code;
    if code == ResponseCode::Refused && zone.query != QueryRules::default() {
        return Err(examination.not_seen(
            "it refuses this machine; `query.allow` of the zone file restricts clients",
            "run this on a machine that may query",
        ));
    }
    let how = match code {
        ResponseCode::NoError => "its answer is not authoritative".to_string(),
        code => format!("it answers {}", rcode(code)),
    };
    Err(examination.fault(
        format!("it is lame: {how}"),
        "configure the zone on it (docs/mirrors), let it transfer the zone (`transfer.allow`), or remove it from `ns` and from the parent zone",
    ))
}

/// Whether a server supports EDNS (RFC 6891).
pub(super) fn assess_edns(server: &ZoneServer, reply: &Reply) -> Finding {
    let examination = server.examination("edns");
    const REMEDY: &str =
        "update its name server, and let firewalls pass queries with EDNS (RFC 6891)";
    match reply {
        Ok(m) if m.edns.is_some() => examination.good("it answers with EDNS"),
        Ok(m) => examination.warning(
            format!(
                "it answers a query with EDNS without it, with {}",
                rcode(m.metadata.response_code)
            ),
            REMEDY,
        ),
        Err(e) => examination.fault(
            format!("it does not answer a query with EDNS: {}", e.text()),
            REMEDY,
        ),
    }
}

/// Whether a server answers over TCP (RFC 7766).
pub(super) fn assess_tcp(server: &ZoneServer, reply: &Reply) -> Finding {
    let examination = server.examination("tcp");
    match reply {
        Ok(m) if serial(m).is_some() => examination.good("it answers over TCP"),
        Ok(m) => examination.fault(
            format!("it answers {} over TCP", rcode(m.metadata.response_code)),
            "let its name server answer over TCP as over UDP",
        ),
        Err(e) => examination.fault(
            format!(
                "it does not answer over TCP, which long answers need: {}",
                e.text()
            ),
            "open TCP port 53 in its firewall, and let its name server listen on TCP",
        ),
    }
}

/// Whether the test names are answered as mail servers expect (RFC 5782 section 5).
pub(super) fn assess_test_names(
    server: &ZoneServer,
    names: &TestNames,
    listed: &Reply,
    unlisted: &Reply,
) -> Finding {
    let examination = server.examination("test-points");
    let shown = |reply: &Reply| match reply {
        Ok(m) => {
            let (code, data) = sample_answer(m);
            format!("{} {}", rcode(code), data.join(" "))
                .trim()
                .to_string()
        }
        Err(e) => e.text().to_string(),
    };
    let is_code = |r: &hickory_resolver::proto::rr::Record| matches!(&r.data, RData::A(a) if a.0.is_loopback());
    let is_listed = matches!(listed, Ok(m) if m.answers.iter().any(is_code));
    let is_unlisted =
        matches!(unlisted, Ok(m) if m.metadata.response_code == ResponseCode::NXDomain);
    match (is_listed, is_unlisted) {
        (true, true) => examination.good("one test point is listed, and the other does not exist"),
        (false, _) => examination.fault(
            format!("{} is not listed: {}", names.listed, shown(listed)),
            "let this server transfer the whole zone; orbsd always has this name",
        ),
        (true, false) => examination.fault(
            format!("{} does not give NXDOMAIN: {}", names.unlisted, shown(unlisted)),
            "remove the wildcard or rewriting of NXDOMAIN on the way: with it, every address counts as listed",
        ),
    }
}

/// Compares the serial of a server with that of this one. `lag` is what the daemon knows.
pub(super) fn assess_serial(
    server: &ZoneServer,
    zone: &Zone,
    (has, ours): (Serial, Serial),
    lag: Option<LagResponse>,
) -> Finding {
    let examination = server.examination("serial");
    if has == ours {
        return examination.good(format!("it has serial {has}, as this server"));
    }
    if has.partial_cmp(&ours) != Some(std::cmp::Ordering::Less) {
        let commands =
            forced_transfers(&server.zone).map(|(name, command)| format!("{name}: `{command}`"));
        return examination.fault(
            format!("it has serial {has}, which is newer than serial {ours} of this server, so that it keeps its zone"),
            format!("force a transfer on it ({}), or set a newer serial with `orbsd zone serial`", commands.join(", ")),
        );
    }
    let limit = MAX_LAG.min(zone.refresh);
    let remedy = "let its name server reach this one over TCP, with the key of `transfer.allow`; `orbsd mirror list` shows NOTIFY and transfers";
    match lag {
        Some(lag) if Seconds(lag.seconds) <= limit => examination.good(format!(
            "it has serial {has} and is {} serials behind for {} s",
            lag.serials, lag.seconds
        )),
        Some(lag) if Seconds(lag.seconds) <= zone.refresh => examination.warning(
            format!(
                "it has serial {has}, and this server has had a newer one for {} s",
                lag.seconds
            ),
            remedy,
        ),
        Some(lag) => examination.fault(
            format!(
                "it is stale: it has serial {has}, and this server has had a newer one for {} s",
                lag.seconds
            ),
            remedy,
        ),
        None => examination.fault(
            format!("it is stale: it has serial {has}, this server has {ours}, and does not know it as a mirror that follows"),
            remedy,
        ),
    }
}

/// The serial of a server some moments later, for one that was behind.
pub(super) async fn serial_later(server: &ZoneServer) -> Option<Serial> {
    tokio::time::sleep(CATCH_UP).await;
    let reply = ask(
        server.address,
        Protocol::Udp,
        &server.zone,
        RecordType::SOA,
        true,
    )
    .await;
    reply.ok().as_ref().and_then(serial)
}

/// Compares answers of a server at the same serial with those of this one. `None` if there is
/// nothing to compare.
pub(super) fn assess_sample(
    server: &ZoneServer,
    names: &[String],
    theirs: &[Option<SampleAnswer>],
    ours: &[Option<SampleAnswer>],
) -> Option<Finding> {
    let both = names.iter().zip(theirs.iter().zip(ours));
    let compared: Vec<_> = both
        .filter_map(|(name, (theirs, ours))| Some((name, theirs.as_ref()?, ours.as_ref()?)))
        .collect();
    if compared.is_empty() {
        return None;
    }
    let examination = server.examination("agreement");
    let shown = |(code, data): &SampleAnswer| {
        format!("{} {}", rcode(*code), data.join(" "))
            .trim()
            .to_string()
    };
    Some(match compared.iter().find(|(_, theirs, ours)| theirs != ours) {
        None => examination.good(format!(
            "it gives the same answers to {}",
            counted(compared.len(), "name")
        )),
        Some((name, theirs, ours)) => examination.fault(
            format!(
                "it has the same serial and another answer for {name}: {}, not {}",
                shown(theirs),
                shown(ours)
            ),
            format!(
                "force a transfer of the whole zone on it, and look for what changes its copy: {}",
                forced_transfers(&server.zone)
                    .map(|(software, command)| format!("{software}: `{command}`"))
                    .join(", ")
            ),
        ),
    })
}
