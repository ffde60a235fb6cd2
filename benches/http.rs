//! Sends requests to the HTTP API: `http ADDR TOKEN list CONNECTIONS COUNT`, `… lookup CONNECTIONS
//! RATE SECONDS`, `… pages CONNECTIONS RATE SECONDS FILE`, `… logins CONNECTIONS RATE SECONDS DNS
//! ORIGIN`, `… control CONNECTIONS RATE SECONDS`, `… bulk LINES`, or `… get PATH`. FILE has the paths
//! of pages, one on a line; DNS is the address of the DNS server, and ORIGIN that of a volatile zone;
//! `control` sends log-ins to threads of its own that answer without any work. Prints one line of
//! JSON. Latencies are in milliseconds; those of log-ins last until DNS has the address.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), BoxError> {
    let args: Vec<String> = std::env::args().collect();
    let arguments: Vec<&str> = args[1..].iter().map(String::as_str).collect();
    match arguments[..] {
        [addr, token, "list", connections, count] => {
            list(addr, token, connections.parse()?, count.parse()?)
        }
        [addr, token, "lookup", connections, rate, seconds] => {
            let pace = Pace::parse(connections, rate, seconds)?;
            lookup(addr, token, &pace)
        }
        [addr, token, "pages", connections, rate, seconds, file] => {
            let paths = std::fs::read_to_string(file)?;
            let paths: Vec<&str> = paths.lines().collect();
            let pace = Pace::parse(connections, rate, seconds)?;
            pages(addr, token, &pace, &paths)
        }
        [
            addr,
            token,
            "logins",
            connections,
            rate,
            seconds,
            dns,
            origin,
        ] => {
            let pace = Pace::parse(connections, rate, seconds)?;
            logins(addr, token, &pace, dns, origin)
        }
        [_, _, "control", connections, rate, seconds] => {
            let pace = Pace::parse(connections, rate, seconds)?;
            let (web, dns) = serve_control()?;
            logins(&web, "", &pace, &dns, "logins.example")
        }
        [addr, token, "bulk", lines] => bulk(addr, token, lines.parse()?),
        [addr, token, "get", path] => get(addr, token, path),
        _ => Err("http ADDR TOKEN list|lookup|pages|logins|control|bulk|get …".into()),
    }
}

fn address(i: u32) -> String {
    // Addresses in 45.0.0.0/8, which the lists of the other measurements leave out.
    let a = 0x2d00_0000 | i.wrapping_mul(2_654_435_761) >> 8;
    std::net::Ipv4Addr::from(a).to_string()
}

/// A persistent connection.
struct Client {
    stream: BufReader<TcpStream>,
    /// The header fields of every request.
    head: String,
}

impl Client {
    fn new(addr: &str, token: &str) -> Result<Client, BoxError> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        let auth = if token.is_empty() {
            String::new()
        } else {
            format!("authorization: Bearer {token}\r\n")
        };
        Ok(Client {
            stream: BufReader::with_capacity(1 << 18, stream),
            head: format!("host: {addr}\r\n{auth}"),
        })
    }

    fn send(&mut self, method: &str, path: &str, body: &str) -> Result<(), BoxError> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{}content-length: {}\r\n\r\n{body}",
            self.head,
            body.len()
        );
        Ok(self.stream.get_mut().write_all(request.as_bytes())?)
    }

    /// Reads the head of a response: the status, the length of the body if there is a
    /// Content-Length, and whether the body is sent in chunks.
    fn read_head(&mut self) -> Result<(u16, Option<usize>, bool), BoxError> {
        let (mut status, mut len, mut chunked) = (0, None, false);
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err("the server closed the connection".into());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                return Ok((status, len, chunked));
            }
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest[..3].parse()?;
            } else if let Some(n) = line.strip_prefix("content-length: ") {
                len = Some(n.parse()?);
            }
            chunked |= line == "transfer-encoding: chunked";
        }
    }

    fn call(&mut self, method: &str, path: &str, body: &str) -> Result<(u16, Vec<u8>), BoxError> {
        self.send(method, path, body)?;
        let (status, len, _) = self.read_head()?;
        let mut out = vec![0; len.unwrap_or(0)];
        self.stream.read_exact(&mut out)?;
        Ok((status, out))
    }

    /// Reads the next chunk of a body; it is empty at the end of the body.
    fn chunk(&mut self) -> Result<Vec<u8>, BoxError> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let mut out = vec![0; usize::from_str_radix(line.trim(), 16)? + 2];
        self.stream.read_exact(&mut out)?;
        out.truncate(out.len() - 2);
        Ok(out)
    }
}

