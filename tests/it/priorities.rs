//! The priorities of the daemon's threads.

use std::{
    fs,
    io::Write,
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::lab::{CONFIG, DOMAINS, Daemon, Folder, ZONE, query};

/// The scheduling policies of Linux for threads with a nice value.
const SCHED_OTHER: i64 = 0;
const SCHED_BATCH: i64 = 3;

/// Returns name, nice value and scheduling policy of each thread of a process (proc_pid_stat(5)).
fn threads(pid: u32) -> Vec<(String, i64, i64)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let one = |task: fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).ok()?;
        let (start, rest) = stat.rsplit_once(')')?;
        let fields: Vec<_> = rest.split_whitespace().collect();
        // The first field after the name is the third one of the manual.
        let field = |n: usize| fields[n - 3].parse().unwrap();
        let name = start.split_once('(')?.1.to_string();
        Some((name, field(19), field(41)))
    };
    tasks.flatten().filter_map(one).collect()
}

#[test]
fn threads_that_do_not_answer_queries_have_the_lowest_priority() {
    let zone = format!("{ZONE}\n[transfer]\nallow = [\"127.0.0.0/8\"]\n");
    let folder = Folder::with(CONFIG, &[("bl", &zone), ("dbl", DOMAINS)]);
    let daemon = Daemon::start(&folder);
    let list: String = (0..150_000u32)
        .map(|n| format!("{}\n", std::net::Ipv4Addr::from(0x0b00_0000 + 3 * n)))
        .collect();
    folder.write("list.txt", &list);
    folder.ok(&[
        "import", "--source", "test", "--reason", "relay", "--format", "list", "list.txt",
    ]);
    // A mirror that does not read, so that its transfer does not end.
    let mut mirror = TcpStream::connect(folder.addr()).unwrap();
    let axfr = query("bl.orbs.example", 252, false);
    let framed = [&(axfr.len() as u16).to_be_bytes()[..], &axfr].concat();
    mirror.write_all(&framed).unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    let found = loop {
        let found = threads(daemon.0.id());
        if found
            .iter()
            .any(|(name, _, policy)| name == "transfer" && *policy == SCHED_BATCH)
        {
            break found;
        }
        assert!(Instant::now() < until, "there is no transfer: {found:?}");
        std::thread::sleep(Duration::from_millis(5));
    };
    for name in ["udp-0", "udp-1"] {
        let expected = (name.into(), 0, SCHED_OTHER);
        assert!(
            found.contains(&expected),
            "{name} answers queries: {found:?}"
        );
    }
    for name in ["ledger", "web", "transfer", "scrub", "retention", "quality"] {
        let expected = (name.into(), 19, SCHED_BATCH);
        assert!(found.contains(&expected), "{name} does not: {found:?}");
    }
    drop(mirror);
}
