//! Proofs of control, mail about tickets and requests by mail, on a real daemon with a DNS server
//! and a smart host of the test.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    api::{Api, Reply},
    lab::{CONFIG, DOMAINS, free_port},
    name_server::NameServer,
};

const ZONE: &str = r#"
origin = "bl.orbs.example"
kind = "address"
ns = ["ns1.orbs.example"]
contact = "hostmaster@orbs.example"
publish = [
  { reason = "relay", code = "127.0.0.2" }, { reason = "netblock", code = "127.0.0.3" }, { reason = "spamsource", code = "127.0.0.5" },
]
"#;

/// A smart host that keeps every message with its envelope.
#[derive(Clone, Default)]
pub struct SmartHost(Arc<Mutex<Vec<String>>>);

impl SmartHost {
    pub fn start() -> (SmartHost, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (host, addr) = (SmartHost::default(), listener.local_addr().unwrap());
        let mails = host.0.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mails = mails.clone();
                std::thread::spawn(move || session(stream, &mails));
            }
        });
        (host, addr)
    }
    /// Waits for the message with a number, from 0.
    pub fn mail(&self, n: usize) -> String {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(mail) = self.0.lock().unwrap().get(n) {
                return mail.clone();
            }
            assert!(Instant::now() < until, "mail {n} did not come");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

fn session(stream: TcpStream, mails: &Mutex<Vec<String>>) {
    let mut writer = stream.try_clone().unwrap();
    let mut lines = BufReader::new(stream);
    writer.write_all(b"220 smart.example\r\n").unwrap();
    let (mut mail, mut data) = (String::new(), false);
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        mail += &line;
        let reply = match line.trim_end() {
            "." if data => {
                data = false;
                mails.lock().unwrap().push(std::mem::take(&mut mail));
                "250 ok"
            }
            _ if data => continue,
            "DATA" => {
                data = true;
                "354 go"
            }
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        writer.write_all(format!("{reply}\r\n").as_bytes()).unwrap();
    }
}

/// A daemon with its public listeners and its collector, a DNS server and a smart host.
pub struct Lab {
    pub api: Api,
    pub web: SocketAddr,
    pub plain: SocketAddr,
    pub collector: SocketAddr,
    pub records: NameServer,
    pub smart_host: SmartHost,
}

impl Lab {
    pub fn new() -> Lab {
        let plain = ([127, 0, 0, 1], free_port()).into();
        Lab::with(plain, "http://lists.example")
    }

    /// Creates a laboratory whose listener for proofs has an address and a URL.
    pub fn with(plain: SocketAddr, plain_url: &str) -> Lab {
        let dns: SocketAddr = ([127, 0, 0, 1], free_port()).into();
        let records = NameServer::start(dns);
        Lab::with_resolver(plain, plain_url, dns, records)
    }

    /// Creates a laboratory that asks a resolver.
    pub fn with_resolver(
        plain: SocketAddr,
        plain_url: &str,
        dns: SocketAddr,
        records: NameServer,
    ) -> Lab {
        let [web, collector] = [0; 2].map(|_| SocketAddr::from(([127, 0, 0, 1], free_port())));
        let (smart_host, smart) = SmartHost::start();
        let reasons: String = ["input", "output", "unconfirmed", "notest", "spamsource"]
            .map(|n| format!("[[reason]]\nname = \"{n}\"\ntext = \"{n} $\"\n"))
            .concat();
        let config = format!(
            "{CONFIG}{reasons}[web]\nlisten = \"{web}\"\nbase_url = \"https://lists.example\"\n\
             [proofs]\nlisten = \"{plain}\"\nurl = \"{plain_url}\"\n\
             [limits]\nallow_special_ranges = [\"127.64.0.0/10\"]\n[http_client]\nresolvers = [\"{dns}\"]\n\
             [mail]\nsmarthost = \"{smart}\"\nfrom = \"lists@lists.example\"\nrequire_starttls = false\n\
             [collector]\nlisten = [\"{collector}\"]\nremoval_address = \"removal@probe.example\"\n[probe]\ndomain = \"probe.example\"\n"
        );
        let api = Api::with_zones(&config, &[("bl", ZONE), ("dbl", DOMAINS)]);
        Lab {
            api,
            web,
            plain,
            collector,
            records,
            smart_host,
        }
    }

    /// Sends a request to the site, from an address.
    pub fn send(
        &self,
        from: IpAddr,
        to: SocketAddr,
        method: &str,
        path: &str,
        body: &str,
    ) -> Reply {
        let headers = "Accept: */*\r\nContent-Type: application/json\r\n";
        self.send_with(from, to, method, path, headers, body)
    }

    /// Sends a request with more header fields.
    pub fn send_with(
        &self,
        from: IpAddr,
        to: SocketAddr,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> Reply {
        let mut stream = connect(from, to);
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: lists.example\r\n{headers}\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        let at = all.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(all[..at].to_vec()).unwrap();
        let mut headers = ureq::http::HeaderMap::new();
        for line in head.lines().skip(1) {
            let (name, value) = line.split_once(": ").unwrap();
            let name: ureq::http::HeaderName = name.parse().unwrap();
            headers.insert(name, value.parse().unwrap());
        }
        Reply {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            headers,
            body: all[at + 4..].to_vec(),
        }
    }

    /// Sends a request from the requester's own device.
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        let text = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        self.send([127, 0, 0, 1].into(), self.api.addr, "POST", path, &text)
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send([127, 0, 0, 1].into(), self.api.addr, "GET", path, "")
    }

    /// Opens a ticket. Returns it as its page shows it.
    pub fn open(&self, subject: &str, reason: &str) -> Value {
        self.api.list(subject, reason);
        self.post("/tickets", &json!({ "subject": subject })).ok()
    }

    pub fn ticket(&self, ticket: &Value) -> Value {
        self.get(ticket["path"].as_str().unwrap()).ok()
    }

    /// Waits until a ticket fulfils a condition.
    pub fn wait(&self, ticket: &Value, what: &str, is_met: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let now = self.ticket(ticket);
            if is_met(&now) {
                return now;
            }
            assert!(
                Instant::now() < until,
                "{what}: {now:#}\n{}",
                self.api.f.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sends a message to the collector. Returns the replies.
    pub fn mail(&self, from: &str, message: &str) -> String {
        self.mail_by([127, 0, 0, 1].into(), from, message.as_bytes())
    }

    /// Sends a message to the collector, from an address.
    pub fn mail_by(&self, client: IpAddr, from: &str, message: &[u8]) -> String {
        let mut stream = BufReader::new(connect(client, self.collector));
        let timeout = Some(Duration::from_secs(30));
        stream.get_ref().set_read_timeout(timeout).unwrap();
        let mut all = String::new();
        let mut say = |text: &[u8]| {
            // The collector may have closed the connection.
            let _ = stream.get_mut().write_all(text);
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).unwrap_or(0) == 0 {
                    break;
                }
                all += &line;
                if line.as_bytes().get(3) == Some(&b' ') {
                    break;
                }
            }
        };
        say(b"");
        say(b"EHLO mail.sender.example\r\n");
        say(format!("MAIL FROM:<{from}>\r\n").as_bytes());
        say(b"RCPT TO:<Removal@probe.example>\r\n");
        say(b"DATA\r\n");
        say(&[message, b"\r\n.\r\n"].concat());
        all
    }
}

/// Connects from an address of this machine.
fn connect(from: IpAddr, to: SocketAddr) -> TcpStream {
    let domain = socket2::Domain::for_address(to);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

/// The option of a ticket with a method.
pub fn option<'v>(ticket: &'v Value, method: &str) -> Option<&'v Value> {
    let all = ticket["control_options"].as_array().unwrap();
    all.iter().find(|o| o["method"] == method)
}

