//! orbsd is an authoritative DNS blocklist server that keeps evidence and history for each listing.
//!
//! This is the map of its modules. `docs/design.md` describes layers, invariants and decisions, and
//! has a table for each flow (query, listing, import, transfer, relay test, reload) with the
//! functions in order. `docs/glossary.md` defines the terms.
//!
//! Dependencies point upwards in this table. `tests/tidy.rs` has the exact table of imports.
//!
//! | layer | module | content |
//! | --- | --- | --- |
//! | domain | [`model`] | subjects, reasons, events, verdicts, zones, serials, users: values and rules |
//! | | [`metrics`], [`random`] | counters of queries; random numbers |
//! | | [`query_sample`] | a sample of the addresses that mail servers ask about |
//! | protocol | [`index`] | the tables for queries, their rendering, and the differences of two states |
//! | | [`dns`] | turns queries into replies; transfers, TSIG |
//! | | [`lists`] | file formats: recognised, read and written |
//! | | [`smtp`] | both sides of SMTP as state machines |
//! | | [`advice`] | the knowledge base: how mail servers are recognised and closed |
//! | | [`bounce`] | what a pasted bounce names: the refused client, the lists, the refusing server |
//! | | [`generic_names`] | whether a reverse name is one that a provider has made |
//! | | [`trace`] | attributes a message to the address that handed it over, from its headers |
//! | storage | [`clock`] | trusted time |
//! | | [`store`] | the database; the only module that uses RocksDB |
//! | | [`ledger`] | the only writer: decides, commits, publishes |
//! | | [`imports`] | turns list files into one change of a source |
//! | | [`comparison`] | compares other lists with ours, and the own sources with each other |
//! | | [`net`] | limits of connections, rates and file descriptors |
//! | delivery | [`server`] | DNS listeners, transfers, NOTIFY |
//! | | [`http`], [`api`] | the API: handlers, and the types of requests and responses |
//! | | [`feeds`] | sources that are refreshed from files and other servers |
//! | | [`exports`] | files that are kept current |
//! | | [`webhooks`], [`mail`], [`resolver`] | messages about commits, and how they are sent |
//! | | [`reverse_names`] | reverse names of listed addresses, found in the background |
//! | | [`relay`] | open-relay tests: nominations, sessions, arrivals, listings and claims |
//! | | [`tickets`] | requests that a subject is delisted: states, policies, proofs of control |
//! | | [`netblocks`] | networks that two persons list: entries, contacts of owners, collateral |
//! | | [`dynamic_ranges`] | ranges that providers prove and edit: proofs, edits, renewals |
//! | | [`recipes`] | the settings with which mail servers use a zone |
//! | | [`privacy`] | the kinds of personal data, and the job that erases what is too old |
//! | | [`statistics`] | the figures of each list for the last days |
//! | | [`quality`] | daily figures of proofs, errors and removals of each zone and source |
//! | | [`site`] | the public pages, and what they share with the API |
//! | | [`texts`] | the texts of pages and mail in several languages |
//! | composition | [`config`], [`daemon`], [`cli`] | the configuration, the daemon, the command line |
//!
//! The domain and protocol layers do no I/O and read no clock. Storage and the layers below it in
//! this table need the feature `daemon`, except for what does no I/O: the stored forms in
//! [`store::schema`], and the rules, messages and parsers of [`relay`].

pub mod metrics;
pub mod model;
pub mod query_sample;
pub mod random;

pub mod advice;
pub mod bounce;
pub mod comparison;
pub mod dns;
pub mod generic_names;
pub mod index;
pub mod lists;
pub mod recipes;
pub mod relay;
pub mod smtp;
pub mod tickets;
pub mod trace;

#[cfg(feature = "daemon")]
pub mod clock;
#[cfg(feature = "daemon")]
pub mod exports;
#[cfg(feature = "daemon")]
pub mod imports;
#[cfg(feature = "daemon")]
pub mod ledger;
pub mod store;

#[cfg(feature = "daemon")]
pub mod api;
#[cfg(feature = "daemon")]
pub mod dynamic_ranges;
#[cfg(feature = "daemon")]
pub mod feeds;
#[cfg(feature = "daemon")]
pub mod http;
#[cfg(feature = "daemon")]
pub mod mail;
#[cfg(feature = "daemon")]
pub mod net;
#[cfg(feature = "daemon")]
pub mod netblocks;
#[cfg(feature = "daemon")]
pub mod privacy;
#[cfg(feature = "daemon")]
pub mod quality;
#[cfg(feature = "daemon")]
pub mod resolver;
#[cfg(feature = "daemon")]
pub mod reverse_names;
#[cfg(feature = "daemon")]
pub mod server;
#[cfg(feature = "daemon")]
pub mod site;
#[cfg(feature = "daemon")]
pub mod statistics;
#[cfg(feature = "daemon")]
pub mod texts;
#[cfg(feature = "daemon")]
pub mod webhooks;

#[cfg(feature = "daemon")]
pub mod cli;
#[cfg(feature = "daemon")]
pub mod config;
#[cfg(feature = "daemon")]
pub mod daemon;
