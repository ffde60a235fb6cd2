//! `orbsd webhook`: who is told of each commit.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::{
    Common, Failure,
    client::{Client, bytes, escape},
    output,
    text::{list, text},
};

/// Manage webhooks: where each commit is reported
#[derive(Debug, Args)]
pub(super) struct Webhook {
    #[command(subcommand)]
    command: WebhookCommand,
}

#[derive(Debug, Subcommand)]
enum WebhookCommand {
    /// Show all webhooks, one a line
    List,
    /// Show one webhook, and the messages that wait for it
    Show {
        /// The webhook's number
        id: String,
    },
    /// Add a webhook; its secret is displayed once
    Add {
        /// Where messages are sent: http://, https://, or mailto: by the smart host of `[mail]`
        url: String,
    },
    /// Stop sending to a webhook; commits that come meanwhile are not reported to it
    Pause {
        /// The webhook's number
        id: String,
    },
    /// Send to a paused webhook again
    Resume {
        /// The webhook's number
        id: String,
    },
    /// Try all waiting messages again now, those that were given up too
    Retry {
        /// The webhook's number
        id: String,
    },
    /// Remove a webhook and the messages that wait for it
    Remove {
        /// The webhook's number
        id: String,
    },
}

/// Prints an answer of the API.
type Printer<'a> = Box<dyn Fn(&Value) + 'a>;

/// Shows webhooks, or changes one.
pub(super) fn run(common: &Common, c: &Webhook) -> Result<(), Failure> {
    let mut client = Client::open(common)?;
    let mut call = |method, path: String, body: String| client.json(method, &path, bytes(body));
    let place = |id: &str| format!("/v1/webhooks/{}", escape(id));
    let paused = |paused: bool| json!({"paused": paused}).to_string();
    let (done, print): (Value, Printer) = match &c.command {
        WebhookCommand::List => (
            call(Method::GET, "/v1/webhooks".into(), String::new())?,
            Box::new(|all| list(&all["items"]).for_each(print_line)),
        ),
        WebhookCommand::Show { id } => {
            let mut found = call(Method::GET, place(id), String::new())?;
            let waiting = call(
                Method::GET,
                format!("{}/messages", place(id)),
                String::new(),
            )?;
            found["messages"] = waiting["items"].clone();
            (found, Box::new(print_whole))
        }
        WebhookCommand::Add { url } => {
            let made = call(
                Method::POST,
                "/v1/webhooks".into(),
                json!({"url": url}).to_string(),
            )?;
            (made, Box::new(print_new))
        }
        WebhookCommand::Pause { id } => (
            call(Method::PATCH, place(id), paused(true))?,
            Box::new(move |_| println!("{id}: paused")),
        ),
        WebhookCommand::Resume { id } => (
            call(Method::PATCH, place(id), paused(false))?,
            Box::new(move |_| println!("{id}: resumed")),
        ),
        WebhookCommand::Retry { id } => {
            let done = call(Method::POST, format!("{}/retry", place(id)), String::new())?;
            (
                done,
                Box::new(move |_| println!("{id}: all waiting messages are tried again now")),
            )
        }
        WebhookCommand::Remove { id } => (
            call(Method::DELETE, place(id), String::new())?,
            Box::new(move |_| println!("{id}: removed")),
        ),
    };
    match common.json {
        true => output::json(&done),
        false => print(&done),
    }
    Ok(())
}

fn print_line(h: &Value) {
    let paused = h["paused"]
        .as_str()
        .map_or(String::new(), |t| format!(", paused since {t}"));
    println!(
        "{} {} by {} since {}{paused}",
        text(&h["id"]),
        text(&h["url"]),
        text(&h["by"]),
        text(&h["since"])
    );
}

fn print_whole(h: &Value) {
    print_line(h);
    println!("  {} messages wait", list(&h["messages"]).count());
    for m in list(&h["messages"]) {
        let next = match m["dead"] == true {
            true => "given up".to_string(),
            false => format!("next try {}", text(&m["next"])),
        };
        let problem = m["problem"]
            .as_str()
            .map_or(String::new(), |p| format!(": {p}"));
        println!(
            "  commit {} since {}, {} tries, {next}{problem}",
            m["commit"],
            text(&m["since"]),
            m["tries"]
        );
    }
}

fn print_new(h: &Value) {
    println!("{}: added", text(&h["id"]));
    println!("  secret: {}", text(&h["secret"]));
    println!(
        "  The secret is displayed once. It is the key of HMAC-SHA256 in the header `orbsd-signature`."
    );
}
