//! `orbsd user` and `orbsd token`.

use clap::{Args, Subcommand};
use hyper::Method;

use super::{
    CliError, Common,
    client::{Client, escape},
    output,
    text::some,
};
use crate::{
    api::{
        BoundsBody, Page, TokenRequest, TokenResponse, TokenSecretResponse, UserChangeRequest,
        UserRequest, UserResponse, UserSecretsResponse,
    },
    model::Role,
};

/// Manage users
#[derive(Debug, Args)]
pub(super) struct User {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Add a user, and display the password, TOTP URI and recovery codes once
    Add {
        /// Name of the user
        name: String,
        /// Role: reader, reporter, editor, operator or owner
        #[arg(long)]
        role: String,
    },
    /// Reset a user's password, TOTP secret and recovery codes
    Reset {
        /// Name of the user
        name: String,
    },
    /// Change a user's role
    Role {
        /// Name of the user
        name: String,
        /// Role: reader, reporter, editor, operator or owner
        role: String,
    },
    /// Disable a user and all of their tokens
    Disable {
        /// Name of the user
        name: String,
    },
    /// Enable a disabled user
    Enable {
        /// Name of the user
        name: String,
    },
    /// Show all users
    List,
}

/// Manage API tokens of users and programs
#[derive(Debug, Args)]
pub(super) struct Token {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Create a token, and display it once
    Create {
        /// Name of the user or program that uses the token
        #[arg(long)]
        owner: String,
        /// Role: reader, reporter, editor, operator or owner
        #[arg(long)]
        role: String,
        /// End of the token: duration, date or RFC 3339 time [default: never]
        #[arg(long)]
        expires: Option<String>,
        /// Restrict the token to this reason; repeat for more
        #[arg(long = "reason")]
        reasons: Vec<String>,
        /// Restrict the token to this source; repeat for more
        #[arg(long = "source")]
        sources: Vec<String>,
        /// Restrict the token to subjects of this prefix or domain; repeat for more
        #[arg(long = "prefix")]
        prefixes: Vec<String>,
        /// Requests that the token may make in a minute [default: no limit]
        #[arg(long)]
        per_minute: Option<u32>,
    },
    /// Revoke a token
    Revoke {
        /// ID of the token
        id: String,
    },
    /// Show all tokens, without their secrets
    List,
}

pub(super) fn user(common: &Common, c: User) -> Result<(), CliError> {
    let mut client = Client::open(common)?;
    let none = UserChangeRequest::default();
    let mut change = |name: &str, request: UserChangeRequest| {
        let path = format!("/v1/users/{}", escape(name));
        client.call_json(Method::PATCH, &path, &request)
    };
    let done: UserSecretsResponse = match c.command {
        UserCommand::Reset { name } => change(
            &name,
            UserChangeRequest {
                reset: true,
                ..none
            },
        )?,
        UserCommand::Role { name, role } => change(
            &name,
            UserChangeRequest {
                role: Some(read_role(&role)?),
                ..none
            },
        )?,
        UserCommand::Disable { name } => change(
            &name,
            UserChangeRequest {
                disabled: Some(true),
                ..none
            },
        )?,
        UserCommand::Enable { name } => change(
            &name,
            UserChangeRequest {
                disabled: Some(false),
                ..none
            },
        )?,
        UserCommand::Add { name, role } => {
            let request = UserRequest {
                name,
                role: read_role(&role)?,
                password: None,
            };
            client.call_json(Method::POST, "/v1/users", &request)?
        }
        UserCommand::List => {
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
            "Displayed once; keep it safe. It is for the web console, which this version does not have; the API needs a token."
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
fn read_role(text: &str) -> Result<Role, CliError> {
    text.parse()
        .map_err(|e| CliError::Usage(format!("role: {e}")))
}

pub(super) fn token(common: &Common, c: Token) -> Result<(), CliError> {
    let mut client = Client::open(common)?;
    match c.command {
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
                        "{} is not a user (`orbsd user list` shows them): this is the token of a program.",
                        made.about.owner
                    );
                }
                eprintln!(
                    "Displayed once. Write it to a file that only its owner can read, and name the file with `--token FILE`."
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
