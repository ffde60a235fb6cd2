//! A closed loop of UDP queries, and what one answer costs the server.
//!
//! `load SERVER:PORT QUERIES --seconds S --window N [--sockets N] [--rate R] [--pid PID]`: QUERIES
//! has `name type` lines; all of them are encoded up front, with EDNS. Prints one JSON object:
//! answers a second; lost; how many answers were listed, NXDOMAIN, anything else; microseconds at
//! the median and the 99th percentile; and with `--pid` the server's own CPU microseconds (user and
//! system, all threads) for each answer. With `--rate` a query's time counts from when it was due,
//! whether or not it could be sent then.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::HashMap,
    fs,
    mem::zeroed,
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

const BATCH: usize = 64;
/// A query that is not answered for so long is lost.
const PATIENCE: Duration = Duration::from_secs(1);

fn encode(line: &str) -> Vec<u8> {
    let (name, kind) = line.split_once(' ').unwrap_or((line, "A"));
    let mut m = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in name.split('.') {
        m.push(label.len() as u8);
        m.extend(label.as_bytes());
    }
    let qtype = if kind.trim() == "TXT" { 16 } else { 1 };
    m.extend([0, 0, qtype, 0, 1, 0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
    m
}

/// CPU time of a process's threads so far, in nanoseconds.
fn cpu(pid: u32) -> HashMap<String, u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .expect("the server is gone")
        .flatten();
    let one = |e: fs::DirEntry| {
        let spent = fs::read_to_string(e.path().join("schedstat"))
            .ok()?
            .split(' ')
            .next()?
            .parse()
            .ok()?;
        Some((e.file_name().to_string_lossy().into_owned(), spent))
    };
    tasks.filter_map(one).collect()
}

/// What was spent between two looks, in microseconds. A thread that ended in between took its
/// figure along.
fn spent(before: &HashMap<String, u64>, after: &HashMap<String, u64>) -> u64 {
    after
        .iter()
        .map(|(thread, n)| n - before.get(thread).unwrap_or(&0))
        .sum::<u64>()
        / 1000
}

struct Line {
    socket: UdpSocket,
    sent: Vec<Option<Instant>>,
    free: Vec<u16>,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        args.iter()
            .position(|a| a == name)
            .map(|i| args[i + 1].parse::<f64>().unwrap())
    };
    let server: SocketAddr = args[0].parse().expect("SERVER:PORT");
    let queries: Vec<Vec<u8>> = fs::read_to_string(&args[1])
        .expect("QUERIES")
        .lines()
        .map(encode)
        .collect();
    let (seconds, rate) = (
        option("--seconds").unwrap_or(3.0),
        option("--rate").unwrap_or(f64::MAX),
    );
    let sockets = option("--sockets").unwrap_or(4.0) as usize;
    let window = option("--window").unwrap_or(256.0) as usize / sockets;
    let pid = option("--pid").map(|p| p as u32);
    let mut lines: Vec<Line> = (0..sockets)
        .map(|_| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect(server).unwrap();
            socket.set_nonblocking(true).unwrap();
            Line {
                socket,
                sent: vec![None; window],
                free: (0..window as u16).collect(),
            }
        })
        .collect();
    let mut times = vec![0u64; 1 << 20];
    let mut kinds = [0u64; 3];
    let (mut next, mut lost) = (0usize, 0u64);
    let before = pid.map(cpu);
    let start = Instant::now();
    let mut swept = start;
    while start.elapsed().as_secs_f64() < seconds {
        for line in &mut lines {
            let due = (start.elapsed().as_secs_f64() * rate) as usize;
            let allowed = due.saturating_sub(next).min(BATCH);
            let when = |n: usize| {
                if rate == f64::MAX {
                    Instant::now()
                } else {
                    start + Duration::from_secs_f64(n as f64 / rate)
                }
            };
            send(line, &queries, &mut next, allowed, when);
            receive(line, &mut times, &mut kinds);
        }
        if swept.elapsed() > PATIENCE / 4 {
            swept = Instant::now();
            lost += lines.iter_mut().map(sweep).sum::<u64>();
        }
    }
    let elapsed = start.elapsed().as_secs_f64();
    let got: u64 = kinds.iter().sum();
    let spent = pid.map(|p| spent(&before.unwrap_or_default(), &cpu(p)));
    let percentile = |p: f64| {
        let mut rest = (got as f64 * p) as u64;
        times.iter().position(|n| {
            let here = rest <= *n;
            rest = rest.saturating_sub(*n);
            here
        })
    };
    let cpu_per = spent.map_or("null".into(), |s| {
        format!("{:.4}", s as f64 / got.max(1) as f64)
    });
    println!(
        "{{\"qps\": {:.0}, \"got\": {got}, \"lost\": {lost}, \"listed\": {}, \"nxdomain\": {}, \"other\": {}, \"p50\": {}, \"p99\": {}, \"cpu\": {cpu_per}}}",
        got as f64 / elapsed,
        kinds[0],
        kinds[1],
        kinds[2],
        percentile(0.5).unwrap_or(0),
        percentile(0.99).unwrap_or(0)
    );
}

