//! The linter of the catalogue. However a server interprets a form, the message may go only
//! to the collector, to the server itself, or nowhere (safety rules S7 and S10). The linter follows
//! every interpretation that any mail server has ever had.
//!
//! Controls are linted apart ([`check_control`]): they name the server's own postmaster and send no
//! message.

use std::collections::BTreeSet;

use super::{
    forms::{RelayTest, TestScope},
    host_names::HostNames,
};

/// A destination of a form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
    /// The collector.
    Collector,
    /// The tested host, as one of its users or an unknown one.
    Target,
    /// A third party, by its name.
    Foreign(String),
}

/// The most nested addresses in a form.
const MAX_DEPTH: usize = 12;

/// The names of our hosts that the linter fills into forms. They occur nowhere else.
const OUR_NAMES: [&str; 4] = ["probe.lint", "PROBE.LINT.", "second.lint", "[198.18.0.9]"];
/// The names of the tested host that the linter fills into forms.
const TARGET_NAMES: [&str; 3] = ["relay.lint", "hosted.lint", "[198.18.0.1]"];

/// Checks a test.
///
/// # Errors
///
/// The test breaks a rule; the text names it.
pub fn check(test: &RelayTest) -> Result<(), String> {
    let in_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if test.name.is_empty() || !test.name.bytes().all(in_name) {
        return Err("a name consists of lower-case letters, digits and hyphens".into());
    }
    if test.to.is_empty() {
        return Err("the test has no recipient".into());
    }
    let all = test
        .to
        .iter()
        .chain(&test.from)
        .chain(&test.first)
        .chain(&test.last)
        .chain(&test.helo);
    for form in all.clone() {
        if form.chars().any(char::is_control) {
            return Err(format!("`{}` has a control character", form.escape_debug()));
        }
        if form.len() > 200 {
            return Err(format!("`{form}` is longer than 200 bytes"));
        }
        fill(form)?;
    }
    let loopback = all
        .clone()
        .any(|f| f.contains("localhost") || f.contains("127.") || f.contains("::1"));
    if loopback && !matches!(test.run, TestScope::Danger | TestScope::Lab) {
        return Err(
            "a loopback name or address needs run = \"danger\" or \"lab\" (CVE-2000-1203)".into(),
        );
    }
    for form in &test.to {
        if !form.contains("{u}") {
            return Err(format!(
                "`{form}` has no {{u}}; without its token a delivered message cannot be recognised"
            ));
        }
        check_single_address(form)?;
        let destinations = destinations(&fill(form)?);
        if let Some(host) = foreign_host(&destinations) {
            return Err(format!(
                "`{form}` may be sent to {host}, which is neither the collector nor the target"
            ));
        }
        if !destinations.contains(&Destination::Collector) {
            return Err(format!(
                "no interpretation of `{form}` reaches the collector"
            ));
        }
    }
    for form in test.first.iter().chain(&test.last) {
        check_single_address(form)?;
        if test.run != TestScope::OptIn {
            return Err(
                "a local recipient besides the probe's gets a copy; set run = \"opt-in\"".into(),
            );
        }
        if foreign_host(&destinations(&fill(form)?)).is_some() {
            return Err(format!("`{form}` is not an address of the target"));
        }
    }
    if let Some(form) = &test.from {
        let address = form.split('>').next().unwrap_or(form);
        if let Some(Destination::Foreign(host)) = destinations(&fill(address)?).into_iter().find(
            |p| matches!(p, Destination::Foreign(h) if !(loopback || h.ends_with(".probe.lint"))),
        ) {
            return Err(format!(
                "`{form}` names {host} as the sender, which a bounce would reach"
            ));
        }
    }
    Ok(())
}

/// Checks a recipient of a control: the server's postmaster, without a domain or at a domain of the
/// server.
///
/// # Errors
///
/// The recipient is another one; the text states why.
pub fn check_control(form: &str) -> Result<(), String> {
    let local = form
        .strip_prefix('<')
        .and_then(|f| f.strip_suffix('>'))
        .map(|f| f.split('@').next().unwrap_or(f));
    if local != Some("postmaster") {
        return Err(format!(
            "`{form}` is not postmaster, the only recipient of a control"
        ));
    }
    check_single_address(form)?;
    if destinations(&fill(form)?)
        .iter()
        .any(|p| *p != Destination::Target)
    {
        return Err(format!("`{form}` is not an address of the target"));
    }
    Ok(())
}