/// The code that the page of a ticket shows.
fn code(ticket: &Value) -> String {
    let command = ticket["control_options"][0]["commands"][0]["command"]
        .as_str()
        .unwrap();
    command.rsplit_once("/prove/").unwrap().1.to_string()
}

/// The path after the site in a mail.
pub fn link(mail: &str, start: &str) -> String {
    let at = mail
        .find(start)
        .unwrap_or_else(|| panic!("{start}: {mail}"));
    let text = mail[at..].replace("=\r\n", "");
    let path = text.trim_start_matches("https://lists.example");
    path.split(|c: char| c.is_whitespace() || c == '>')
        .next()
        .unwrap()
        .to_string()
}

#[test]
fn request_from_the_listed_address_proves_control_of_it_alone() {
    let lab = Lab::new();
    let own: IpAddr = [127, 64, 1, 7].into();
    let ticket = lab.open("127.64.1.7", "netblock");
    assert_eq!(ticket["state"], "needs-proof", "{ticket:#}");
    assert!(!lab.api.f.log().contains(&code(&ticket)));
    let path = format!("/prove/{}", code(&ticket));
    let command = option(&ticket, "server").unwrap()["commands"][0]["command"].as_str();
    assert_eq!(
        command,
        Some(format!("curl -4 -X POST http://lists.example{path}").as_str())
    );
    // Another address, another path, a browser, and a GET prove nothing.
    let other = lab.send([127, 64, 1, 8].into(), lab.web, "POST", &path, "");
    assert_eq!(other.status, 409);
    assert!(
        other
            .text()
            .starts_with("not proved: this request comes from 127.64.1.8"),
        "{}",
        other.text()
    );
    assert_eq!(other.text().lines().count(), 1);
    let guess = lab.send(
        own,
        lab.plain,
        "POST",
        "/prove/1-aaaaaaaaaaaaaaaaaaaaaaaaaa",
        "",
    );
    assert_eq!(guess.status, 404);
    assert_eq!(lab.send(own, lab.plain, "GET", &path, "").status, 200);
    assert_eq!(
        lab.send(own, lab.plain, "GET", "/lookup?subject=127.64.1.7", "")
            .status,
        404
    );
    assert!(lab.ticket(&ticket)["proof"].is_null());
    // The address itself does, over plain HTTP, and the page shows it at once.
    let proved = lab.send(own, lab.plain, "POST", &path, "");
    assert_eq!(
        (proved.status, proved.header("content-type")),
        (200, "text/plain; charset=utf-8")
    );
    assert_eq!(
        proved.text(),
        "proved: 127.64.1.7 is yours; go on at the page of your request\n"
    );
    let now = lab.ticket(&ticket);
    assert_eq!(
        (&now["proof"]["method"], &now["state"]),
        (&json!("server"), &json!("review"))
    );
    assert_eq!(now["control_options"], json!([]));
    // A replayed code does nothing.
    let changed = now["changed"].clone();
    let again = lab.send(own, lab.plain, "POST", &path, "");
    assert_eq!(
        (again.status, again.text().contains("used already")),
        (409, true),
        "{}",
        again.text()
    );
    assert_eq!(lab.ticket(&ticket)["changed"], changed);
}

