//! `orbsd key`: creates a TSIG key and prints the lines that use it.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use data_encoding::BASE64;
use serde_json::json;

use super::{CliError, Common, output, owner};
use crate::{
    model::{Algorithm, TsigKey, key::key_name},
    random::Random,
    store::private::create_file,
};

/// The default address of this server in the printed lines.
const EXAMPLE_SERVER: &str = "192.0.2.1:53";
/// The default zone in the printed lines.
const EXAMPLE_ZONE: &str = "bl.orbs.example";

/// Create TSIG keys
#[derive(Debug, clap::Args)]
pub(super) struct Key {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, clap::Subcommand)]
enum KeyCommand {
    Create(Create),
}

/// Create a TSIG key in a new file, and print the lines for both sides
#[derive(Debug, clap::Args)]
struct Create {
    /// Name of the key, the same on both sides
    name: String,
    /// Algorithm: hmac-sha256, hmac-sha384 or hmac-sha512
    #[arg(long, default_value = "hmac-sha256")]
    algorithm: String,
    /// New file, relative to the folder of config.toml [default: keys/NAME]
    #[arg(long)]
    file: Option<PathBuf>,
    /// Address of this server in the printed lines [default: that of `[dns] listen`]
    #[arg(long)]
    server: Option<String>,
}

/// Creates the key. An existing file is not changed: exit code 1.
pub(super) fn run(common: &Common, c: &Key) -> Result<(), CliError> {
    let KeyCommand::Create(args) = &c.command;
    let name = key_name(&args.name).map_err(CliError::Usage)?;
    let algorithm: Algorithm = args.algorithm.parse().map_err(CliError::Usage)?;
    // The first key can be created before the configuration is valid.
    let config = common.load().ok();
    let listen = config.as_ref().and_then(|c| {
        let mut addresses = c.dns.listen.iter();
        addresses.find(|a| !a.ip().is_unspecified()).copied()
    });
    let server = match (&args.server, listen) {
        (Some(text), _) => server(text)?,
        (None, Some(listen)) => listen,
        (None, None) => server(EXAMPLE_SERVER)?,
    };
    let file = args.file.clone();
    let file = file.unwrap_or_else(|| Path::new("keys").join(&name));
    let path = common.config.parent().unwrap_or(Path::new("")).join(&file);
    let key = new_key(&name, algorithm)?;
    let new_folder = owner::missing_folder(&path).map(Path::to_path_buf);
    write(&path, &bind_clause(&key))?;
    // The daemon reads it again on a reload, when it is not root.
    if let Some(owner) = config.as_ref().map(owner::of_daemon).transpose()?.flatten() {
        owner.give(&new_folder.unwrap_or_else(|| path.clone()))?;
    }
    let first_zone = config.and_then(|c| c.ledger.zones.into_iter().next());
    let zone = first_zone.map_or_else(|| EXAMPLE_ZONE.into(), |z| z.origin);
    let lines = lines_for_both_sides(&key, &file, server, &zone);
    if common.json {
        let lines = lines
            .into_iter()
            .map(|(_, id, text)| (id.into(), text.into()));
        let lines: serde_json::Map<_, _> = lines.collect();
        output::json(
            &json!({"name": key.name(), "algorithm": algorithm.name(), "file": path, "lines": lines}),
        );
    } else {
        println!(
            "The secret is in {}. It identifies the mirror: keep it private.",
            path.display()
        );
        for (title, _, text) in &lines {
            println!();
            println!("# {title}");
            output::block("", text.trim_end());
        }
    }
    Ok(())
}

/// A key with a random secret.
pub(super) fn new_key(name: &str, algorithm: Algorithm) -> Result<TsigKey, CliError> {
    let mut secret = vec![0; algorithm.mac_len()];
    Random::system()
        .fill(&mut secret)
        .map_err(io::Error::from)?;
    TsigKey::new(name, algorithm, &secret).map_err(CliError::Usage)
}

/// Reads an address; its default port is 53.
fn server(text: &str) -> Result<SocketAddr, CliError> {
    let with_port = text
        .parse()
        .or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)));
    with_port.map_err(|_| {
        CliError::Usage(format!(
            "--server: `{text}` is not an address such as 192.0.2.1 or [2001:db8::1]:53"
        ))
    })
}

