//! Checks of everything that a start needs and that can be checked without privileges and sockets.
//! `check` and `reload` run them too, so that the next start accepts what they accept.

use std::{
    net::SocketAddr,
    os::unix::{ffi::OsStrExt, fs::FileTypeExt},
    path::Path,
};

use nix::unistd::{Group, User};

use super::{document::Report, tables::File};
use crate::mail;

/// The most UDP workers of an address.
const MAX_WORKERS: usize = 256;
/// The longest path of a socket in bytes (`sun_path` without its final zero, unix(7)).
const MAX_SOCKET_PATH: usize = 107;

/// Reports what a start would refuse. `store`, `removals` and `socket` are the paths in use.
pub(super) fn check(
    file: &File,
    (store, removals, socket): (&Path, &Path, &Path),
    report: &mut Report,
) {
    check_mail(file, report);
    check_accounts(file, report);
    check_values(file, report);
    check_paths(file, (store, removals, socket), report);
}

fn check_mail(file: &File, report: &mut Report) {
    let (mail, place) = (&file.mail, &file.mail.place);
    if mail.smarthost.is_empty() {
        return;
    }
    if let Err(e) = mail::check_address(&mail.from) {
        report.error(
            place,
            "from",
            format_args!("{e}; it is the sender of mail to the smart host"),
        );
    }
    if let Err(e) = mail::parse_smarthost(&mail.smarthost, mail.require_starttls) {
        report.error(place, "smarthost", e);
    }
}

/// The user and the group have to exist on this machine.
fn check_accounts(file: &File, report: &mut Report) {
    let (user, group) = (&file.process.user, &file.admin.socket_group);
    if !user.is_empty() && !User::from_name(user).is_ok_and(|u| u.is_some()) {
        report.error(
            &file.process.place,
            "user",
            format_args!(
                "there is no user `{user}` on this machine; create it, or name another one"
            ),
        );
    }
    if !group.is_empty() && !Group::from_name(group).is_ok_and(|g| g.is_some()) {
        let text = format_args!(
            "there is no group `{group}` on this machine; create it, or name another one"
        );
        report.error(&file.admin.place, "socket_group", text);
    }
}

/// Reports values that are valid and cannot be intended, or that no machine supports.
fn check_values(file: &File, report: &mut Report) {
    if file.dns.nsid.chars().any(char::is_control) {
        report.error(
            &file.dns.place,
            "nsid",
            format_args!(
                "{:?} has a control character; write plain text",
                file.dns.nsid
            ),
        );
    }
    if file.dns.workers > MAX_WORKERS {
        let text = format_args!(
            "{} is more than {MAX_WORKERS} workers for each address; write 0 for one per core",
            file.dns.workers
        );
        report.error(&file.dns.place, "workers", text);
    }
    if file.journal.max_age.0 == 0 {
        report.error(
            &file.journal.place,
            "max_age",
            "0s keeps no changes, so that every mirror fetches whole zones; write 1h or more",
        );
    }
    if file.journal.max_size.0 == 0 {
        report.error(
            &file.journal.place,
            "max_size",
            "0 keeps no changes, so that every mirror fetches whole zones; write 1MiB or more",
        );
    }
    let quic = &file.tls.quic;
    for (i, addr) in quic
        .iter()
        .enumerate()
        .filter(|(i, a)| a.port() != 0 && quic[..*i].iter().any(|o: &SocketAddr| o == *a))
    {
        report.error(
            &file.tls.place,
            "quic",
            format_args!("{addr} is configured twice; remove entry {}", i + 1),
        );
    }
}

/// The paths of the daemon's own files: what is there has to be of the right kind.
fn check_paths(file: &File, (store, removals, socket): (&Path, &Path, &Path), report: &mut Report) {
    if let Some(why) = not_a_folder(store) {
        report.error(&file.store.place, "path", why);
    }
    if removals.metadata().is_ok_and(|m| !m.is_file()) {
        report.error(
            &file.removal_log.place,
            "path",
            format_args!("{} is not a plain file; name one", removals.display()),
        );
    } else if let Some(why) = removals.parent().and_then(not_a_folder) {
        report.error(&file.removal_log.place, "path", why);
    }
    if socket.as_os_str().as_bytes().len() > MAX_SOCKET_PATH {
        let text = format_args!(
            "{} is longer than {MAX_SOCKET_PATH} bytes, which is the limit for sockets; set a shorter path",
            socket.display()
        );
        report.error(&file.admin.place, "socket", text);
    } else if socket
        .symlink_metadata()
        .is_ok_and(|m| !m.file_type().is_socket())
    {
        report.error(
            &file.admin.place,
            "socket",
            format_args!(
                "{} is there and is not a socket; name another path",
                socket.display()
            ),
        );
    } else if let Some(why) = socket.parent().and_then(not_a_folder) {
        report.error(&file.admin.place, "socket", why);
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
