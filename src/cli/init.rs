//! `orbsd init`: writes a first configuration with a zone, a key for mirrors and a user.

mod answers;
mod delegation;
mod new_files;
mod template;

use std::{
    fs,
    io::{self, BufRead, Read},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    CliError, Common,
    client::Client,
    common::SYSTEM_FOLDER,
    error::print_error,
    key::{self, bind_clause},
    output,
    owner::{self, Owner},
    users::print_user,
};
use crate::{
    api::{BoundsBody, TokenRequest, TokenSecretResponse, UserRequest, UserSecretsResponse},
    config::Config,
    model::Role,
    server::sys,
};
use answers::{Answers, GivenAnswers, Prompter};
use new_files::NewFiles;
use template::Paths;

/// The folder of the state of a server with its configuration in [`SYSTEM_FOLDER`], and its socket, as
/// in orbsd.service.
const SYSTEM_STATE: &str = "/var/lib/orbsd";
const SYSTEM_SOCKET: &str = "/run/orbsd/orbsd.sock";
/// The user of such a server, if this machine has it.
const SYSTEM_USER: &str = "orbsd";
/// It exists while systemd manages the machine (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";

/// The modes of folders and files of the configuration, which the daemon's group may read.
const FOLDER_MODE: u32 = 0o750;
const FILE_MODE: u32 = 0o640;
/// The modes of secrets and of the store.
const PRIVATE_FOLDER_MODE: u32 = 0o700;
const SECRET_MODE: u32 = 0o600;

/// The longest answer, in bytes.
const MAX_ANSWER_BYTES: u64 = 4096;

/// Write a first configuration with a zone, a key for mirrors and a user
#[derive(Debug, clap::Args)]
pub(super) struct Init {
    /// Folder of the configuration [default: /etc/orbsd for root if it exists, else this folder]
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Zone to publish, such as bl.example.org
    #[arg(long)]
    zone: Option<String>,
    /// Addresses that answer DNS queries, separated by commas [default: 127.0.0.1:5300]
    #[arg(long, value_name = "ADDRESSES")]
    listen: Option<String>,
    /// Name servers of the zone, separated by commas [default: ns1 of the parent zone]
    #[arg(long = "ns", value_name = "NAME=ADDRESS")]
    name_servers: Option<String>,
    /// Mail address of the SOA record [default: hostmaster of the parent zone]
    #[arg(long, value_name = "MAIL")]
    contact: Option<String>,
    /// Address of a mirror, which gets NOTIFY [default: none]
    #[arg(long, value_name = "ADDRESS")]
    mirror: Option<String>,
    /// Name of the first user, an owner [default: admin]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Ask nothing: use the defaults of options that are not given
    #[arg(long)]
    yes: bool,
}

/// Where the files of a server are.
struct Layout {
    /// The folder of the configuration; empty: the present one.
    folder: PathBuf,
    /// The store, as the configuration names it.
    store: PathBuf,
    /// Whether the server is that of orbsd.service.
    is_system: bool,
    /// The daemon's user, if it is not the one that runs this command.
    owner: Option<Owner>,
}

impl Layout {
    /// The layout for the folder that was named, or the default one.
    fn of(named: Option<PathBuf>) -> Result<Layout, CliError> {
        let system = Path::new(SYSTEM_FOLDER);
        let folder = match named {
            Some(folder) => folder,
            None if sys::is_root() && system.is_dir() => system.into(),
            None => PathBuf::new(),
        };
        let is_system = !folder.as_os_str().is_empty() && std::path::absolute(&folder)? == system;
        Ok(match is_system {
            true => Layout {
                folder,
                store: Path::new(SYSTEM_STATE).join("data"),
                is_system,
                owner: match sys::is_root() {
                    true => owner::of_user(SYSTEM_USER)?,
                    false => None,
                },
            },
            false => Layout {
                folder,
                store: "data".into(),
                is_system,
                owner: None,
            },
        })
    }

    fn paths(&self) -> Paths {
        Paths {
            store: self.store.display().to_string(),
            socket: self.is_system.then(|| SYSTEM_SOCKET.into()),
            user: self.owner.map_or("", |_| SYSTEM_USER).into(),
        }
    }

    fn config(&self) -> PathBuf {
        self.folder.join("config.toml")
    }

    /// The configuration until all other files are written.
    fn draft(&self) -> PathBuf {
        self.folder.join("config.toml.new")
    }

    fn key(&self) -> PathBuf {
        self.folder.join(template::KEY_FILE)
    }

    fn zone(&self, answers: &Answers) -> PathBuf {
        let name = format!("{}.toml", answers.short_name());
        self.folder.join("zones").join(name)
    }

