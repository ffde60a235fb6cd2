//! The answers that a new configuration needs: from options, from questions, or the defaults.

use std::net::{IpAddr, SocketAddr};

use crate::{
    cli::CliError,
    model::{
        Zone,
        access::{check_name, is_built_in},
        domain::name_to_ascii,
        zone::Lint,
    },
};

/// The default of `--listen`: only this machine can query it, and no other server uses its port.
const DEFAULT_LISTEN: &str = "127.0.0.1:5300";
/// The default of `--user`.
const DEFAULT_USER: &str = "admin";
/// The port of DNS.
const DNS_PORT: u16 = 53;

/// A name server of the zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NameServer {
    /// Its name, without a final dot.
    pub(super) name: String,
    /// Its addresses, as far as they are known.
    pub(super) addresses: Vec<IpAddr>,
}

/// All answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answers {
    /// The origin of the zone, without a final dot.
    pub(super) zone: String,
    /// `[dns] listen`.
    pub(super) listen: Vec<SocketAddr>,
    pub(super) name_servers: Vec<NameServer>,
    /// The mail address of the SOA record.
    pub(super) contact: String,
    pub(super) mirror: Option<SocketAddr>,
    /// The name of the first user.
    pub(super) user: String,
}

/// The options, as they are given.
#[derive(Debug, Default, Clone)]
pub(super) struct GivenAnswers {
    pub(super) zone: Option<String>,
    pub(super) listen: Option<String>,
    pub(super) name_servers: Option<String>,
    pub(super) contact: Option<String>,
    pub(super) mirror: Option<String>,
    pub(super) user: Option<String>,
}

/// Asks questions. The line is `None` if there are no more answers.
pub(super) trait Prompter {
    /// Asks a question; returns the answer without its line break.
    fn ask(&mut self, question: &str) -> Result<Option<String>, CliError>;
    /// Reports why an answer is not valid.
    fn report(&mut self, error: &str);
}

/// A question, its option, and its default.
struct Question<'q> {
    option: &'static str,
    text: &'q str,
    /// `None`: there is no default.
    default: Option<String>,
}

impl Answers {
    /// Collects the answers. Without a person, every missing answer is its default.
    ///
    /// # Errors
    ///
    /// An option is not valid, or an answer without a default is missing; the text names the option.
    pub(super) fn collect(
        options: &GivenAnswers,
        mut person: Option<&mut dyn Prompter>,
    ) -> Result<Answers, CliError> {
        let question = Question {
            option: "--zone",
            text: "Zone to publish, such as bl.example.org",
            default: None,
        };
        let zone = answer(&options.zone, &mut person, &question, read_zone)?;
        let parent = parent(&zone);
        let question = Question {
            option: "--listen",
            text: "Addresses that answer DNS queries, separated by commas",
            default: Some(DEFAULT_LISTEN.into()),
        };
        let listen = answer(&options.listen, &mut person, &question, read_listen)?;
        let public = listen.iter().map(SocketAddr::ip);
        let public = public.filter(|ip| !ip.is_loopback() && !ip.is_unspecified());
        let addresses: Vec<String> = public.map(|ip| format!("ns1.{parent}={ip}")).collect();
        let question = Question {
            option: "--ns",
            text: "Name servers of the zone as NAME=ADDRESS, separated by commas",
            default: Some(match addresses.is_empty() {
                true => format!("ns1.{parent}"),
                false => addresses.join(","),
            }),
        };
        let read = |text: &str| read_name_servers(text, &zone);
        let name_servers = answer(&options.name_servers, &mut person, &question, read)?;
        let question = Question {
            option: "--contact",
            text: "Mail address of the person responsible for the zone",
            default: Some(format!("hostmaster@{parent}")),
        };
        let contact = answer(&options.contact, &mut person, &question, read_contact)?;
        let question = Question {
            option: "--mirror",
            text: "Address of a mirror that will transfer the zone",
            default: Some("none".into()),
        };
        let mirror = answer(&options.mirror, &mut person, &question, read_mirror)?;
        let question = Question {
            option: "--user",
            text: "Name of the first user",
            default: Some(DEFAULT_USER.into()),
        };
        let user = answer(&options.user, &mut person, &question, read_user)?;
        Ok(Answers {
            zone,
            listen,
            name_servers,
            contact,
            mirror,
            user,
        })
    }

    /// The name of the zone in commands and of its file: its first label.
    pub(super) fn short_name(&self) -> &str {
        self.zone.split('.').next().unwrap_or(&self.zone)
    }

    /// The zone that delegates this one.
    pub(super) fn parent(&self) -> &str {
        parent(&self.zone)
    }
}

/// The zone above a name.
fn parent(zone: &str) -> &str {
    zone.split_once('.').map_or("", |(_, parent)| parent)
}

/// A name relative to a zone, `@` for its origin; `None` if it is outside of the zone.
pub(super) fn relative<'n>(name: &'n str, zone: &str) -> Option<&'n str> {
    match name.strip_suffix(zone)? {
        "" => Some("@"),
        rest => rest.strip_suffix('.'),
    }
}

