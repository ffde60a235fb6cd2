//! Listings by generic reverse names: a real daemon with a DNS server of the test.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    api::Api,
    lab::{CONFIG, free_port, query, shown, tcp, udp},
    name_server::NameServer,
};

const ZONE: &str = "origin = \"generic.orbs.example\"\nkind = \"address\"\n\
    ns = [\"ns1.orbs.example\", \"ns2.orbs.example\"]\ncontact = \"hostmaster@orbs.example\"\n\
    publish = [{ reason = \"generic\", code = \"127.0.0.12\" }]\n";

const GENERIC: &str = "p2d336407.dip0.t-ipconnect.de";

fn addr(host: u8) -> IpAddr {
    IpAddr::from([45, 51, 100, host])
}

/// A daemon that looks up names.
struct Lab {
    api: Api,
    names: NameServer,
    web: SocketAddr,
    _allow: tempfile::TempDir,
}

impl Lab {
    fn new(names: impl FnOnce(&NameServer)) -> Lab {
        Lab::with("ranges = [\"45.51.100.0/29\"]\n", names)
    }

    /// A daemon with further lines of `[generic_names]`, and other tables after them.
    fn with(lines: &str, names: impl FnOnce(&NameServer)) -> Lab {
        let [dns, web] = [0; 2].map(|_| SocketAddr::from(([127, 0, 0, 1], free_port())));
        let server = NameServer::start(dns);
        names(&server);
        let allow = tempfile::tempdir().unwrap();
        let allow_file = allow.path().join("allow");
        std::fs::write(&allow_file, "45.51.100.5 # a partner\n").unwrap();
        let config = format!(
            "{CONFIG}[[reason]]\nname = \"generic\"\ntext = \"Generic $\"\n\
             [web]\nlisten = \"{web}\"\nbase_url = \"https://list.example\"\n\
             [http_client]\nresolvers = [\"{dns}\"]\n\
             [generic_names]\nreason = \"generic\"\nconfirm_after = \"1s\"\nrecheck = \"1s\"\nallow_file = \"{}\"\n{lines}",
            allow_file.display()
        );
        let api = Api::with_zones(&config, &[("bl", crate::lab::ZONE), ("generic", ZONE)]);
        Lab {
            api,
            names: server,
            web,
            _allow: allow,
        }
    }

    fn status(&self) -> Value {
        self.api.get("/v1/status").ok()["generic_names"].clone()
    }

    /// Whether the zone lists the address with these octets in reverse order.
    fn answers(&self, reversed: &str) -> bool {
        let name = query(&format!("{reversed}.generic.orbs.example"), 1, true);
        let reply = udp(self.api.f.addr(), &name, Duration::from_secs(5)).unwrap();
        shown(&reply).contains("127.0.0.12")
    }

    fn is_listed(&self, host: u8) -> bool {
        self.answers(&format!("{host}.100.51.45"))
    }

    fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(40);
        while !is_so() {
            assert!(
                Instant::now() < end,
                "{what}: {}\n{}",
                self.status(),
                self.api.f.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The public look-up of an address.
    fn look_up(&self, host: u8) -> Value {
        let mut reply = ureq::get(format!("http://{}/{}", self.web, addr(host)))
            .header("accept", "application/json")
            .call()
            .unwrap();
        serde_json::from_str(&reply.body_mut().read_to_string().unwrap()).unwrap()
    }
}

#[test]
fn generic_name_is_listed_until_it_changes_and_bad_answers_change_nothing() {
    let mut lab = Lab::new(|names| {
        names.pointer(addr(1), GENERIC);
        names.pointer(addr(2), "mail.sender.example");
        names.pointer(addr(3), "45-51-100-3.dyn.isp.example");
        // The mail exchange of its domain, with a name of the provider's form.
        names.host(addr(4), "45-51-100-4.dyn.shop.example");
        names.exchange("shop.example", "45-51-100-4.dyn.shop.example");
        names.pointer(addr(5), "45-51-100-5.dyn.isp.example");
    });
    lab.until("the generic names are listed", || {
        lab.is_listed(1) && lab.is_listed(3)
    });
    lab.until("the range was looked up", || {
        lab.status()["range_left"] == json!(0)
    });
    for host in [0, 2, 4, 5, 6, 7] {
        assert!(!lab.is_listed(host), "{host}");
    }
    let asked = lab.names.take_asked();
    assert!(
        !asked.iter().any(|n| n.starts_with("5.100.51.45.")),
        "an allowed address: {asked:?}"
    );
    // The look-up shows the name and the pattern, as a listing of our own.
    let page = lab.look_up(1);
    let zones = page["zones"].as_array().unwrap();
    let is_generic = |z: &&Value| z["zone"] == json!("generic.orbs.example");
    let zone = zones.iter().find(is_generic).unwrap();
    let expected = format!(
        "Generic reverse name {GENERIC} (p{{hex}}.dip0.t-ipconnect.de of Deutsche Telekom)"
    );
    assert_eq!(zone["texts"], json!([expected]), "{page}");
    assert!(zone["reasons"][0]["source"].is_null(), "{page}");
    let entry = lab.api.get("/v1/subjects/45.51.100.1").ok()["entries"][0].clone();
    assert_eq!(
        (&entry["source"], &entry["note"]),
        (&json!("reverse-names"), &json!(GENERIC))
    );

    // A server that hangs, and one that has a name for every address: nothing changes.
    lab.names.set_silent(true);
    let failed = lab.status()["failed"].as_u64().unwrap();
    lab.until("a look-up fails", || {
        lab.status()["failed"].as_u64().unwrap() > failed
    });
    lab.names.set_silent(false);
    lab.names.set_pointer(addr(1), None);
    lab.names.set_pointer(addr(3), None);
    lab.names.invent(Some("host.liar.example"));
    let has_problem = || {
        let problem = lab.status()["problem"].clone();
        problem
            .as_str()
            .is_some_and(|p| p.contains("invents answers"))
    };
    lab.until("the lie is found", has_problem);
    assert!(lab.is_listed(1) && lab.is_listed(3), "{}", lab.api.f.log());

    // A restart keeps the listings, and finds what has changed.
    lab.names.invent(None);
    lab.names.pointer(addr(1), GENERIC);
    lab.names.pointer(addr(3), "mx1.customer.example");
    assert!(lab.api.daemon.take().unwrap().stop().success());
    lab.api.start();
    assert!(
        lab.is_listed(1) && lab.is_listed(3),
        "they are in the store"
    );
    lab.until("the listing ends with its name", || !lab.is_listed(3));
    assert!(lab.is_listed(1));
    let history = lab.api.get("/v1/subjects/45.51.100.3").ok()["history"].clone();
    let events: Vec<&Value> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|h| &h["event"])
        .collect();
    assert!(
        events.contains(&&json!("listed")) && events.contains(&&json!("dropped")),
        "{history}"
    );
    let metrics = lab.api.get("/metrics").text();
    assert!(
        metrics.contains("orbsd_generic_names_listed 1"),
        "{metrics}"
    );
    assert!(
        lab.api
            .f
            .ok(&["status"])
            .contains("generic names: 1 listed")
    );
}

#[test]
fn host_that_a_person_has_listed_is_looked_up() {
    let lab = Lab::new(|names| {
        let host = IpAddr::from([45, 52, 7, 9]);
        names.pointer(host, "host-45-52-7-9.pool.isp.example");
    });
    let is_listed = || lab.answers("9.7.52.45");
    assert!(!is_listed());
    lab.api.list("45.52.7.9", "relay");
    lab.until("its name is listed too", is_listed);
    // A removal on request holds, although the name stays.
    lab.api
        .f
        .ok(&["delist", "45.52.7.9", "--reason", "generic"]);
    assert!(!is_listed());
    std::thread::sleep(Duration::from_secs(4));
    assert!(!is_listed(), "{}", lab.api.f.log());
}

#[test]
fn check_explains_names_and_addresses() {
    let lab = Lab::new(|names| {
        names.pointer(addr(1), GENERIC);
        names.host(addr(4), "45-51-100-4.dyn.shop.example");
    });
    let check = |what: &str| {
        let out = lab.api.f.orbsd(&["generic-names", "check", what]);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        (out.status.code(), text)
    };
    let (code, text) = check(GENERIC);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("generic by p{hex}.dip0.t-ipconnect.de, confidence high"),
        "{text}"
    );
    assert!(
        text.contains("provider: Deutsche Telekom (known from headers;"),
        "{text}"
    );
    assert_eq!(check("45.51.100.1"), (code, text));
    for (what, expected) in [
        (
            "mail.dyn-4711.isp.example",
            "never generic; the part `mail`",
        ),
        ("www.example.com", "not generic; no pattern matches it"),
        (
            "pool7.isp.example",
            "not listed: the confidence is lower than medium",
        ),
        (
            "45.51.100.4",
            "never generic; it is a mail exchange of 45-51-100-4.dyn.shop.example",
        ),
        ("45.51.100.6", "45.51.100.6: no name"),
    ] {
        let (code, text) = check(what);
        assert_eq!(code, Some(1), "{what}: {text}");
        assert!(text.contains(expected), "{what}: {text}");
    }
    let problem = lab.api.get("/v1/generic-names/check?q=a..b");
    assert_eq!(problem.status, 422, "{problem:?}");
    lab.names.set_silent(true);
    let problem = lab.api.get("/v1/generic-names/check?q=45.51.100.1");
    assert_eq!(problem.status, 503, "{problem:?}");
}