#[test]
fn request_proves_nothing_where_strangers_act_through_the_host() {
    let lab = Lab::new();
    lab.api.list("127.64.1.7", "spamsource");
    lab.api.list("127.64.1.7", "netblock");
    let request = json!({"subject": "127.64.1.7", "policy": "reviewed"});
    let ticket = lab.post("/tickets", &request).ok();
    assert!(option(&ticket, "server").is_some(), "{ticket:#}");
    let range = lab.open("127.64.2.0/24", "netblock");
    assert!(option(&range, "server").is_none(), "{range:#}");
}

#[test]
fn guessed_codes_are_limited_and_the_refusal_says_when_to_come_again() {
    let lab = Lab::new();
    let from: IpAddr = [127, 64, 9, 9].into();
    let mut last = None;
    for _ in 0..40 {
        let path = "/prove/1-aaaaaaaaaaaaaaaaaaaaaaaaaa";
        let reply = lab.send(from, lab.web, "POST", path, "");
        let is_last = reply.status == 429;
        last = Some(reply);
        if is_last {
            break;
        }
    }
    let last = last.unwrap();
    assert_eq!(last.status, 429, "{}", last.text());
    assert!(last.header("retry-after").parse::<u64>().unwrap() <= 60);
    assert!(
        last.text().contains("come again after 20"),
        "{}",
        last.text()
    );
}