/// Writes a new file that only its owner can read, in a folder that only its owner can enter if it is
/// new.
fn write(path: &Path, text: &str) -> Result<(), CliError> {
    create_file(path, text.as_bytes()).map_err(|e| {
        CliError::Refused(match e.kind() {
            ErrorKind::AlreadyExists if path.exists() => {
                format!("{} exists already and was not changed", path.display())
            }
            _ => format!("{}: {e}", path.display()),
        })
    })
}

/// The content of the file: BIND includes it, and `dig -k` reads it.
pub(super) fn bind_clause(key: &TsigKey) -> String {
    format!(
        "key \"{}\" {{\n\talgorithm {};\n\tsecret \"{}\";\n}};\n",
        key.name(),
        key.algorithm().name(),
        BASE64.encode(key.secret())
    )
}

/// The lines that use a key, here and on mirrors: for each software a title, its name in JSON, and
/// the text.
fn lines_for_both_sides(
    key: &TsigKey,
    file: &Path,
    server: SocketAddr,
    zone: &str,
) -> [(&'static str, &'static str, String); 6] {
    let (name, algorithm) = (key.name(), key.algorithm().name());
    let file = file.to_string_lossy();
    let file = file.replace('\\', "\\\\").replace('"', "\\\"");
    let config =
        format!("[[key]]\nname = \"{name}\"\nalgorithm = \"{algorithm}\"\nfile = \"{file}\"\n");
    let zone_file = format!(
        "[transfer]\nallow = [\"key:{name}\"]\nnotify = [{{ address = \"192.0.2.53:53\", key = \"{name}\" }}]\n"
    );
    let for_zone = "orbsd, the zone's file; for each mirror its address";
    let [nsd, knot, bind, powerdns] = lines_for_mirrors(key, server, zone);
    [
        ("orbsd, config.toml", "orbsd_config", config),
        (for_zone, "orbsd_zone", zone_file),
        (nsd.0, "nsd", nsd.1),
        (knot.0, "knot", knot.1),
        (bind.0, "bind", bind.1),
        (powerdns.0, "powerdns", powerdns.1),
    ]
}

/// The lines that use a key on mirrors: for each software a title and the text.
pub(super) fn lines_for_mirrors(
    key: &TsigKey,
    server: SocketAddr,
    zone: &str,
) -> [(&'static str, String); 4] {
    let (name, algorithm) = (key.name(), key.algorithm().name());
    let (clause, secret) = (bind_clause(key), BASE64.encode(key.secret()));
    let (ip, port) = (server.ip(), server.port());
    let nsd = format!(
        "key:\n    name: \"{name}\"\n    algorithm: {algorithm}\n    secret: \"{secret}\"\nzone:\n    name: \"{zone}\"\n    \
         request-xfr: {ip}@{port} {name}\n    allow-notify: {ip} {name}\n"
    );
    let knot = format!(
        "key:\n  - id: {name}\n    algorithm: {algorithm}\n    secret: {secret}\nremote:\n  - id: orbsd\n    address: {ip}@{port}\n    \
         key: {name}\nacl:\n  - id: orbsd-notify\n    address: {ip}\n    key: {name}\n    action: notify\nzone:\n  - domain: {zone}\n    \
         master: orbsd\n    acl: orbsd-notify\n"
    );
    let bind = format!(
        "{clause}zone \"{zone}\" {{\n\ttype secondary;\n\tfile \"{zone}.db\";\n\tprimaries {{ {ip} port {port} key \"{name}\"; }};\n\t\
         allow-notify {{ key \"{name}\"; }};\n}};\n"
    );
    let powerdns = format!(
        "pdnsutil import-tsig-key {name} {algorithm} '{secret}'\npdnsutil create-secondary-zone {zone} {server}\n\
         pdnsutil activate-tsig-key {zone} {name} secondary\n"
    );
    [
        ("NSD, nsd.conf", nsd),
        ("Knot, knot.conf", knot),
        ("BIND, named.conf", bind),
        ("PowerDNS, commands", powerdns),
    ]
}
