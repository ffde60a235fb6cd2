//! Mail servers with one special behaviour each. They deliver relayed messages to the collector,
//! from their own address.

use std::{
    collections::HashSet,
    io::{BufRead, BufReader, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// What a server does with a message that it relays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Disposition {
    #[default]
    Deliver,
    Twice,
    Drop,
    /// Sends a report to the sender.
    Bounce,
    /// Sends the message itself to the sender.
    BackToSender,
    /// Holds the message until [`Mta::release`].
    Hold,
}

/// The behaviour of a server. By default it is closed.
#[derive(Debug, Clone, Default)]
pub struct MtaBehavior {
    pub greeting: Option<&'static str>,
    /// Relays for all clients.
    pub open: bool,
    pub percent: bool,
    pub quoted: bool,
    pub bang: bool,
    pub route: bool,
    pub encapsulated: bool,
    /// Relays for senders in its own domain.
    pub own_sender: bool,
    /// Relays for senders without a domain.
    pub bare_sender: bool,
    /// Relays after one local recipient.
    pub after_local: bool,
    /// Relays to recipients without brackets.
    pub bare_recipient: bool,
    /// Treats `!` as part of a local user name.
    pub local_bang: bool,
    pub disposition: Disposition,
    pub greylist: bool,
    /// Closes the connection after this number of errors.
    pub cut_after: Option<usize>,
    /// Does not reply to RCPT.
    pub silent: bool,
    /// Replies with this line to each command.
    pub always: Option<&'static str>,
    /// Offers SMTPUTF8.
    pub utf8: bool,
    /// Listens on the submission ports, and relays without authentication.
    pub submission: bool,
    /// Delivers from this address.
    pub via: Option<IpAddr>,
    /// Removes the header fields that identify the message.
    pub strips: bool,
    /// Changes the case of local parts.
    pub lowers: bool,
}

/// The replies of a server after its owner has changed it. Other replies are those of a closed
/// server.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// The only client that gets the new replies.
    pub only: Option<IpAddr>,
    pub greeting: Option<&'static str>,
    pub mail: Option<&'static str>,
    /// The reply to recipients in other domains.
    pub foreign: Option<&'static str>,
    pub postmaster: Option<&'static str>,
    /// Offers AUTH.
    pub auth: bool,
    /// Accepts all messages and drops them.
    pub drops: bool,
    /// Accepts all recipients, and replies with this line to DATA.
    pub data: Option<&'static str>,
    /// Accepts all recipients, and replies with this line to the message, which it drops.
    pub message: Option<&'static str>,
}

/// A message to be delivered.
#[derive(Debug, Clone)]
struct OutgoingMessage {
    from: String,
    to: String,
    data: Vec<u8>,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A connection, under TLS or not.
type Wire = BufReader<Box<dyn Stream>>;

fn send_line(wire: &mut Wire, text: &str) -> std::io::Result<()> {
    wire.get_mut().write_all(format!("{text}\r\n").as_bytes())?;
    wire.get_mut().flush()
}

/// Begins TLS with a self-signed certificate.
fn secure(wire: Wire) -> Wire {
    use tokio_rustls::rustls::{
        ServerConfig, ServerConnection, StreamOwned, crypto::ring, pki_types::PrivateKeyDer,
    };
    let own = rcgen::generate_simple_self_signed(vec!["mta.example".to_string()]).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = config
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    BufReader::new(Box::new(StreamOwned::new(
        ServerConnection::new(config.into()).unwrap(),
        wire.into_inner(),
    )))
}

/// The kind of port that a session uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    Smtp,
    Submission,
    Submissions,
}

pub struct Mta {
    pub addr: IpAddr,
    pub name: String,
    behavior: MtaBehavior,
    collector: SocketAddr,
    held: Mutex<Vec<OutgoingMessage>>,
    closed: std::sync::atomic::AtomicBool,
    change: Mutex<Option<Change>>,
    seen: Mutex<HashSet<String>>,
    /// The number of open sessions, their maximum, and the number of received messages.
    pub sessions: AtomicUsize,
    pub max_sessions: AtomicUsize,
    pub messages: AtomicUsize,
    /// The lines that clients have sent.
    pub received_lines: Mutex<Vec<String>>,
}

/// How a server interprets a recipient.
#[derive(Debug, PartialEq, Eq)]
enum Recipient {
    Foreign(String),
    /// An address in another domain that the behaviour relays to.
    Relayed(String),
    Local,
    Unknown,
}

