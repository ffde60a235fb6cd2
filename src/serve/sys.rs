//! System calls about the process and its threads. The `unsafe` code that is not about UDP is here.

use std::io;

/// Runs the calling thread after everybody else: nice value 10 of Linux, which counts threads apart.
pub fn lower_priority() {
    // SAFETY: a plain system call on the calling thread. It is a wish; nothing depends on it.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, libc::gettid() as libc::id_t, 10) };
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

/// Becomes another user for good, with that user's groups. The error names what was refused.
pub fn drop_privileges(user: &str) -> io::Result<()> {
    let name = std::ffi::CString::new(user).map_err(|_| io::Error::other("the user's name has a zero byte"))?;
    // SAFETY: `getpwnam` returns a pointer to static memory or null; no other thread calls it this early.
    let (uid, gid) = unsafe {
        let entry = libc::getpwnam(name.as_ptr());
        if entry.is_null() {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no user `{user}`")));
        }
        ((*entry).pw_uid, (*entry).pw_gid)
    };
    // SAFETY: plain system calls, groups first, since they need the privilege that the last one gives up.
    unsafe {
        if libc::initgroups(name.as_ptr(), gid) < 0 || libc::setgid(gid) < 0 || libc::setuid(uid) < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Gives a folder and what is in it to a user, before privileges are dropped.
pub fn give(path: &std::path::Path, user: &str) -> io::Result<()> {
    let name = std::ffi::CString::new(user).map_err(|_| io::Error::other("the user's name has a zero byte"))?;
    // SAFETY: as above.
    let (uid, gid) = unsafe {
        let entry = libc::getpwnam(name.as_ptr());
        if entry.is_null() {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no user `{user}`")));
        }
        ((*entry).pw_uid, (*entry).pw_gid)
    };
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
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid place for the result.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut t) };
    t.tv_sec as u64 * 1_000_000 + t.tv_nsec as u64 / 1000
}

/// Gives memory that is free inside the process back to the system: an import takes more than what is left after it.
pub fn trim_memory() {
    // SAFETY: a plain call of the C library, safe from any thread. Where the library is not glibc there is nothing to do.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}
