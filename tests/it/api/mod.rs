//! The HTTP API on a real daemon, through TCP and the socket.

mod access;
mod back;
mod client;
mod faults;
pub mod hooks;
mod hostile;
mod lists;
mod notices;
mod operator_tickets;
mod parts;
mod restore;
mod schema;
mod streams;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::Value;
use ureq::http;

use crate::lab::{CONFIG, DOMAINS, Daemon, Folder, ZONE, free_port, query, shown, udp};

/// A daemon with its API on an address.
pub struct Api {
    pub f: Folder,
    pub daemon: Option<Daemon>,
    pub addr: SocketAddr,
    /// A token of an owner.
    pub owner: String,
}

/// A response.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
    /// Returns the JSON of a successful response.
    pub fn ok(self) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "{}: {}",
            self.status,
            self.text()
        );
        self.json()
    }
    /// Returns the code of a problem response.
    pub fn problem(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        let p = self.json();
        assert_eq!(p["status"], self.status, "{p}");
        let code = p["code"].as_str().unwrap();
        let page = p["type"].as_str().unwrap();
        assert!(page.ends_with(&format!("/problems/{code}")), "{p}");
        code.to_string()
    }
}

impl Api {
    pub fn new() -> Api {
        Api::with(CONFIG)
    }
    pub fn with(config: &str) -> Api {
        Api::with_zones(config, &[("bl", ZONE), ("dbl", DOMAINS)])
    }
    pub fn with_zones(config: &str, zones: &[(&str, &str)]) -> Api {
        Api::with_folder(config, |config| Folder::with(config, zones))
    }
    /// Starts a daemon in the folder that `make` returns for a configuration.
    pub fn with_folder(config: &str, make: impl FnOnce(&str) -> Folder) -> Api {
        let port = free_port();
        let listen = format!("listen = \"127.0.0.1:{port}\"");
        let f = make(&config.replace("listen = \"\"", &listen));
        let daemon = Daemon::start(&f);
        let mut api = Api {
            f,
            daemon: Some(daemon),
            addr: ([127, 0, 0, 1], port).into(),
            owner: String::new(),
        };
        api.owner = api.token("root", "owner", &[]);
        api
    }
    /// Adds a user, and returns a token of theirs.
    pub fn user(&self, name: &str, role: &str) -> String {
        self.f.ok(&["user", "add", name, "--role", role]);
        self.token(name, role, &[])
    }
    /// Returns a token that is created on the command line.
    pub fn token(&self, owner: &str, role: &str, more: &[&str]) -> String {
        let args = [
            &["token", "create", "--owner", owner, "--role", role][..],
            more,
        ]
        .concat();
        self.f.ok(&args).trim().to_string()
    }
    pub fn call(
        &self,
        token: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .into();
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.addr));
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (k, v) in headers {
            request = request.header(*k, *v);
        }
        let sent = match ["GET", "HEAD", "DELETE"].contains(&method) {
            true => agent.run(request.body(()).unwrap()),
            false => agent.run(request.body(body.to_string()).unwrap()),
        };
        let mut reply = sent.unwrap_or_else(|e| panic!("{method} {path}: {e}"));
        let body = reply
            .body_mut()
            .with_config()
            .limit(1 << 30)
            .read_to_vec()
            .unwrap();
        Reply {
            status: reply.status().as_u16(),
            headers: reply.headers().clone(),
            body,
        }
    }
    pub fn get(&self, path: &str) -> Reply {
        self.call(&self.owner, "GET", path, &[], "")
    }
    pub fn post(&self, path: &str, body: &str) -> Reply {
        self.call(&self.owner, "POST", path, &[], body)
    }
    /// Lists a subject for a reason. Returns the commit and the revision.
    pub fn list(&self, subject: &str, reason: &str) -> (String, String) {
        let made = self
            .post(
                "/v1/listings",
                &serde_json::json!({"subject": subject, "reason": reason}).to_string(),
            )
            .ok();
        (
            made["id"].as_str().unwrap().into(),
            made["revision"].as_str().unwrap().into(),
        )
    }
    /// Returns the DNS answer for a name in the address zone.
    pub fn dns(&self, reversed: &str) -> String {
        shown(
            &udp(
                self.f.addr(),
                &query(&format!("{reversed}.bl.orbs.example"), 1, true),
                Duration::from_secs(5),
            )
            .unwrap(),
        )
    }
    /// Starts the daemon again after it has ended.
    pub fn start(&mut self) {
        self.daemon = Some(Daemon::start(&self.f));
        let until = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(self.addr).is_err() {
            assert!(Instant::now() < until);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
