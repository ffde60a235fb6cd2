//! System calls about the process, its threads and its sockets. The `unsafe` code that is not about
//! UDP is here.

use std::{io, os::fd::AsRawFd};

/// Sets a socket's option whose value is a number.
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

/// Whether an error of opening a socket says that the machine does not have the address or its
/// family.
pub fn is_missing(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::AddrNotAvailable || e.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

/// Raises the limit of open files to what the system allows this process, and tells it: every TCP
/// connection is one.
pub fn raise_file_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid place for the result, and valid to read from.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) < 0 {
            return Err(io::Error::last_os_error());
        }
        limit.rlim_cur = limit.rlim_max;
        if libc::setrlimit(libc::RLIMIT_NOFILE, &limit) < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(limit.rlim_cur)
}

/// Runs the calling thread after everybody else: nice value 10, which Linux counts for threads
/// apart, and as a batch task, which does not interrupt others when it wakes.
pub fn lower_priority() {
    // SAFETY: plain system calls on the calling thread. They are wishes; nothing depends on them.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, libc::gettid() as libc::id_t, 10);
        libc::sched_setscheduler(
            0,
            libc::SCHED_BATCH,
            &libc::sched_param { sched_priority: 0 },
        );
    }
}

/// Lets the calling thread run in short slices, so that it gets the processor soon after it wakes
/// (Linux 6.12 and newer; no privilege is needed, since it gets no larger share).
pub fn short_slices() {
    /// `struct sched_attr` of sched_setattr(2), first version.
    #[repr(C)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }
    const SLICE_NANOSECONDS: u64 = 100_000;
    let size = size_of::<Attributes>() as u32;
    let a = Attributes {
        size,
        policy: 0,
        flags: 0,
        nice: 0,
        priority: 0,
        runtime: SLICE_NANOSECONDS,
        deadline: 0,
        period: 0,
    };
    // SAFETY: `a` is a valid structure of the size it says. An older kernel refuses or ignores it.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const a, 0) };
}

/// Whether the process runs as root.
pub fn is_root() -> bool {
    // SAFETY: a plain system call.
    unsafe { libc::geteuid() == 0 }
}

/// The user id of the process.
pub fn uid() -> u32 {
    // SAFETY: a plain system call.
    unsafe { libc::geteuid() }
}

/// A user's name for the C library, and the numbers of the user and its group.
fn ids_of(user: &str) -> io::Result<(std::ffi::CString, u32, u32)> {
    let name = std::ffi::CString::new(user)
        .map_err(|_| io::Error::other("the user's name has a zero byte"))?;
    // SAFETY: `getpwnam` returns a pointer to static memory or null; no other thread calls it this
    // early.
    let ids = unsafe {
        libc::getpwnam(name.as_ptr())
            .as_ref()
            .map(|entry| (entry.pw_uid, entry.pw_gid))
    };
    let (uid, gid) = ids.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("there is no user `{user}`"),
        )
    })?;
    Ok((name, uid, gid))
}

/// Becomes another user for good, with that user's groups. The error names what was refused.
pub fn drop_privileges(user: &str) -> io::Result<()> {
    let (name, uid, gid) = ids_of(user)?;
    // SAFETY: plain system calls, groups first, since they need the privilege that the last one
    // gives up.
    unsafe {
        if libc::initgroups(name.as_ptr(), gid) < 0
            || libc::setgid(gid) < 0
            || libc::setuid(uid) < 0
        {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Gives a folder and what is in it to a user, before privileges are dropped.
pub fn give(path: &std::path::Path, user: &str) -> io::Result<()> {
    let (_, uid, gid) = ids_of(user)?;
    std::os::unix::fs::lchown(path, Some(uid), Some(gid))?;
    if path.is_dir() && !path.is_symlink() {
        for entry in std::fs::read_dir(path)? {
            give(&entry?.path(), user)?;
        }
    }
    Ok(())
}

/// Microseconds of the monotonic clock, as systemd counts them.
pub fn monotonic_micros() -> u64 {
    let mut t = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `t` is a valid place for the result.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut t) };
    t.tv_sec as u64 * 1_000_000 + t.tv_nsec as u64 / 1000
}

/// Whether the kernel says that the wall clock is synchronised (by NTP, PTP or a host), to less
/// than a second. Needs no privilege; where the call is filtered the answer is no.
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

/// Gives memory that is free inside the process back to the system: an import takes more than what
/// is left after it.
pub fn trim_memory() {
    // SAFETY: a plain call of the C library, safe from any thread. Where the library is not glibc
    // there is nothing to do.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}
