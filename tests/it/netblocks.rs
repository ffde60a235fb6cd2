//! Netblocks on a real daemon: from the proposal to what DNS, the look-up and the public pages show.

use serde_json::{Value, json};

use crate::{
    api::{Api, Reply},
    lab::CONFIG,
};

const NET: &str = "45.51.100.0/24";
const PATH: &str = "/v1/netblocks/45.51.100.0%2F24";

fn call(api: &Api, token: &str, action: &str, body: &Value) -> Reply {
    let path = format!("{PATH}{action}");
    api.call(token, "POST", &path, &[], &body.to_string())
}

fn propose(api: &Api, token: &str) -> Reply {
    let body = json!({
        "prefix": NET,
        "public_text": { "kind": "spam-from-many", "addresses": 120 },
        "until": "90d",
        "note": "the private note",
    });
    api.call(token, "POST", "/v1/netblocks", &[], &body.to_string())
}

fn ask(api: &Api, token: &str) {
    let body = json!({
        "request": "complaint", "asked_at": "2026-01-02",
        "address": "abuse@isp.example", "words": "private words",
    });
    call(api, token, "/contacts", &body).ok();
}

fn public(api: &Api, path: &str) -> Reply {
    api.call("", "GET", path, &[], "")
}

#[test]
fn two_persons_list_a_network_and_its_public_page_says_why() {
    let api = Api::new();
    let (anna, bert) = (api.user("anna", "reporter"), api.user("bert", "editor"));
    let second = api.token("bert", "editor", &[]);
    api.list("45.51.100.9", "relay");
    let found = api.get(&format!("{PATH}/collateral")).ok();
    assert_eq!(found["addresses"], "256");
    assert_eq!(found["listed"], json!({ "relay": "1" }));
    assert_eq!(found["queried"], Value::Null);

    assert_eq!(propose(&api, &bert).status, 201);
    assert_eq!(propose(&api, &anna).status, 409, "it waits already");
    assert_eq!(
        call(&api, &bert, "/approve", &json!({})).problem(),
        "forbidden"
    );
    assert_eq!(
        call(&api, &second, "/approve", &json!({})).problem(),
        "forbidden"
    );
    assert_eq!(
        call(&api, &anna, "/approve", &json!({})).status,
        403,
        "role"
    );
    let carl = api.user("carl", "editor");
    let early = call(&api, &carl, "/approve", &json!({}));
    assert_eq!(early.status, 409, "its owner was not asked");
    ask(&api, &anna);
    assert_eq!(api.dns("7.100.51.45"), "NXDOMAIN soa 60");
    assert_eq!(public(&api, "/netblocks/45.51.100.0/24").status, 404);
    let listed = call(&api, &carl, "/approve", &json!({})).ok();
    assert_eq!(listed["state"], "listed", "{listed:#}");
    assert_eq!(api.dns("7.100.51.45"), "NOERROR 127.0.0.3");

    let page = public(&api, "/netblocks/45.51.100.0/24").ok();
    assert_eq!(page["text"], "120 of its addresses send spam.");
    assert_eq!(page["contacts"][0]["asked_at"], "2026-01-02T00:00:00Z");
    let all = public(&api, "/netblocks").ok();
    assert_eq!(all["items"], json!([page]));
    let lookup = public(&api, "/lookup?subject=45.51.100.7").ok();
    let reason = &lookup["zones"][0]["reasons"][0];
    assert_eq!(
        reason["netblock"], "/netblocks/45.51.100.0/24",
        "{lookup:#}"
    );
    for shown in [&page, &all, &lookup] {
        let text = shown.to_string();
        for private in ["anna", "bert", "carl", "isp.example", "private"] {
            assert!(!text.contains(private), "{private}: {text}");
        }
    }
    let reader = api.get(PATH).ok();
    assert_eq!(reader["contacts"][0]["words"], "private words");
    assert_eq!(reader["proposed_by"], "bert");

    // A renewal needs another person again.
    assert_eq!(
        call(&api, &carl, "/renew", &json!({ "until": "2y" })).status,
        422
    );
    call(&api, &carl, "/renew", &json!({ "until": "120d" })).ok();
    assert_eq!(call(&api, &carl, "/approve", &json!({})).status, 403);
    let renewed = call(&api, &bert, "/approve", &json!({})).ok();
    assert!(
        renewed["until"].as_str() > listed["until"].as_str(),
        "{renewed:#}"
    );
}

