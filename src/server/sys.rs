//! System calls for the process, its threads and its sockets, with all `unsafe` code of the server
//! except that of UDP.

use std::{ffi::CString, io, net::SocketAddr, os::fd::AsRawFd};

use nix::{
    sys::resource::{Resource, getrlimit, setrlimit},
    unistd::{self, User},
};

/// Sets a socket option whose value is a number, for options that socket2 lacks.
pub fn set_option(
    socket: &impl AsRawFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the option's value is one int that lives until the call returns.
    let r = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            len,
        )
    };
    if r < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Whether a socket could not be opened because the machine does not have the address or its
/// family.
pub fn is_missing(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::AddrNotAvailable || e.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

/// Opens a socket for each address. An IPv6 address that this machine does not have is left out.
pub fn bind_each<S>(
    key: &str,
    addrs: &[SocketAddr],
    bind: impl Fn(SocketAddr) -> io::Result<S>,
) -> Result<Vec<S>, String> {
    let mut out = Vec::new();
    for addr in addrs {
        match bind(*addr) {
            Ok(socket) => out.push(socket),
            Err(e) if addr.is_ipv6() && is_missing(&e) => {
                tracing::warn!(%addr, key, "this machine does not have the address; not listening there");
            }
            Err(e) => return Err(format!("{key}: {addr}: {e}")),
        }
    }
    Ok(out)
}

/// Raises the limit of open files to the hard limit, and returns it. Every TCP connection is an
/// open file.
pub fn raise_file_limit() -> io::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// The nice value of all threads but those that answer queries.
///
/// While another thread runs, Linux checks whether a waking UDP worker may take its core. It may if
/// it has had less than its share of the core; otherwise it waits until the next tick, up to 4 ms.
/// The smaller the shares of the other threads, the more seldom that happens. At 19, a thread still
/// gets 1.5 % of a core that is otherwise busy, so that its work ends.
const LOW_NICE: libc::c_int = 19;

/// Lowers the priority of the calling thread: to the lowest nice value, which Linux keeps for each
/// thread, and to the batch policy, by which it does not preempt other threads when it wakes.
pub fn lower_priority() {
    set_scheduling(libc::SCHED_BATCH, LOW_NICE, 0);
}

/// Lets the calling thread run in short time slices, so that it runs soon after it wakes (Linux
/// 6.12 and later). This needs no privilege, since the thread's share stays the same.
pub fn short_slices() {
    const SLICE_NANOSECONDS: u64 = 100_000;
    // SAFETY: a plain system call about the calling thread.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    set_scheduling(libc::SCHED_OTHER, nice, SLICE_NANOSECONDS);
}

/// Sets policy, nice value and time slice of the calling thread. A slice of 0 is the system's own;
/// a thread has the slice of the one that started it otherwise.
fn set_scheduling(policy: libc::c_int, nice: libc::c_int, slice_nanoseconds: u64) {
    let a = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: policy as u32,
        sched_flags: 0,
        sched_nice: nice,
        sched_priority: 0,
        sched_runtime: slice_nanoseconds,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: `a` is a valid structure of the size that it names. Nothing depends on the result: an
    // older kernel ignores the slice.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const a, 0) };
}

/// Whether the process runs as root.
pub fn is_root() -> bool {
    unistd::geteuid().is_root()
}

/// The user id of the process.
pub fn uid() -> u32 {
    unistd::geteuid().as_raw()
}

/// Looks up a user of this machine.
pub fn find_user(name: &str) -> io::Result<User> {
    let missing = || format!("there is no user `{name}`");
    User::from_name(name)?.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, missing()))
}

/// Switches to another user for good, with that user's groups.
pub fn drop_privileges(user: &str) -> io::Result<()> {
    let user = find_user(user)?;
    let name = CString::new(user.name)?;
    // Groups are set first, since setuid gives up the privilege that they need.
    unistd::initgroups(&name, user.gid)?;
    unistd::setgid(user.gid)?;
    Ok(unistd::setuid(user.uid)?)
}

/// Changes the owner of a folder and its content to a user, before privileges are dropped.
pub fn give(path: &std::path::Path, user: &str) -> io::Result<()> {
    let owner = find_user(user)?;
    std::os::unix::fs::lchown(path, Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))?;
    if path.is_dir() && !path.is_symlink() {
        for entry in std::fs::read_dir(path)? {
            give(&entry?.path(), user)?;
        }
    }
    Ok(())
}

/// Whether the kernel reports that the wall clock is synchronised (by NTP, PTP or a host) to less
/// than a second. Needs no privilege; returns false if the call is filtered.
pub fn is_clock_synchronised() -> bool {
    const MAX_ERROR_MICROS: libc::c_long = 1_000_000;
    // SAFETY: `timex` is plain numbers, for which zeros are valid.
    let mut t: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `t` is a valid place for the result; with no modes set nothing is changed.
    let state = unsafe { libc::adjtimex(&mut t) };
    state >= 0
        && state != libc::TIME_ERROR
        && t.status & libc::STA_UNSYNC == 0
        && t.maxerror < MAX_ERROR_MICROS
}

/// Returns free memory of the process to the system. An import needs much more memory than remains
/// in use after it.
pub fn trim_memory() {
    // SAFETY: a plain call of the C library, safe from any thread. Only glibc has it.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}
