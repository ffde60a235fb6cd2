//! `orbsd clock`: trusted time.

use hyper::Method;

use super::{Common, Failure, client::Client, output};
use crate::api::{ClockAcceptedResponse, StatusResponse};

/// Show trusted time, or accept the wall clock
#[derive(Debug, clap::Args)]
pub(super) struct Clock {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show trusted time and the wall clock; exit code 1 while they differ
    Show,
    /// Adopt the wall clock as trusted time; what is due by then ends at once
    Accept,
}

/// Shows the clock, or accepts the wall clock.
pub(super) fn run(common: &Common, args: &Clock) -> Result<(), Failure> {
    let mut client = Client::open(common)?;
    match args.action {
        Action::Show => {
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
            clock.problem.map_or(Ok(()), |why| Err(Failure::No(why)))
        }
        Action::Accept => {
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
