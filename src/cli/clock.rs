//! `orbsd clock`: trusted time.

use super::{CliError, Common, client::Client};
use crate::api::{ClockAcceptedResponse, StatusResponse};

/// Show trusted time, or accept the wall clock
#[derive(Debug, clap::Args)]
pub(super) struct Clock {
    #[command(subcommand)]
    command: ClockCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ClockCommand {
    /// Show trusted time and the wall clock; exit code 1 if they differ
    Show,
    /// Set trusted time to the wall clock; listings that are due end at once
    Accept,
}

/// Shows the clock, or accepts the wall clock.
pub(super) fn run(common: &Common, args: &Clock) -> Result<(), CliError> {
    let mut client = Client::open(common)?;
    match args.command {
        ClockCommand::Show => {
            let status: StatusResponse = client.get("/v1/status")?;
            let clock = status.clock;
            let state = match clock.synchronised {
                true => "synchronised",
                false => "not known to be synchronised",
            };
            common.print(&clock, |c| {
                println!(
                    "trusted time {}, wall clock {} ({:+} s), {state} by the kernel",
                    c.trusted, c.wall, c.offset_seconds
                );
            })?;
            clock
                .problem
                .map_or(Ok(()), |why| Err(CliError::Refused(why)))
        }
        ClockCommand::Accept => {
            let done: ClockAcceptedResponse = client.post("/v1/clock/accept")?;
            common.print(&done, |d| {
                println!(
                    "trusted time is {} now; it was {} ({:+} s)",
                    d.now, d.before, d.moved_seconds
                );
            })
        }
    }
}
