//! Notices: who may announce, what the public sees, and that a restart keeps them.

use serde_json::json;

use super::Api;

fn add(api: &Api, token: &str, body: &serde_json::Value) -> super::Reply {
    api.call(token, "POST", "/v1/notices", &[], &body.to_string())
}

#[test]
fn only_operators_add_and_end_notices() {
    let api = Api::new();
    let editor = api.user("ed", "editor");
    let operator = api.user("opal", "operator");
    let body = json!({"text": "A mirror is down."});
    assert_eq!(add(&api, &editor, &body).status, 403);
    let added = add(&api, &operator, &body).ok();
    assert_eq!(added["author"], "opal", "{added}");
    let path = "/v1/notices/1";
    assert_eq!(api.call(&editor, "DELETE", path, &[], "").status, 403);
    assert_eq!(
        api.call(&operator, "DELETE", path, &[], "").ok()["state"],
        "over"
    );
    let again = api.call(&operator, "DELETE", path, &[], "");
    assert_eq!((again.status, again.problem()), (409, "conflict".into()));
    let missing = api.call(&operator, "DELETE", "/v1/notices/9", &[], "");
    assert_eq!(missing.problem(), "not-found");
}

#[test]
fn notice_is_stored_with_its_zone_and_times_and_survives_a_restart() {
    let mut api = Api::new();
    let added = api.f.json(&[
        "notice",
        "add",
        "The feed xbl listed addresses by mistake.\n\nIts listings were removed.",
        "--zone",
        "bl",
        "--from",
        "1h",
        "--until",
        "2d",
        "--json",
    ]);
    assert_eq!(added["title"], "The feed xbl listed addresses by mistake.");
    assert_eq!(added["zones"], json!(["bl.orbs.example"]));
    assert_eq!(added["state"], "planned");
    api.f.ok(&[
        "notice",
        "add",
        "A mirror is down.",
        "--title",
        "Mirror ns2",
    ]);
    drop(api.daemon.take());
    api.start();
    let all = api.get("/v1/notices").ok();
    let numbers: Vec<_> = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| &n["number"])
        .collect();
    assert_eq!(numbers, [2, 1], "{all}");
    assert_eq!(all["items"][0]["state"], "current");
    assert_eq!(all["items"][0]["until"], json!(null));
    let shown = api.f.ok(&["notice", "list"]);
    assert!(
        shown.contains("2 Mirror ns2\n  all zones; current until a person ends it")
            && shown.contains("  Its listings were removed."),
        "{shown}"
    );
    // A notice that is ended before it began was never public.
    assert_eq!(api.f.ok(&["notice", "end", "1"]), "1: cancelled\n");
}

#[test]
fn audit_record_of_a_notice_names_its_number_and_author() {
    let api = Api::new();
    add(
        &api,
        &api.owner,
        &json!({"text": "A mirror is down.", "zones": ["bl"]}),
    )
    .ok();
    api.call(&api.owner, "DELETE", "/v1/notices/1", &[], "")
        .ok();
    let audit = api.get("/v1/audit").ok();
    let records: Vec<_> = audit["items"].as_array().unwrap().iter().take(2).collect();
    let actions: Vec<_> = records
        .iter()
        .map(|r| r["action"].as_str().unwrap())
        .collect();
    assert!(
        actions.contains(&"notice.add") && actions.contains(&"notice.end"),
        "{audit}"
    );
    assert!(
        records
            .iter()
            .all(|r| r["target"] == "1" && r["author"] == "root"),
        "{audit}"
    );
}

#[test]
fn notices_with_wrong_fields_are_refused_with_the_field() {
    let api = Api::new();
    for (body, field) in [
        (json!({"text": " \n"}), "text"),
        (json!({"text": "x\u{202e}y"}), "text"),
        (json!({"text": "x".repeat(4001)}), "text"),
        (json!({"text": "x", "title": "a\nb"}), "title"),
        (json!({"text": "x", "from": "2d", "until": "1d"}), "until"),
        (json!({"text": "x", "until": "2020-01-01"}), "until"),
    ] {
        let reply = add(&api, &api.owner, &body);
        assert_eq!(reply.problem(), "invalid", "{body}");
        assert!(
            reply.text().contains(&format!("\"{field}: ")),
            "{}",
            reply.text()
        );
    }
    let reply = add(
        &api,
        &api.owner,
        &json!({"text": "x", "zones": ["nowhere"]}),
    );
    assert_eq!(reply.problem(), "not-found");
}

#[test]
fn repeated_notice_with_the_same_idempotency_key_is_added_once() {
    let api = Api::new();
    let key = [("idempotency-key", "n1")];
    let body = json!({"text": "A mirror is down."}).to_string();
    let first = api
        .call(&api.owner, "POST", "/v1/notices", &key, &body)
        .ok();
    let second = api
        .call(&api.owner, "POST", "/v1/notices", &key, &body)
        .ok();
    assert_eq!(first, second);
    assert_eq!(
        api.get("/v1/notices").ok()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}
