//! DoH for clients and proxies: both versions of HTTP, HEAD, media types, and errors.

use std::{
    fs,
    net::Ipv4Addr,
    process::Command,
    time::{Duration, Instant},
};

use data_encoding::BASE64URL_NOPAD;
use hyper::{Request, StatusCode, body::Bytes, header::HeaderMap};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use crate::{
    lab::{query, udp},
    transports::Secure,
};

const TIMEOUT: Duration = Duration::from_secs(10);
const MESSAGE: &str = "application/dns-message";

/// A query with the id 0.
fn question() -> Vec<u8> {
    let mut q = query("7.100.51.45.bl.orbs.example", 1, true);
    q[..2].copy_from_slice(&[0, 0]);
    q
}

fn path(query: &[u8]) -> String {
    format!("/dns-query?dns={}", BASE64URL_NOPAD.encode(query))
}

/// A connection of HTTP/1.1, with the bytes that were read after the last response.
struct Http1 {
    stream: TlsStream<TcpStream>,
    rest: Vec<u8>,
}

/// A status, the header fields in lower case, and the body.
type Response = (u16, String, Vec<u8>);

impl Http1 {
    async fn open(s: &Secure, alpn: &str) -> Http1 {
        Http1::open_from(s, alpn, Ipv4Addr::LOCALHOST).await
    }

    async fn open_from(s: &Secure, alpn: &str, from: Ipv4Addr) -> Http1 {
        Http1 {
            stream: s.tls(s.doh, alpn, from).await.unwrap(),
            rest: Vec::new(),
        }
    }

    async fn send(&mut self, head: &str, body: &[u8]) {
        self.stream
            .write_all(&[head.replace('\n', "\r\n").as_bytes(), body].concat())
            .await
            .unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Returns the next response; `None` if the connection ends before it is complete.
    async fn receive(&mut self, head_only: bool) -> Option<Response> {
        loop {
            if let Some(end) = self.rest.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = String::from_utf8(self.rest[..end].to_vec())
                    .unwrap()
                    .to_ascii_lowercase();
                let length = head
                    .lines()
                    .find_map(|l| l.strip_prefix("content-length: "))
                    .map_or(0, |l| l.parse().unwrap());
                let whole = end + 4 + if head_only { 0 } else { length };
                if self.rest.len() >= whole {
                    let body = self.rest[end + 4..whole].to_vec();
                    self.rest.drain(..whole);
                    return Some((head.split(' ').nth(1).unwrap().parse().unwrap(), head, body));
                }
            }
            if timeout(TIMEOUT, self.stream.read_buf(&mut self.rest))
                .await
                .ok()?
                .ok()?
                == 0
            {
                return None;
            }
        }
    }
}

/// Sends the fields of the head that differ between responses of one kind.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .find_map(|l| l.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn doh_answer_is_the_same_over_http_1_and_http_2() {
    let s = Secure::new();
    let _daemon = s.listed();
    let q = question();
    let wanted = udp(s.folder.addr(), &q, Duration::from_secs(5)).unwrap();
    s.runtime.block_on(async {
        // A client without ALPN speaks HTTP/1.1.
        for alpn in ["http/1.1", ""] {
            let mut http = Http1::open(&s, alpn).await;
            // One connection carries many requests, even if they are sent before the first is
            // answered.
            for _ in 0..3 {
                http.send(&format!("GET {} HTTP/1.1\nhost: ns.orbs.example\n\n", path(&q)), b"").await;
                http.send(&format!("POST /dns-query HTTP/1.1\nhost: x\ncontent-type: {MESSAGE}\ncontent-length: {}\n\n", q.len()), &q)
                    .await;
                let chunked = [format!("{:x}\r\n", q.len()).as_bytes(), &q, b"\r\n0\r\n\r\n"].concat();
                let head = format!("POST /dns-query HTTP/1.1\nhost: x\ncontent-type: {MESSAGE}\ntransfer-encoding: chunked\n\n");
                http.send(&head, &chunked).await;
                for _ in 0..3 {
                    let (status, head, body) = http.receive(false).await.unwrap();
                    assert_eq!((status, body), (200, wanted.clone()), "{head}");
                    assert_eq!(field(&head, "content-type"), Some(MESSAGE));
                    assert!(field(&head, "cache-control").unwrap().starts_with("max-age="), "{head}");
                }
            }
        }
        // Like nginx by default: HTTP/1.0, one request for each connection.
        let mut http = Http1::open(&s, "http/1.1").await;
        http.send(&format!("GET {} HTTP/1.0\nhost: ns.orbs.example\nconnection: close\n\n", path(&q)), b"").await;
        assert_eq!(http.receive(false).await.unwrap().2, wanted);
        assert!(http.receive(false).await.is_none(), "closed as asked");
    });
    for (version, shown) in [
        ("--http2", "200 2 "),
        ("--http1.1", "200 1.1 "),
        ("--http1.0", "200 1 "),
    ] {
        let url = format!("https://ns.orbs.example:{}{}", s.doh.port(), path(&q));
        let (body, status) = curl(&s, &[version, &url]);
        assert_eq!(
            (body, status.as_str()),
            (wanted.clone(), shown),
            "{version}"
        );
    }
}