/// The value of an option, the answer of a person, or the default.
fn answer<T>(
    option: &Option<String>,
    person: &mut Option<&mut dyn Prompter>,
    question: &Question<'_>,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<T, CliError> {
    let name = question.option;
    let named = |e: String| CliError::Usage(format!("{name}: {e}"));
    if let Some(value) = option {
        return read(value.trim()).map_err(named);
    }
    let Some(person) = person else {
        let missing = || named("it has no default; name the zone, such as bl.example.org".into());
        return read(question.default.as_ref().ok_or_else(missing)?).map_err(named);
    };
    loop {
        let text = match &question.default {
            Some(default) => format!("{} [{default}]: ", question.text),
            None => format!("{}: ", question.text),
        };
        let Some(line) = person.ask(&text)? else {
            return Err(named(
                "the input ended before this answer; add the option, or --yes for all defaults"
                    .into(),
            ));
        };
        let value = match (line.trim(), &question.default) {
            ("", Some(default)) => default.as_str(),
            (value, _) => value,
        };
        match read(value) {
            Ok(value) => return Ok(value),
            Err(e) => person.report(&e),
        }
    }
}

fn read_zone(text: &str) -> Result<String, String> {
    let name = name_to_ascii(text.trim_end_matches('.'))?;
    if !name.contains('.') {
        return Err(format!(
            "`{name}` is not below a domain of yours; name a zone such as bl.example.org"
        ));
    }
    check_zone("origin: ", |zone| zone.origin = name.to_string())?;
    Ok(name.into())
}

fn read_contact(text: &str) -> Result<String, String> {
    check_zone("contact: ", |zone| zone.contact = text.into())?;
    Ok(text.into())
}

/// Checks one value by the rules of zone files.
fn check_zone(key: &str, set: impl FnOnce(&mut Zone)) -> Result<(), String> {
    let mut zone = Zone {
        origin: "bl.example.org".into(),
        ns: vec!["ns1.example.org".into()],
        contact: "hostmaster@example.org".into(),
        ..Zone::default()
    };
    set(&mut zone);
    let error = zone.lint(&[]).into_iter().find_map(|lint| match lint {
        Lint::Error(text) => Some(text),
        Lint::Warning(_) => None,
    });
    match error {
        Some(text) => Err(text.strip_prefix(key).unwrap_or(&text).into()),
        None => Ok(()),
    }
}

fn read_listen(text: &str) -> Result<Vec<SocketAddr>, String> {
    let addresses: Vec<SocketAddr> = parts(text).map(read_address).collect::<Result<_, _>>()?;
    match addresses.is_empty() {
        true => Err("no address is named; write one such as 192.0.2.1:53".into()),
        false => Ok(addresses),
    }
}

/// An address; its default port is that of DNS.
fn read_address(text: &str) -> Result<SocketAddr, String> {
    let ip = || {
        text.parse::<IpAddr>()
            .map(|ip| SocketAddr::new(ip, DNS_PORT))
    };
    text.parse().or_else(|_| ip()).map_err(|_| {
        format!("`{text}` is not an address such as 192.0.2.1, 192.0.2.1:53 or [2001:db8::1]:53")
    })
}

fn read_mirror(text: &str) -> Result<Option<SocketAddr>, String> {
    match text {
        "none" => Ok(None),
        _ => read_address(text).map(Some),
    }
}

fn read_name_servers(text: &str, zone: &str) -> Result<Vec<NameServer>, String> {
    let mut servers: Vec<NameServer> = Vec::new();
    for part in parts(text) {
        let (name, address) = match part.split_once('=') {
            Some((name, address)) => (name.trim(), Some(address.trim())),
            None => (part, None),
        };
        let name = name_to_ascii(name.trim_end_matches('.'))?;
        let address = address.map(|a| {
            a.parse::<IpAddr>().map_err(|_| {
                format!("`{a}` is not an address; write {name}=192.0.2.1 or {name}=2001:db8::1")
            })
        });
        let address = address.transpose()?;
        match servers.iter_mut().find(|s| *s.name == *name) {
            Some(server) => server.addresses.extend(address),
            None => servers.push(NameServer {
                name: name.into(),
                addresses: address.into_iter().collect(),
            }),
        }
    }
    let inside = |s: &&NameServer| s.addresses.is_empty() && relative(&s.name, zone).is_some();
    if let Some(server) = servers.iter().find(inside) {
        return Err(format!(
            "`{0}` is inside the zone {zone}, so that its address has to be in the zone; write {0}=192.0.2.1",
            server.name
        ));
    }
    match servers.is_empty() {
        true => Err("no name server is named; write one such as ns1.example.org=192.0.2.1".into()),
        false => Ok(servers),
    }
}

fn read_user(text: &str) -> Result<String, String> {
    check_name(text)?;
    match is_built_in(text) {
        true => Err(format!(
            "`{text}` is a name of orbsd itself; choose another one"
        )),
        false => Ok(text.into()),
    }
}

