//! The tables of tickets. The letters `m`, `w` and `l` are those of the tables of mail, in
//! [`super::mail_rows`].

use super::{
    notice::TicketNotice,
    ticket::{NameException, Suspension, Ticket},
};
use crate::{
    ledger::{Feature, FeatureTable},
    model::{Subject, Time},
    store::schema::FeatureFamily,
};

/// The feature of tickets.
#[derive(Debug)]
pub enum Tickets {}

impl Feature for Tickets {
    const FAMILY: FeatureFamily = FeatureFamily::Tickets;
    type Notice = TicketNotice;
}

/// A table of tickets.
pub type TicketTable<K, V> = FeatureTable<Tickets, K, V>;

/// Tickets, by number.
pub const TICKETS: &TicketTable<u64, Ticket> = &TicketTable::new(b't');
/// The numbers of tickets, by the hash of their secret.
pub const SECRETS: &TicketTable<[u8; 32], u64> = &TicketTable::new(b's');
/// The numbers of tickets, by the hash of the address of their release.
pub const RELEASES: &TicketTable<[u8; 32], u64> = &TicketTable::new(b'r');
/// The numbers of open tickets.
pub const OPEN: &TicketTable<u64, ()> = &TicketTable::new(b'o');
/// The numbers of tickets that wait for a person.
pub const WAITING: &TicketTable<u64, ()> = &TicketTable::new(b'q');
/// Tickets with a removal that some public server may not have yet.
pub const SPREADING: &TicketTable<u64, ()> = &TicketTable::new(b'p');
/// Tickets with a removal, until they are erased: whether their subject is listed again.
pub const REMOVED: &TicketTable<u64, ()> = &TicketTable::new(b'v');
/// The numbers of closed tickets, by the time at which they closed.
pub const CLOSED: &TicketTable<(Time, u64), ()> = &TicketTable::new(b'c');
/// Addresses that are not published because they have a name of their own.
pub const EXCEPTIONS: &TicketTable<Subject, NameException> = &TicketTable::new(b'e');
/// The suspensions of the last days.
pub const SUSPENSIONS: &TicketTable<(), Vec<Suspension>> = &TicketTable::new(b'd');
/// The tickets of each subject.
pub const SUBJECTS: &TicketTable<(Subject, u64), ()> = &TicketTable::new(b'j');
/// The number of the last erasure on request that was carried out here.
pub const LAST_ERASURE: &TicketTable<(), u64> = &TicketTable::new(b'x');
/// The last number of a ticket.
pub const LAST_NUMBER: &TicketTable<(), u64> = &TicketTable::new(b'n');
