//! `orbsd notice`: announcements on the public site.

use clap::{Args, Subcommand};

use super::{
    CliError, Common,
    client::Client,
    output,
    text::{join, some},
};
use crate::api::{NoticeRequest, NoticeResponse, NoticeState};

/// Announce incidents and planned work on the public site
#[derive(Debug, Args)]
pub(super) struct Notice {
    #[command(subcommand)]
    command: NoticeCommand,
}

#[derive(Debug, Subcommand)]
enum NoticeCommand {
    /// Show all notices, the last added one first
    List,
    /// Add a notice
    Add(Add),
    /// End a notice
    End {
        /// Number of the notice
        number: u64,
    },
}

#[derive(Debug, Args)]
struct Add {
    /// Text; an empty line separates paragraphs
    text: String,
    /// Title of one line [default: the first line of the text]
    #[arg(long)]
    title: Option<String>,
    /// Zone that the notice is about; may be repeated [default: all zones]
    #[arg(long)]
    zone: Vec<String>,
    /// Start of the notice: duration from now, date or RFC 3339 time [default: now]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// End of the notice: duration from now, date or RFC 3339 time [default: `orbsd notice end`]
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// Shows notices, or changes one.
pub(super) fn run(common: &Common, c: Notice) -> Result<(), CliError> {
    let mut client = Client::open(common)?;
    match c.command {
        NoticeCommand::List => client.print_list(common, "/v1/notices", print_whole),
        NoticeCommand::Add(c) => {
            let request = NoticeRequest {
                title: c.title.unwrap_or_default(),
                text: c.text,
                zones: c.zone,
                from: c.from,
                until: c.until,
            };
            let added: NoticeResponse = client.post_json("/v1/notices", &request)?;
            client.warn_of_clock(request.until.as_deref());
            common.print(&added, |n| {
                println!("{}: added; {}", n.public.number, period(n));
            })
        }
        NoticeCommand::End { number } => {
            let ended: NoticeResponse = client.delete(&format!("/v1/notices/{number}"))?;
            common.print(&ended, |n| {
                println!("{number}: {}", n.public.state.as_str());
            })
        }
    }
}

/// When a notice is current.
fn period(n: &NoticeResponse) -> String {
    let until = n.public.until.map(|t| t.to_string());
    let until = until.as_deref().unwrap_or("a person ends it");
    match n.public.state {
        NoticeState::Planned => format!("current from {} until {until}", n.public.from),
        NoticeState::Current => format!("current until {until}"),
        NoticeState::Over => format!("over since {until}"),
        NoticeState::Cancelled => format!("cancelled{}", some(" at ", n.public.until)),
    }
}

fn print_whole(n: &NoticeResponse) {
    let zones = match n.public.zones.is_empty() {
        true => "all zones".into(),
        false => join(&n.public.zones),
    };
    println!("{} {}", n.public.number, n.public.title);
    println!(
        "  {zones}; {}; added by {} at {}",
        period(n),
        n.author,
        n.public.added
    );
    output::block("  ", &n.public.text);
}