    /// The existing files that a new configuration would replace or include.
    fn existing(&self) -> io::Result<Vec<PathBuf>> {
        let mut out = vec![self.config(), self.draft(), self.key()];
        out.retain(|path| path.symlink_metadata().is_ok());
        let store = self.folder.join(&self.store);
        for (folder, all) in [(self.folder.join("zones"), false), (store, true)] {
            let entries = match fs::read_dir(&folder) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                entries => entries.map_err(|e| named(&folder, &e))?,
            };
            let paths: Vec<PathBuf> = entries
                .map(|e| e.map(|e| e.path()))
                .collect::<Result<_, _>>()?;
            match all {
                true if paths.is_empty() => {}
                true => out.push(folder),
                false => {
                    let zones = paths.into_iter();
                    out.extend(zones.filter(|p| p.extension().is_some_and(|e| e == "toml")));
                }
            }
        }
        Ok(out)
    }
}

fn named(path: &Path, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{}: {e}", path.display()))
}

/// The first user and their token. Both are displayed once.
struct FirstUser {
    user: UserSecretsResponse,
    token: TokenSecretResponse,
}

/// A command to run next, and what it does.
#[derive(Debug, Serialize)]
struct NextCommand {
    command: String,
    what: &'static str,
}

/// The output of `orbsd init --json`.
#[derive(Serialize)]
struct Initialised {
    files: Vec<PathBuf>,
    user: UserSecretsResponse,
    token: String,
    /// The lines of the parent zone, in the form of a master file.
    delegation: Vec<String>,
    /// The settings of a mirror: the software, and its lines. Empty without `--mirror`.
    mirror: Vec<(&'static str, String)>,
    next: Vec<NextCommand>,
    #[serde(skip)]
    parent: String,
}

/// Writes all files, or none of them: an existing file is an error, and after an error those that were
/// written are removed.
pub(super) fn run(common: &Common, c: Init) -> Result<(), CliError> {
    if !common.config_is_default {
        return Err(CliError::Usage(
            "--config: a new configuration is always the file config.toml of a folder; name the folder: `orbsd init DIR`"
                .into(),
        ));
    }
    let layout = Layout::of(c.folder)?;
    refuse_existing(&layout)?;
    let options = GivenAnswers {
        zone: c.zone,
        listen: c.listen,
        name_servers: c.name_servers,
        contact: c.contact,
        mirror: c.mirror,
        user: c.user,
    };
    let mut terminal = Terminal;
    let person = (!c.yes).then_some(&mut terminal as &mut dyn Prompter);
    let answers = Answers::collect(&options, person)?;
    let key = key::new_key(template::KEY, template::ALGORITHM)?;
    let first = write(&layout, &answers, &bind_clause(&key))?;
    let server = printed_server(&answers);
    let mirror = match answers.mirror {
        Some(_) => key::lines_for_mirrors(&key, server, &answers.zone).into(),
        None => Vec::new(),
    };
    let store = layout.folder.join(&layout.store);
    let done = Initialised {
        files: vec![layout.config(), layout.zone(&answers), layout.key(), store],
        user: first.user,
        token: first.token.token,
        delegation: delegation::lines(&answers),
        mirror,
        next: next_commands(&layout, &answers),
        parent: answers.parent().into(),
    };
    common.print(&done, print)
}

fn refuse_existing(layout: &Layout) -> Result<(), CliError> {
    let existing = layout.existing()?;
    if existing.is_empty() {
        return Ok(());
    }
    let paths: Vec<String> = existing.iter().map(|p| p.display().to_string()).collect();
    let verb = if paths.len() == 1 { "exists" } else { "exist" };
    Err(CliError::Refused(format!(
        "{} {verb} already, and `orbsd init` changes no existing file: name another folder with `orbsd init DIR`, or move them away first",
        paths.join(", ")
    )))
}

/// Writes the files and the store. The configuration gets its name last, so that no daemon can start
/// with a part of them.
fn write(layout: &Layout, answers: &Answers, key: &str) -> Result<FirstUser, CliError> {
    let mut files = NewFiles::default();
    let (config, zone, key_file) = (layout.config(), layout.zone(answers), layout.key());
    let draft = layout.draft();
    files.folder(&layout.folder, FOLDER_MODE)?;
    files.folder(&layout.folder.join("zones"), FOLDER_MODE)?;
    files.file(&zone, &template::zone(answers), FILE_MODE)?;
    let keys = layout.folder.join("keys");
    let new_keys = !keys.exists();
    files.folder(&keys, PRIVATE_FOLDER_MODE)?;
    files.file(&key_file, key, SECRET_MODE)?;
    files.file(
        &draft,
        &template::config(answers, &layout.paths()),
        FILE_MODE,
    )?;
    let mut settings = Config::load(&draft).map_err(|e| CliError::Refused(e.to_string()))?;
    if let Some(state) = settings.store.path.parent() {
        files.folder(state, PRIVATE_FOLDER_MODE)?;
        if let Some(owner) = layout.owner {
            owner.give(state)?;
        }
    }
    let beside = [
        vec![settings.store.path.clone(), settings.erasures()],
        vec![settings.statistics(), settings.quality()],
        settings.mirrors(),
    ]
    .concat();
    beside.iter().for_each(|path| files.include(path.clone()));
    // The folder of the daemon's socket is made when the daemon starts.
    settings.socket = settings.store.path.join("init.sock");
    let first = add_user(&settings, &answers.user)?;
    if let Some(owner) = layout.owner {
        beside.iter().try_for_each(|path| owner.give(path))?;
        owner.give(if new_keys { &keys } else { &key_file })?;
        let readable = [&layout.folder, &layout.folder.join("zones"), &zone, &draft];
        readable
            .iter()
            .try_for_each(|path| owner.let_group_read(path))?;
    }
    files.rename(&draft, &config)?;
    files.keep();
    Ok(first)
}

/// Makes the store, and adds the first user with a token.
fn add_user(config: &Config, name: &str) -> Result<FirstUser, CliError> {
    let mut client = Client::on_store(config)?;
    let request = UserRequest {
        name: name.into(),
        role: Role::Owner,
        password: None,
    };
    let user = client.post_json("/v1/users", &request)?;
    let request = TokenRequest {
        owner: name.into(),
        role: Role::Owner,
        expires: None,
        bounds: BoundsBody::default(),
        per_minute: None,
    };
    let token = client.post_json("/v1/tokens", &request)?;
    Ok(FirstUser { user, token })
}

/// The address at which mirrors reach this server: one that it listens on, or else that of its first
/// name server.
fn printed_server(answers: &Answers) -> SocketAddr {
    let public = |a: &&SocketAddr| !a.ip().is_unspecified() && !a.ip().is_loopback();
    let first = answers.listen.iter().find(public).copied();
    let mut addresses = answers.name_servers.iter().flat_map(|s| &s.addresses);
    let named = addresses.next().map(|ip| SocketAddr::new(*ip, 53));
    let listen = answers.listen.first().copied();
    first
        .or(named)
        .or(listen)
        .unwrap_or((Ipv4Addr::LOCALHOST, 53).into())
}

fn next_commands(layout: &Layout, answers: &Answers) -> Vec<NextCommand> {
    let here = layout.folder.as_os_str().is_empty() || layout.folder == Path::new(".");
    let orbsd = match here || layout.is_system {
        true => "orbsd".to_string(),
        false => format!("orbsd --config {}", layout.config().display()),
    };
    let start = match layout.is_system && Path::new(SYSTEMD).is_dir() {
        true => "systemctl enable --now orbsd".to_string(),
        false => format!("{orbsd} serve"),
    };
    let listen = answers.listen.first().copied();
    let listen = listen.unwrap_or((Ipv4Addr::LOCALHOST, 53).into());
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let port = match listen.port() {
        53 => String::new(),
        port => format!(" -p {port}"),
    };
    let next = |command: String, what| NextCommand { command, what };
    vec![
        next(
            format!("{orbsd} check"),
            "report errors of the configuration",
        ),
        next(start, "start the daemon"),
        next(
            format!("{orbsd} list ADDRESS --reason relay"),
            "list an address",
        ),
        next(
            format!("dig @{ip}{port} 2.0.0.127.{} A", answers.zone),
            "the test point, which is always listed",
        ),
    ]
}

fn print(done: &Initialised) {
    println!("Written:");
    done.files
        .iter()
        .for_each(|f| println!("  {}", f.display()));
    println!();
    println!("The first user. Their secrets are displayed once:");
    print_user(&done.user);
    println!("  token for the API: {}", done.token);
    println!();
    println!("For the zone {}, which delegates this one:", done.parent);
    done.delegation.iter().for_each(|l| println!("  {l}"));
    for (software, lines) in &done.mirror {
        println!();
        println!("For a mirror with {software}:");
        output::block("  ", lines.trim_end());
    }
    println!();
    println!("No host is listed. Next:");
    for next in &done.next {
        println!("  {:<44} # {}", next.command, next.what);
    }
}

/// Asks on standard error, and reads answers from standard input.
struct Terminal;

impl Prompter for Terminal {
    fn ask(&mut self, question: &str) -> Result<Option<String>, CliError> {
        output::prompt(question);
        let mut line = String::new();
        let input = io::stdin().lock();
        let read = input.take(MAX_ANSWER_BYTES).read_line(&mut line);
        let read = read.map_err(|e| CliError::Usage(format!("standard input: {e}")))?;
        Ok((read > 0).then_some(line))
    }

    fn report(&mut self, error: &str) {
        print_error(error);
    }
}