#[test]
fn doh_head_has_the_header_fields_of_get_and_no_body() {
    let s = Secure::new();
    let _daemon = s.listed();
    let found = path(&question());
    s.runtime.block_on(async {
        for (path, status) in [
            (found.as_str(), 200),
            ("/dns-query", 400),
            ("/dns-query?dns=%", 400),
            ("/other", 404),
        ] {
            let mut http = Http1::open(&s, "http/1.1").await;
            let mut heads = Vec::new();
            for method in ["GET", "HEAD", "GET"] {
                http.send(&format!("{method} {path} HTTP/1.1\nhost: x\n\n"), b"")
                    .await;
                let (got, head, body) = http.receive(method == "HEAD").await.unwrap();
                assert_eq!(got, status, "{method} {path}");
                assert_eq!(body.is_empty(), method == "HEAD", "{method} {path}");
                heads.push(
                    head.lines()
                        .filter(|l| !l.starts_with("date: "))
                        .map(String::from)
                        .collect::<Vec<_>>(),
                );
            }
            assert!(
                heads[0] == heads[1] && heads[1] == heads[2],
                "{path}: {heads:?}"
            );
            let mut second = H2::open(&s).await;
            let (get, head) = (
                second.ask("GET", path, &[], &[]).await,
                second.ask("HEAD", path, &[], &[]).await,
            );
            assert_eq!((get.status, head.status), (status, status), "{path}");
            assert!(!get.body.is_empty() && head.body.is_empty(), "{path}");
            for name in ["content-type", "content-length", "cache-control"] {
                assert_eq!(get.headers[name], head.headers[name], "{path}: {name}");
            }
        }
    });
}

/// The media type and its case matter, parameters do not. `Accept` never refuses a query.
#[test]
fn doh_accepts_media_types_with_parameters() {
    let s = Secure::new();
    let _daemon = s.listed();
    let q = question();
    s.runtime.block_on(async {
        let mut http = H2::open(&s).await;
        for kind in [
            "application/dns-message; charset=utf-8",
            "application/dns-message;charset=utf-8",
            "Application/DNS-Message",
            " application/dns-message ;x=\"a;b\"",
        ] {
            assert_eq!(
                http.ask("POST", "/dns-query", &[("content-type", kind)], &q)
                    .await
                    .status,
                200,
                "{kind}"
            );
        }
        for kind in [
            "application/dns-messages",
            "application/dns",
            "text/plain; x=application/dns-message",
            "",
            ";application/dns-message",
        ] {
            assert_eq!(
                http.ask("POST", "/dns-query", &[("content-type", kind)], &q)
                    .await
                    .status,
                415,
                "{kind}"
            );
        }
        let twice = [("content-type", MESSAGE), ("content-type", "text/plain")];
        assert_eq!(http.ask("POST", "/dns-query", &twice, &q).await.status, 415);
        for accepted in [
            "application/dns-message; charset=utf-8",
            "application/dns-message;q=0.1, */*;q=0",
            "*/*",
            "text/html",
            "",
        ] {
            let reply = http
                .ask("GET", &path(&q), &[("accept", accepted)], &[])
                .await;
            assert_eq!(
                (reply.status, reply.headers["content-type"].as_bytes()),
                (200, MESSAGE.as_bytes()),
                "{accepted}"
            );
        }
    });
}

/// A connection of HTTP/2, frame by frame.
struct H2 {
    send: h2::client::SendRequest<Bytes>,
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    /// How the stream ended for a client that still sends: by an end of the body, or by RST_STREAM
    /// with this reason.
    reset: Option<h2::Reason>,
}

impl H2 {
    async fn open(s: &Secure) -> H2 {
        let stream = s.tls(s.doh, "h2", Ipv4Addr::LOCALHOST).await.unwrap();
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        H2 { send }
    }