#[test]
fn removal_by_a_ticket_ends_the_entry() {
    let mut api = Api::new();
    let bert = api.user("bert", "editor");
    propose(&api, &api.owner).ok();
    ask(&api, &bert);
    call(&api, &bert, "/approve", &json!({})).ok();
    let request = json!({ "subject": NET, "message": "it is clean now" }).to_string();
    let opened = api.call("", "POST", "/tickets", &[], &request).ok();
    let review = format!("{}/review", opened["path"].as_str().unwrap());
    api.call("", "POST", &review, &[], "{}").ok();
    let tickets = api.get("/v1/tickets").ok();
    let number = tickets["items"][0]["number"].as_u64().unwrap();
    let approve = format!("/v1/tickets/{number}/approve");
    api.call(&bert, "POST", &approve, &[], r#"{"text":""}"#)
        .ok();
    assert_eq!(api.dns("7.100.51.45"), "NXDOMAIN soa 60");
    let page = public(&api, "/netblocks/45.51.100.0/24").ok();
    assert_eq!(
        (&page["state"], &page["end"]),
        (&json!("ended"), &json!("delisted"))
    );
    // Two persons may list it again, because a reviewed removal is not held; `delist` holds it.
    propose(&api, &api.owner).ok();
    ask(&api, &bert);
    assert_eq!(
        call(&api, &bert, "/approve", &json!({})).ok()["state"],
        "listed"
    );
    api.f.ok(&["delist", NET]);
    assert_eq!(
        public(&api, "/netblocks/45.51.100.0/24").ok()["state"],
        "ended"
    );
    propose(&api, &api.owner).ok();
    ask(&api, &bert);
    assert_eq!(call(&api, &bert, "/approve", &json!({})).problem(), "held");
    drop(api.daemon.take());
    api.start();
    assert_eq!(api.get(PATH).ok()["state"], "proposed");
}

#[test]
fn required_entries_refuse_other_listings_and_imports_of_the_reason() {
    let api = Api::with(&format!("{CONFIG}[netblocks]\nrequired = true\n"));
    let body = json!({ "subject": NET, "reason": "relay" }).to_string();
    let refused = api.post("/v1/listings", &body);
    assert_eq!(refused.problem(), "conflict");
    assert!(refused.text().contains("orbsd netblock propose"));
    api.list("45.51.100.7", "netblock");
    let import = api.post("/v1/imports?source=x&reason=netblock", "45.51.101.0/24\n");
    assert_eq!(import.status, 422, "{}", import.text());
    assert!(import.text().contains("[netblocks] required"));
    api.post("/v1/imports?source=x&reason=relay", "45.51.101.0/24\n")
        .ok();
}

#[test]
fn command_shows_the_collateral_before_each_decision() {
    let api = Api::new();
    let propose = ["netblock", "propose", NET, "--kind", "hijacked"];
    let shown = api.f.ok(&[&propose[..], &["--dry-run"]].concat());
    assert!(
        shown.contains("256 addresses") && shown.contains("not sampled"),
        "{shown}"
    );
    assert_eq!(api.f.ok(&["netblock", "list"]), "");
    let shown = api.f.ok(&propose);
    assert!(shown.contains("256 addresses"), "{shown}");
    assert!(shown.contains("waits for another person"), "{shown}");
    let shown = api.f.ok(&["netblock", "show", NET]);
    assert!(shown.contains("proposed by"), "{shown}");
    let listed = api.f.ok(&["netblock", "list", "--state", "proposed"]);
    assert!(
        listed.starts_with(&format!("{NET} proposed until ")),
        "{listed}"
    );
    let shown = api.f.ok(&["netblock", "refuse", NET]);
    assert!(shown.contains("the entry is ended"), "{shown}");
}
