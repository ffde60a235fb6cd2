//! `orbsd key`: makes a TSIG key and prints the lines that use it.

use std::{
    fs::OpenOptions,
    io::Write,
    net::{IpAddr, SocketAddr},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use data_encoding::BASE64;
use serde_json::json;

use super::{Common, Failure, output, owner};
use crate::{
    model::{Algorithm, TsigKey, key::key_name},
    store::private,
};

/// The server's address in the printed lines where neither the command nor the configuration says
/// one.
const EXAMPLE_SERVER: &str = "192.0.2.1:53";
/// The zone in the printed lines where the configuration has none.
const EXAMPLE_ZONE: &str = "bl.orbs.example";

/// Make a key for TSIG: a secret in a new file, and the lines for both sides
#[derive(Debug, clap::Args)]
pub(super) struct Key {
    /// The key's name, the same on both sides
    name: String,
    /// hmac-sha256, hmac-sha384 or hmac-sha512
    #[arg(long, default_value = "hmac-sha256")]
    algorithm: String,
    /// The file to write, starting at the folder of config.toml; keys/NAME where it is not said
    #[arg(long)]
    file: Option<PathBuf>,
    /// This server's address as its mirrors see it, for the printed lines
    #[arg(long)]
    server: Option<String>,
}

/// Makes the key. A file that is there already stays as it is: exit code 1.
pub(super) fn run(common: &Common, args: &Key) -> Result<(), Failure> {
    let name = key_name(&args.name).map_err(Failure::Usage)?;
    let algorithm: Algorithm = args.algorithm.parse().map_err(Failure::Usage)?;
    // The first key can be made before there is a configuration that is sound.
    let config = common.load().ok();
    let listen = config.as_ref().and_then(|c| {
        c.serve
            .listen
            .iter()
            .find(|a| !a.ip().is_unspecified())
            .copied()
    });
    let server = match &args.server {
        Some(text) => server(text)?,
        None => listen.map_or_else(|| server(EXAMPLE_SERVER), Ok)?,
    };
    let file = args
        .file
        .clone()
        .unwrap_or_else(|| Path::new("keys").join(&name));
    let path = common.config.parent().unwrap_or(Path::new("")).join(&file);
    let mut secret = vec![0; algorithm.mac_len()];
    crate::random::Random::system()
        .fill(&mut secret)
        .map_err(|e| Failure::No(e.to_string()))?;
    let key = TsigKey::new(&name, algorithm, &secret).map_err(Failure::Usage)?;
    let clause = bind_clause(&key);
    let new_folder = owner::missing_folder(&path).map(Path::to_path_buf);
    write(&path, &clause)?;
    // The daemon reads it again on a reload, when it is not root.
    if let Some(owner) = config.as_ref().map(owner::of_daemon).transpose()?.flatten() {
        owner.give(&new_folder.unwrap_or_else(|| path.clone()))?;
    }
    let zone = config
        .and_then(|c| c.ledger.zones.first().map(|z| z.origin.clone()))
        .unwrap_or_else(|| EXAMPLE_ZONE.into());
    let lines = [
        ("orbsd, config.toml", "orbsd_config", ours(&key, &file)),
        (
            "orbsd, the zone's file; for each mirror its address",
            "orbsd_zone",
            our_zone(&key),
        ),
        ("NSD, nsd.conf", "nsd", nsd(&key, server, &zone)),
        ("Knot, knot.conf", "knot", knot(&key, server, &zone)),
        (
            "BIND, named.conf",
            "bind",
            format!("{clause}{}", bind(&key, server, &zone)),
        ),
        (
            "PowerDNS, commands",
            "powerdns",
            powerdns(&key, server, &zone),
        ),
    ];
    if common.json {
        let lines: serde_json::Map<_, _> = lines
            .into_iter()
            .map(|(_, id, text)| (id.into(), text.into()))
            .collect();
        output::json(
            &json!({"name": key.name(), "algorithm": algorithm.name(), "file": path, "lines": lines}),
        );
    } else {
        println!(
            "The secret is in {}. Whoever has it is taken for this mirror.",
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

/// An address, with port 53 where it says none.
fn server(text: &str) -> Result<SocketAddr, Failure> {
    let with_port = text
        .parse()
        .or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)));
    with_port.map_err(|_| {
        Failure::Usage(format!(
            "--server: `{text}` is not an address such as 192.0.2.1 or [2001:db8::1]:53"
        ))
    })
}

/// A new file for its owner alone, in a folder for its owner alone where there was none.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let told = |e: std::io::Error| Failure::No(format!("{}: {e}", path.display()));
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        private::create_dir(folder).map_err(told)?;
    }
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let mut file = file.map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::No(format!(
            "{} is there already and stays as it is",
            path.display()
        )),
        _ => told(e),
    })?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(told)
}