/// The parts of a list that is separated by commas.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|p| !p.is_empty())
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// A person whose answers are known, and what they were asked and told.
    #[derive(Default)]
    struct TestPrompter {
        answers: VecDeque<&'static str>,
        asked: Vec<String>,
        told: Vec<String>,
    }

    impl Prompter for TestPrompter {
        fn ask(&mut self, question: &str) -> Result<Option<String>, CliError> {
            self.asked.push(question.into());
            Ok(self.answers.pop_front().map(Into::into))
        }
        fn report(&mut self, error: &str) {
            self.told.push(error.into());
        }
    }

    fn options(zone: &str) -> GivenAnswers {
        GivenAnswers {
            zone: Some(zone.into()),
            ..GivenAnswers::default()
        }
    }

    fn error(options: &GivenAnswers) -> String {
        Answers::collect(options, None).unwrap_err().text().into()
    }

    #[test]
    fn zone_alone_is_enough_without_a_person() {
        let answers = Answers::collect(&options("BL.Example.org."), None).unwrap();
        assert_eq!(
            answers,
            Answers {
                zone: "bl.example.org".into(),
                listen: vec!["127.0.0.1:5300".parse().unwrap()],
                name_servers: vec![NameServer {
                    name: "ns1.example.org".into(),
                    addresses: Vec::new(),
                }],
                contact: "hostmaster@example.org".into(),
                mirror: None,
                user: "admin".into(),
            }
        );
        assert_eq!(
            (answers.short_name(), answers.parent()),
            ("bl", "example.org")
        );
        assert!(error(&GivenAnswers::default()).starts_with("--zone: "));
    }

    #[test]
    fn public_address_to_listen_on_is_that_of_the_default_name_server() {
        let mut options = options("bl.example.org");
        options.listen = Some("127.0.0.1, 192.0.2.1,[2001:db8::1]:53".into());
        let answers = Answers::collect(&options, None).unwrap();
        assert_eq!(
            answers.name_servers,
            [NameServer {
                name: "ns1.example.org".into(),
                addresses: ["192.0.2.1", "2001:db8::1"]
                    .map(|a| a.parse().unwrap())
                    .into(),
            }]
        );
        assert_eq!(answers.listen[0], "127.0.0.1:53".parse().unwrap());
    }

    #[test]
    fn error_names_its_option() {
        type Change = fn(&mut GivenAnswers);
        let cases: [(&str, Change, &str); 9] = [
            ("--zone", |o| o.zone = Some("bl".into()), "bl.example.org"),
            (
                "--zone",
                |o| o.zone = Some("a b.example".into()),
                "not allowed",
            ),
            (
                "--listen",
                |o| o.listen = Some("localhost".into()),
                "192.0.2.1:53",
            ),
            ("--listen", |o| o.listen = Some(" , ".into()), "no address"),
            (
                "--ns",
                |o| o.name_servers = Some("ns1.a.example=x".into()),
                "2001:db8::1",
            ),
            (
                "--ns",
                |o| o.name_servers = Some("ns1.bl.example.org".into()),
                "inside the zone",
            ),
            (
                "--contact",
                |o| o.contact = Some("me".into()),
                "mail address",
            ),
            (
                "--mirror",
                |o| o.mirror = Some("mirror.example".into()),
                "192.0.2.1",
            ),
            (
                "--user",
                |o| o.user = Some("Operator".into()),
                "another one",
            ),
        ];
        for (option, change, part) in cases {
            let mut options = options("bl.example.org");
            change(&mut options);
            let text = error(&options);
            assert!(
                text.starts_with(&format!("{option}: ")) && text.contains(part),
                "{option}: {text}"
            );
        }
    }

    #[test]
    fn only_missing_answers_are_asked_for_and_invalid_ones_again() {
        let mut person = TestPrompter {
            answers: [
                "",
                "bl.example.org",
                "",
                "ns1.a.example=192.0.2.1",
                "x",
                "a@b.example",
                "",
                "anna",
            ]
            .into(),
            ..TestPrompter::default()
        };
        let options = GivenAnswers {
            mirror: Some("192.0.2.53".into()),
            ..GivenAnswers::default()
        };
        let answers = Answers::collect(&options, Some(&mut person)).unwrap();
        assert_eq!(answers.zone, "bl.example.org");
        assert_eq!(answers.contact, "a@b.example");
        assert_eq!(answers.mirror, Some("192.0.2.53:53".parse().unwrap()));
        assert_eq!(answers.user, "admin");
        assert_eq!((person.asked.len(), person.told.len()), (7, 2));
        assert!(
            !person.asked.iter().any(|q| q.contains("mirror")),
            "{:?}",
            person.asked
        );
        assert!(
            person.asked[2].ends_with("[127.0.0.1:5300]: "),
            "{:?}",
            person.asked
        );
    }

    #[test]
    fn end_of_input_names_the_missing_option() {
        let mut person = TestPrompter {
            answers: ["bl.example.org", ""].into(),
            ..TestPrompter::default()
        };
        let error = Answers::collect(&GivenAnswers::default(), Some(&mut person)).unwrap_err();
        assert!(error.text().starts_with("--ns: "), "{}", error.text());
        assert_eq!(error.exit_code(), 2);
    }
}
