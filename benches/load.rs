//! Sends UDP queries in a closed loop, and measures the cost of an answer.
//!
//! `load SERVER:PORT QUERIES --seconds S --window N [--sockets N] [--rate R] [--pid PID]`: the file
//! QUERIES has `name type` lines; all are encoded in advance, with EDNS. Prints one JSON object: the
//! answers a second (`qps`) and in all (`answers`); the lost queries (`lost`); the answers that are
//! `listed`, `nxdomain` and `other`; the latency at the median and the 99th percentile (`p50`,
//! `p99`) in microseconds; and with `--pid` the CPU time of the server (user and system, all
//! threads) for each answer (`cpu`), also in microseconds. With `--rate`, a query's latency counts
//! from the time at which it was due, even if it was sent later.
//!
//! With `--windows W --gap G` and `--rate`, the load is steady for W periods of G and then S seconds.
//! The first line is then `{"started": T}`, by the monotonic clock; the last one also has
//! `windows`: for the queries that were due in the S seconds of each period, their number
//! (`queries`), those without an answer (`unanswered`), the percentiles of their latency in
//! microseconds (`p50`, `p90`, `p99`, `p999`, `max`), and the longest time for which this program
//! itself did not run (`stall`).

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
/// A query without an answer for this time is lost.
const QUERY_TIMEOUT: Duration = Duration::from_secs(1);

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

/// Returns the CPU time of each thread of a process, in nanoseconds.
fn cpu(pid: u32) -> HashMap<String, u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .expect("the server has ended")
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

/// Returns the CPU time between two calls of [`cpu`], in microseconds. Threads that ended in between
/// are not counted.
fn spent(before: &HashMap<String, u64>, after: &HashMap<String, u64>) -> u64 {
    after
        .iter()
        .map(|(thread, n)| n - before.get(thread).unwrap_or(&0))
        .sum::<u64>()
        / 1000
}

/// A socket and its open queries.
struct Client {
    socket: UdpSocket,
    /// By query ID, the time from which the latency counts; `None` if no query with the ID is open.
    sent: Vec<Option<Instant>>,
    /// The IDs without an open query.
    free: Vec<u16>,
}

/// The periods of a steady load; each is a gap and a window.
struct Windows {
    start: Instant,
    gap: f64,
    seconds: f64,
    /// The latencies in each window, in microseconds.
    latencies: Vec<Vec<u32>>,
    /// The longest time between two rounds of the load in each window.
    stalls: Vec<Duration>,
}

impl Windows {
    fn new(start: Instant, gap: f64, seconds: f64, count: usize, rate: f64) -> Windows {
        let room = if count == 0 {
            0.0
        } else {
            rate * seconds + 1.0
        };
        Windows {
            start,
            gap,
            seconds,
            latencies: (0..count)
                .map(|_| Vec::with_capacity(room as usize))
                .collect(),
            stalls: vec![Duration::ZERO; count],
        }
    }

    /// Returns the window that a time belongs to; `None` in a gap and after the last window.
    fn at(&self, time: Instant) -> Option<usize> {
        let period = self.gap + self.seconds;
        let elapsed = time.saturating_duration_since(self.start).as_secs_f64();
        let n = (elapsed / period) as usize;
        (n < self.latencies.len() && elapsed - n as f64 * period >= self.gap).then_some(n)
    }

    fn add(&mut self, due: Instant, latency: Duration) {
        if let Some(n) = self.at(due) {
            self.latencies[n].push(latency.as_micros().min(u128::from(u32::MAX)) as u32);
        }
    }

    fn add_round(&mut self, last: Instant, now: Instant) {
        if let Some(n) = self.at(now) {
            self.stalls[n] = self.stalls[n].max(now - last);
        }
    }

    /// Returns the statistics of all windows as a JSON array.
    fn statistics(&mut self, rate: f64) -> String {
        let queries = (rate * self.seconds) as usize;
        let one = |(latencies, stall): (&mut Vec<u32>, &Duration)| {
            latencies.sort_unstable();
            let last = latencies.len().saturating_sub(1);
            let percentile = |p: f64| {
                let n = (latencies.len() as f64 * p) as usize;
                latencies.get(n.min(last)).copied().unwrap_or(0)
            };
            format!(
                "{{\"queries\": {queries}, \"unanswered\": {}, \"p50\": {}, \"p90\": {}, \"p99\": {}, \"p999\": {}, \"max\": {}, \"stall\": {}}}",
                queries.saturating_sub(latencies.len() + 1),
                percentile(0.5),
                percentile(0.9),
                percentile(0.99),
                percentile(0.999),
                percentile(1.0),
                stall.as_micros()
            )
        };
        let all: Vec<_> = self
            .latencies
            .iter_mut()
            .zip(&self.stalls)
            .map(one)
            .collect();
        format!("[{}]", all.join(", "))
    }
}