#[test]
fn requests_from_one_network_are_limited() {
    let lab = Lab::new();
    let mut refused = None;
    for n in 0..200u8 {
        let from: IpAddr = [127, 64, 3, n].into();
        let body = json!({"subject": "45.51.100.77"}).to_string();
        let reply = lab.send(from, lab.api.addr, "POST", "/tickets", &body);
        if reply.status == 429 {
            refused = Some((n, reply));
            break;
        }
        assert_eq!(reply.status, 404, "{}", reply.text());
    }
    let (n, reply) = refused.expect("a limit");
    assert_eq!(n, 160, "{}", reply.text());
    assert!(reply.text().contains("127.64.3.0/24"), "{}", reply.text());
    assert!(reply.header("retry-after").parse::<u64>().is_ok());
}

#[test]
fn txt_record_proves_control() {
    let lab = Lab::new();
    lab.records.zone("100.51.45.in-addr.arpa");
    let ticket = lab.open("45.51.100.7", "netblock");
    let known = lab.wait(&ticket, "the zone", |t| {
        option(t, "dns").is_some_and(|o| o["names"].as_array().unwrap().len() == 2)
    });
    let record = option(&known, "dns").unwrap();
    assert_eq!(
        record["names"],
        json!(["7.100.51.45.in-addr.arpa", "100.51.45.in-addr.arpa"])
    );
    let check = format!("{}/check-dns", ticket["path"].as_str().unwrap());
    let missing = lab.post(&check, &Value::Null);
    assert_eq!(missing.problem(), "conflict");
    assert!(
        missing
            .text()
            .contains("is not at 7.100.51.45.in-addr.arpa, 100.51.45.in-addr.arpa yet"),
        "{}",
        missing.text()
    );
    lab.records
        .text("7.100.51.45.in-addr.arpa", "orbsd-proof=1-other");
    assert_eq!(lab.post(&check, &Value::Null).status, 409);
    let text = record["text"].as_str().unwrap();
    lab.records.text("100.51.45.in-addr.arpa", text);
    let proved = lab.post(&check, &Value::Null).ok();
    assert_eq!(
        (&proved["proof"]["method"], &proved["state"]),
        (&json!("dns"), &json!("review"))
    );
    // The record of one ticket is worth nothing for another subject of the zone.
    let other = lab.open("45.51.100.8", "netblock");
    let check = format!("{}/check-dns", other["path"].as_str().unwrap());
    assert_eq!(lab.post(&check, &Value::Null).status, 409);
    assert!(lab.ticket(&other)["proof"].is_null());
}