/// Checks that a form is one address. Of several, some servers read the first and others the
/// last.
fn check_single_address(form: &str) -> Result<(), String> {
    let inner = form.trim();
    let inner = inner
        .strip_prefix('<')
        .map_or(inner, |i| i.strip_suffix('>').unwrap_or(i));
    let mut quoted = false;
    // A source route has commas before its colon.
    let mut route = inner.starts_with('@');
    for c in inner.trim().chars() {
        quoted ^= c == '"';
        route &= c != ':';
        if !quoted
            && (matches!(c, '<' | '>' | ';' | '(' | ')') || c.is_whitespace() || c == ',' && !route)
        {
            return Err(format!(
                "`{form}` is more than one address: it has `{c}` outside of quotes"
            ));
        }
    }
    Ok(())
}

/// Fills the names of the linter into a form.
fn fill(form: &str) -> Result<String, String> {
    let names = HostNames {
        target: std::net::Ipv4Addr::new(198, 18, 0, 1).into(),
        relay: Some(TARGET_NAMES[0].into()),
        hosted: Some(TARGET_NAMES[1].into()),
        user: Some(format!("user@{}", TARGET_NAMES[1])),
        domain: OUR_NAMES[0].into(),
        foreign: Some(OUR_NAMES[2].into()),
        collector: Some(std::net::Ipv4Addr::new(198, 18, 0, 9).into()),
        hello: "tester.lint".into(),
    };
    names
        .fill(form, "token", "return")
        .map_err(|e| format!("`{form}`: {e}"))
}

/// Returns all destinations of a form, in any interpretation.
pub fn destinations(form: &str) -> BTreeSet<Destination> {
    let mut out = BTreeSet::new();
    let form = form.trim().trim_start_matches('<').trim_end_matches('>');
    interpret(form, MAX_DEPTH, &mut out);
    out
}

/// Returns the name of a third party among destinations.
fn foreign_host(destinations: &BTreeSet<Destination>) -> Option<&str> {
    destinations.iter().find_map(|p| match p {
        Destination::Foreign(host) => Some(host.as_str()),
        _ => None,
    })
}

/// Returns the destination that a host name stands for.
fn destination_of(name: &str) -> Destination {
    let bare = name.trim_end_matches('.');
    let is = |known: &[&str]| {
        let mut known = known.iter().map(|k| k.trim_end_matches('.'));
        known.any(|k| k.eq_ignore_ascii_case(bare))
    };
    match name {
        _ if is(&OUR_NAMES) => Destination::Collector,
        _ if name.is_empty() || is(&TARGET_NAMES) || name == "198.18.0.1" => Destination::Target,
        _ => Destination::Foreign(name.into()),
    }
}

fn route_to(name: &str, local: &str, depth: usize, out: &mut BTreeSet<Destination>) {
    // A name with `%` contains further names: `d%r` is delivered to r, which relays it to d.
    if let Some((inner, outer)) = name.split_once('%') {
        route_to(outer, &format!("{local}@{inner}"), depth, out);
        return route_to(inner, local, depth, out);
    }
    let place = destination_of(name);
    let is_target = place == Destination::Target;
    out.insert(place);
    if is_target {
        // The target may interpret the local part as an address.
        interpret(local, depth, out);
    }
}

fn interpret(address: &str, depth: usize, out: &mut BTreeSet<Destination>) {
    let Some(depth) = depth.checked_sub(1) else {
        out.insert(Destination::Foreign("(nested too deeply)".into()));
        return;
    };
    let address = address.trim();
    let bare = address.trim_matches('"');
    if bare != address {
        return interpret(bare, depth, out);
    }
    // A source route: each hop may relay the message.
    if let Some(route) = address.strip_prefix('@') {
        let (hops, rest) = route.split_once(':').unwrap_or((route, ""));
        for hop in hops.split(',') {
            out.insert(destination_of(hop.trim().trim_start_matches('@')));
        }
        return interpret(rest, depth, out);
    }
    let mut is_nested = false;
    if let Some((local, name)) = address.rsplit_once('@') {
        is_nested = true;
        route_to(name, local, depth, out);
    }
    if let Some((name, rest)) = address.split_once('!') {
        is_nested = true;
        route_to(name, rest, depth, out);
        if destination_of(name) == Destination::Collector {
            out.insert(Destination::Collector);
        }
    }
    if let Some((name, rest)) = address.split_once(':').filter(|_| !address.contains('[')) {
        is_nested = true;
        route_to(name, rest, depth, out);
    }
    if let Some((local, name)) = address.rsplit_once('%').filter(|_| !address.contains('@')) {
        is_nested = true;
        route_to(name, local, depth, out);
    }
    if is_nested {
        return;
    }
    out.insert(Destination::Target);
    for encoded in decode_local_part(address) {
        interpret(&encoded, depth, out);
    }
}