fn send(
    line: &mut Line,
    queries: &[Vec<u8>],
    next: &mut usize,
    allowed: usize,
    when: impl Fn(usize) -> Instant,
) {
    let n = allowed.min(line.free.len());
    if n == 0 {
        return;
    }
    // SAFETY: all zeros is a valid value of these plain C structures, and every pointer below lives
    // through the call.
    let (mut headers, mut vectors): ([libc::mmsghdr; BATCH], [libc::iovec; BATCH]) =
        unsafe { (zeroed(), zeroed()) };
    let mut messages: Vec<Vec<u8>> = Vec::with_capacity(n);
    let ids: Vec<u16> = line.free.drain(line.free.len() - n..).collect();
    for (i, id) in ids.iter().enumerate() {
        let mut m = queries[(*next + i) % queries.len()].clone();
        m[..2].copy_from_slice(&id.to_be_bytes());
        messages.push(m);
        vectors[i] = libc::iovec {
            iov_base: messages[i].as_mut_ptr().cast(),
            iov_len: messages[i].len(),
        };
        headers[i].msg_hdr.msg_iov = &mut vectors[i];
        headers[i].msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: as above.
    let done = unsafe { libc::sendmmsg(line.socket.as_raw_fd(), headers.as_mut_ptr(), n as u32, 0) }
        .max(0) as usize;
    ids[..done]
        .iter()
        .enumerate()
        .for_each(|(i, id)| line.sent[usize::from(*id)] = Some(when(*next + i)));
    line.free.extend(&ids[done..]);
    *next += done;
}

fn receive(line: &mut Line, times: &mut [u64], kinds: &mut [u64; 3]) {
    let mut buffers = [[0u8; 600]; BATCH];
    // SAFETY: as above.
    let (mut headers, mut vectors): ([libc::mmsghdr; BATCH], [libc::iovec; BATCH]) =
        unsafe { (zeroed(), zeroed()) };
    for i in 0..BATCH {
        vectors[i] = libc::iovec {
            iov_base: buffers[i].as_mut_ptr().cast(),
            iov_len: 600,
        };
        headers[i].msg_hdr.msg_iov = &mut vectors[i];
        headers[i].msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: as above.
    let n = unsafe {
        libc::recvmmsg(
            line.socket.as_raw_fd(),
            headers.as_mut_ptr(),
            BATCH as u32,
            libc::MSG_DONTWAIT,
            std::ptr::null_mut(),
        )
    };
    let now = Instant::now();
    for buffer in &buffers[..n.max(0) as usize] {
        let id = u16::from_be_bytes([buffer[0], buffer[1]]);
        if let Some(at) = line.sent.get_mut(usize::from(id)).and_then(Option::take) {
            line.free.push(id);
            let last = times.len() - 1;
            times[(now.saturating_duration_since(at).as_micros() as usize).min(last)] += 1;
            let kind = match (buffer[3] & 15, buffer[7]) {
                (0, 1..) => 0,
                (3, 0) => 1,
                _ => 2,
            };
            kinds[kind] += 1;
        }
    }
}

/// Gives up on what was not answered.
fn sweep(line: &mut Line) -> u64 {
    let now = Instant::now();
    let mut lost = 0;
    for (id, at) in line.sent.iter_mut().enumerate() {
        if at.is_some_and(|t| now - t > PATIENCE) {
            *at = None;
            line.free.push(id as u16);
            lost += 1;
        }
    }
    lost
}