/// Prints the result of a run. `wrong` is the number of wrong answers.
fn print_latencies(mut latencies: Vec<f64>, duration: Duration, wrong: usize) {
    latencies.sort_by(f64::total_cmp);
    let at = |p: f64| {
        latencies
            .get((latencies.len() as f64 * p) as usize)
            .or(latencies.last())
            .copied()
            .unwrap_or(0.0)
    };
    println!(
        "{{\"count\": {}, \"seconds\": {:.3}, \"median\": {:.3}, \"p99\": {:.3}, \"wrong_answers\": {wrong}}}",
        latencies.len(),
        duration.as_secs_f64(),
        at(0.5),
        at(0.99)
    );
}

/// Runs `work` in `n` threads at the same time, and prints the result. `work` gets the number of its
/// thread, and returns latencies and the number of wrong answers.
fn run_on_connections(
    n: u32,
    work: impl Fn(u32) -> Result<(Vec<f64>, usize), BoxError> + Sync,
) -> Result<(), BoxError> {
    let started = Instant::now();
    let all: Result<Vec<_>, BoxError> = std::thread::scope(|s| {
        let threads: Vec<_> = (0..n)
            .map(|i| {
                s.spawn({
                    let work = &work;
                    move || work(i)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|t| t.join().map_err(|_| "a thread panicked")?)
            .collect()
    });
    let (mut latencies, mut wrong) = (Vec::new(), 0);
    for (l, w) in all? {
        latencies.extend(l);
        wrong += w;
    }
    print_latencies(latencies, started.elapsed(), wrong);
    Ok(())
}

fn list(addr: &str, token: &str, connections: u32, count: u32) -> Result<(), BoxError> {
    let next = AtomicU32::new(std::process::id() << 10);
    let end = next.load(Ordering::Relaxed).wrapping_add(count);
    run_on_connections(connections, |_| {
        let (mut client, mut out, mut wrong) = (Client::new(addr, token)?, Vec::new(), 0);
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if end.wrapping_sub(i) as i32 <= 0 {
                return Ok((out, wrong));
            }
            let body = format!("{{\"subject\":\"{}\",\"reason\":\"relay\"}}", address(i));
            let at = Instant::now();
            let (status, _) = client.call("POST", "/v1/listings", &body)?;
            out.push(at.elapsed().as_secs_f64() * 1000.0);
            wrong += usize::from(status != 201);
        }
    })
}

/// A rate of requests on some connections, for a time.
struct Pace {
    connections: u32,
    /// Requests a second.
    rate: f64,
    seconds: f64,
}

impl Pace {
    fn parse(connections: &str, rate: &str, seconds: &str) -> Result<Pace, BoxError> {
        Ok(Pace {
            connections: connections.parse()?,
            rate: rate.parse()?,
            seconds: seconds.parse()?,
        })
    }

    /// Makes requests on persistent connections. `work` gets a function for each connection; the
    /// function gets the number of a request, and returns whether the response is right.
    fn run<W>(
        &self,
        addr: &str,
        token: &str,
        work: impl Fn(Client) -> Result<W, BoxError> + Sync,
    ) -> Result<(), BoxError>
    where
        W: FnMut(u32) -> Result<bool, BoxError>,
    {
        let connections = f64::from(self.connections);
        let each = self.rate / connections;
        let started = Instant::now();
        run_on_connections(self.connections, |c| {
            let mut request = work(Client::new(addr, token)?)?;
            let (mut out, mut wrong) = (Vec::new(), 0);
            for k in 0.. {
                let due = (f64::from(k) + f64::from(c) / connections) / each;
                if due > self.seconds {
                    return Ok((out, wrong));
                }
                let due = started + Duration::from_secs_f64(due);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let is_right = request(c * 7919 + k)?;
                // Latency counts from the time at which the request was due, so that the delays of
                // a slow server are counted.
                out.push(due.elapsed().as_secs_f64() * 1000.0);
                wrong += usize::from(!is_right);
            }
            Ok((out, wrong))
        })
    }

    /// Sends GET requests. `path` gets the number of a request, and `is_right` the status and the
    /// body of its response. `head` has more header fields.
    fn get(
        &self,
        addr: &str,
        token: &str,
        head: &str,
        path: impl Fn(u32) -> String + Sync,
        is_right: impl Fn(u16, &[u8]) -> bool + Sync,
    ) -> Result<(), BoxError> {
        self.run(addr, token, |mut client| {
            client.head.push_str(head);
            let (path, is_right) = (&path, &is_right);
            Ok(move |n| {
                let (status, body) = client.call("GET", &path(n), "")?;
                Ok(is_right(status, &body))
            })
        })
    }
}

/// The A query for an IPv4 address below an origin.
fn query(address: std::net::Ipv4Addr, origin: &str) -> Vec<u8> {
    let mut out = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let [a, b, c, d] = address.octets();
    let name = format!("{d}.{c}.{b}.{a}.{origin}");
    for label in name.split('.') {
        out.push(label.len() as u8);
        out.extend(label.as_bytes());
    }
    out.extend([0, 0, 1, 0, 1]);
    out
}

/// Reports log-ins of new addresses, and queries each as soon as its response has come.
fn logins(addr: &str, token: &str, pace: &Pace, dns: &str, origin: &str) -> Result<(), BoxError> {
    let next = AtomicU32::new(std::process::id() << 10);
    let path = format!("/v1/zones/{origin}/logins");
    pace.run(addr, token, |mut client| {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(dns)?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        let (next, path) = (&next, &path);
        Ok(move |_| {
            let address = address(next.fetch_add(1, Ordering::Relaxed));
            let body = format!("{{\"addresses\":[\"{address}\"]}}");
            let (status, _) = client.call("POST", path, &body)?;
            socket.send(&query(address.parse()?, origin))?;
            let mut answer = [0; 512];
            // A lost datagram is a wrong answer.
            let len = socket.recv(&mut answer).unwrap_or(0);
            Ok(status == 200 && len > 12 && answer[3] & 15 == 0 && answer[7] == 1)
        })
    })
}

/// Starts threads that answer each report and each query as a server would, without any work.
/// Returns their addresses.
fn serve_control() -> Result<(String, String), BoxError> {
    let (web, dns) = (
        TcpListener::bind("127.0.0.1:0")?,
        UdpSocket::bind("127.0.0.1:0")?,
    );
    let addresses = (web.local_addr()?.to_string(), dns.local_addr()?.to_string());
    std::thread::spawn(move || {
        for stream in web.incoming().flatten() {
            std::thread::spawn(move || acknowledge(stream));
        }
    });
    std::thread::spawn(move || {
        let mut message = [0; 512];
        while let Ok((len, from)) = dns.recv_from(&mut message) {
            // A response with one answer, which is not there: the client reads only the header.
            message[2] |= 0x80;
            message[7] = 1;
            drop(dns.send_to(&message[..len], from));
        }
    });
    Ok(addresses)
}

/// Answers each request of a connection with an empty response.
fn acknowledge(stream: TcpStream) -> Result<(), BoxError> {
    stream.set_nodelay(true)?;
    let mut client = BufReader::new(stream);
    let (mut line, mut len) = (String::new(), 0);
    loop {
        line.clear();
        if client.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if let Some(n) = line.strip_prefix("content-length: ") {
            len = n.trim_end().parse()?;
        } else if line == "\r\n" {
            client.read_exact(&mut vec![0; len])?;
            let response = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            client.get_mut().write_all(response)?;
        }
    }
}

fn lookup(addr: &str, token: &str, pace: &Pace) -> Result<(), BoxError> {
    let path = |n: u32| {
        let address = 0x0100_0000 + n.wrapping_mul(2_654_435_761) % 0xde00_0000;
        format!("/lookup?subject={}", std::net::Ipv4Addr::from(address))
    };
    let is_right = |status, body: &[u8]| status == 200 && body.starts_with(b"{\"subject\"");
    pace.get(addr, token, "", path, is_right)
}

fn pages(addr: &str, token: &str, pace: &Pace, paths: &[&str]) -> Result<(), BoxError> {
    let head = "accept: text/html\r\naccept-language: en\r\naccept-encoding: gzip\r\n";
    let path = |n: u32| paths[n as usize % paths.len()].to_string();
    pace.get(addr, token, head, path, |status, body| {
        status == 200 && !body.is_empty()
    })
}

fn bulk(addr: &str, token: &str, lines: u32) -> Result<(), BoxError> {
    let mut client = Client::new(addr, token)?;
    let mut writer = client.stream.get_ref().try_clone()?;
    let head = format!(
        "POST /v1/bulk HTTP/1.1\r\n{}transfer-encoding: chunked\r\n\r\n",
        client.head
    );
    let from = std::process::id() << 10;
    let started = Instant::now();
    let sender = std::thread::spawn(move || -> Result<(), std::io::Error> {
        writer.write_all(head.as_bytes())?;
        for part in (0..lines).collect::<Vec<_>>().chunks(1000) {
            let text: String = part
                .iter()
                .map(|i| {
                    format!(
                        "{{\"subject\":\"{}\",\"reason\":\"relay\"}}\n",
                        address(from.wrapping_add(*i))
                    )
                })
                .collect();
            writer.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())?;
        }
        writer.write_all(b"0\r\n\r\n")
    });
    client.read_head()?;
    let (mut good, mut all) = (0usize, 0usize);
    let mut rest = Vec::new();
    loop {
        let chunk = client.chunk()?;
        if chunk.is_empty() {
            break;
        }
        rest.extend(chunk);
        let end = rest.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        for line in rest[..end].split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            all += 1;
            good += usize::from(line.windows(12).any(|w| w == b"\"status\":201"));
        }
        rest.drain(..end);
    }
    let duration = started.elapsed();
    sender
        .join()
        .map_err(|_| "the thread that sends panicked")??;
    println!(
        "{{\"count\": {all}, \"seconds\": {:.3}, \"wrong_answers\": {}}}",
        duration.as_secs_f64(),
        all - good
    );
    Ok(())
}

fn get(addr: &str, token: &str, path: &str) -> Result<(), BoxError> {
    let mut client = Client::new(addr, token)?;
    let started = Instant::now();
    client.send("GET", path, "")?;
    let (status, ..) = client.read_head()?;
    let (mut lines, mut bytes) = (0, 0);
    loop {
        let chunk = client.chunk()?;
        if chunk.is_empty() {
            break;
        }
        lines += chunk.iter().filter(|b| **b == b'\n').count();
        bytes += chunk.len();
    }
    println!(
        "{{\"status\": {status}, \"lines\": {lines}, \"bytes\": {bytes}, \"seconds\": {:.3}}}",
        started.elapsed().as_secs_f64()
    );
    Ok(())
}
