//! The public name servers of zones, and the serial that each is known to serve.

use std::collections::BTreeMap;

use super::{
    error::TicketError,
    follow::ROUND,
    listings::TicketListing,
    service::{MAX_SUBJECT_TICKETS, TicketService},
    state::RemovalServerState,
    tables::{SPREADING, TICKETS},
    ticket::TicketRemoval,
    zone_server::ZoneServer,
};
use crate::model::{Serial, Subject, Time, time::Seconds};

/// How long the servers of a removal are followed at least, because a server can become known
/// later.
const MIN_SPREAD: Seconds = Seconds(600);
/// How long the servers of a removal are followed at most.
const MAX_SPREAD: Seconds = Seconds(7 * 86_400);

/// A public name server, and whether it has a removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovalServer {
    /// The zone.
    pub zone: String,
    /// The name of the server, or its address.
    pub name: String,
    /// When the server was first known to have the removal.
    pub at: Option<Time>,
    /// Whether the server has the removal.
    pub state: RemovalServerState,
}

/// The name of this server, if `[dns] nsid` is empty.
const THIS_SERVER: &str = "this server";

impl TicketService {
    /// Returns the zones that publish listings of a subject.
    pub fn zones_of(&self, subject: &Subject, listings: &[&TicketListing]) -> Vec<String> {
        let mask = listings.iter().fold(0, |all, l| all | l.reason.bit());
        let snapshot = self.ledger.published.snapshot();
        let zones = snapshot.zones.all().iter();
        zones
            .filter(|z| z.spec.has_kind_of(subject) && z.listing_mask & mask != 0)
            .map(|z| z.name.to_string())
            .collect()
    }

    /// Returns the servers of the zones of a removal. This server comes first.
    pub fn removal_servers(&self, removal: &TicketRemoval) -> Vec<RemovalServer> {
        let settings = self.ledger.settings();
        let own = match settings.nsid.as_str() {
            "" => THIS_SERVER,
            nsid => nsid,
        };
        let known = (self.servers)();
        let mut out = Vec::new();
        for z in &removal.zones {
            let server = |name: &str, at: Option<Time>, state: RemovalServerState| RemovalServer {
                zone: z.zone.clone(),
                name: name.into(),
                at,
                state,
            };
            let current = RemovalServerState::Current;
            out.push(server(own, Some(removal.at), current));
            let mut all = BTreeMap::new();
            for s in known.iter().filter(|s| s.zone == z.zone) {
                all.insert(&s.name, server(&s.name, None, state_without(s)));
            }
            for (name, at) in &z.servers {
                all.insert(name, server(name, Some(*at), current));
            }
            out.extend(all.into_values());
        }
        out
    }

    /// Returns when every public server of zones had the end of a listing; `None` if that is not
    /// known. Servers are asked only about the removals of tickets.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn everywhere_at(
        &self,
        subject: &Subject,
        zones: &[String],
        ended: Time,
    ) -> Result<Option<Time>, TicketError> {
        let servers = (self.servers)();
        if !servers.iter().any(|s| zones.contains(&s.zone)) {
            // Only this server, which has it at once.
            return Ok(Some(ended));
        }
        let batch = self.batch(self.now());
        let mut removal = None;
        for number in batch.of_subject(subject, MAX_SUBJECT_TICKETS)? {
            let found = batch.ticket(number)?.removal;
            removal = found.filter(|r| r.at == ended).or(removal);
        }
        let Some(removal) = removal else {
            return Ok(None);
        };
        let times = self.removal_servers(&removal).into_iter();
        let times: Option<Vec<Time>> = times.map(|s| s.at).collect();
        Ok(times.and_then(|t| t.into_iter().max()))
    }

    /// Notes which servers have the recent removals.
    pub(super) fn follow_spreading(&self, now: Time) -> Result<(), TicketError> {
        let mut awaited = BTreeMap::new();
        let servers = (self.servers)();
        let numbers = self
            .rounds
            .next(&self.batch(now), &SPREADING.all(), ROUND)?;
        for number in numbers {
            let done = self.follow_removal(number, &servers, &mut awaited, now);
            self.log_failure(number, done);
        }
        *self.awaited.lock() = awaited;
        Ok(())
    }

    /// Notes which servers have a removal, and adds the zones whose servers lack it to `awaited`.
    fn follow_removal(
        &self,
        number: u64,
        servers: &[ZoneServer],
        awaited: &mut BTreeMap<String, Serial>,
        now: Time,
    ) -> Result<(), TicketError> {
        let batch = self.batch(now);
        let ticket = batch.get(TICKETS, &number)?;
        let removal = ticket.as_ref().and_then(|t| t.removal.clone());
        let (Some(ticket), Some(removal)) = (ticket, removal) else {
            self.decide(now, |batch| {
                batch.delete(SPREADING, &number);
                Ok(())
            })?;
            return Ok(());
        };
        let mut noted = removal.clone();
        if noted.zones.is_empty() {
            self.note_zones(&ticket, &mut noted, None);
        }
        note_servers(&mut noted, servers, now);
        let age = Seconds(now.0.saturating_sub(removal.at.0));
        let all = self.removal_servers(&noted);
        let is_everywhere = all.iter().all(|s| s.at.is_some());
        let is_over = age >= MAX_SPREAD || is_everywhere && age >= MIN_SPREAD;
        for zone in noted.zones.iter().filter(|_| !is_over) {
            let serial = awaited.entry(zone.zone.clone()).or_insert(zone.serial);
            if zone.serial > *serial {
                *serial = zone.serial;
            }
        }
        if noted == removal && !is_over {
            return Ok(());
        }
        self.decide(now, |batch| {
            if is_over {
                batch.delete(SPREADING, &number);
            }
            let mut ticket = batch.ticket(number)?;
            if let Some(removal) = &mut ticket.removal {
                (removal.zones, removal.ttl) = (noted.zones, noted.ttl);
            }
            batch.save(&ticket);
            Ok(())
        })?;
        Ok(())
    }

    /// Returns the zones with recent removals that some of their servers may lack, each with the
    /// serial that they need.
    pub fn awaited(&self) -> BTreeMap<String, Serial> {
        self.awaited.lock().clone()
    }
}

/// The state of a server that is not known to have a removal.
fn state_without(server: &ZoneServer) -> RemovalServerState {
    match (server.answers, server.serial) {
        (Some(false), _) => RemovalServerState::Silent,
        (_, Some(_)) => RemovalServerState::Behind,
        (_, None) => RemovalServerState::Unknown,
    }
}

/// Notes which servers have a removal by now.
fn note_servers(removal: &mut TicketRemoval, known: &[ZoneServer], now: Time) {
    for z in &mut removal.zones {
        for server in known.iter().filter(|s| s.zone == z.zone) {
            let has = server.serial.is_some_and(|s| s >= z.serial);
            if has && !z.servers.contains_key(&server.name) {
                z.servers.insert(server.name.clone(), now);
            }
        }
    }
}