const SAMPLED: &str = "queried_hosts = true\n[query_sample]\none_in = 1\n";

#[test]
fn address_that_mail_servers_ask_about_is_looked_up_and_counted() {
    let host = |network: u8, host: u8| IpAddr::from([45, 53, network, host]);
    let lab = Lab::with(SAMPLED, |names| {
        names.pointer(host(8, 9), "45-53-8-9.pool.isp.example");
        names.pointer(host(8, 10), "mail.sender.example");
        names.pointer(host(9, 1), "45-53-9-1.pool.isp.example");
    });
    let collateral = |prefix: &str| {
        let path = format!("/v1/netblocks/{}/collateral", prefix.replace('/', "%2F"));
        lab.api.get(&path).ok()["queried"].clone()
    };
    assert_eq!(collateral("45.53.8.0/24")["count"], json!(0));
    // Each of many addresses once, as somebody asks who tries random names.
    for n in 0..600u16 {
        let [high, low] = n.to_be_bytes();
        assert!(!lab.answers(&format!("7.{low}.{high}.46")));
    }
    assert!(!lab.answers("1.9.53.45"), "once");
    assert!(!lab.answers("10.8.53.45") && !lab.answers("10.8.53.45"));
    lab.until("its name was looked up", || {
        lab.status()["lookups"] == json!(1)
    });
    lab.until("its generic name is listed", || lab.answers("9.8.53.45"));
    let asked = lab.names.take_asked();
    let times = |name: &str| asked.iter().filter(|n| n.starts_with(name)).count();
    assert!(times("9.8.53.45.") >= 2, "two look-ups agree: {asked:?}");
    assert_eq!(times("10.8.53.45."), 1, "remembered: {asked:?}");
    assert_eq!(times("1.9.53.45."), 0, "asked about once: {asked:?}");
    let strangers = |n: &&String| n.ends_with(".46.in-addr.arpa");
    assert_eq!(asked.iter().filter(strangers).count(), 0, "{asked:?}");

    // Queries over streams are sampled too, and names that are not addresses are not.
    let stream = query("11.8.53.45.bl.orbs.example", 1, true);
    assert!(tcp(lab.api.f.addr(), &stream).is_some());
    assert!(!lab.answers("8.53.45") && !lab.answers("x.12.8.53.45"));
    lab.until("the stream is counted", || {
        collateral("45.53.8.0/24")["count"] == json!(3)
    });
    let found = collateral("45.53.8.10/31");
    assert_eq!(found["count"], json!(2));
    assert_eq!(
        (&found["prefix_length"], &found["one_in"]),
        (&json!(32), &json!(1))
    );
    assert_eq!(collateral("45.53.0.0/16")["count"], json!(4));
    let text = lab.api.f.ok(&["netblock", "collateral", "45.53.8.0/24"]);
    let expected = "queried recently: at least 3 addresses since ";
    assert!(text.contains(expected), "{text}");
    let metrics = lab.api.get("/metrics").text();
    for line in [
        "orbsd_query_sample_one_in 1\n",
        "orbsd_query_sample_dropped_total 0\n",
        "orbsd_generic_names_queried_total 2\n",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }

    // A reload forgets the sample.
    let path = lab.api.f.path().join("config.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, config.replace(SAMPLED, "")).unwrap();
    lab.api.f.ok(&["reload"]);
    assert_eq!(collateral("45.53.8.0/24"), Value::Null);
    assert!(lab.answers("9.8.53.45"), "the listing stays");
    let text = lab.api.f.ok(&["netblock", "collateral", "45.53.8.0/24"]);
    assert!(text.contains("queried recently: not sampled"), "{text}");
    let metrics = lab.api.get("/metrics").text();
    assert!(!metrics.contains("orbsd_query_sample"), "{metrics}");
}
