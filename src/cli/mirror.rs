//! `orbsd mirror`: the mirrors of the zones.

use clap::{Args, Subcommand};

use super::{CliError, Common, client::Client, text::some, zone::print_commands};
use crate::{
    api::{MirrorResponse, Page},
    model::text::counted,
};

/// Show the mirrors of the zones
#[derive(Debug, Args)]
pub(super) struct Mirror {
    #[command(subcommand)]
    command: MirrorCommand,
}

#[derive(Debug, Subcommand)]
enum MirrorCommand {
    /// Show the serial of each mirror, its last NOTIFY, request and transfer
    List,
}

pub(super) fn run(common: &Common, c: &Mirror) -> Result<(), CliError> {
    let MirrorCommand::List = c.command;
    let all: Page<MirrorResponse> = Client::open(common)?.get("/v1/mirrors")?;
    common.print(&all, |all| print_mirrors(&all.items))
}

fn print_mirrors(mirrors: &[MirrorResponse]) {
    if mirrors.is_empty() {
        println!("no mirror is configured, and none has requested a transfer");
    }
    mirrors.iter().for_each(print_mirror);
}

fn print_mirror(m: &MirrorResponse) {
    let other = match m.configured {
        true => "",
        false => " (not configured)",
    };
    let state = match (m.behind, m.mirror_serial) {
        (Some(b), _) if b.serials == 0 => "current".to_string(),
        (Some(b), _) => format!("{} serials behind for {} s", b.serials, b.seconds),
        (None, None) => "serial unknown".into(),
        (None, Some(serial)) => format!("has serial {serial}, which is ahead of this server"),
    };
    println!(
        "{} serial {} {}{}{other}: {state}",
        m.zone,
        m.serial,
        m.address,
        some(" key ", m.key.as_ref())
    );
    if let Some(commands) = &m.needs_transfer {
        println!(
            "  the serial is not newer than its own, so it keeps its old zone: force a transfer there"
        );
        print_commands(commands);
    }
    if let Some(n) = &m.last_notify {
        let answer = match (n.rcode.as_deref(), &n.problem) {
            (Some("NOERROR"), _) => {
                format!("acknowledged after {} ms", n.answer_ms.unwrap_or_default())
            }
            (Some(rcode), _) => format!("answered {rcode}"),
            (None, Some(problem)) => format!("tried {}: {problem}", counted(n.tries, "time")),
            (None, None) => format!("tried {}, no answer yet", counted(n.tries, "time")),
        };
        println!("  notified of {} at {}: {answer}", n.serial, n.at);
    }
    if let Some(r) = &m.last_request {
        let what = match r.serial {
            Some(s) => format!("the changes after {s}"),
            None => "the SOA".into(),
        };
        println!("  requested {what} at {}", r.at);
    }
    if let Some(t) = &m.last_transfer {
        println!(
            "  transferred {} at {}: {}, {} bytes in {} ms",
            t.to,
            t.at,
            t.kind.as_str(),
            t.bytes,
            t.ms
        );
    }
}
