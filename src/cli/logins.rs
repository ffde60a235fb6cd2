//! `orbsd logins`: the recent log-ins of a volatile zone.

use std::net::IpAddr;

use clap::Args;

use super::{
    CliError, Common,
    client::{Client, escape, with_query},
};
use crate::api::{LoginsQuery, LoginsResponse};

/// Count the recent log-ins of a volatile zone
#[derive(Debug, Args)]
pub(super) struct Logins {
    /// Origin of the zone, or its short name
    zone: String,
    /// Also show whether this address is published, and until when
    #[arg(long)]
    address: Option<IpAddr>,
}

/// Prints the counts, and the log-in of an address. Without one: exit code 1.
pub(super) fn run(common: &Common, c: &Logins) -> Result<(), CliError> {
    let query = LoginsQuery {
        address: c.address.map(|a| a.to_string()),
    };
    let path = format!("/v1/zones/{}/logins", escape(&c.zone));
    let found: LoginsResponse = Client::open(common)?.get(&with_query(&path, &query))?;
    common.print(&found, |found| print(found, c.address))?;
    match (c.address, &found.login) {
        (Some(_), None) => Err(CliError::Refused(String::new())),
        _ => Ok(()),
    }
}

fn print(found: &LoginsResponse, address: Option<IpAddr>) {
    println!(
        "{}: {} of at most {} log-ins; {} reported, {} ended by a log-out, {} removed for want of room since the start",
        found.zone, found.entries, found.max_entries, found.reported, found.removed, found.evicted
    );
    match (&found.login, address) {
        (Some(login), _) => println!("{} is published until {}", login.address, login.ends),
        (None, Some(address)) => println!("{address} is not published"),
        (None, None) => {}
    }
}
