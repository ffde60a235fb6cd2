//! Mail servers with one habit each. What they take for somebody else they hand to the collector,
//! from their own address.

use std::{
    collections::HashSet,
    io::{BufRead, BufReader, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// What becomes of a message that was taken for somebody else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fate {
    #[default]
    Deliver,
    Twice,
    Drop,
    /// A report goes to the sender.
    Bounce,
    /// The message itself goes to the sender.
    BackToSender,
    /// Until somebody says `release`.
    Hold,
}

/// How a server behaves.
#[derive(Debug, Clone, Default)]
pub struct Habits {
    pub greeting: Option<&'static str>,
    /// Everybody to everybody.
    pub open: bool,
    pub percent: bool,
    pub quoted: bool,
    pub bang: bool,
    pub route: bool,
    pub encapsulated: bool,
    /// Whoever says that he is one of us.
    pub own_sender: bool,
    /// A sender without a domain is one of us.
    pub bare_sender: bool,
    /// After one local recipient.
    pub after_local: bool,
    /// A recipient without brackets is looked at by nobody.
    pub bare_recipient: bool,
    /// `!` is part of a local user's name.
    pub local_bang: bool,
    pub fate: Fate,
    pub greylist: bool,
    /// Closes after so many errors.
    pub cut_after: Option<usize>,
    /// Says nothing to RCPT any more.
    pub silent: bool,
    /// Says this to everything.
    pub always: Option<&'static str>,
    /// Offers SMTPUTF8.
    pub utf8: bool,
    /// Listens at the submission ports, and carries what comes there without asking who it is.
    pub submission: bool,
    /// Hands on from this address.
    pub via: Option<IpAddr>,
    /// Takes header fields off that begin with `X-`.
    pub strips: bool,
    /// Writes local parts in small letters; upper case first, so that it is seen.
    pub lowers: bool,
}

/// What a server answers once its owner has changed it; what is left out is answered as by a closed
/// server.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Only to this client; others are answered as before.
    pub only: Option<IpAddr>,
    pub greeting: Option<&'static str>,
    pub mail: Option<&'static str>,
    /// To every recipient that is not its own.
    pub foreign: Option<&'static str>,
    pub postmaster: Option<&'static str>,
    /// Offers AUTH.
    pub auth: bool,
    /// Accepts everything, and drops it.
    pub drops: bool,
    /// Accepts every recipient, and answers this to DATA.
    pub data: Option<&'static str>,
    /// Accepts every recipient, and answers this to the message, which it drops.
    pub message: Option<&'static str>,
}

/// A message on its way out.
#[derive(Debug, Clone)]
struct Letter {
    from: String,
    to: String,
    data: Vec<u8>,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A connection, under TLS or not.
type Wire = BufReader<Box<dyn Stream>>;

fn say(wire: &mut Wire, text: &str) -> std::io::Result<()> {
    wire.get_mut().write_all(format!("{text}\r\n").as_bytes())?;
    wire.get_mut().flush()
}

/// Begins TLS with a certificate that nobody has signed.
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

/// Where a session comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Smtp,
    Submission,
    Submissions,
}

pub struct Mta {
    pub addr: IpAddr,
    pub name: String,
    habits: Habits,
    collector: SocketAddr,
    held: Mutex<Vec<Letter>>,
    closed: std::sync::atomic::AtomicBool,
    change: Mutex<Option<Change>>,
    seen: Mutex<HashSet<String>>,
    /// Sessions at the same time, now and at most; messages that came.
    pub sessions: AtomicUsize,
    pub most: AtomicUsize,
    pub messages: AtomicUsize,
    /// What clients have said.
    pub said: Mutex<Vec<String>>,
}

/// What a recipient is to a server.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Foreign(String),
    /// By a hole.
    Through(String),
    Local,
    Nobody,
}

impl Mta {
    pub fn start(
        addr: IpAddr,
        port: u16,
        name: &str,
        habits: Habits,
        collector: SocketAddr,
    ) -> Arc<Mta> {
        let listener =
            TcpListener::bind((addr, port)).unwrap_or_else(|e| panic!("{addr}:{port}: {e}"));
        let mta = Arc::new(Mta {
            addr,
            name: name.into(),
            habits,
            collector,
            held: Mutex::default(),
            closed: Default::default(),
            change: Mutex::default(),
            seen: Mutex::default(),
            sessions: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            messages: AtomicUsize::new(0),
            said: Mutex::default(),
        });
        mta.listen(listener, Door::Smtp);
        mta
    }

    /// Listens at the ports of submission too.
    pub fn submission(self: &Arc<Mta>, ports: [u16; 2]) {
        for (port, door) in ports.into_iter().zip([Door::Submission, Door::Submissions]) {
            self.listen(TcpListener::bind((self.addr, port)).unwrap(), door);
        }
    }