    async fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        self.stream(method, path, headers, body, true).await
    }

    /// Sends as much of a body as flow control allows, and waits for the whole response; if the
    /// body has no end, also for the end of the stream.
    async fn stream(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        end: bool,
    ) -> Reply {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("https://ns.orbs.example{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send = self.send.clone().ready().await.unwrap();
        let (response, mut sink) = self
            .send
            .send_request(request.body(()).unwrap(), end && body.is_empty())
            .unwrap();
        if !body.is_empty() {
            sink.send_data(Bytes::copy_from_slice(body), end).unwrap();
        }
        let response = timeout(TIMEOUT, response)
            .await
            .unwrap()
            .unwrap_or_else(|e| panic!("{method} {path}: no response: {e}"));
        let (head, mut incoming) = response.into_parts();
        let mut read = Vec::new();
        while let Some(piece) = timeout(TIMEOUT, incoming.data()).await.unwrap() {
            let piece =
                piece.unwrap_or_else(|e| panic!("{method} {path}: the response is cut short: {e}"));
            incoming
                .flow_control()
                .release_capacity(piece.len())
                .unwrap();
            read.extend(piece);
        }
        let reset = match end {
            true => None,
            false => Some(
                timeout(TIMEOUT, std::future::poll_fn(|cx| sink.poll_reset(cx)))
                    .await
                    .unwrap()
                    .unwrap(),
            ),
        };
        Reply {
            status: head.status.as_u16(),
            headers: head.headers,
            body: read,
            reset,
        }
    }
}

#[test]
fn doh_errors_arrive_before_the_stream_is_reset() {
    let s = Secure::new();
    let _daemon = s.listed();
    let q = question();
    let big = vec![0; 600_000];
    let endless = vec![0; 3_000_000];
    let plain = [("content-type", "text/plain")];
    let message = [("content-type", MESSAGE)];
    s.runtime.block_on(async {
        let mut http = H2::open(&s).await;
        for (method, path, headers, status) in [
            ("POST", "/dns-query", &plain[..], StatusCode::UNSUPPORTED_MEDIA_TYPE),
            ("POST", "/dns-query", &message, StatusCode::PAYLOAD_TOO_LARGE),
            ("PUT", "/dns-query", &message, StatusCode::METHOD_NOT_ALLOWED),
            ("POST", "/other", &message, StatusCode::NOT_FOUND),
            ("GET", "/dns-query", &[], StatusCode::BAD_REQUEST),
        ] {
            let reply = http.ask(method, path, headers, &big).await;
            assert_eq!(reply.status, status.as_u16(), "{method} {path}");
            assert!(reply.body.ends_with(b"\n") && reply.body.len() > 10, "it says why");
            let good = http.ask("POST", "/dns-query", &message, &q).await;
            assert_eq!(good.status, 200, "the connection goes on after {method} {path}");
        }
        // For a body without an end, and for one that is longer than the limit, the response is
        // complete and is followed by NO_ERROR.
        for body in [&big, &endless] {
            let mut http = H2::open(&s).await;
            let reply = http.stream("POST", "/dns-query", &plain, body, false).await;
            assert_eq!((reply.status, reply.reset), (415, Some(h2::Reason::NO_ERROR)));
        }
        // HTTP/1.1: the response arrives while the body is still being sent.
        let mut http = Http1::open(&s, "http/1.1").await;
        http.send(&format!("POST /dns-query HTTP/1.1\nhost: x\ncontent-type: text/plain\ncontent-length: {}\n\n", big.len()), &big).await;
        assert_eq!(http.receive(false).await.unwrap().0, 415);
        http.send(&format!("GET {} HTTP/1.1\nhost: x\n\n", path(&q)), b"").await;
        assert_eq!(http.receive(false).await.unwrap().0, 200, "the connection goes on");
        // A client that waits for 100 (Continue) is refused without having sent anything.
        let mut http = Http1::open(&s, "http/1.1").await;
        http.send("POST /dns-query HTTP/1.1\nhost: x\ncontent-type: text/plain\ncontent-length: 9\nexpect: 100-continue\n\n", b"").await;
        assert_eq!(http.receive(false).await.unwrap().0, 415);
        // A header that is too long.
        let mut http = Http1::open(&s, "http/1.1").await;
        http.send(&format!("GET /{} HTTP/1.1\nhost: x\n\n", "x".repeat(20_000)), b"").await;
        let status = http.receive(false).await.unwrap().0;
        assert!([414, 431].contains(&status), "{status}");
    });
    s.folder.write("big", &"x".repeat(5_000_000));
    for version in ["--http1.1", "--http2"] {
        for (args, status) in [
            (["-H", "content-type: text/plain"], "415"),
            (["-H", "content-type: application/dns-message"], "413"),
            (["-H", "expect:"], "415"),
            (["-X", "PUT"], "405"),
        ] {
            let url = format!("https://ns.orbs.example:{}/dns-query", s.doh.port());
            let (_, shown) = curl(
                &s,
                &[&[version, "--data-binary", "@big"][..], &args, &[&url]].concat(),
            );
            assert!(shown.starts_with(status), "{version} {args:?}: {shown}");
        }
    }
}

