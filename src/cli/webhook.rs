//! `orbsd webhook`: URLs that receive each commit.

use clap::{Args, Subcommand};
use hyper::Method;

use super::{
    CliError, Common,
    client::{Client, escape},
    output,
    text::some,
};
use crate::api::{
    Page, WebhookChangeRequest, WebhookMessageResponse, WebhookRequest, WebhookResponse,
    WebhookSecretResponse,
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
    Show {
        /// ID of the webhook
        id: String,
    },
    /// Add a webhook, and display its secret once
    Add {
        /// URL that messages are sent to: http://, https://, or mailto: by the smart host of `[mail]`
        url: String,
    },
    /// Pause a webhook; it does not receive the commits of the pause
    Pause {
        /// ID of the webhook
        id: String,
    },
    /// Resume a paused webhook
    Resume {
        /// ID of the webhook
        id: String,
    },
    /// Send all waiting messages and dead letters again now
    Retry {
        /// ID of the webhook
        id: String,
    },
    /// Remove a webhook and its waiting messages
    Remove {
        /// ID of the webhook
        id: String,
    },
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
        output::print(common.json, &changed, |_| println!("{id}: {done}"));
        Ok::<(), CliError>(())
    };
    match &c.command {
        WebhookCommand::List => {
            let all: Page<WebhookResponse> = client.get("/v1/webhooks")?;
            output::print(common.json, &all, |all| {
                all.items.iter().for_each(print_line);
            });
        }
        WebhookCommand::Show { id } => {
            let webhook: WebhookResponse = client.get(&path(id))?;
            let waiting: Page<WebhookMessageResponse> =
                client.get(&format!("{}/messages", path(id)))?;
            let messages = waiting.items;
            let found = WebhookWithMessages { webhook, messages };
            output::print(common.json, &found, print_whole);
        }
        WebhookCommand::Add { url } => {
            let request = WebhookRequest { url: url.clone() };
            let made: WebhookSecretResponse =
                client.call_json(Method::POST, "/v1/webhooks", &request)?;
            output::print(common.json, &made, print_new);
        }
        WebhookCommand::Pause { id } => change(&mut client, id, true, "paused")?,
        WebhookCommand::Resume { id } => change(&mut client, id, false, "resumed")?,
        WebhookCommand::Retry { id } => {
            let done: WebhookResponse =
                client.call(Method::POST, &format!("{}/retry", path(id)))?;
            output::print(common.json, &done, |_| {
                println!("{id}: all waiting messages are tried again now");
            });
        }
        WebhookCommand::Remove { id } => {
            let done: WebhookResponse = client.call(Method::DELETE, &path(id))?;
            output::print(common.json, &done, |_| println!("{id}: removed"));
        }
    }
    Ok(())
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
    println!("  {} messages wait", h.messages.len());
    for m in &h.messages {
        let next = match m.dead {
            true => "given up".to_string(),
            false => format!("next try {}", m.next),
        };
        let problem = some(": ", m.problem.as_ref());
        println!(
            "  commit {} since {}, {} tries, {next}{problem}",
            m.commit, m.since, m.tries
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