fn secret(key: &TsigKey) -> String {
    BASE64.encode(key.secret())
}

/// What the file holds: BIND includes it, and `dig -k` reads it.
fn bind_clause(key: &TsigKey) -> String {
    format!(
        "key \"{}\" {{\n\talgorithm {};\n\tsecret \"{}\";\n}};\n",
        key.name(),
        key.algorithm().name(),
        secret(key)
    )
}

fn ours(key: &TsigKey, file: &Path) -> String {
    let file = file
        .to_string_lossy()
        .replace('\\', "\\\\")
        .replace('"', "\\\"");
    format!(
        "[[key]]\nname = \"{}\"\nalgorithm = \"{}\"\nfile = \"{file}\"\n",
        key.name(),
        key.algorithm().name()
    )
}

fn our_zone(key: &TsigKey) -> String {
    let name = key.name();
    format!(
        "[transfer]\nallow = [\"key:{name}\"]\nnotify = [{{ address = \"192.0.2.53:53\", key = \"{name}\" }}]\n"
    )
}

fn nsd(key: &TsigKey, server: SocketAddr, zone: &str) -> String {
    let (name, algorithm, ip, port) = (
        key.name(),
        key.algorithm().name(),
        server.ip(),
        server.port(),
    );
    format!(
        "key:\n    name: \"{name}\"\n    algorithm: {algorithm}\n    secret: \"{}\"\nzone:\n    name: \"{zone}\"\n    \
         request-xfr: {ip}@{port} {name}\n    allow-notify: {ip} {name}\n",
        secret(key)
    )
}

fn knot(key: &TsigKey, server: SocketAddr, zone: &str) -> String {
    let (name, algorithm, ip, port) = (
        key.name(),
        key.algorithm().name(),
        server.ip(),
        server.port(),
    );
    format!(
        "key:\n  - id: {name}\n    algorithm: {algorithm}\n    secret: {}\nremote:\n  - id: orbsd\n    address: {ip}@{port}\n    \
         key: {name}\nacl:\n  - id: orbsd-notify\n    address: {ip}\n    key: {name}\n    action: notify\nzone:\n  - domain: {zone}\n    \
         master: orbsd\n    acl: orbsd-notify\n",
        secret(key)
    )
}

fn bind(key: &TsigKey, server: SocketAddr, zone: &str) -> String {
    let (name, ip, port) = (key.name(), server.ip(), server.port());
    format!(
        "zone \"{zone}\" {{\n\ttype secondary;\n\tfile \"{zone}.db\";\n\tprimaries {{ {ip} port {port} key \"{name}\"; }};\n\t\
         allow-notify {{ key \"{name}\"; }};\n}};\n"
    )
}

fn powerdns(key: &TsigKey, server: SocketAddr, zone: &str) -> String {
    let (name, algorithm) = (key.name(), key.algorithm().name());
    format!(
        "pdnsutil import-tsig-key {name} {algorithm} '{}'\npdnsutil create-secondary-zone {zone} {server}\n\
         pdnsutil activate-tsig-key {zone} {name} secondary\n",
        secret(key)
    )
}
