//! Disks, file modes and open files of this machine.

use std::{fs, path::Path};

use tokio::net::UnixStream;

use super::{
    context::Context,
    finding::{Area, Examination, Finding},
};
use crate::{config::Config, http::Disk, net::FileBudget, store::private::open_mode};

/// Less free space than this is a fault, however small the store is.
const MIN_FREE_BYTES: u64 = 64 << 20;
/// Less free space than this is a warning.
const LOW_FREE_BYTES: u64 = 512 << 20;
/// Sockets and files besides those of connections and of the store.
const RESERVED_FILES: u64 = 40;
/// Of the open files, this many in a hundred are a fault.
const MAX_OPEN_PERCENT: u64 = 90;

/// Checks disks, modes and open files.
pub(super) async fn check(context: &Context) -> Vec<Finding> {
    let Ok(config) = &context.config else {
        return vec![context.without_config(Area::Machine)];
    };
    let machine = crate::daemon::machine_state(config, None)();
    let mut out: Vec<Finding> = machine
        .disks
        .iter()
        .map(|d| disk(d, machine.store_bytes.unwrap_or_default()))
        .collect();
    if machine.disks.is_empty() {
        let path = config.store.path.display().to_string();
        out.push(Examination::new(Area::Machine, "disk", path).not_seen(
            "the folder of the store does not exist, or this user cannot see it",
            "run this as root or as the daemon's user",
        ));
    }
    out.extend(modes(config));
    out.extend(match &context.socket {
        Some(socket) if context.daemon.is_ok() => Some(open_files(socket, config).await),
        _ => None,
    });
    out
}

/// The free space of a disk. The store needs space for compactions, and twice its size for a backup
/// on the same disk.
pub(super) fn disk(disk: &Disk, store_bytes: u64) -> Finding {
    let target = format!("disk of {}", disk.name);
    let examination = Examination::new(Area::Machine, "disk", target);
    let mebibytes = |bytes: u64| format!("{} MiB", bytes >> 20);
    let what = format!(
        "{} of {} are free, and the store has {}",
        mebibytes(disk.free),
        mebibytes(disk.size),
        mebibytes(store_bytes)
    );
    const REMEDY: &str = "free space, or move `[store] path` and `[removal_log] path` to a larger disk; changes are refused when it is full";
    if disk.free < MIN_FREE_BYTES.max(store_bytes / 4) {
        examination.fault(what, REMEDY)
    } else if disk.free < LOW_FREE_BYTES.max(store_bytes) {
        examination.warning(what, REMEDY)
    } else {
        examination.good(what)
    }
}

/// The modes of files with secrets.
pub(super) fn modes(config: &Config) -> Vec<Finding> {
    let mut private = vec![config.store.path.as_path()];
    private.extend(config.ledger.removals.as_deref());
    private.push(&config.probe.key);
    let tls = config
        .tls
        .is_used()
        .then_some(config.tls.files.key.as_path());
    let one = |path: &Path, is_tls_key: bool| {
        let examination = Examination::new(Area::Machine, "mode", path.display().to_string());
        match fs::metadata(path) {
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return None,
            Err(e) => {
                return Some(examination.not_seen(
                    format!("its mode is not known: {e}"),
                    "run this as root or as the daemon's user",
                ));
            }
        }
        // The daemon may read the key of its certificate as a member of a group.
        let open = open_mode(path).filter(|open| !is_tls_key || open.is_for_all);
        Some(match open {
            None => examination.good("only its owner can read it"),
            Some(open) => examination.fault(open.problem, format!("run `{}`", open.command)),
        })
    };
    let private = private.into_iter().filter_map(|path| one(path, false));
    private
        .chain(tls.and_then(|path| one(path, true)))
        .collect()
}

/// The open files of the daemon, and their limit.
async fn open_files(socket: &Path, config: &Config) -> Finding {
    let examination = Examination::new(Area::Machine, "open-files", "daemon");
    let used = [
        config.admin.listen.is_some(),
        config.web.listen.is_some(),
        config.probe.relay.enabled,
    ];
    match read_files(socket).await {
        Ok((open, limit)) => {
            let budget = FileBudget::divide(limit, RESERVED_FILES, config.connections, used);
            assess_files(examination, open, limit, budget.warning)
        }
        Err(why) => examination.not_seen(
            format!("the limit of the daemon is not known: {why}"),
            "run this as root or as the daemon's user",
        ),
    }
}

/// Assesses the number of open files. `shortage` says which limits of connections the daemon has
/// lowered.
pub(super) fn assess_files(
    examination: Examination,
    open: Option<u64>,
    limit: u64,
    shortage: Option<String>,
) -> Finding {
    const REMEDY: &str =
        "raise `LimitNOFILE=` of the unit (`ulimit -n`) and restart, or lower [connections]";
    let shown = open.map_or(String::new(), |n| format!("{n} files are open, and "));
    if open.is_some_and(|n| n.saturating_mul(100) >= limit.saturating_mul(MAX_OPEN_PERCENT)) {
        return examination.fault(format!("{shown}at most {limit} can be"), REMEDY);
    }
    match shortage {
        Some(why) => examination.warning(why, REMEDY),
        None => examination.good(format!("{shown}at most {limit} can be")),
    }
}

/// The open files of the process behind a socket, if this user may count them, and its limit.
async fn read_files(socket: &Path) -> Result<(Option<u64>, u64), String> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|e| e.to_string())?;
    let peer = stream.peer_cred().map_err(|e| e.to_string())?;
    let pid = peer.pid().ok_or("the process at the socket is unknown")?;
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).map_err(|e| e.to_string())?;
    let limit = file_limit(&limits).ok_or("its limits cannot be read")?;
    let open = fs::read_dir(format!("/proc/{pid}/fd")).ok();
    Ok((open.map(|files| files.count() as u64), limit))
}

/// The soft limit of open files in `/proc/PID/limits`.
pub(super) fn file_limit(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|l| l.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        n => n.parse().ok(),
    }
}
