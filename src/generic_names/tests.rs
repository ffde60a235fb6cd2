use std::{collections::HashSet, net::IpAddr};

use proptest::prelude::*;

use super::*;
use crate::model::domain::registered_domain;

/// Realistic names of both kinds, with the addresses that have them.
const NAMES: &str = include_str!("test_names.txt");

fn catalogue() -> GenericNameCatalogue {
    GenericNameCatalogue::read(include_str!("providers.toml")).unwrap()
}

fn names(kind: &str) -> Vec<(&'static str, IpAddr)> {
    let lines = NAMES.lines().filter(|l| !l.starts_with('#'));
    lines
        .filter_map(|l| {
            let mut words = l.split(' ');
            (words.next() == Some(kind)).then(|| {
                (
                    words.next().unwrap(),
                    words.next().unwrap().parse().unwrap(),
                )
            })
        })
        .collect()
}

/// The pattern that makes a name generic.
fn pattern(name: &str, addr: Option<IpAddr>) -> Option<GenericMatch> {
    match assess(name, addr) {
        NameAssessment::Generic(found) => Some(found),
        _ => None,
    }
}

#[test]
fn each_form_has_an_example_that_it_matches() {
    let catalogue = catalogue();
    assert!(catalogue.form_count() >= 300, "{}", catalogue.form_count());
    let (mut seen, mut wrong) = (HashSet::new(), Vec::new());
    for provider in catalogue.providers() {
        for f in &provider.forms {
            if !seen.insert(&f.form) {
                wrong.push(format!("{}: there are two", f.form));
            }
            let own = regex::Regex::new(&form::expression(&f.form).unwrap()).unwrap();
            let found = pattern(&f.example, None).and_then(|m| m.provider);
            if !own.is_match(&f.example) || found.is_none() {
                wrong.push(format!("{}: {} is not matched", f.form, f.example));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A form without the domain of its provider would match names of others.
#[test]
fn each_form_ends_with_the_domain_of_its_provider() {
    let mut wrong = Vec::new();
    for provider in catalogue().providers() {
        for f in &provider.forms {
            let literal = f.form.rsplit(['{', '}', '(', ')']).next().unwrap();
            let domain = literal.split_once('.').map_or("", |(_, rest)| rest);
            let literal = if literal.starts_with('.') {
                domain
            } else {
                literal
            };
            // Providers whose customers are named below them are suffixes, but not of a registry.
            let suffix = psl::Psl::suffix(&psl::List, literal.as_bytes());
            let is_registry = suffix.is_some_and(|s| {
                s.typ() == Some(psl::Type::Icann) && s.as_bytes() == literal.as_bytes()
            });
            let is_whole = literal.contains('.') && !is_registry;
            // OVH has a domain for each network, which has the address in its name.
            if !is_whole && !f.form.ends_with(".ip-{ip3-}.(eu|net)") {
                wrong.push(f.form.clone());
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_provider_is_named_once_and_has_a_country() {
    let (catalogue, mut seen) = (catalogue(), HashSet::new());
    for p in catalogue.providers() {
        assert!(seen.insert(&p.name), "there are two `{}`", p.name);
        let is_code = p.country.len() == 2 && p.country.bytes().all(|b| b.is_ascii_uppercase());
        assert!(is_code && !p.forms.is_empty(), "{}", p.name);
    }
}

#[test]
fn generic_names_of_many_providers_are_matched() {
    let all = names("generic");
    assert!(all.len() >= 250, "{}", all.len());
    let missed: Vec<_> = all
        .iter()
        .filter(|(name, addr)| {
            let found = pattern(name, Some(*addr));
            found.is_none_or(|m| m.confidence < NameConfidence::default())
        })
        .collect();
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn no_name_of_a_mail_host_or_of_another_host_is_matched() {
    let all = names("own");
    assert!(all.len() >= 250, "{}", all.len());
    let wrong: Vec<_> = all
        .iter()
        .filter_map(|(name, addr)| Some((name, pattern(name, Some(*addr))?)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn names_by_address_and_by_access_word_are_generic() {
    let addr: IpAddr = "198.51.100.27".parse().unwrap();
    for name in [
        "198-51-100-27.isp.example",
        "27.100.51.198.isp.example",
        "host-100-27.isp.example",
        "h27-100.isp.example",
        "198051100027.isp.example",
        "1985110027.isp.example",
        "c633641b.isp.example",
        "ip-c633641b.isp.example",
        "dyn-4711.isp.example",
        "p5b3c.dip0.t-ipconnect.example",
        "pool7.isp.example",
        "4711.dsl.isp.example",
        "cpe4711.isp.example",
        "a.dhcp.isp.example",
        "DYNAMIC.isp.example",
    ] {
        assert!(is_generic_name(name, addr), "{name}");
    }
    for name in [
        "mail.example.com",
        "mx27.example.com",
        "mx1.dc2.example.com",
        "smtp-out-3.example.com",
        "example.com",
        "dyn.example",
        "static.example",
        "pool.example",
        "static-198-51-100-27.isp.example",
        "mail.pool-198-51-100-27.dyn.isp.example",
    ] {
        assert!(!is_generic_name(name, addr), "{name}");
    }
    let v6: IpAddr = "2001:db8::dead:beef".parse().unwrap();
    assert!(is_generic_name("2001-db8--dead-beef.isp.example", v6));
    assert!(!is_generic_name("mail.example.com", v6));
}

#[test]
fn pattern_is_sure_if_the_name_has_the_address_and_an_access_word() {
    let addr = Some("198.51.100.27".parse().unwrap());
    for (name, expected, confidence) in [
        (
            "198-51-100-27.dyn.isp.example",
            "address in decimal with `dyn`",
            NameConfidence::High,
        ),
        (
            "198-51-100-27.isp.example",
            "address in decimal",
            NameConfidence::Medium,
        ),
        (
            "web-100-27.isp.example",
            "last two octets of the address",
            NameConfidence::Low,
        ),
        (
            "4711.dsl.isp.example",
            "access word `dsl`",
            NameConfidence::Medium,
        ),
        (
            "pool7.isp.example",
            "access word `pool`",
            NameConfidence::Low,
        ),
    ] {
        let found = pattern(name, addr).unwrap();
        assert_eq!(
            (found.pattern.as_str(), found.confidence),
            (expected, confidence)
        );
    }
    let found = pattern("PC633641B.dip0.t-ipconnect.de.", addr).unwrap();
    assert_eq!(found.pattern, "p{hex}.dip0.t-ipconnect.de");
    assert_eq!(found.provider, Some("Deutsche Telekom"));
    assert_eq!(found.source, Some(FormSource::Headers));
}

proptest! {
    /// Whatever else a name has, a label of a mail server protects it.
    #[test]
    fn name_with_a_mail_label_is_never_generic(
        generic in prop::sample::select(names("generic")),
        word in prop::sample::select(vec!["mail", "mx1", "smtp-2", "static", "out3", "relay", "mailout"]),
    ) {
        let name = format!("{word}.{}", generic.0);
        let is_never = matches!(assess(&name, Some(generic.1)), NameAssessment::NeverGeneric(_));
        // Names in domains that the public suffix list divides have no part of their own to read.
        prop_assume!(registered_domain(&name).len() < name.len());
        prop_assert!(is_never, "{name}");
    }

    /// The case of letters and a dot at the end do not count, and no text makes it panic.
    #[test]
    fn assessment_does_not_depend_on_case(text in "\\PC{0,80}|[a-z0-9.-]{0,80}", addr in any::<u32>()) {
        let addr = Some(IpAddr::from(addr.to_be_bytes()));
        prop_assert_eq!(assess(&text, addr), assess(&format!("{}.", text.to_ascii_uppercase()), addr));
    }
}