/// The timeouts are the real ones; all of them are waited for at once, which takes ten seconds.
#[test]
fn doh_connections_of_http_1_end_when_they_idle_or_stall() {
    let s = Secure::new();
    let _daemon = s.listed();
    let q = question();
    s.runtime.block_on(async {
        let begun = Instant::now();
        let mut idle = Http1::open(&s, "http/1.1").await;
        idle.send(&format!("GET {} HTTP/1.1\nhost: x\n\n", path(&q)), b"").await;
        assert_eq!(idle.receive(false).await.unwrap().0, 200);
        let mut slow = Http1::open(&s, "http/1.1").await;
        let mut body = Http1::open(&s, "http/1.1").await;
        let drip = async {
            for _ in 0..30 {
                let sent = slow.stream.write_all(b"G").await.is_ok() && slow.stream.flush().await.is_ok();
                if !sent
                    || timeout(Duration::from_secs(1), slow.stream.read(&mut [0; 99])).await.is_ok_and(|r| !matches!(r, Ok(n) if n > 0))
                {
                    break;
                }
            }
        };
        let silent = async {
            body.send(&format!("POST /dns-query HTTP/1.1\nhost: x\ncontent-type: {MESSAGE}\ncontent-length: 99\n\n"), b"").await;
            assert_eq!(body.receive(false).await.unwrap().0, 408);
            assert!(body.receive(false).await.is_none());
        };
        tokio::join!(drip, silent, async { assert!(idle.receive(false).await.is_none()) });
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(18), "{took:?}");
    });
}

/// If the share of an address is full, a connection that waits for a request is closed first, then
/// the longest idle one.
#[test]
fn doh_connections_of_http_1_are_closed_for_others_by_their_state() {
    let s = Secure::new();
    let config = s.folder.path().join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}\n[connections]\ndns = 64\n")).unwrap();
    let _daemon = s.listed();
    let get = format!("GET {} HTTP/1.1\nhost: x\n\n", path(&question()));
    // Four connections are the share of an address.
    let from = Ipv4Addr::new(127, 9, 9, 9);
    s.runtime.block_on(async {
        let mut idle = Vec::new();
        for _ in 0..3 {
            let mut http = Http1::open_from(&s, "http/1.1", from).await;
            http.send(&get, b"").await;
            assert_eq!(http.receive(false).await.unwrap().0, 200);
            idle.push(http);
        }
        let mut waiting = Http1::open_from(&s, "http/1.1", from).await;
        waiting.send(&format!("POST /dns-query HTTP/1.1\nhost: x\ncontent-type: {MESSAGE}\ncontent-length: 99\n\n"), b"").await;
        tokio::time::sleep(Duration::from_millis(1200)).await;
        let mut fifth = Http1::open_from(&s, "http/1.1", from).await;
        fifth.send(&get, b"").await;
        assert_eq!(fifth.receive(false).await.unwrap().0, 200);
        assert!(waiting.receive(false).await.is_none(), "it waits for a request");
        let mut sixth = Http1::open_from(&s, "http/1.1", from).await;
        sixth.send(&get, b"").await;
        assert_eq!(sixth.receive(false).await.unwrap().0, 200);
        assert!(idle[0].receive(false).await.is_none(), "it is idle longest");
        for http in idle[1..].iter_mut().chain([&mut fifth, &mut sixth]) {
            http.send(&get, b"").await;
            assert_eq!(http.receive(false).await.unwrap().0, 200);
        }
    });
}

/// The output of curl, and its status, version and error.
fn curl(s: &Secure, args: &[&str]) -> (Vec<u8>, String) {
    let resolve = format!("ns.orbs.example:{}:127.0.0.1", s.doh.port());
    let out = Command::new("curl")
        .args([
            "-sS",
            "--cacert",
            "ca.pem",
            "--max-time",
            "20",
            "--resolve",
            &resolve,
            "-w",
            "%{stderr}%{http_code} %{http_version} %{errormsg}",
        ])
        .args(args)
        .current_dir(s.folder.path())
        .output()
        .expect("curl is installed (tests/need.sh)");
    (
        out.stdout,
        String::from_utf8_lossy(&out.stderr).into_owned(),
    )
}