#[test]
fn code_by_mail_proves_control_after_a_button_was_pressed() {
    let lab = Lab::new();
    lab.records.exchange("shop.example", "mx.shop.example");
    let ticket = lab.open("shop.example", "spam");
    let known = lab.wait(&ticket, "the addresses", |t| option(t, "mail").is_some());
    let addresses = &option(&known, "mail").unwrap()["addresses"];
    assert_eq!(
        *addresses,
        json!(["postmaster@shop.example", "abuse@shop.example"])
    );
    let send = format!("{}/send-code", ticket["path"].as_str().unwrap());
    let stranger = lab.post(&send, &json!({"address": "anna@evil.example"}));
    assert_eq!(stranger.problem(), "invalid");
    lab.post(&send, &json!({"address": "abuse@shop.example"}))
        .ok();
    let mail = lab.smart_host.mail(0);
    assert!(
        mail.contains("MAIL FROM:<>") && mail.contains("RCPT TO:<abuse@shop.example>"),
        "{mail}"
    );
    assert!(mail.contains("Auto-Submitted: auto-generated"), "{mail}");
    let secret = ticket["path"].as_str().unwrap();
    assert!(
        !mail.contains(secret),
        "the mail has no link to the ticket: {mail}"
    );
    let again = lab.post(&send, &json!({"address": "abuse@shop.example"}));
    assert_eq!(again.status, 429, "one code a day: {}", again.text());
    assert!(again.header("retry-after").parse::<u64>().unwrap() > 80_000);
    let confirm = link(&mail, "https://lists.example/confirm/");
    // Mail scanners open links.
    let seen = lab.get(&confirm).ok();
    assert_eq!(
        seen,
        json!({"kind": "control", "ticket_kind": "removal", "number": ticket["number"], "subject": "shop.example", "confirmed": false, "path": null})
    );
    assert!(lab.ticket(&ticket)["proof"].is_null());
    assert_eq!(lab.post(&confirm, &Value::Null).ok()["confirmed"], true);
    let now = lab.ticket(&ticket);
    assert_eq!(
        (&now["proof"]["method"], &now["state"]),
        (&json!("mail"), &json!("review"))
    );
    assert_eq!(lab.post(&confirm, &Value::Null).status, 409, "used already");
}

#[test]
fn no_code_is_mailed_to_a_name_that_is_not_confirmed() {
    let lab = Lab::new();
    let listed = [45, 51, 100, 7].into();
    lab.records.pointer(listed, "mail.sender.example");
    let other = [192, 0, 2, 1].into();
    lab.records.address("mail.sender.example", other);
    lab.records.zone("100.51.45.in-addr.arpa");
    let ticket = lab.open("45.51.100.7", "netblock");
    let known = lab.wait(&ticket, "the zone", |t| {
        option(t, "dns").is_some_and(|o| o["names"].as_array().unwrap().len() == 2)
    });
    assert!(option(&known, "mail").is_none(), "{known:#}");
    let send = format!("{}/send-code", ticket["path"].as_str().unwrap());
    assert_eq!(lab.post(&send, &json!({})).problem(), "conflict");
    assert_eq!(lab.smart_host.count(), 0);
}

#[test]
fn confirmed_contact_is_notified_until_it_unsubscribes() {
    let lab = Lab::new();
    let ticket = lab.open("127.64.1.7", "netblock");
    let path = ticket["path"].as_str().unwrap();
    let contact = format!("{path}/contact");
    for bad in [
        "x",
        "a@example.org\r\nBcc: b@evil.example",
        "\u{e4}@example.org",
        "a@example.org,b@evil.example",
    ] {
        assert_eq!(
            lab.post(&contact, &json!({ "contact": bad })).problem(),
            "invalid",
            "{bad}"
        );
    }
    let set = lab
        .post(&contact, &json!({"contact": "anna@example.org"}))
        .ok();
    assert_eq!(
        set["contact"],
        json!({"address": "a…@example.org", "confirmed": false})
    );
    let mail = lab.smart_host.mail(0);
    let confirm = link(&mail, "https://lists.example/confirm/");
    assert_eq!(lab.get(&confirm).ok()["kind"], "contact");
    assert_eq!(lab.ticket(&ticket)["contact"]["confirmed"], false);
    assert_eq!(lab.post(&confirm, &Value::Null).ok()["path"], path);
    assert_eq!(lab.ticket(&ticket)["contact"]["confirmed"], true);
    // The proof changes the state.
    let prove = format!("/prove/{}", code(&ticket));
    assert_eq!(
        lab.send([127, 64, 1, 7].into(), lab.plain, "POST", &prove, "")
            .status,
        200
    );
    let mail = lab.smart_host.mail(1);
    assert!(mail.contains("RCPT TO:<anna@example.org>"), "{mail}");
    assert!(
        mail.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click"),
        "{mail}"
    );
    assert!(mail.contains("127.64.1.7: a person decides"), "{mail}");
    let unsubscribe = mail
        .lines()
        .skip_while(|l| !l.starts_with("List-Unsubscribe:"));
    let unsubscribe: String = unsubscribe.take(2).collect();
    let unsubscribe = link(&unsubscribe, "https://lists.example/tickets/");
    assert_eq!(unsubscribe, format!("{path}/unsubscribe"));
    assert_eq!(
        lab.post(&unsubscribe, &Value::Null).ok()["contact"],
        Value::Null
    );
    lab.post(&format!("{path}/withdraw"), &Value::Null).ok();
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(lab.smart_host.count(), 2);
    // Neither the log nor the audit log has the address.
    assert!(!lab.api.f.log().contains("anna@example.org"));
    assert!(!lab.api.get("/v1/audit").text().contains("anna@example.org"));
}

