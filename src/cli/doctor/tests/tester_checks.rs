//! Checks of the tester of relays.

use super::*;

#[test]
fn reverse_dns_of_the_tester_has_to_agree_in_both_directions() {
    let own = ip("192.0.2.25");
    let assess = |names: &[&str], back: &[&str]| {
        let names: Vec<String> = names.iter().map(|n| (*n).into()).collect();
        let back: Vec<IpAddr> = back.iter().map(|a| ip(a)).collect();
        tester::assess_pointer(examination(), own, "test.orbs.example", &names, &back)
    };
    expect(
        &assess(&["test.orbs.example"], &["192.0.2.25"]),
        State::Good,
        "both directions",
        "",
    );
    expect(
        &assess(&[], &["192.0.2.25"]),
        State::Fault,
        "no PTR",
        "PTR record to test.orbs.example.",
    );
    expect(
        &assess(&["host-25.isp.example"], &["192.0.2.25"]),
        State::Fault,
        "host-25.isp.example",
        "192.0.2.25",
    );
    expect(
        &assess(&["test.orbs.example"], &[]),
        State::Fault,
        "lead back",
        "192.0.2.25",
    );
}

#[test]
fn probe_domain_needs_an_mx_that_leads_to_the_collector() {
    let assess = |hosts: &[&str], found: &[&str]| {
        let hosts: Vec<String> = hosts.iter().map(|h| (*h).into()).collect();
        let found: Vec<IpAddr> = found.iter().map(|a| ip(a)).collect();
        tester::assess_exchanges(
            examination(),
            "probe.example",
            &hosts,
            &found,
            &[ip("192.0.2.25")],
        )
    };
    expect(
        &assess(&["mx.probe.example"], &["192.0.2.25"]),
        State::Good,
        "mx.probe.example",
        "",
    );
    expect(
        &assess(&[], &[]),
        State::Fault,
        "no MX",
        "probe.example. MX 10",
    );
    expect(
        &assess(&["mx.probe.example"], &[]),
        State::Fault,
        "no address",
        "192.0.2.25",
    );
    expect(
        &assess(&["mx.probe.example"], &["192.0.2.26"]),
        State::Fault,
        "does not lead",
        "192.0.2.25",
    );
}

#[test]
fn sender_policy_of_the_probe_domain_has_to_permit_the_tester() {
    let assess =
        |result| tester::assess_spf(examination(), "probe.example", ip("192.0.2.25"), result);
    expect(&assess(Ok(SpfResult::Pass)), State::Good, "permits", "");
    expect(
        &assess(Ok(SpfResult::None)),
        State::Fault,
        "no SPF record",
        "v=spf1 ip4:192.0.2.25 -all",
    );
    expect(&assess(Ok(SpfResult::Fail)), State::Fault, "Fail", "v=spf1");
    expect(
        &assess(Ok(SpfResult::TempError)),
        State::NotSeen,
        "looked up",
        "--from",
    );
    expect(
        &assess(Err("silent".into())),
        State::NotSeen,
        "silent",
        "--from",
    );
}

#[test]
fn tester_on_a_blocklist_is_a_fault_and_a_refused_query_is_not_seen() {
    let assess = |found| tester::assess_listing(ip("192.0.2.25"), "bl.other.example", found);
    let answer = |text: &str| Ok(vec![ip(text)]);
    expect(&assess(Ok(vec![])), State::Good, "not listed", "");
    expect(
        &assess(answer("127.0.0.2")),
        State::Fault,
        "127.0.0.2",
        "bl.other.example",
    );
    expect(
        &assess(answer("127.255.255.254")),
        State::NotSeen,
        "refuses",
        "--from",
    );
    expect(
        &assess(Err("silent".into())),
        State::NotSeen,
        "silent",
        "--from",
    );
    // A parked domain answers with an address of its own.
    expect(&assess(answer("192.0.2.80")), State::Good, "not listed", "");
}

#[test]
fn page_of_the_tester_has_to_be_under_https() {
    let state = |url: &str, found| {
        let examination = Examination::new(Area::Tester, "info-url", url);
        tester::assess_page(examination, url, &found).state
    };
    assert_eq!(state("https://orbs.example/tests", Ok(200)), State::Good);
    assert_eq!(state("http://orbs.example/tests", Ok(200)), State::Warning);
    assert_eq!(state("http://orbs.example/tests", Ok(503)), State::Fault);
    assert_eq!(state("http://127.0.0.1:8053/", Ok(200)), State::Good);
}
