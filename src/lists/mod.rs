//! Reads and writes lists as streams. Each format has its own file, and an entry in [`FORMATS`].

mod access_list;
mod adblock;
mod apache;
mod columns;
pub mod csv;
mod decode;
mod delegated;
mod dnsmasq;
mod emule;
pub mod entry;
mod formats;
mod hosts;
mod input;
mod ip_route;
mod ipset;
mod iptables;
pub mod json;
pub mod list;
pub mod master;
mod nftables;
mod nginx;
mod options;
mod p2p;
pub mod patch;
mod postfix;
pub mod rbldnsd;
mod recognise;
mod record_text;
pub mod records;
mod report;
mod rows;
mod rpz;
#[cfg(test)]
mod tests;
mod text;
mod unbound;
pub mod write;

pub use decode::{MAX_HEAD, plain};
pub use formats::{FORMATS, Format, format_names, guess, is_read, read};
use input::Input;
pub use input::{ListEntry, Sink};
pub use options::{Options, ReasonMapping};
pub use report::{
    ListReport, MAX_PROBLEMS, Omission, Problem, Remark, Shape, Tally, UnpublishedCounts,
    UnreadColumn,
};