/// Returns the time of the monotonic clock in seconds.
fn monotonic() -> f64 {
    let mut t = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `t` is a valid place for the result.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut t) };
    t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
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
    let mut clients: Vec<Client> = (0..sockets)
        .map(|_| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect(server).unwrap();
            socket.set_nonblocking(true).unwrap();
            Client {
                socket,
                sent: vec![None; window],
                free: (0..window as u16).collect(),
            }
        })
        .collect();
    let mut times = vec![0u64; 1 << 20];
    let mut kinds = [0u64; 3];
    let (mut next, mut lost) = (0usize, 0u64);
    let count = option("--windows").unwrap_or(0.0) as usize;
    let gap = option("--gap").unwrap_or(0.0);
    let before = pid.map(cpu);
    let mut windows = Windows::new(Instant::now(), gap, seconds, count, rate);
    let start = Instant::now();
    windows.start = start;
    let seconds = if count > 0 {
        println!("{{\"started\": {:.6}}}", monotonic());
        count as f64 * (gap + seconds)
    } else {
        seconds
    };
    let (mut swept, mut last) = (start, start);
    while start.elapsed().as_secs_f64() < seconds {
        for client in &mut clients {
            let due = (start.elapsed().as_secs_f64() * rate) as usize;
            let allowed = due.saturating_sub(next).min(BATCH);
            let when = |n: usize| {
                if rate == f64::MAX {
                    Instant::now()
                } else {
                    start + Duration::from_secs_f64(n as f64 / rate)
                }
            };
            send(client, &queries, &mut next, allowed, when);
            receive(client, &mut times, &mut kinds, &mut windows);
        }
        let now = Instant::now();
        windows.add_round(last, now);
        last = now;
        if swept.elapsed() > QUERY_TIMEOUT / 4 {
            swept = Instant::now();
            lost += clients.iter_mut().map(sweep).sum::<u64>();
        }
    }
    let elapsed = start.elapsed().as_secs_f64();
    let answers: u64 = kinds.iter().sum();
    let spent = pid.map(|p| spent(&before.unwrap_or_default(), &cpu(p)));
    let percentile = |p: f64| {
        let mut rest = (answers as f64 * p) as u64;
        times.iter().position(|n| {
            let here = rest <= *n;
            rest = rest.saturating_sub(*n);
            here
        })
    };
    let cpu_per = spent.map_or("null".into(), |s| {
        format!("{:.4}", s as f64 / answers.max(1) as f64)
    });
    let windows = match count {
        0 => String::new(),
        _ => format!(", \"windows\": {}", windows.statistics(rate)),
    };
    println!(
        "{{\"qps\": {:.0}, \"answers\": {answers}, \"lost\": {lost}, \"listed\": {}, \"nxdomain\": {}, \"other\": {}, \"p50\": {}, \"p99\": {}, \"cpu\": {cpu_per}{windows}}}",
        answers as f64 / elapsed,
        kinds[0],
        kinds[1],
        kinds[2],
        percentile(0.5).unwrap_or(0),
        percentile(0.99).unwrap_or(0)
    );
}

fn send(
    client: &mut Client,
    queries: &[Vec<u8>],
    next: &mut usize,
    allowed: usize,
    when: impl Fn(usize) -> Instant,
) {
    let n = allowed.min(client.free.len());
    if n == 0 {
        return;
    }
    // SAFETY: all zeros is a valid value of these plain C structures, and every pointer below lives
    // through the call.
    let (mut headers, mut vectors): ([libc::mmsghdr; BATCH], [libc::iovec; BATCH]) =
        unsafe { (zeroed(), zeroed()) };
    let mut messages: Vec<Vec<u8>> = Vec::with_capacity(n);
    let ids: Vec<u16> = client.free.drain(client.free.len() - n..).collect();
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
    let done =
        unsafe { libc::sendmmsg(client.socket.as_raw_fd(), headers.as_mut_ptr(), n as u32, 0) }
            .max(0) as usize;
    ids[..done]
        .iter()
        .enumerate()
        .for_each(|(i, id)| client.sent[usize::from(*id)] = Some(when(*next + i)));
    client.free.extend(&ids[done..]);
    *next += done;
}

fn receive(client: &mut Client, times: &mut [u64], kinds: &mut [u64; 3], windows: &mut Windows) {
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
            client.socket.as_raw_fd(),
            headers.as_mut_ptr(),
            BATCH as u32,
            libc::MSG_DONTWAIT,
            std::ptr::null_mut(),
        )
    };
    let now = Instant::now();
    for buffer in &buffers[..n.max(0) as usize] {
        let id = u16::from_be_bytes([buffer[0], buffer[1]]);
        if let Some(at) = client.sent.get_mut(usize::from(id)).and_then(Option::take) {
            client.free.push(id);
            let last = times.len() - 1;
            windows.add(at, now.saturating_duration_since(at));
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

/// Frees the IDs of lost queries, and returns their number.
fn sweep(client: &mut Client) -> u64 {
    let now = Instant::now();
    let mut lost = 0;
    for (id, at) in client.sent.iter_mut().enumerate() {
        if at.is_some_and(|t| now - t > QUERY_TIMEOUT) {
            *at = None;
            client.free.push(id as u16);
            lost += 1;
        }
    }
    lost
}
