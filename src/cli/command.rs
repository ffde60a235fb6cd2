//! The command tree.

use clap::Subcommand;

use super::{
    CliError, Common, audit, backup, change, check, clock, compare, export, feed, generic_names,
    hold, import, key, logins, lookup, mirror, netblock, notice, packaging, privacy, proposal,
    purge, relay, rename, retire, scrub, serve, status, tickets, transfer, undo, users, watch,
    webhook, zone,
};

/// The commands, in the order of the help.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    List(change::List),
    Delist(change::Delist),
    Exempt(change::Exempt),
    Lookup(lookup::Lookup),
    GenericNames(generic_names::GenericNames),
    Hold(hold::Hold),
    Proposal(proposal::Proposal),
    Netblock(netblock::Netblock),
    Purge(purge::Purge),
    Undo(undo::Undo),
    Import(import::Import),
    Export(export::Export),
    Transfer(transfer::Transfer),
    Compare(compare::Compare),
    Feed(feed::Feed),
    Source(feed::Source),
    Reason(rename::Reason),
    Zone(zone::Zone),
    Logins(logins::Logins),
    Mirror(mirror::Mirror),
    Retire(retire::Retire),
    Tickets(tickets::Tickets),
    Notice(notice::Notice),
    Privacy(privacy::Privacy),
    /// Run the daemon
    Serve,
    Check(check::Check),
    Reload(status::Reload),
    /// Show zones, serials, counters and problems
    Status,
    Watch(watch::Watch),
    Clock(clock::Clock),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Scrub(scrub::Scrub),
    User(users::User),
    Token(users::Token),
    Audit(audit::Audit),
    Webhook(webhook::Webhook),
    Key(key::Key),
    Relay(relay::Relay),
    Packaging(packaging::Packaging),
}

impl Command {
    /// Runs the command.
    pub(super) fn run(self, common: &Common) -> Result<(), CliError> {
        match self {
            Command::List(c) => change::list_subjects(common, c),
            Command::Delist(c) => change::delist(common, c),
            Command::Exempt(c) => change::exempt(common, c),
            Command::Lookup(c) => lookup::run(common, &c),
            Command::GenericNames(c) => generic_names::run(common, &c),
            Command::Hold(c) => hold::run(common, c),
            Command::Proposal(c) => proposal::run(common, &c),
            Command::Netblock(c) => netblock::run(common, c),
            Command::Purge(c) => purge::run(common, c),
            Command::Undo(c) => undo::run(common, c),
            Command::Import(c) => import::run(common, c),
            Command::Export(c) => export::run(common, &c),
            Command::Transfer(c) => transfer::run(common, &c),
            Command::Compare(c) => compare::run(common, &c),
            Command::Feed(c) => feed::feed(common, &c),
            Command::Source(c) => feed::source(common, c),
            Command::Reason(c) => rename::reason(common, &c),
            Command::Zone(c) => zone::run(common, c),
            Command::Logins(c) => logins::run(common, &c),
            Command::Mirror(c) => mirror::run(common, &c),
            Command::Retire(c) => retire::run(common, &c),
            Command::Tickets(c) => tickets::run(common, c),
            Command::Notice(c) => notice::run(common, c),
            Command::Privacy(c) => privacy::run(common, &c),
            Command::Serve => serve::run(common),
            Command::Check(c) => check::run(common, &c),
            Command::Reload(c) => status::reload(common, &c),
            Command::Status => status::run(common),
            Command::Watch(c) => watch::run(common, &c),
            Command::Clock(c) => clock::run(common, &c),
            Command::Backup(c) => backup::backup(common, &c),
            Command::Restore(c) => backup::restore(common, &c),
            Command::Scrub(c) => scrub::run(common, &c),
            Command::User(c) => users::user(common, c),
            Command::Token(c) => users::token(common, c),
            Command::Audit(c) => audit::run(common, c),
            Command::Webhook(c) => webhook::run(common, &c),
            Command::Key(c) => key::run(common, &c),
            Command::Relay(c) => relay::run(common, c),
            Command::Packaging(c) => packaging::run(common, &c),
        }
    }
}