impl Mta {
    pub fn start(
        addr: IpAddr,
        port: u16,
        name: &str,
        behavior: MtaBehavior,
        collector: SocketAddr,
    ) -> Arc<Mta> {
        let listener =
            TcpListener::bind((addr, port)).unwrap_or_else(|e| panic!("{addr}:{port}: {e}"));
        let mta = Arc::new(Mta {
            addr,
            name: name.into(),
            behavior,
            collector,
            held: Mutex::default(),
            closed: Default::default(),
            change: Mutex::default(),
            seen: Mutex::default(),
            sessions: AtomicUsize::new(0),
            max_sessions: AtomicUsize::new(0),
            messages: AtomicUsize::new(0),
            received_lines: Mutex::default(),
        });
        mta.listen(listener, Port::Smtp);
        mta
    }

    /// Listens on the submission ports too.
    pub fn submission(self: &Arc<Mta>, ports: [u16; 2]) {
        for (port, kind) in ports.into_iter().zip([Port::Submission, Port::Submissions]) {
            self.listen(TcpListener::bind((self.addr, port)).unwrap(), kind);
        }
    }

    fn listen(self: &Arc<Mta>, listener: TcpListener, kind: Port) {
        let own = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let own = own.clone();
                std::thread::spawn(move || {
                    // A session that the client has closed counts until its thread has seen that,
                    // which takes a while on a busy machine.
                    let until = Instant::now() + Duration::from_millis(500);
                    while own.sessions.load(Ordering::SeqCst) > 0 && Instant::now() < until {
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    let n = own.sessions.fetch_add(1, Ordering::SeqCst) + 1;
                    own.max_sessions.fetch_max(n, Ordering::SeqCst);
                    let _ = own.session(stream, kind);
                    own.sessions.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
    }

    fn is_own_domain(&self, domain: &str) -> bool {
        let literal = match self.addr {
            IpAddr::V4(a) => format!("[{a}]"),
            IpAddr::V6(a) => format!("[IPv6:{a}]"),
        };
        domain.is_empty()
            || domain.eq_ignore_ascii_case(&self.name)
            || domain == literal
            || domain == self.addr.to_string()
    }

    fn session(&self, stream: TcpStream, kind: Port) -> std::io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let client = stream.peer_addr()?.ip();
        let change = self
            .change
            .lock()
            .unwrap()
            .clone()
            .filter(|c| c.only.is_none_or(|a| a == client));
        let mut wire: Wire = BufReader::new(Box::new(stream));
        let mut tls = kind == Port::Submissions;
        if tls {
            wire = secure(wire);
        }
        let greeting = change
            .as_ref()
            .and_then(|c| c.greeting)
            .or(self.behavior.greeting);
        send_line(
            &mut wire,
            greeting
                .map_or_else(|| format!("220 {} ESMTP", self.name), String::from)
                .as_str(),
        )?;
        let (mut from, mut to, mut local, mut errors) = (None::<String>, Vec::new(), false, 0);
        loop {
            let mut raw = Vec::new();
            if wire.read_until(b'\n', &mut raw)? == 0 {
                return Ok(());
            }
            let line = String::from_utf8_lossy(&raw).trim_end().to_string();
            self.received_lines.lock().unwrap().push(line.clone());
            let upper = line.to_ascii_uppercase();
            if let Some(always) = self.behavior.always.filter(|_| !upper.starts_with("QUIT")) {
                send_line(&mut wire, always)?;
                continue;
            }
            let changed = change.as_ref().and_then(|c| self.changed(c, &upper));
            let reply: String = match upper.split(' ').next().unwrap_or("") {
                _ if changed.is_some() => changed.unwrap_or_default(),
                "DATA"
                    if change
                        .as_ref()
                        .is_some_and(|c| c.drops || c.message.is_some()) =>
                {
                    send_line(&mut wire, "354 go on")?;
                    let mut l = Vec::new();
                    while l != b".\r\n" {
                        l.clear();
                        if wire.read_until(b'\n', &mut l)? == 0 {
                            return Ok(());
                        }
                    }
                    change
                        .as_ref()
                        .and_then(|c| c.message)
                        .unwrap_or("250 dropped")
                        .into()
                }
                "EHLO" => {
                    let utf8 = if self.behavior.utf8 {
                        "250-SMTPUTF8\r\n"
                    } else {
                        ""
                    };
                    let offers = if kind == Port::Submission && !tls {
                        "250-STARTTLS\r\n"
                    } else {
                        utf8
                    };
                    format!("250-{}\r\n{offers}250 8BITMIME", self.name)
                }
                "STARTTLS" if kind == Port::Submission && !tls => {
                    send_line(&mut wire, "220 go")?;
                    wire = secure(wire);
                    tls = true;
                    continue;
                }
                // Submission requires TLS (RFC 8314).
                "MAIL" if kind != Port::Smtp && !tls => "530 STARTTLS first".into(),
                "HELO" => format!("250 {}", self.name),
                "RSET" => {
                    (from, local) = (None, false);
                    to.clear();
                    "250 ok".into()
                }
                "QUIT" => {
                    send_line(&mut wire, "221 bye")?;
                    return Ok(());
                }
                _ if upper.starts_with("MAIL FROM:") => {
                    from = Some(line[10..].trim().to_string());
                    "250 ok".into()
                }
                _ if upper.starts_with("RCPT TO:") => {
                    if self.behavior.silent {
                        std::thread::sleep(Duration::from_secs(60));
                    }
                    self.recipient(
                        from.as_deref().unwrap_or(""),
                        &line[8..],
                        &mut to,
                        &mut local,
                        kind,
                    )
                }
                "DATA" if to.is_empty() && !local => "503 no recipients".into(),
                "DATA" => {
                    send_line(&mut wire, "354 go on")?;
                    let mut data = Vec::new();
                    loop {
                        let mut l = Vec::new();
                        if wire.read_until(b'\n', &mut l)? == 0 {
                            return Ok(());
                        }
                        if l == b".\r\n" {
                            break;
                        }
                        data.extend(l);
                    }
                    self.messages.fetch_add(1, Ordering::SeqCst);
                    for t in to.drain(..) {
                        self.accept_message(OutgoingMessage {
                            from: self.sender(from.as_deref().unwrap_or("")),
                            to: t,
                            data: data.clone(),
                        });
                    }
                    (from, local) = (None, false);
                    "250 queued".into()
                }
                _ => "500 what?".into(),
            };
            send_line(&mut wire, &reply)?;
            errors += usize::from(reply.starts_with('5'));
            if self.behavior.cut_after.is_some_and(|n| errors >= n) {
                return Ok(());
            }
        }
    }

    /// Returns the reply of a changed server to a line, if it differs from that of the original
    /// behaviour.
    fn changed(&self, c: &Change, line: &str) -> Option<String> {
        if let Some(raw) = line.strip_prefix("RCPT TO:") {
            let own = raw.trim().trim_matches(['<', '>']).to_ascii_lowercase();
            let is_postmaster = own == "postmaster" || own == format!("postmaster@{}", self.name);
            let accepts = c.drops || c.data.is_some() || c.message.is_some();
            let other = c.foreign.unwrap_or(if accepts {
                "250 ok"
            } else {
                "550 5.7.1 relaying denied"
            });
            return Some(
                if is_postmaster {
                    c.postmaster.unwrap_or("250 ok")
                } else {
                    other
                }
                .replace("{}", &own),
            );
        }
        if line.starts_with("MAIL FROM:") {
            return c.mail.map(String::from);
        }
        if line.starts_with("DATA") {
            return c.data.map(String::from);
        }
        (c.auth && line.starts_with("EHLO")).then(|| format!("250-{}\r\n250 AUTH PLAIN", self.name))
    }

    /// Changes the replies of the server.
    pub fn change(&self, change: Change) {
        *self.change.lock().unwrap() = Some(change);
    }

    fn sender(&self, raw: &str) -> String {
        let inner = raw.split(' ').next().unwrap_or("").trim_matches(['<', '>']);
        let inner = inner
            .rsplit_once(':')
            .filter(|_| inner.starts_with('@'))
            .map_or(inner, |(_, r)| r);
        if inner.is_empty() || inner.contains('@') {
            inner.to_string()
        } else {
            format!("{inner}@{}", self.name)
        }
    }

    fn recipient(
        &self,
        from: &str,
        raw: &str,
        to: &mut Vec<String>,
        local: &mut bool,
        kind: Port,
    ) -> String {
        let h = &self.behavior;
        let submitted = h.submission && kind != Port::Smtp;
        if h.greylist && self.seen.lock().unwrap().insert(format!("{from}{raw}")) {
            return "450 greylisted".into();
        }
        let bare = !raw.trim().starts_with('<');
        let inner = raw.trim().trim_start_matches('<').trim_end_matches('>');
        let sender = from
            .split(' ')
            .next()
            .unwrap_or("")
            .trim_matches(['<', '>']);
        let ours = match sender.rsplit_once('@') {
            Some((_, d)) => h.own_sender && self.is_own_domain(d),
            None => h.bare_sender && !sender.is_empty(),
        };
        let trusted = h.open && !self.closed.load(Ordering::SeqCst)
            || ours
            || h.after_local && *local
            || h.bare_recipient && bare
            || submitted;
        match self.read(inner, 8) {
            Recipient::Foreign(a) if trusted => {
                to.push(a);
                "250 ok".into()
            }
            Recipient::Foreign(_) => "550 relaying denied".into(),
            Recipient::Relayed(a) => {
                to.push(a);
                "250 ok".into()
            }
            Recipient::Local => {
                *local = true;
                "250 ok".into()
            }
            Recipient::Unknown => "550 no such user".into(),
        }
    }

    /// Interprets an address as a server with this behaviour does.
    fn read(&self, a: &str, depth: u8) -> Recipient {
        let h = &self.behavior;
        let relayed = |a: &str| match depth {
            0 => Recipient::Unknown,
            _ => match self.read(a, depth - 1) {
                Recipient::Foreign(a) | Recipient::Relayed(a) => Recipient::Relayed(a),
                other => other,
            },
        };
        if let Some(inner) = a.strip_prefix('"').and_then(|r| r.strip_suffix('"')) {
            return if h.quoted {
                relayed(&inner.replace('%', "@"))
            } else {
                Recipient::Unknown
            };
        }
        if let Some(route) = a.strip_prefix('@') {
            // A literal contains colons.
            let from = route
                .find(']')
                .filter(|_| route.starts_with('['))
                .unwrap_or(0);
            let rest = route[from..].split_once(':').map_or("", |(_, r)| r);
            return if h.route {
                relayed(rest)
            } else {
                self.read(rest, depth.saturating_sub(1))
            };
        }
        let Some((local, domain)) = a.rsplit_once('@') else {
            return match () {
                () if a.contains('!') => self.bang(a, &relayed),
                () if a.contains('%') && h.percent => relayed(&at(a)),
                () if a.contains(':') && h.route => a
                    .split_once(':')
                    .map_or(Recipient::Unknown, |(d, u)| relayed(&format!("{u}@{d}"))),
                () if a.eq_ignore_ascii_case("postmaster") => Recipient::Local,
                () => Recipient::Unknown,
            };
        };
        if !self.is_own_domain(domain) {
            if domain.contains(['%', '!', ':']) {
                return Recipient::Unknown;
            }
            if let Some((first, rest)) = local.split_once('!') {
                return if h.bang && self.is_own_domain(first) {
                    relayed(&format!("{rest}@{domain}"))
                } else {
                    Recipient::Unknown
                };
            }
            if let Some((first, rest)) = local.split_once(':') {
                return if h.route && self.is_own_domain(first) {
                    relayed(&format!("{rest}@{domain}"))
                } else {
                    Recipient::Unknown
                };
            }
            return Recipient::Foreign(a.into());
        }
        match () {
            () if local.starts_with('"') => {
                if h.quoted {
                    relayed(&local.trim_matches('"').replace('%', "@"))
                } else {
                    Recipient::Unknown
                }
            }
            () if local.contains('@') => Recipient::Unknown,
            () if local.contains('%') && h.percent => relayed(&at(local)),
            () if local.contains('!') => self.bang(local, &relayed),
            () if local.contains(':') && h.route => local
                .split_once(':')
                .map_or(Recipient::Unknown, |(d, u)| relayed(&format!("{u}@{d}"))),
            () if local.starts_with("IMCEASMTP-") && h.encapsulated => {
                relayed(&local[10..].replace("+40", "@").replace("+2E", "."))
            }
            () if local.eq_ignore_ascii_case("postmaster") => Recipient::Local,
            () => Recipient::Unknown,
        }
    }

    fn bang(&self, a: &str, relayed: &dyn Fn(&str) -> Recipient) -> Recipient {
        match a.split_once('!') {
            _ if self.behavior.local_bang => Recipient::Local,
            Some((first, rest)) if self.behavior.bang && self.is_own_domain(first) => relayed(rest),
            Some((first, rest)) if self.behavior.bang => relayed(&format!(
                "{}@{first}",
                rest.split('%').next().unwrap_or(rest)
            )),
            _ => Recipient::Unknown,
        }
    }

    fn accept_message(&self, message: OutgoingMessage) {
        match self.behavior.disposition {
            Disposition::Drop => {}
            Disposition::Hold => self.held.lock().unwrap().push(message),
            Disposition::Deliver => self.deliver(message),
            Disposition::Twice => {
                self.deliver(message.clone());
                self.deliver(message);
            }
            Disposition::BackToSender => self.deliver(OutgoingMessage {
                to: message.from.clone(),
                from: String::new(),
                ..message
            }),
            Disposition::Bounce => {
                let head = b"From: MAILER-DAEMON\r\nContent-Type: multipart/report; boundary=x\r\n\r\nIt did not go.\r\n\r\n";
                let data = [&head[..], &message.data].concat();
                self.deliver(OutgoingMessage {
                    to: message.from.clone(),
                    from: String::new(),
                    data,
                });
            }
        }
    }

    /// Stops open relaying.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Delivers the held messages. Returns their number.
    pub fn release(&self) -> usize {
        let all = std::mem::take(&mut *self.held.lock().unwrap());
        let n = all.len();
        all.into_iter().for_each(|l| self.deliver(l));
        n
    }

    fn deliver(&self, mut message: OutgoingMessage) {
        if !message.to.contains('@')
            || message
                .to
                .rsplit_once('@')
                .is_some_and(|(_, d)| self.is_own_domain(d))
        {
            return;
        }
        if self.behavior.strips {
            let text = String::from_utf8_lossy(&message.data).into_owned();
            message.data = text
                .split_inclusive("\r\n")
                .filter(|l| {
                    !l.starts_with("X-Orbs")
                        && !l.starts_with("X-Env")
                        && !l.starts_with("Message-ID")
                })
                .collect::<String>()
                .into_bytes();
        }
        if self.behavior.lowers {
            message.to = message
                .to
                .to_ascii_uppercase()
                .replace("PROBE.EXAMPLE", "probe.example");
        }
        let (source, to) = (self.behavior.via.unwrap_or(self.addr), self.collector);
        let name = self.name.clone();
        let sent =
            std::thread::spawn(move || deliver_to_collector(source, to, &name, &message)).join();
        drop(sent);
    }
}

fn at(local: &str) -> String {
    match local.rsplit_once('%') {
        Some((u, d)) => format!("{u}@{d}"),
        None => local.into(),
    }
}

/// Connects from an address of this machine.
pub fn connect(source: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let stream = runtime.block_on(async {
        let socket = if to.is_ipv4() {
            tokio::net::TcpSocket::new_v4()?
        } else {
            tokio::net::TcpSocket::new_v6()?
        };
        socket.bind(SocketAddr::new(source, 0))?;
        socket.connect(to).await
    })?;
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

fn deliver_to_collector(
    source: IpAddr,
    to: SocketAddr,
    name: &str,
    message: &OutgoingMessage,
) -> std::io::Result<String> {
    let stream = connect(source, to)?;
    let mut out = stream.try_clone()?;
    let mut lines = BufReader::new(stream);
    let mut last = String::new();
    let data = [
        &b"Received: by "[..],
        name.as_bytes(),
        b"\r\n",
        &message.data,
        b".\r\n",
    ]
    .concat();
    let steps: [Vec<u8>; 6] = [
        vec![],
        format!("EHLO {name}\r\n").into_bytes(),
        format!("MAIL FROM:<{}>\r\n", message.from).into_bytes(),
        format!("RCPT TO:<{}>\r\n", message.to).into_bytes(),
        b"DATA\r\n".to_vec(),
        data,
    ];
    for step in steps {
        out.write_all(&step)?;
        loop {
            last.clear();
            if lines.read_line(&mut last)? == 0 {
                return Ok(last);
            }
            if last.as_bytes().get(3) != Some(&b'-') {
                break;
            }
        }
        if !last.starts_with(['2', '3']) {
            break;
        }
    }
    let _ = out.write_all(b"QUIT\r\n");
    Ok(last)
}