/// Returns the addresses that a local part may encode.
fn decode_local_part(local: &str) -> Vec<String> {
    let mut out = Vec::new();
    let lower = local.to_ascii_lowercase();
    if lower.starts_with("imceasmtp-") {
        out.push(local[10..].replace("+40", "@").replace("+2E", "."));
    } else if lower.starts_with("srs0") {
        let parts: Vec<&str> = local.split(['=', '+']).collect();
        if let [.., name, user] = parts[..] {
            out.push(format!("{user}@{name}"));
        }
    } else if lower.starts_with("=?") {
        // RFC 2047 with encoding q: the text between the third and the last question mark.
        if let Some(text) = local.splitn(4, '?').nth(3) {
            let text = text
                .trim_end_matches("?=")
                .replace("=40", "@")
                .replace("=3e", ">")
                .replace("=3E", ">");
            out.push(text.split('>').next().unwrap_or("").to_string());
        }
    } else if let Some((user, name)) = local
        .split_once(['=', '+'])
        .filter(|(_, n)| n.contains('.'))
    {
        out.push(format!("{user}@{name}"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(form: &str) -> Vec<Destination> {
        destinations(&fill(form).unwrap()).into_iter().collect()
    }

    /// Once, a server that read only the first of two addresses sent mail to a third party.
    #[test]
    fn form_with_several_addresses_is_refused() {
        let test = |to: &str| RelayTest {
            to: vec![to.into()],
            ..super::super::catalogue::Catalogue::standard()
                .get("plain")
                .unwrap()
                .clone()
        };
        for bad in [
            "<victim@x.example> <{u}@{d}>",
            "<victim@x.example,{u}@{d}>",
            "<victim@x.example;{u}@{d}>",
            "<victim@x.example {u}@{d}>",
            "<(victim@x.example){u}@{d}>",
            "<{u}@{d}> <victim@x.example>",
            "<@{R}:victim@x.example,{u}@{d}>",
        ] {
            assert!(
                check(&test(bad))
                    .unwrap_err()
                    .contains("more than one address"),
                "{bad}"
            );
        }
        for good in ["<{u}@{d}>", "<@{R},@{d}:{u}@{d}>", "{u}@{d}", " <{u}@{d}>"] {
            assert_eq!(check(&test(good)), Ok(()), "{good}");
        }
    }

    #[test]
    fn all_known_interpretations_of_a_form_are_followed() {
        use Destination::{Collector, Target};
        assert_eq!(at("<{u}@{d}>"), [Collector]);
        assert_eq!(at("<{u}%{d}@{R}>"), [Collector, Target]);
        assert_eq!(at("<{R}!{d}!{u}>"), [Collector, Target]);
        assert_eq!(at("<@{R},@{d}:{u}@{d}>"), [Collector, Target]);
        assert_eq!(at("<\"{u}@{d}\"@[{I}]>"), [Collector, Target]);
        assert_eq!(at("<IMCEASMTP-{u}+40{X}@{L}>"), [Collector, Target]);
        assert_eq!(at("<SRS0=xxxx=yy={d}={u}@{L}>"), [Collector, Target]);
        assert_eq!(at("<{u}>"), [Target]);
        let foreign = |n: &str| Destination::Foreign(n.into());
        assert!(at("<{u}@victim.example>").contains(&foreign("victim.example")));
        assert!(at("<{u}%victim.example@{R}>").contains(&foreign("victim.example")));
        assert!(at("<victim.example!{u}@{R}>").contains(&foreign("victim.example")));
        assert!(at("<@victim.example:{u}@{d}>").contains(&foreign("victim.example")));
        assert!(at("<IMCEASMTP-{u}+40victim+2Eexample@{L}>").contains(&foreign("victim.example")));
    }
}
