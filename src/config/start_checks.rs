//! Checks of the requirements of a start that need neither privileges nor sockets. `check` and
//! `reload` run them too, so that the next start does not refuse a configuration that they accept.

use std::{os::unix::fs::FileTypeExt, path::Path};

use nix::unistd::{Group, User};

use super::{document::Report, tables::File};
use crate::mail;

/// The most UDP workers of an address.
const MAX_WORKERS: usize = 256;
/// The longest path of a socket in bytes (`sun_path` without its final zero, unix(7)).
const MAX_SOCKET_PATH: usize = 107;

/// Reports the errors that would stop a start. `store`, `removals` and `socket` are the paths in use.
pub(super) fn check(
    file: &File,
    store: &Path,
    removals: &Path,
    socket: &Path,
    report: &mut Report,
) {
    check_mail(file, report);
    check_accounts(file, report);
    check_values(file, report);
    check_paths(file, store, removals, socket, report);
}

fn check_mail(file: &File, report: &mut Report) {
    let (mail, mut report) = (&file.mail, report.of(&file.mail.place));
    if mail.smarthost.is_empty() {
        return;
    }
    if let Err(e) = mail::check_address(&mail.from) {
        let text = format_args!("{e}; it is the sender of mail to the smart host");
        report.error("from", text);
    }
    let smarthost = mail::parse_smarthost(&mail.smarthost, mail.require_starttls);
    report.value("smarthost", smarthost);
}

/// The user and the group have to exist on this machine.
fn check_accounts(file: &File, report: &mut Report) {
    let (user, group) = (&file.process.user, &file.admin.socket_group);
    report.of(&file.process.place).error_if(
        !user.is_empty() && !User::from_name(user).is_ok_and(|u| u.is_some()),
        "user",
        format_args!("there is no user `{user}` on this machine; create it, or name another one"),
    );
    report.of(&file.admin.place).error_if(
        !group.is_empty() && !Group::from_name(group).is_ok_and(|g| g.is_some()),
        "socket_group",
        format_args!("there is no group `{group}` on this machine; create it, or name another one"),
    );
}

/// Reports values that are well-formed and cannot work.
fn check_values(file: &File, report: &mut Report) {
    let (nsid, workers) = (&file.dns.nsid, file.dns.workers);
    let mut dns = report.of(&file.dns.place);
    dns.error_if(
        nsid.chars().any(char::is_control),
        "nsid",
        format_args!("{nsid:?} has a control character; write plain text"),
    );
    dns.error_if(
        workers > MAX_WORKERS,
        "workers",
        format_args!("{workers} is more than {MAX_WORKERS} workers for each address; write 0 for one per core"),
    );
    let mut journal = report.of(&file.journal.place);
    journal.error_if(
        file.journal.max_age.0 == 0,
        "max_age",
        "0s keeps no changes, so that every mirror fetches whole zones; write 1h or more",
    );
    journal.error_if(
        file.journal.max_size.0 == 0,
        "max_size",
        "0 keeps no changes, so that every mirror fetches whole zones; write 1MiB or more",
    );
    let quic = &file.tls.quic;
    for (i, addr) in quic.iter().enumerate().filter(|(_, a)| a.port() != 0) {
        let text = format_args!("{addr} is configured twice; remove entry {}", i + 1);
        report
            .of(&file.tls.place)
            .error_if(quic[..i].contains(addr), "quic", text);
    }
}

