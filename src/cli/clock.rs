//! `orbsd clock`: trusted time.

use hyper::Method;

use super::{CliError, Common, client::Client, output};
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
            match common.json {
                true => output::json(&clock),
                false => println!(
                    "trusted time {}, wall clock {} ({:+} s), {} by the kernel",
                    clock.trusted,
                    clock.wall,
                    clock.offset_seconds,
                    if clock.synchronised {
                        "synchronised"
                    } else {
                        "not known to be synchronised"
                    }
                ),
            }
            clock
                .problem
                .map_or(Ok(()), |why| Err(CliError::Refused(why)))
        }
        ClockCommand::Accept => {
            let done: ClockAcceptedResponse = client.call(Method::POST, "/v1/clock/accept")?;
            match common.json {
                true => output::json(&done),
                false => println!(
                    "trusted time is {} now; it was {} ({:+} s)",
                    done.now, done.before, done.moved_seconds
                ),
            }
            Ok(())
        }
    }
}
