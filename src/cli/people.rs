//! `orbsd person`, `orbsd token`, `orbsd audit`: who may do what, and who did.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::{
    Common, Failure,
    client::{Client, bytes, escape},
    output,
    text::{list, text},
};

/// Manage users
#[derive(Debug, Args)]
pub(super) struct Person {
    #[command(subcommand)]
    what: PersonCommand,
}

#[derive(Debug, Subcommand)]
enum PersonCommand {
    /// Add a user; the password, the authenticator's address and the recovery codes are displayed
    /// once
    Add {
        name: String,
        /// reader, reporter, editor, operator or owner
        #[arg(long)]
        role: String,
    },
    /// Reset a user's password, authenticator secret and recovery codes
    Reset { name: String },
    /// Change a user's role
    Role { name: String, role: String },
    /// Disable a user and all of their tokens
    Disable { name: String },
    /// Enable a disabled user
    Enable { name: String },
    /// Show all users
    List,
}

/// Manage API tokens of users and programs
#[derive(Debug, Args)]
pub(super) struct Token {
    #[command(subcommand)]
    what: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Create a token; it is displayed once
    Create {
        /// The name of a user or of a program
        #[arg(long = "for")]
        owner: String,
        /// reader, reporter, editor, operator or owner
        #[arg(long)]
        role: String,
        /// When it ends: 90d, or 2026-12-31T00:00:00Z
        #[arg(long)]
        expires: Option<String>,
        /// Only for this reason; may be said several times
        #[arg(long = "reason")]
        reasons: Vec<String>,
        /// Only for this source; may be said several times
        #[arg(long = "source")]
        sources: Vec<String>,
        /// Only for what this prefix or domain covers; may be said several times
        #[arg(long = "prefix")]
        prefixes: Vec<String>,
        /// How many requests it may make in a minute
        #[arg(long)]
        per_minute: Option<u32>,
    },
    /// Revoke a token
    Revoke { id: String },
    /// Show all tokens, without their secrets
    List,
}

pub(super) fn person(common: &Common, c: Person) -> Result<(), Failure> {
    let mut client = Client::open(common)?;
    let mut change = |name: &str, what: Value| {
        client.json(
            Method::PATCH,
            &format!("/v1/people/{}", escape(name)),
            bytes(what.to_string()),
        )
    };
    let shown = match c.what {
        PersonCommand::Reset { name } => change(&name, json!({"reset": true}))?,
        PersonCommand::Role { name, role } => change(&name, json!({"role": role}))?,
        PersonCommand::Disable { name } => change(&name, json!({"disabled": true}))?,
        PersonCommand::Enable { name } => change(&name, json!({"disabled": false}))?,
        PersonCommand::Add { name, role } => client.json(
            Method::POST,
            "/v1/people",
            bytes(json!({"name": name, "role": role}).to_string()),
        )?,
        PersonCommand::List => {
            let all = client.json(Method::GET, "/v1/people", bytes(""))?;
            if common.json {
                output::json(&all);
                return Ok(());
            }
            for p in list(&all["items"]) {
                let off = p["disabled"]
                    .as_str()
                    .map_or(String::new(), |t| format!(", disabled since {t}"));
                println!(
                    "{}: {} since {}{off}",
                    text(&p["name"]),
                    text(&p["role"]),
                    text(&p["since"])
                );
            }
            return Ok(());
        }
    };
    if common.json {
        output::json(&shown);
        return Ok(());
    }
    let off = if shown["disabled"].is_null() {
        ""
    } else {
        " (disabled)"
    };
    println!("{}: {}{off}", text(&shown["name"]), text(&shown["role"]));
    if let Some(uri) = shown["totp_uri"].as_str() {
        println!();
        println!(
            "Displayed once; keep it safe. It is for the web console, which this version does not have: the API takes tokens."
        );
        println!(
            "  password:      {}",
            shown["password"].as_str().unwrap_or("as you chose it")
        );
        println!("  authenticator: {uri}");
        println!("  recovery codes, each good for one login without the authenticator:");
        list(&shown["recovery"]).for_each(|c| println!("    {}", text(c)));
    }
    Ok(())
}

