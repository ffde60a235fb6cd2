//! `orbsd clock`: trusted time.

use hyper::Method;

use super::{
    Common, Failure,
    client::{Client, bytes},
    output,
};

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
            let status = client.json(Method::GET, "/v1/status", bytes(""))?;
            let clock = &status["clock"];
            let text = |key: &str| clock[key].as_str().unwrap_or("").to_string();
            match common.json {
                true => output::json(clock),
                false => println!(
                    "trusted time {}, wall clock {} ({:+} s), {} by the kernel",
                    text("trusted"),
                    text("wall"),
                    clock["offset_seconds"].as_i64().unwrap_or_default(),
                    if clock["synchronised"] == true {
                        "synchronised"
                    } else {
                        "not known to be synchronised"
                    }
                ),
            }
            clock["problem"]
                .as_str()
                .map_or(Ok(()), |why| Err(Failure::No(why.to_string())))
        }
        Action::Accept => {
            let done = client.json(Method::POST, "/v1/clock/accept", bytes(""))?;
            match common.json {
                true => output::json(&done),
                false => println!(
                    "trusted time is {} now; it was {} ({:+} s)",
                    done["now"].as_str().unwrap_or(""),
                    done["before"].as_str().unwrap_or(""),
                    done["moved_seconds"].as_i64().unwrap_or_default()
                ),
            }
            Ok(())
        }
    }
}