/// Checks that the paths of the daemon's own files are free, or have a file of the right kind.
fn check_paths(file: &File, store: &Path, removals: &Path, socket: &Path, report: &mut Report) {
    if let Some(why) = not_a_folder(store) {
        report.of(&file.store.place).error("path", why);
    }
    let mut removal_log = report.of(&file.removal_log.place);
    if removals.metadata().is_ok_and(|m| !m.is_file()) {
        let text = format_args!("{} is not a plain file; name one", removals.display());
        removal_log.error("path", text);
    } else if let Some(why) = removals.parent().and_then(not_a_folder) {
        removal_log.error("path", why);
    }
    let (mut admin, shown) = (report.of(&file.admin.place), socket.display());
    let found = socket.symlink_metadata();
    if socket.as_os_str().len() > MAX_SOCKET_PATH {
        let text = format_args!(
            "{shown} is longer than {MAX_SOCKET_PATH} bytes, which is the limit for sockets; set a shorter path"
        );
        admin.error("socket", text);
    } else if found.is_ok_and(|m| !m.file_type().is_socket()) {
        let text = format_args!("{shown} is there and is not a socket; name another path");
        admin.error("socket", text);
    } else if let Some(why) = socket.parent().and_then(not_a_folder) {
        admin.error("socket", why);
    }
}

/// The error about the path of a folder, which is created if it does not exist.
fn not_a_folder(path: &Path) -> Option<String> {
    let there = path.ancestors().find(|a| a.symlink_metadata().is_ok())?;
    (!there.is_dir()).then(|| format!("{} is not a folder; name another path", there.display()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ZONE, load};

    #[test]
    fn what_a_start_refuses_is_refused_by_check() {
        let with = |text: &str| {
            load(&format!("[[reason]]\nname='relay'\n{text}"), ZONE)
                .map(drop)
                .map_err(|e| e.to_string())
        };
        let long = "x".repeat(120);
        for (text, part) in [
            (
                "[mail]\nsmarthost='a b:c'\nfrom='a@b.example'",
                "mail.smarthost: `a b:c`",
            ),
            (
                "[mail]\nsmarthost='a b'\nfrom='a@b.example'",
                "mail.smarthost: `a b`",
            ),
            (
                "[mail]\nsmarthost='mx.example:0'\nfrom='a@b.example'",
                "mail.smarthost",
            ),
            (
                "[process]\nuser='nosuch'",
                "process.user: there is no user `nosuch`",
            ),
            (
                "[admin]\nsocket_group='nosuch'",
                "admin.socket_group: there is no group `nosuch`",
            ),
            (
                "[removal_log]\npath='/tmp'",
                "removal_log.path: /tmp is not a plain file",
            ),
            (
                "[removal_log]\npath='config.toml/x'",
                "removal_log.path: config.toml is not a folder",
            ),
            (
                "[store]\npath='config.toml'",
                "store.path: config.toml is not a folder",
            ),
            (
                "[store]\npath='config.toml/data'",
                "store.path: config.toml is not a folder",
            ),
            (
                "[admin]\nsocket='config.toml'",
                "admin.socket: config.toml is there and is not a socket",
            ),
            (
                &format!("[admin]\nsocket='/tmp/{long}'"),
                "is longer than 107 bytes",
            ),
            (
                "[dns]\nnsid='a\\tb'\nworkers=3000",
                "dns.workers: 3000 is more than 256",
            ),
            (
                "[dns]\nnsid=\"a\\tb\"",
                "dns.nsid: \"a\\tb\" has a control character",
            ),
            ("[journal]\nmax_age='0s'", "journal.max_age: 0s"),
            ("[journal]\nmax_size='0'", "journal.max_size: 0"),
            (
                "[tls]\nquic=['127.0.0.1:853','127.0.0.1:853']\ncertificate='c'\nkey='k'",
                "tls.quic: 127.0.0.1:853 is configured twice",
            ),
            (
                "[[feed]]\nname='x'\nreason='relay'\npath='x'\ninterval='0s'",
                "interval: 0s",
            ),
        ] {
            let e = with(text).unwrap_err();
            assert!(e.contains(part), "{part}: {e}");
        }
        for smarthost in [
            "mx.example",
            "mx.example:2525",
            "192.0.2.1",
            "192.0.2.1:25",
            "[2001:db8::1]:25",
            "2001:db8::1",
            "localhost",
        ] {
            with(&format!(
                "[mail]\nsmarthost='{smarthost}'\nfrom='a@b.example'\n[process]\nuser='root'"
            ))
            .unwrap();
        }
    }
}
