//! The linter of the catalogue: wherever a server's way of reading a recipient may send it, that is
//! the collector, the server itself, or nowhere (safety rules S7 and S10). The reader here takes
//! every meaning that a mailer ever gave to a form.
//!
//! One exception: a control names the server's own postmaster ([`check_control`]), and sends no
//! message.

use std::collections::BTreeSet;

use super::{
    forms::{RelayTest, TestScope},
    host_names::HostNames,
};

/// Where a form may lead.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// To us.
    Collector,
    /// To the host that is tested: one of its users, or none.
    Target,
    /// To a third party.
    Foreign(String),
}

/// How deep a form is parsed; a deeper one is refused.
const DEPTH: usize = 12;

/// What the names in a form are, for the linter: labels that nothing else has.
const OURS: [&str; 4] = ["probe.lint", "PROBE.LINT.", "second.lint", "[198.18.0.9]"];
const THEIRS: [&str; 3] = ["relay.lint", "hosted.lint", "[198.18.0.1]"];

/// Checks a test. The error names the fault.
pub fn check(test: &RelayTest) -> Result<(), String> {
    if test.name.is_empty()
        || !test
            .name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    {
        return Err("a name has lower-case letters, digits and hyphens".into());
    }
    if test.to.is_empty() {
        return Err("it has no recipient".into());
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
            "a loopback name or address is for run = \"danger\" or \"lab\" alone (CVE-2000-1203)"
                .into(),
        );
    }
    for form in &test.to {
        if !form.contains("{u}") {
            return Err(format!(
                "`{form}` has no {{u}}: nothing would tell whose message came back"
            ));
        }
        one_address(form)?;
        let places = places(&fill(form)?);
        if let Some(Place::Foreign(host)) = places.iter().find(|p| matches!(p, Place::Foreign(_))) {
            return Err(format!(
                "`{form}` may be sent to {host}, which is neither the collector nor the target"
            ));
        }
        if !places.contains(&Place::Collector) {
            return Err(format!(
                "`{form}` cannot reach the collector in any reading"
            ));
        }
    }
    for form in test.first.iter().chain(&test.last) {
        one_address(form)?;
        if test.run != TestScope::OptIn {
            return Err(
                "a local recipient beside the probe's gets a copy: run = \"opt-in\"".into(),
            );
        }
        if places(&fill(form)?)
            .iter()
            .any(|p| matches!(p, Place::Foreign(_)))
        {
            return Err(format!("`{form}` is not the target's own"));
        }
    }
    if let Some(form) = &test.from {
        let address = form.split('>').next().unwrap_or(form);
        if let Some(Place::Foreign(host)) = places(&fill(address)?)
            .into_iter()
            .find(|p| matches!(p, Place::Foreign(h) if !(loopback || h.ends_with(".probe.lint"))))
        {
            return Err(format!(
                "`{form}` names {host} as the sender, whom a bounce would reach"
            ));
        }
    }
    Ok(())
}

/// Checks a recipient of a control: the server's postmaster, at no domain or at one of the server's
/// own. The error names the fault.
pub fn check_control(form: &str) -> Result<(), String> {
    let local = form
        .strip_prefix('<')
        .and_then(|f| f.strip_suffix('>'))
        .map(|f| f.split('@').next().unwrap_or(f));
    if local != Some("postmaster") {
        return Err(format!(
            "`{form}` is not the postmaster, whom alone a control names"
        ));
    }
    one_address(form)?;
    match places(&fill(form)?)
        .into_iter()
        .find(|p| *p != Place::Target)
    {
        Some(_) => Err(format!("`{form}` is not the target's own")),
        None => Ok(()),
    }
}

/// A server that stops at the first bracket, space or comma would read another address than one
/// that goes on to the last.
fn one_address(form: &str) -> Result<(), String> {
    let inner = form.trim();
    let inner = inner
        .strip_prefix('<')
        .map_or(inner, |i| i.strip_suffix('>').unwrap_or(i));
    let mut quoted = false;
    // A route has commas, up to its colon.
    let mut route = inner.starts_with('@');
    for c in inner.trim().chars() {
        quoted ^= c == '"';
        route &= c != ':';
        if !quoted
            && (matches!(c, '<' | '>' | ';' | '(' | ')') || c.is_whitespace() || c == ',' && !route)
        {
            return Err(format!(
                "`{form}` is more than one address: `{c}` stands outside of quotes"
            ));
        }
    }
    Ok(())
}

/// A form with the linter's names in it.
fn fill(form: &str) -> Result<String, String> {
    let names = HostNames {
        target: std::net::Ipv4Addr::new(198, 18, 0, 1).into(),
        relay: Some(THEIRS[0].into()),
        hosted: Some(THEIRS[1].into()),
        user: Some(format!("user@{}", THEIRS[1])),
        domain: OURS[0].into(),
        foreign: Some(OURS[2].into()),
        collector: Some(std::net::Ipv4Addr::new(198, 18, 0, 9).into()),
        hello: "tester.lint".into(),
    };
    names
        .fill(form, "token", "return")
        .map_err(|e| format!("`{form}`: {e}"))
}

