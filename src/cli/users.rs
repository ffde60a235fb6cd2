//! `orbsd user` and `orbsd token`.

use clap::{Args, Subcommand};
use hyper::Method;

use super::{
    CliError, Common,
    client::{Client, escape},
    text::some,
};
use crate::{
    api::{
        BoundsBody, TokenRequest, TokenResponse, TokenSecretResponse, UserChangeRequest,
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
    Reset(UserName),
    /// Change a user's role
    Role {
        /// Name of the user
        name: String,
        /// Role: reader, reporter, editor, operator or owner
        role: String,
    },
    /// Disable a user and all of their tokens
    Disable(UserName),
    /// Enable a disabled user
    Enable(UserName),
    /// Show all users
    List,
}

#[derive(Debug, Args)]
struct UserName {
    /// Name of the user
    name: String,
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
        /// Role: login, reader, reporter, editor, operator or owner
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
    let mut request = UserChangeRequest::default();
    let name = match c.command {
        UserCommand::List => {
            return client.print_list(common, "/v1/users", |u: &UserResponse| {
                let off = some(", disabled since ", u.disabled);
                println!("{}: {} since {}{off}", u.name, u.role.name(), u.since);
            });
        }
        UserCommand::Add { name, role } => {
            let request = UserRequest {
                name,
                role: read_role(&role)?,
                password: None,
            };
            let added: UserSecretsResponse = client.post_json("/v1/users", &request)?;
            return common.print(&added, print_user);
        }
        UserCommand::Reset(UserName { name }) => {
            request.reset = true;
            name
        }
        UserCommand::Role { name, role } => {
            request.role = Some(read_role(&role)?);
            name
        }
        UserCommand::Disable(UserName { name }) => {
            request.disabled = Some(true);
            name
        }
        UserCommand::Enable(UserName { name }) => {
            request.disabled = Some(false);
            name
        }
    };
    let path = format!("/v1/users/{}", escape(&name));
    let changed: UserSecretsResponse = client.call_json(Method::PATCH, &path, &request)?;
    common.print(&changed, print_user)
}

/// Prints a user, and the secrets that are displayed once.
pub(super) fn print_user(done: &UserSecretsResponse) {
    let off = done.user.disabled.map_or("", |_| " (disabled)");
    println!("{}: {}{off}", done.user.name, done.user.role.name());
    if let Some(uri) = &done.totp_uri {
        println!();
        println!(
            "Displayed once; keep it safe. It is for the web console, which this version does not have; the API needs a token."
        );
        let password = done.password.as_deref().unwrap_or("as you chose it");
        println!("  password:      {password}");
        println!("  authenticator: {uri}");
        println!("  recovery codes, each good for one login without the authenticator:");
        done.recovery_codes.iter().for_each(|c| println!("    {c}"));
    }
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
            let created: TokenSecretResponse = client.post_json("/v1/tokens", &request)?;
            common.print(&created, print_new_token)
        }
        TokenCommand::Revoke { id } => {
            let path = format!("/v1/tokens/{}", escape(&id));
            let revoked: TokenResponse = client.delete(&path)?;
            common.print(&revoked, |r| println!("{id} of {}: revoked", r.owner))
        }
        TokenCommand::List => client.print_list(common, "/v1/tokens", |t: &TokenResponse| {
            let until = some(", until ", t.expires);
            let used = some(", last used ", t.last_used);
            let revoked = some(", revoked ", t.revoked);
            let role = t.role.name();
            println!(
                "{}: {role} for {} since {}{until}{used}{revoked}",
                t.id, t.owner, t.since
            );
        }),
    }
}

fn print_new_token(created: &TokenSecretResponse) {
    println!("{}", created.token);
    if !created.about.person {
        eprintln!(
            "{} is not a user (`orbsd user list` shows them): this is the token of a program.",
            created.about.owner
        );
    }
    eprintln!(
        "Displayed once. Write it to a file that only its owner can read, and name the file with `--token FILE`."
    );
}