#[test]
fn mail_to_the_removal_address_opens_a_ticket_if_its_author_is_authenticated() {
    let lab = Lab::new();
    lab.api.list("45.51.100.7", "netblock");
    let message = |from: &str, header: &str| {
        format!(
            "From: Anna <{from}>\r\nTo: removal@probe.example\r\nMessage-ID: <1@sender.example>\r\nSubject: please\r\n{header}\r\n\
                 Our server said: host mx.example said: 550 5.7.1 Client host [45.51.100.7] blocked using bl.orbs.example\r\n"
        )
    };
    // Without SPF nothing is opened and nobody gets mail.
    let none = lab.mail("anna@sender.example", &message("anna@sender.example", ""));
    assert!(none.contains("550 5.7.1 neither SPF nor DKIM"), "{none}");
    lab.records
        .text("sender.example", "v=spf1 ip4:127.0.0.1 -all");
    lab.records
        .text("evil.example", "v=spf1 ip4:127.0.0.1 -all");
    let not_aligned = lab.mail("x@evil.example", &message("anna@sender.example", ""));
    assert!(
        not_aligned.contains("550 5.7.1 neither SPF nor DKIM"),
        "{not_aligned}"
    );
    for header in ["Auto-Submitted: auto-replied\r\n", "Precedence: bulk\r\n"] {
        let automatic = lab.mail(
            "anna@sender.example",
            &message("anna@sender.example", header),
        );
        assert!(
            automatic.contains("550 5.7.1 automatic messages"),
            "{automatic}"
        );
    }
    let null = lab.mail("", &message("anna@sender.example", ""));
    assert!(null.contains("550 5.7.1 automatic messages"), "{null}");
    let nothing = lab.mail(
        "anna@sender.example",
        "From: anna@sender.example\r\n\r\nplease delist us\r\n",
    );
    assert!(
        nothing.contains("550 5.6.0 the message names no address"),
        "{nothing}"
    );
    let opened = lab.mail(
        "anna@sender.example",
        &message("anna@sender.example", "Content-Language: de-DE\r\n"),
    );
    assert!(opened.contains("250 2.0.0 request 1 is open"), "{opened}");
    let answer = lab.smart_host.mail(0);
    assert!(
        answer.contains("MAIL FROM:<>") && answer.contains("RCPT TO:<anna@sender.example>"),
        "{answer}"
    );
    assert!(answer.contains("Auto-Submitted: auto-replied"), "{answer}");
    assert!(
        answer.contains("In-Reply-To: <1@sender.example>"),
        "{answer}"
    );
    assert!(
        answer.contains("Subject: Ihr Antrag"),
        "in the language of the message: {answer}"
    );
    let ticket = lab
        .get(&link(&answer, "https://lists.example/tickets/"))
        .ok();
    assert_eq!(
        (&ticket["subject"], &ticket["proof"]),
        (&json!("45.51.100.7"), &Value::Null)
    );
    // One answer for each address and day, and no second ticket.
    let again = lab.mail("anna@sender.example", &message("anna@sender.example", ""));
    assert!(
        again.contains("550 5.7.1 one request a day by mail"),
        "{again}"
    );
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(lab.smart_host.count(), 1);
}