/// Every place that a form may lead to, by any reading.
pub fn places(form: &str) -> BTreeSet<Place> {
    let mut out = BTreeSet::new();
    let form = form.trim().trim_start_matches('<').trim_end_matches('>');
    read(form, DEPTH, &mut out);
    out
}

/// A host by its name: ours, theirs, or a stranger's.
fn host(name: &str) -> Place {
    let is = |known: &[&str]| {
        known.iter().any(|k| {
            k.trim_end_matches('.')
                .eq_ignore_ascii_case(name.trim_end_matches('.'))
        })
    };
    match name {
        _ if is(&OURS) => Place::Collector,
        _ if name.is_empty() || is(&THEIRS) || name == "198.18.0.1" => Place::Target,
        _ => Place::Foreign(name.into()),
    }
}

fn go(name: &str, local: &str, depth: usize, out: &mut BTreeSet<Place>) {
    // A name with `%` is read as the names in it: `d%r` belongs to r, which passes it on to d.
    if let Some((inner, outer)) = name.split_once('%') {
        go(outer, &format!("{local}@{inner}"), depth, out);
        return go(inner, local, depth, out);
    }
    let place = host(name);
    let own = place == Place::Target;
    out.insert(place);
    if own {
        // Its own users, or what it makes of the local part.
        read(local, depth, out);
    }
}

fn read(address: &str, depth: usize, out: &mut BTreeSet<Place>) {
    let Some(depth) = depth.checked_sub(1) else {
        out.insert(Place::Foreign("(too deep to follow)".into()));
        return;
    };
    let address = address.trim();
    let bare = address.trim_matches('"');
    if bare != address {
        return read(bare, depth, out);
    }
    // A route: the last hop, and every hop on the way, is asked to carry it.
    if let Some(route) = address.strip_prefix('@') {
        let (hops, rest) = route.split_once(':').unwrap_or((route, ""));
        for hop in hops.split(',') {
            out.insert(host(hop.trim().trim_start_matches('@')));
        }
        return read(rest, depth, out);
    }
    let mut taken = false;
    if let Some((local, name)) = address.rsplit_once('@') {
        taken = true;
        go(name, local, depth, out);
    }
    if let Some((name, rest)) = address.split_once('!') {
        taken = true;
        go(name, rest, depth, out);
        if host(name) == Place::Collector {
            out.insert(Place::Collector);
        }
    }
    if let Some((name, rest)) = address.split_once(':').filter(|_| !address.contains('[')) {
        taken = true;
        go(name, rest, depth, out);
    }
    if let Some((local, name)) = address.rsplit_once('%').filter(|_| !address.contains('@')) {
        taken = true;
        go(name, local, depth, out);
    }
    if taken {
        return;
    }
    out.insert(Place::Target);
    for decoded in decoded(address) {
        read(&decoded, depth, out);
    }
}

/// What a local part may be decoded into.
fn decoded(local: &str) -> Vec<String> {
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
        // RFC 2047, encoding q: text between the third and the last question mark.
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

    fn at(form: &str) -> Vec<Place> {
        places(&fill(form).unwrap()).into_iter().collect()
    }

    /// A server that stops at the first of two addresses mailed a stranger.
    #[test]
    fn a_form_is_one_address() {
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
    fn a_form_is_read_in_every_way_that_mailers_knew() {
        use Place::{Collector, Target};
        assert_eq!(at("<{u}@{d}>"), [Collector]);
        assert_eq!(at("<{u}%{d}@{R}>"), [Collector, Target]);
        assert_eq!(at("<{R}!{d}!{u}>"), [Collector, Target]);
        assert_eq!(at("<@{R},@{d}:{u}@{d}>"), [Collector, Target]);
        assert_eq!(at("<\"{u}@{d}\"@[{I}]>"), [Collector, Target]);
        assert_eq!(at("<IMCEASMTP-{u}+40{X}@{L}>"), [Collector, Target]);
        assert_eq!(at("<SRS0=xxxx=yy={d}={u}@{L}>"), [Collector, Target]);
        assert_eq!(at("<{u}>"), [Target]);
        let foreign = |n: &str| Place::Foreign(n.into());
        assert!(at("<{u}@victim.example>").contains(&foreign("victim.example")));
        assert!(at("<{u}%victim.example@{R}>").contains(&foreign("victim.example")));
        assert!(at("<victim.example!{u}@{R}>").contains(&foreign("victim.example")));
        assert!(at("<@victim.example:{u}@{d}>").contains(&foreign("victim.example")));
        assert!(at("<IMCEASMTP-{u}+40victim+2Eexample@{L}>").contains(&foreign("victim.example")));
    }
}
