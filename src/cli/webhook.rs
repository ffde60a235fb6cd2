//! `orbsd webhook`: URLs that receive each commit.

use clap::{Args, Subcommand};
use hyper::Method;

use super::{
    CliError, Common,
    client::{Client, escape},
    text::some,
};
use crate::{
    api::{
        Page, WebhookChangeRequest, WebhookMessageResponse, WebhookRequest, WebhookResponse,
        WebhookSecretResponse,
    },
    model::text::counted,
};

/// Manage webhooks, which receive each commit
#[derive(Debug, Args)]
pub(super) struct Webhook {
    #[command(subcommand)]
    command: WebhookCommand,
}

#[derive(Debug, Subcommand)]
enum WebhookCommand {
    /// Show all webhooks, one per line
    List,
    /// Show a webhook and its waiting messages
    Show(Id),
    /// Add a webhook, and display its secret once
    Add {
        /// URL that messages are sent to: http://, https://, or mailto: by the smart host of `[mail]`
        url: String,
    },
    /// Pause a webhook; it does not receive the commits of the pause
    Pause(Id),
    /// Resume a paused webhook
    Resume(Id),
    /// Send all waiting messages and dead letters again now
    Retry(Id),
    /// Remove a webhook and its waiting messages
    Remove(Id),
}

#[derive(Debug, Args)]
struct Id {
    /// ID of the webhook
    id: String,
}

/// A webhook and its messages, for `--json`.
#[derive(serde::Serialize)]
struct WebhookWithMessages {
    #[serde(flatten)]
    webhook: WebhookResponse,
    messages: Vec<WebhookMessageResponse>,
}

/// Shows webhooks, or changes one.
pub(super) fn run(common: &Common, c: &Webhook) -> Result<(), CliError> {
    let mut client = Client::open(common)?;
    let path = |id: &str| format!("/v1/webhooks/{}", escape(id));
    let change = |client: &mut Client, id: &str, paused: bool, done: &str| {
        let request = WebhookChangeRequest { paused };
        let changed: WebhookResponse = client.call_json(Method::PATCH, &path(id), &request)?;
        common.print(&changed, |_| println!("{id}: {done}"))
    };
    match &c.command {
        WebhookCommand::List => client.print_list(common, "/v1/webhooks", print_line),
        WebhookCommand::Show(Id { id }) => {
            let webhook: WebhookResponse = client.get(&path(id))?;
            let waiting: Page<_> = client.get(&format!("{}/messages", path(id)))?;
            let messages = waiting.items;
            common.print(&WebhookWithMessages { webhook, messages }, print_whole)
        }
        WebhookCommand::Add { url } => {
            let request = WebhookRequest { url: url.clone() };
            let added: WebhookSecretResponse = client.post_json("/v1/webhooks", &request)?;
            common.print(&added, print_new)
        }
        WebhookCommand::Pause(Id { id }) => change(&mut client, id, true, "paused"),
        WebhookCommand::Resume(Id { id }) => change(&mut client, id, false, "resumed"),
        WebhookCommand::Retry(Id { id }) => {
            let done: WebhookResponse = client.post(&format!("{}/retry", path(id)))?;
            common.print(&done, |_| {
                println!("{id}: all waiting messages are tried again now");
            })
        }
        WebhookCommand::Remove(Id { id }) => {
            let done: WebhookResponse = client.delete(&path(id))?;
            common.print(&done, |_| println!("{id}: removed"))
        }
    }
}

fn print_line(h: &WebhookResponse) {
    let paused = some(", paused since ", h.paused);
    println!(
        "{} {} by {} since {}{paused}",
        h.id, h.url, h.author, h.since
    );
}

fn print_whole(h: &WebhookWithMessages) {
    print_line(&h.webhook);
    println!("  waiting: {}", counted(h.messages.len(), "message"));
    for m in &h.messages {
        let next = match m.dead {
            true => "given up".into(),
            false => format!("next try {}", m.next),
        };
        let problem = some(": ", m.problem.as_ref());
        println!(
            "  commit {} since {}, {}, {next}{problem}",
            m.commit,
            m.since,
            counted(m.tries, "try")
        );
    }
}

fn print_new(h: &WebhookSecretResponse) {
    println!("{}: added", h.about.id);
    println!("  secret: {}", h.secret);
    println!(
        "  The secret is displayed once. It is the key of HMAC-SHA256 in the header `orbsd-signature`."
    );
}
