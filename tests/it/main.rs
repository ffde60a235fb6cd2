//! One binary of tests that need more than pure functions: a ledger, sockets, the real daemon, real peers.

mod bugs;
mod command;
mod fronts;
mod hostile;
mod imports;
mod lab;
mod peers;
mod recovery;
mod scenarios;
