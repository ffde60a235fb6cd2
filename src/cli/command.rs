//! Every command there is.

use clap::Subcommand;

use super::{
    Common, Failure, backup, change, check, clock, export, feed, import, key, lookup, people,
    probe, proposal, relay, rename, retire, scrub, serve, status, transfer, undo, webhook, zone,
};

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the daemon
    Serve,
    Check(check::Check),
    Reload(status::Reload),
    Status(status::Status),
    /// List subjects
    List(change::List),
    /// Take subjects off; a feed's entry is held down
    Delist(change::Delist),
    /// Never publish subjects, whatever lists them
    Exempt(change::Exempt),
    /// Show where a subject stands, and why
    Lookup(lookup::Lookup),
    Import(import::Import),
    Export(export::Export),
    Feed(feed::Feed),
    Source(feed::Source),
    Reason(rename::Reason),
    Retire(retire::Retire),
    Zone(zone::Zone),
    Key(key::Key),
    Transfer(transfer::Transfer),
    Undo(undo::Undo),
    Purge(undo::Purge),
    Holds(undo::Holds),
    Watch(undo::Watch),
    Person(people::Person),
    Token(people::Token),
    Audit(people::Audit),
    Clock(clock::Clock),
    Proposal(proposal::Proposal),
    Webhook(webhook::Webhook),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Scrub(scrub::Scrub),
    Nominate(relay::Nominate),
    Jobs(relay::Jobs),
    Tests(relay::Tests),
    Claim(relay::Claim),
    Optout(relay::Optout),
    Evidence(relay::Evidence),
    Probe(probe::Probe),
}

impl Command {
    /// Does it.
    pub(super) fn run(self, common: &Common) -> Result<(), Failure> {
        match self {
            Command::Serve => serve::run(common),
            Command::Check(c) => check::run(common, &c),
            Command::Reload(c) => status::reload(common, &c),
            Command::Status(c) => status::run(common, &c),
            Command::List(c) => change::list_subjects(common, c),
            Command::Delist(c) => change::delist(common, c),
            Command::Exempt(c) => change::exempt(common, c),
            Command::Lookup(c) => lookup::run(common, &c),
            Command::Import(c) => import::run(common, &c),
            Command::Export(c) => export::run(common, &c),
            Command::Feed(c) => feed::feed(common, &c),
            Command::Source(c) => feed::source(common, &c),
            Command::Reason(c) => rename::reason(common, &c),
            Command::Retire(c) => retire::run(common, &c),
            Command::Zone(c) => zone::run(common, &c),
            Command::Key(c) => key::run(common, &c),
            Command::Transfer(c) => transfer::run(common, &c),
            Command::Undo(c) => undo::undo(common, &c),
            Command::Purge(c) => undo::purge(common, &c),
            Command::Holds(c) => undo::holds(common, c),
            Command::Watch(c) => undo::watch(common, &c),
            Command::Person(c) => people::person(common, c),
            Command::Token(c) => people::token(common, c),
            Command::Audit(c) => people::audit(common, &c),
            Command::Clock(c) => clock::run(common, &c),
            Command::Proposal(c) => proposal::run(common, &c),
            Command::Webhook(c) => webhook::run(common, &c),
            Command::Backup(c) => backup::backup(common, &c),
            Command::Restore(c) => backup::restore(common, &c),
            Command::Scrub(c) => scrub::run(common, &c),
            Command::Nominate(c) => relay::nominate(common, &c),
            Command::Jobs(c) => relay::jobs(common, &c),
            Command::Tests(c) => relay::tests(common, &c),
            Command::Claim(c) => relay::claim(common, &c),
            Command::Optout(c) => relay::optout(common, c),
            Command::Evidence(c) => relay::evidence(common, &c),
            Command::Probe(c) => probe::run(common, &c),
        }
    }
}
