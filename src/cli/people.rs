//! `orbsd person`, `orbsd token`, `orbsd audit`: who may do what, and who did.

use clap::{Args, Subcommand};
use hyper::Method;

use super::{
    Common, Failure,
    client::{Client, escape, with_query},
    output,
    text::some,
};
use crate::{
    api::{
        AuditQuery, AuditRecordResponse, BoundsBody, Page, TokenRequest, TokenResponse,
        TokenSecretResponse, UserChangeRequest, UserRequest, UserResponse, UserSecretsResponse,
    },
    model::Role,
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
    let none = UserChangeRequest::default();
    let mut change = |name: &str, request: UserChangeRequest| {
        let path = format!("/v1/users/{}", escape(name));
        client.call_json(Method::PATCH, &path, &request)
    };
    let done: UserSecretsResponse = match c.what {
        PersonCommand::Reset { name } => change(
            &name,
            UserChangeRequest {
                reset: true,
                ..none
            },
        )?,
        PersonCommand::Role { name, role } => change(
            &name,
            UserChangeRequest {
                role: Some(read_role(&role)?),
                ..none
            },
        )?,
        PersonCommand::Disable { name } => change(
            &name,
            UserChangeRequest {
                disabled: Some(true),
                ..none
            },
        )?,
        PersonCommand::Enable { name } => change(
            &name,
            UserChangeRequest {
                disabled: Some(false),
                ..none
            },
        )?,
        PersonCommand::Add { name, role } => {
            let request = UserRequest {
                name,
                role: read_role(&role)?,
                password: None,
            };
            client.call_json(Method::POST, "/v1/users", &request)?
        }
        PersonCommand::List => {
            let all: Page<UserResponse> = client.get("/v1/users")?;
            if common.json {
                output::json(&all);
                return Ok(());
            }
            for p in &all.items {
                let off = some(", disabled since ", p.disabled);
                println!("{}: {} since {}{off}", p.name, p.role.name(), p.since);
            }
            return Ok(());
        }
    };
    if common.json {
        output::json(&done);
        return Ok(());
    }
    let off = match done.user.disabled {
        None => "",
        Some(_) => " (disabled)",
    };
    println!("{}: {}{off}", done.user.name, done.user.role.name());
    if let Some(uri) = &done.totp_uri {
        println!();
        println!(
            "Displayed once; keep it safe. It is for the web console, which this version does not have: the API takes tokens."
        );
        println!(
            "  password:      {}",
            done.password.as_deref().unwrap_or("as you chose it")
        );
        println!("  authenticator: {uri}");
        println!("  recovery codes, each good for one login without the authenticator:");
        done.recovery_codes.iter().for_each(|c| println!("    {c}"));
    }
    Ok(())
}

/// Reads a role of the command line.
fn read_role(text: &str) -> Result<Role, Failure> {
    text.parse()
        .map_err(|e| Failure::Usage(format!("role: {e}")))
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
            let request = TokenRequest {
                owner,
                role: read_role(&role)?,
                expires,
                bounds: BoundsBody {
                    reasons,
                    sources,
                    prefixes,
                },
                per_minute,
            };
            let made: TokenSecretResponse =
                client.call_json(Method::POST, "/v1/tokens", &request)?;
            if common.json {
                output::json(&made);
            } else {
                println!("{}", made.token);
                if !made.about.person {
                    eprintln!(
                        "{} is not a user (`orbsd person list` shows them): this is the token of a program.",
                        made.about.owner
                    );
                }
                eprintln!(
                    "Displayed once. Put it into a file that only its owner may read, and use it with `--token FILE`."
                );
            }
        }
        TokenCommand::Revoke { id } => {
            let path = format!("/v1/tokens/{}", escape(&id));
            let revoked: TokenResponse = client.call(Method::DELETE, &path)?;
            match common.json {
                true => output::json(&revoked),
                false => println!("{id} of {}: revoked", revoked.owner),
            }
        }
        TokenCommand::List => {
            let all: Page<TokenResponse> = client.get("/v1/tokens")?;
            if common.json {
                output::json(&all);
                return Ok(());
            }
            for t in &all.items {
                let more = [
                    some(", until ", t.expires),
                    some(", last used ", t.last_used),
                    some(", revoked ", t.revoked),
                ]
                .concat();
                println!(
                    "{}: {} for {} since {}{more}",
                    t.id,
                    t.role.name(),
                    t.owner,
                    t.since
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
    let mut query = AuditQuery {
        author: c.who.clone(),
        action: c.what.clone(),
        target: c.about.clone(),
        from: c.from.clone(),
        to: c.to.clone(),
        after: None,
        limit: None,
    };
    let mut left = c.limit;
    while left > 0 {
        query.limit = Some(left.min(1000) as usize);
        let page: Page<AuditRecordResponse> = client.get(&with_query("/v1/audit", &query))?;
        for r in &page.items {
            left = left.saturating_sub(1);
            if common.json {
                output::json_line(r);
                continue;
            }
            let detail = Some(&r.detail).filter(|d| !d.is_empty());
            let more = [some(", ", detail), some(": ", r.note.as_ref())].concat();
            let commit = r.commit.map_or(String::new(), |c| format!(" (commit {c})"));
            println!(
                "{} {} {} {}{more}{commit}, from {}",
                r.at, r.author, r.action, r.target, r.from
            );
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    Ok(())
}
