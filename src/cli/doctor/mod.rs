//! `orbsd doctor`: looks for faults of this server as its users see it.
//!
//! `run` collects a [`context`]: the configuration, and what the daemon reports. Each module of
//! checks turns it into findings; those that ask other machines run at the same time, each with a
//! timeout. `report` shows the findings.

mod certificates;
mod configuration;
mod context;
mod daemon;
mod delegation;
mod files;
mod finding;
mod listeners;
mod query;
mod report;
mod run;
mod sample;
mod servers;
mod site;
mod tester;
#[cfg(test)]
mod tests;
mod web;
mod zones;

pub(super) use run::{Doctor, run};
