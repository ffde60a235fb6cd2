//! One binary of tests that need more than pure functions: a ledger, sockets, the real daemon,
//! other programs.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod api;
mod browser;
mod bugs;
mod clock;
mod command;
mod connections;
mod demo;
mod doh;
mod export_samples;
mod exports;
mod faults;
mod follow;
mod glue;
mod guards;
mod hickory;
mod hostile;
mod imports;
mod index;
mod keys;
mod lab;
mod lists;
mod lookup;
mod metrics;
mod mirrors;
mod name_server;
mod notify;
mod peers;
mod people;
mod primary;
mod priorities;
mod privacy;
mod proof_commands;
mod proofs;
mod proxies;
mod public;
mod recipes;
mod recovery;
mod relay;
mod removal;
mod removal_mail;
mod removals;
mod rename;
mod replay;
mod retire;
mod rfc8906;
mod rows;
mod scenarios;
mod serials;
mod site;
mod subjects;
mod terminal;
mod transports;
mod unit;