pub(super) fn token(common: &Common, c: Token) -> Result<(), Failure> {
    let mut client = Client::open(common)?;
    match c.what {
        TokenCommand::Create {
            owner,
            role,
            expires,
            reasons,
            sources,
            prefixes,
            per_minute,
        } => {
            let bounds = json!({"reasons": reasons, "sources": sources, "prefixes": prefixes});
            let asked = json!({"for": owner, "role": role, "expires": expires, "bounds": bounds, "per_minute": per_minute});
            let made = client.json(Method::POST, "/v1/tokens", bytes(asked.to_string()))?;
            if common.json {
                output::json(&made);
            } else {
                println!("{}", text(&made["token"]));
                if made["person"] == false {
                    eprintln!(
                        "{} is not a user (`orbsd person list` shows them): this is the token of a program.",
                        text(&made["owner"])
                    );
                }
                eprintln!(
                    "Shown once. Put it into a file that nobody else may read, and use it with `--token FILE`."
                );
            }
        }
        TokenCommand::Revoke { id } => {
            let gone = client.json(
                Method::DELETE,
                &format!("/v1/tokens/{}", escape(&id)),
                bytes(""),
            )?;
            match common.json {
                true => output::json(&gone),
                false => println!("{id} of {}: revoked", text(&gone["owner"])),
            }
        }
        TokenCommand::List => {
            let all = client.json(Method::GET, "/v1/tokens", bytes(""))?;
            if common.json {
                output::json(&all);
                return Ok(());
            }
            for t in list(&all["items"]) {
                let or = |v: &Value, before: &str| {
                    v.as_str()
                        .map_or(String::new(), |t| format!(", {before} {t}"))
                };
                let more = [
                    or(&t["expires"], "until"),
                    or(&t["last_used"], "last used"),
                    or(&t["revoked"], "revoked"),
                ]
                .concat();
                println!(
                    "{}: {} for {} since {}{more}",
                    text(&t["id"]),
                    text(&t["role"]),
                    text(&t["owner"]),
                    text(&t["since"])
                );
            }
        }
    }
    Ok(())
}

/// Show who wrote what, from where and why, the newest first
#[derive(Debug, Args)]
pub(super) struct Audit {
    /// Only by this author
    #[arg(long)]
    who: Option<String>,
    /// Only this kind of write, such as delist or token.create
    #[arg(long)]
    what: Option<String>,
    /// Only about this, such as a subject or a name
    #[arg(long)]
    about: Option<String>,
    /// Only from this time on: a date, an RFC 3339 time, or a duration before now (7d)
    #[arg(long)]
    from: Option<String>,
    /// Only up to this time
    #[arg(long)]
    to: Option<String>,
    /// How many lines at most
    #[arg(long, default_value_t = 100)]
    limit: u64,
}

pub(super) fn audit(common: &Common, c: &Audit) -> Result<(), Failure> {
    let mut client = Client::open(common)?;
    let fixed: Vec<(&str, Option<&String>)> = vec![
        ("who", c.who.as_ref()),
        ("what", c.what.as_ref()),
        ("about", c.about.as_ref()),
        ("from", c.from.as_ref()),
        ("to", c.to.as_ref()),
    ];
    let fixed: String = fixed
        .into_iter()
        .filter_map(|(k, v)| Some(format!("&{k}={}", escape(v?))))
        .collect();
    let (mut after, mut left) = (String::new(), c.limit);
    while left > 0 {
        let page = client.json(
            Method::GET,
            &format!("/v1/audit?limit={}{fixed}{after}", left.min(1000)),
            bytes(""),
        )?;
        for l in list(&page["items"]) {
            left = left.saturating_sub(1);
            if common.json {
                println!("{l}");
                continue;
            }
            let note = |v: &Value, before: &str| {
                v.as_str()
                    .filter(|t| !t.is_empty())
                    .map_or(String::new(), |t| format!("{before}{t}"))
            };
            let more = [note(&l["detail"], ", "), note(&l["why"], ": ")].concat();
            let commit = l["commit"]
                .as_u64()
                .map_or(String::new(), |c| format!(" (commit {c})"));
            println!(
                "{} {} {} {}{more}{commit}, from {}",
                text(&l["at"]),
                text(&l["who"]),
                text(&l["what"]),
                text(&l["about"]),
                text(&l["from"])
            );
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    Ok(())
}
