//! The lines by which the parent zone delegates the new zone.

use super::{
    answers::{Answers, NameServer, relative},
    template::record_type,
};

/// The NS records and the addresses of name servers for the parent zone, as lines of a master file
/// (RFC 1035 section 5). Only the parent zone can have addresses of names below it; those below the
/// delegated zone are its glue.
pub(super) fn lines(answers: &Answers) -> Vec<String> {
    let names = answers.name_servers.iter().map(|s| s.name.len());
    let width = names.chain([answers.zone.len()]).max().unwrap_or(0) + 1;
    let line = |owner: &str, kind: &str, data: &str| {
        let owner = format!("{owner}.");
        format!("{owner:<width$} IN {kind:<4} {data}")
    };
    let mut out: Vec<String> = answers
        .name_servers
        .iter()
        .map(|s| line(&answers.zone, "NS", &format!("{}.", s.name)))
        .collect();
    let in_parent = |s: &&NameServer| relative(&s.name, answers.parent()).is_some();
    for server in answers.name_servers.iter().filter(in_parent) {
        if server.addresses.is_empty() {
            out.push(format!(
                "; {}. needs a record of type A or AAAA with its address",
                server.name
            ));
        }
        let addresses = server.addresses.iter();
        out.extend(addresses.map(|a| line(&server.name, record_type(*a), &a.to_string())));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delegation_has_addresses_of_names_in_the_parent_zone_alone() {
        let server = |name: &str, addresses: &[&str]| NameServer {
            name: name.into(),
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        };
        let answers = Answers {
            zone: "bl.example.org".into(),
            listen: Vec::new(),
            name_servers: vec![
                server("ns1.bl.example.org", &["192.0.2.1", "2001:db8::1"]),
                server("ns2.example.org", &[]),
                server("ns.example.net", &["192.0.2.3"]),
            ],
            contact: String::new(),
            mirror: None,
            user: String::new(),
        };
        assert_eq!(
            lines(&answers),
            [
                "bl.example.org.     IN NS   ns1.bl.example.org.",
                "bl.example.org.     IN NS   ns2.example.org.",
                "bl.example.org.     IN NS   ns.example.net.",
                "ns1.bl.example.org. IN A    192.0.2.1",
                "ns1.bl.example.org. IN AAAA 2001:db8::1",
                "; ns2.example.org. needs a record of type A or AAAA with its address",
            ]
        );
    }
}