    fn listen(self: &Arc<Mta>, listener: TcpListener, door: Door) {
        let own = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let own = own.clone();
                std::thread::spawn(move || {
                    let n = own.sessions.fetch_add(1, Ordering::SeqCst) + 1;
                    own.most.fetch_max(n, Ordering::SeqCst);
                    let _ = own.session(stream, door);
                    own.sessions.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
    }

    fn own(&self, domain: &str) -> bool {
        let literal = match self.addr {
            IpAddr::V4(a) => format!("[{a}]"),
            IpAddr::V6(a) => format!("[IPv6:{a}]"),
        };
        domain.is_empty()
            || domain.eq_ignore_ascii_case(&self.name)
            || domain == literal
            || domain == self.addr.to_string()
    }

    fn session(&self, stream: TcpStream, door: Door) -> std::io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let client = stream.peer_addr()?.ip();
        let change = self
            .change
            .lock()
            .unwrap()
            .clone()
            .filter(|c| c.only.is_none_or(|a| a == client));
        let mut wire: Wire = BufReader::new(Box::new(stream));
        let mut tls = door == Door::Submissions;
        if tls {
            wire = secure(wire);
        }
        let greeting = change
            .as_ref()
            .and_then(|c| c.greeting)
            .or(self.habits.greeting);
        say(
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
            self.said.lock().unwrap().push(line.clone());
            let upper = line.to_ascii_uppercase();
            if let Some(always) = self.habits.always.filter(|_| !upper.starts_with("QUIT")) {
                say(&mut wire, always)?;
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
                    say(&mut wire, "354 go on")?;
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
                    let utf8 = if self.habits.utf8 {
                        "250-SMTPUTF8\r\n"
                    } else {
                        ""
                    };
                    let offers = if door == Door::Submission && !tls {
                        "250-STARTTLS\r\n"
                    } else {
                        utf8
                    };
                    format!("250-{}\r\n{offers}250 8BITMIME", self.name)
                }
                "STARTTLS" if door == Door::Submission && !tls => {
                    say(&mut wire, "220 go")?;
                    wire = secure(wire);
                    tls = true;
                    continue;
                }
                // Who is not under TLS is told no (RFC 8314).
                "MAIL" if door != Door::Smtp && !tls => "530 STARTTLS first".into(),
                "HELO" => format!("250 {}", self.name),
                "RSET" => {
                    (from, local) = (None, false);
                    to.clear();
                    "250 ok".into()
                }
                "QUIT" => {
                    say(&mut wire, "221 bye")?;
                    return Ok(());
                }
                _ if upper.starts_with("MAIL FROM:") => {
                    from = Some(line[10..].trim().to_string());
                    "250 ok".into()
                }
                _ if upper.starts_with("RCPT TO:") => {
                    if self.habits.silent {
                        std::thread::sleep(Duration::from_secs(60));
                    }
                    self.recipient(
                        from.as_deref().unwrap_or(""),
                        &line[8..],
                        &mut to,
                        &mut local,
                        door,
                    )
                }
                "DATA" if to.is_empty() && !local => "503 no recipients".into(),
                "DATA" => {
                    say(&mut wire, "354 go on")?;
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
                        self.took(Letter {
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
            say(&mut wire, &reply)?;
            errors += usize::from(reply.starts_with('5'));
            if self.habits.cut_after.is_some_and(|n| errors >= n) {
                return Ok(());
            }
        }
    }

    /// What a changed server answers to a line, where that is not what a server with its habits
    /// would.
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

    /// Its owner changes it.
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
        door: Door,
    ) -> String {
        let h = &self.habits;
        let submitted = h.submission && door != Door::Smtp;
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
            Some((_, d)) => h.own_sender && self.own(d),
            None => h.bare_sender && !sender.is_empty(),
        };
        let trusted = h.open && !self.closed.load(Ordering::SeqCst)
            || ours
            || h.after_local && *local
            || h.bare_recipient && bare
            || submitted;
        match self.read(inner, 8) {
            Found::Foreign(a) if trusted => {
                to.push(a);
                "250 ok".into()
            }
            Found::Foreign(_) => "550 relaying denied".into(),
            Found::Through(a) => {
                to.push(a);
                "250 ok".into()
            }
            Found::Local => {
                *local = true;
                "250 ok".into()
            }
            Found::Nobody => "550 no such user".into(),
        }
    }

    /// What a server with these habits makes of an address.
    fn read(&self, a: &str, depth: u8) -> Found {
        let h = &self.habits;
        let through = |a: &str| match depth {
            0 => Found::Nobody,
            _ => match self.read(a, depth - 1) {
                Found::Foreign(a) | Found::Through(a) => Found::Through(a),
                other => other,
            },
        };
        if let Some(inner) = a.strip_prefix('"').and_then(|r| r.strip_suffix('"')) {
            return if h.quoted {
                through(&inner.replace('%', "@"))
            } else {
                Found::Nobody
            };
        }
        if let Some(route) = a.strip_prefix('@') {
            // A literal has colons of its own.
            let from = route
                .find(']')
                .filter(|_| route.starts_with('['))
                .unwrap_or(0);
            let rest = route[from..].split_once(':').map_or("", |(_, r)| r);
            return if h.route {
                through(rest)
            } else {
                self.read(rest, depth.saturating_sub(1))
            };
        }
        let Some((local, domain)) = a.rsplit_once('@') else {
            return match () {
                () if a.contains('!') => self.bang(a, &through),
                () if a.contains('%') && h.percent => through(&at(a)),
                () if a.contains(':') && h.route => a
                    .split_once(':')
                    .map_or(Found::Nobody, |(d, u)| through(&format!("{u}@{d}"))),
                () if a.eq_ignore_ascii_case("postmaster") => Found::Local,
                () => Found::Nobody,
            };
        };
        if !self.own(domain) {
            if domain.contains(['%', '!', ':']) {
                return Found::Nobody;
            }
            if let Some((first, rest)) = local.split_once('!') {
                return if h.bang && self.own(first) {
                    through(&format!("{rest}@{domain}"))
                } else {
                    Found::Nobody
                };
            }
            if let Some((first, rest)) = local.split_once(':') {
                return if h.route && self.own(first) {
                    through(&format!("{rest}@{domain}"))
                } else {
                    Found::Nobody
                };
            }
            return Found::Foreign(a.into());
        }
        match () {
            () if local.starts_with('"') => {
                if h.quoted {
                    through(&local.trim_matches('"').replace('%', "@"))
                } else {
                    Found::Nobody
                }
            }
            () if local.contains('@') => Found::Nobody,
            () if local.contains('%') && h.percent => through(&at(local)),
            () if local.contains('!') => self.bang(local, &through),
            () if local.contains(':') && h.route => local
                .split_once(':')
                .map_or(Found::Nobody, |(d, u)| through(&format!("{u}@{d}"))),
            () if local.starts_with("IMCEASMTP-") && h.encapsulated => {
                through(&local[10..].replace("+40", "@").replace("+2E", "."))
            }
            () if local.eq_ignore_ascii_case("postmaster") => Found::Local,
            () => Found::Nobody,
        }
    }

    fn bang(&self, a: &str, through: &dyn Fn(&str) -> Found) -> Found {
        match a.split_once('!') {
            _ if self.habits.local_bang => Found::Local,
            Some((first, rest)) if self.habits.bang && self.own(first) => through(rest),
            Some((first, rest)) if self.habits.bang => through(&format!(
                "{}@{first}",
                rest.split('%').next().unwrap_or(rest)
            )),
            _ => Found::Nobody,
        }
    }

    fn took(&self, letter: Letter) {
        match self.habits.fate {
            Fate::Drop => {}
            Fate::Hold => self.held.lock().unwrap().push(letter),
            Fate::Deliver => self.deliver(letter),
            Fate::Twice => {
                self.deliver(letter.clone());
                self.deliver(letter);
            }
            Fate::BackToSender => self.deliver(Letter {
                to: letter.from.clone(),
                from: String::new(),
                ..letter
            }),
            Fate::Bounce => {
                let head = b"From: MAILER-DAEMON\r\nContent-Type: multipart/report; boundary=x\r\n\r\nIt did not go.\r\n\r\n";
                let data = [&head[..], &letter.data].concat();
                self.deliver(Letter {
                    to: letter.from.clone(),
                    from: String::new(),
                    data,
                });
            }
        }
    }

    /// Its owner closes it.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Lets go of what was held.
    pub fn release(&self) -> usize {
        let all = std::mem::take(&mut *self.held.lock().unwrap());
        let n = all.len();
        all.into_iter().for_each(|l| self.deliver(l));
        n
    }

    fn deliver(&self, mut letter: Letter) {
        if !letter.to.contains('@') || letter.to.rsplit_once('@').is_some_and(|(_, d)| self.own(d))
        {
            return;
        }
        if self.habits.strips {
            let text = String::from_utf8_lossy(&letter.data).into_owned();
            letter.data = text
                .split_inclusive("\r\n")
                .filter(|l| {
                    !l.starts_with("X-Orbs")
                        && !l.starts_with("X-Env")
                        && !l.starts_with("Message-ID")
                })
                .collect::<String>()
                .into_bytes();
        }
        if self.habits.lowers {
            letter.to = letter
                .to
                .to_ascii_uppercase()
                .replace("PROBE.EXAMPLE", "probe.example");
        }
        let (source, to) = (self.habits.via.unwrap_or(self.addr), self.collector);
        let name = self.name.clone();
        let sent = std::thread::spawn(move || hand_over(source, to, &name, &letter)).join();
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

fn hand_over(
    source: IpAddr,
    to: SocketAddr,
    name: &str,
    letter: &Letter,
) -> std::io::Result<String> {
    let stream = connect(source, to)?;
    let mut out = stream.try_clone()?;
    let mut lines = BufReader::new(stream);
    let mut last = String::new();
    let data = [
        &b"Received: by "[..],
        name.as_bytes(),
        b"\r\n",
        &letter.data,
        b".\r\n",
    ]
    .concat();
    let steps: [Vec<u8>; 6] = [
        vec![],
        format!("EHLO {name}\r\n").into_bytes(),
        format!("MAIL FROM:<{}>\r\n", letter.from).into_bytes(),
        format!("RCPT TO:<{}>\r\n", letter.to).into_bytes(),
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
