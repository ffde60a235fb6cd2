//! Listings, look-ups, holds, exemptions, zones, metrics.

use serde_json::json;

use super::Api;

#[test]
fn listing_is_created_renewed_and_delisted_through_the_api() {
    let api = Api::new();
    let body = json!({"subject": "45.1.1.1", "reason": "relay", "note": "seen", "text": "see $"})
        .to_string();
    let made = api.post("/v1/listings", &body);
    assert_eq!(made.status, 201);
    assert_eq!(
        api.dns("1.1.1.45"),
        "NOERROR 127.0.0.2",
        "in force when the receipt arrives"
    );
    let id = made.json()["id"].as_str().unwrap().to_string();
    assert_eq!(made.header("location"), format!("/v1/listings/{id}"));
    let one = api.get(&format!("/v1/listings/{id}")).ok();
    assert_eq!(
        (
            &one["subject"],
            &one["reason"],
            &one["source"],
            &one["note"],
            &one["text"],
            &one["author"]
        ),
        (
            &json!("45.1.1.1"),
            &json!("relay"),
            &json!("operator"),
            &json!("seen"),
            &json!("see $"),
            &json!("root")
        )
    );
    assert_eq!(one["revision"], made.json()["revision"]);
    let change = |method: &str, revision: &str, more: &str, body: &str| {
        api.call(
            &api.owner,
            method,
            &format!("/v1/listings/{id}{more}"),
            &[("if-match", revision)],
            body,
        )
    };
    assert_eq!(
        change("PATCH", "0000000000000000", "", "{\"until\":\"1d\"}").problem(),
        "precondition-failed"
    );
    let renewed = change(
        "PATCH",
        &format!("\"{}\"", one["revision"].as_str().unwrap()),
        "",
        "{\"until\":\"1d\"}",
    )
    .ok();
    let after = api.get(&format!("/v1/listings/{id}")).ok();
    assert!(
        after["until"] != one["until"]
            && after["since"] == one["since"]
            && after["text"] == one["text"],
        "{after}"
    );
    assert_eq!(after["revision"], renewed["revision"]);
    change("DELETE", "*", "?note=closed", "").ok();
    assert_eq!(api.dns("1.1.1.45"), "NXDOMAIN soa 60");
    assert_eq!(
        api.get(&format!("/v1/listings/{id}")).problem(),
        "not-found"
    );
    // A removal was granted: the listing does not return unless an operator ends the hold.
    let again = api.post("/v1/listings", &body);
    assert_eq!((again.status, again.problem().as_str()), (409, "held"));
    let editor = api.token("anna", "editor", &[]);
    let breaks = json!({"subject": "45.1.1.1", "reason": "relay", "break_hold": true}).to_string();
    assert_eq!(
        api.call(&editor, "POST", "/v1/listings", &[], &breaks)
            .problem(),
        "forbidden"
    );
    assert_eq!(api.post("/v1/listings", &breaks).status, 201);
    assert_eq!(api.dns("1.1.1.45"), "NOERROR 127.0.0.2");
    let history = api.get("/v1/subjects/45.1.1.1").ok()["history"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(
        history, 6,
        "listed, renewed, delisted, held, hold ended, listed"
    );
}

#[test]
fn idempotent_request_is_processed_once() {
    let mut api = Api::new();
    let send = |api: &Api, key: &str, body: &str| {
        api.call(
            &api.owner,
            "POST",
            "/v1/listings",
            &[("idempotency-key", key)],
            body,
        )
    };
    let one = json!({"subject": "45.1.1.1", "reason": "relay"}).to_string();
    let first = send(&api, "k1", &one).ok();
    assert_eq!(
        send(&api, "k1", &one).ok(),
        first,
        "the stored response is returned again"
    );
    let other = send(
        &api,
        "k1",
        &json!({"subject": "45.1.1.2", "reason": "relay"}).to_string(),
    );
    assert_eq!(
        (other.status, other.problem().as_str()),
        (422, "idempotency-key-reused")
    );
    assert_ne!(send(&api, "k2", &one).ok()["commit"], first["commit"]);
    // The same key of another token is a different key.
    let token = api.token("anna", "editor", &[]);
    let theirs = api
        .call(
            &token,
            "POST",
            "/v1/listings",
            &[("idempotency-key", "k1")],
            &one,
        )
        .ok();
    assert_ne!(theirs["commit"], first["commit"]);
    // Listing and receipt are in the same batch, so a kill cannot separate them.
    drop(api.daemon.take());
    api.start();
    assert_eq!(send(&api, "k1", &one).ok()["commit"], first["commit"]);
    // A removal with a key is also repeated, although there is nothing left to remove.
    let id = first["id"].as_str().unwrap();
    let remove = || {
        api.call(
            &api.owner,
            "DELETE",
            &format!("/v1/listings/{id}"),
            &[("idempotency-key", "r")],
            "",
        )
    };
    let gone = remove().ok();
    assert_eq!(remove().ok()["commit"], gone["commit"]);
}

/// A complete request with a key: its effect and its response both survive a kill.
#[test]
fn idempotency_keys_apply_to_purges_undo_imports_users_and_tokens() {
    let mut api = Api::new();
    let send = |api: &Api, method: &str, path: &str, body: &str| {
        api.call(&api.owner, method, path, &[("idempotency-key", "k")], body)
    };
    let import = "/v1/imports?source=xbl&reason=relay&format=list";
    let first = send(&api, "POST", import, "45.1.1.1\n45.1.1.2\n").ok();
    assert_eq!(
        (&first["state"], first["difference"]["added"].as_u64()),
        (&json!("done"), Some(2))
    );
    let purge = "{\"source\":\"xbl\",\"hold\":false}";
    let gone = send(&api, "POST", "/v1/purges", purge).ok();
    assert_eq!(gone["count"], 2);
    let undo = format!("/v1/commits/{}/undo", gone["commits"][0]["commit"]);
    let back = send(&api, "POST", &undo, "{}").ok();
    assert_eq!(back["undone"].as_array().unwrap().len(), 2);
    let token = send(
        &api,
        "POST",
        "/v1/tokens",
        "{\"owner\":\"p\",\"role\":\"reader\"}",
    )
    .ok();
    let person = send(
        &api,
        "POST",
        "/v1/users",
        "{\"name\":\"anna\",\"role\":\"editor\"}",
    )
    .ok();
    assert!(token["token"].is_string() && person["name"] == "anna");
    drop(api.daemon.take()); // kill -9
    api.start();
    assert_eq!(
        send(&api, "POST", import, "45.1.1.1\n45.1.1.2\n").ok(),
        first,
        "the stored response is returned again"
    );
    assert_eq!(
        send(&api, "POST", import, "45.1.1.1\n45.1.1.3\n").problem(),
        "idempotency-key-reused"
    );
    assert_eq!(
        send(&api, "POST", "/v1/purges", purge).ok(),
        gone,
        "listings since then are kept:"
    );
    assert_eq!(api.dns("1.1.1.45"), "NOERROR 127.0.0.2");
    assert_eq!(
        send(&api, "POST", "/v1/purges", "{\"source\":\"xbl\"}").problem(),
        "idempotency-key-reused"
    );
    assert_eq!(send(&api, "POST", &undo, "{}").ok(), back);
    // A response with a secret is displayed once, and the request is processed once.
    for (path, body) in [
        ("/v1/tokens", "{\"owner\":\"p\",\"role\":\"reader\"}"),
        ("/v1/users", "{\"name\":\"anna\",\"role\":\"editor\"}"),
    ] {
        let again = send(&api, "POST", path, body);
        assert_eq!(
            (again.status, again.problem().as_str()),
            (409, "already-processed")
        );
    }
    let revoke = format!("/v1/tokens/{}", token["id"].as_str().unwrap());
    let revoked = send(&api, "DELETE", &revoke, "").ok();
    assert_eq!(send(&api, "DELETE", &revoke, "").ok(), revoked);
    let tokens = api.get("/v1/tokens").ok()["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|t| t["owner"] == "p")
        .count();
    assert_eq!(tokens, 1);
    // The import is still known by its ID.
    let known = api
        .get(&format!("/v1/imports/{}", first["id"].as_str().unwrap()))
        .ok();
    assert_eq!(known, first);
}

#[test]
fn search_returns_the_matches_page_by_page() {
    let api = Api::new();
    let anna = api.token("anna", "editor", &[]);
    for i in 0..25 {
        let body = json!({"subject": format!("45.1.{i}.1"), "reason": if i % 5 == 0 { "netblock" } else { "relay" }, "note": format!("n{i}")});
        api.call(
            if i % 2 == 0 { &anna } else { &api.owner },
            "POST",
            "/v1/listings",
            &[],
            &body.to_string(),
        )
        .ok();
    }
    api.list("45.1.0.0/20", "relay");
    api.list("46.1.1.1", "relay");
    api.list("2a01:4f8::/32", "relay");
    api.list("x.spam.example", "spam");
    api.f.write("a.txt", "45.1.3.1\n44.0.0.1\n");
    api.f
        .ok(&["import", "--source", "xbl", "--reason", "relay", "a.txt"]);
    let count = |query: &str| {
        let (mut n, mut after, mut pages) = (0, String::new(), 0);
        loop {
            let page = api.get(&format!("/v1/listings?limit=7{query}{after}")).ok();
            n += page["items"].as_array().unwrap().len();
            pages += 1;
            assert!(
                page["items"].as_array().unwrap().len() <= 7 && pages < 50,
                "{query}"
            );
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return n,
            }
        }
    };
    assert_eq!(count(""), 31);
    assert_eq!(count("&prefix=45.1.0.0/16"), 27);
    assert_eq!(count("&prefix=45.1.3.1"), 2);
    assert_eq!(count("&prefix=45.1.0.0/20"), 18);
    assert_eq!(count("&reason=netblock"), 5);
    assert_eq!(count("&source=xbl"), 2);
    assert_eq!(count("&author=anna"), 13);
    assert_eq!(count("&author=anna&reason=netblock"), 3);
    assert_eq!(count("&text=n7"), 1);
    assert_eq!(count("&domain=spam.example"), 1);
    assert_eq!(count("&domain=other.example"), 0);
    assert_eq!(count("&from=2100-01-01T00:00:00Z"), 0);
    assert_eq!(count("&to=2100-01-01T00:00:00Z"), 31);
    for bad in [
        "?prefix=45.1.1.1/16",
        "?reason=nothing",
        "?limit=0",
        "?limit=x",
        "?from=soon",
        "?after=zz",
        "?what=x",
        "?prefix=1.2.3",
        "?prefix=010.0.0.1",
    ] {
        assert_eq!(api.get(&format!("/v1/listings{bad}")).status, 422, "{bad}");
    }
}

#[test]
fn unusual_spellings_of_a_subject_are_normalized_or_refused() {
    let api = Api::new();
    api.list("::ffff:45.1.1.1", "relay");
    assert_eq!(api.dns("1.1.1.45"), "NOERROR 127.0.0.2");
    assert_eq!(api.get("/v1/subjects/45.1.1.1").ok()["listed"], true);
    api.list("45.2.0.0/16", "relay");
    assert_eq!(
        api.get("/v1/subjects/45.2.0.0%2F16").ok()["entries"][0]["reason"],
        "relay"
    );
    let covered = api.get("/v1/subjects/45.2.3.4").ok();
    assert_eq!(
        (&covered["listed"], &covered["covered_by"][0]["subject"]),
        (&json!(true), &json!("45.2.0.0/16"))
    );
    api.list("bücher.example", "spam");
    assert_eq!(
        api.get("/v1/subjects/xn--bcher-kva.example").ok()["listed"],
        true
    );
    for bad in [
        "010.0.0.1",
        "1.2.3",
        "45.1.1.1/33",
        "45.1.1.1/8",
        "",
        "a..b",
        "127.0.0.1",
        "10.0.0.1",
        "0.0.0.0/0",
    ] {
        let reply = api.post(
            "/v1/listings",
            &json!({"subject": bad, "reason": "relay"}).to_string(),
        );
        assert!([409, 422].contains(&reply.status), "{bad}: {reply:?}");
        let p = reply.json();
        assert!(
            reply.status == 409 || p["errors"][0]["field"] == "subject",
            "{p}"
        );
    }
    assert_eq!(api.post("/v1/listings", "{").problem(), "malformed");
    assert_eq!(
        api.post(
            "/v1/listings",
            "{\"subject\":\"45.1.1.1\",\"reason\":\"relay\",\"reason\":\"spam\"}"
        )
        .problem(),
        "invalid"
    );
    assert_eq!(
        api.post(
            "/v1/listings",
            "{\"subject\":\"45.1.1.1\",\"raeson\":\"relay\"}"
        )
        .problem(),
        "invalid"
    );
    assert_eq!(
        api.post(
            "/v1/listings",
            "{\"subject\":\"45.1.1.1\",\"reason\":\"relay\",\"until\":\"99999999999999999999d\"}"
        )
        .problem(),
        "invalid"
    );
}

#[test]
fn public_lookup_shows_the_reason_and_no_private_data() {
    let api = Api::new();
    let body =
        json!({"subject": "45.2.0.0/16", "reason": "relay", "note": "secret note"}).to_string();
    api.post("/v1/listings", &body).ok();
    for path in [
        "/lookup?subject=45.2.3.4",
        "/lookup?ip=45.2.3.4",
        "/lookup?45.2.3.4",
        "/nph-lookup?45.2.3.4",
    ] {
        let reply = api.call("", "GET", path, &[], "");
        let said = reply.json();
        assert_eq!(
            (reply.status, &said["listed"]),
            (200, &json!(true)),
            "{path}: {said}"
        );
        let why = &said["zones"][0]["reasons"][0];
        assert_eq!(
            (
                &why["listed"],
                &why["reason"],
                &said["zones"][0]["codes"][0]
            ),
            (&json!("45.2.0.0/16"), &json!("relay"), &json!("127.0.0.2"))
        );
        assert!(
            !reply.text().contains("secret note") && !reply.text().contains("root"),
            "{said}"
        );
    }
    assert_eq!(
        api.call("", "GET", "/lookup?subject=46.1.1.1", &[], "")
            .json()["listed"],
        false
    );
    assert_eq!(
        api.call("", "GET", "/lookup?subject=nonsense..", &[], "")
            .problem(),
        "invalid"
    );
}

#[test]
fn holds_and_exemptions_can_be_read_and_ended() {
    let api = Api::new();
    let ask = |method: &str, path: &str, body: serde_json::Value| {
        api.call(&api.owner, method, path, &[], &body.to_string())
    };
    ask(
        "POST",
        "/v1/holds",
        json!({"subject": "45.1.1.1", "reason": "relay", "until": "10d"}),
    )
    .ok();
    ask(
        "POST",
        "/v1/exemptions",
        json!({"subject": "45.3.0.0/16", "note": "ours"}),
    )
    .ok();
    api.f.write("a.txt", "45.1.1.1\n45.1.1.2\n45.3.1.1\n");
    let report = api.f.json(&[
        "import", "--source", "xbl", "--reason", "relay", "--json", "a.txt",
    ]);
    assert_eq!(
        (
            &report["difference"]["held"],
            &report["difference"]["sample_held"][0]
        ),
        (&json!(1), &json!("45.1.1.1"))
    );
    assert_eq!(
        ["1.1.1.45", "2.1.1.45", "1.1.3.45"].map(|n| api.dns(n)),
        ["NXDOMAIN soa 60", "NOERROR 127.0.0.2", "NXDOMAIN soa 60"]
    );
    assert_eq!(api.get("/v1/holds").ok()["items"][0]["reason"], "relay");
    assert_eq!(
        api.get("/v1/exemptions").ok()["items"][0]["subject"],
        "45.3.0.0/16"
    );
    ask(
        "DELETE",
        "/v1/holds?subject=45.1.1.1&reason=relay",
        json!(null),
    )
    .ok();
    assert_eq!(
        ask("DELETE", "/v1/holds?subject=45.1.1.1", json!(null)).problem(),
        "not-found"
    );
    ask(
        "DELETE",
        "/v1/exemptions?subject=45.3.0.0%2F16",
        json!(null),
    )
    .ok();
    assert_eq!(
        ["1.1.1.45", "1.1.3.45"].map(|n| api.dns(n)),
        ["NOERROR 127.0.0.2", "NOERROR 127.0.0.2"]
    );
}

#[test]
fn zone_export_is_sent_only_if_it_has_changed() {
    let api = Api::new();
    api.list("45.1.1.1", "relay");
    let zone = api.get("/v1/zones/bl").ok();
    assert_eq!(zone["zone"], "bl.orbs.example");
    let export = |more: &str, headers: &[(&str, &str)]| {
        api.call(
            &api.owner,
            "GET",
            &format!("/v1/zones/bl/export?{more}"),
            headers,
            "",
        )
    };
    let list = export("format=list", &[]);
    assert_eq!(list.text().lines().nth(1), Some("45.1.1.1"));
    let tag = list.header("etag").to_string();
    assert!(tag.contains(&zone["serial"].to_string()));
    assert_eq!(
        export("format=list", &[("if-none-match", &tag)]).status,
        304
    );
    assert_eq!(
        export("format=cidr", &[("if-none-match", &tag)]).status,
        200,
        "another format has another ETag"
    );
    let axfr = export("format=axfr", &[]).text();
    let soas: Vec<&str> = axfr.lines().filter(|l| l.contains(" SOA ")).collect();
    assert!(
        soas.len() == 2
            && soas[0] == soas[1]
            && axfr.starts_with(soas[0])
            && axfr.trim_end().ends_with(soas[1]),
        "{axfr}"
    );
    assert!(
        axfr.contains("1.1.1.45.bl.orbs.example. 300 A 127.0.0.2\n"),
        "{axfr}"
    );
    // Decodes the messages of a transfer with hickory.
    let dns = export("format=dns", &[]);
    let (mut rest, mut answers) = (&dns.body[..], 0);
    while let Some((len, tail)) = rest.split_first_chunk::<2>() {
        let (message, tail) = tail.split_at(usize::from(u16::from_be_bytes(*len)));
        answers += hickory_proto::op::Message::from_vec(message)
            .unwrap()
            .answers
            .len();
        rest = tail;
    }
    assert_eq!(answers, axfr.lines().count());
    let from = zone["serial"].as_u64().unwrap();
    api.list("45.1.1.2", "relay");
    let part = export(&format!("format=axfr&since={from}"), &[]).text();
    assert!(
        part.contains("2.1.1.45.bl.orbs.example. 300 A")
            && !part.contains("1.1.1.45.bl.orbs.example. 300 A"),
        "{part}"
    );
    assert_eq!(part.lines().filter(|l| l.contains(" SOA ")).count(), 4);
    assert_eq!(export("format=axfr&since=77", &[]).problem(), "conflict");
    assert_eq!(export("format=xls", &[]).problem(), "invalid");
    let packed = api.call(
        &api.owner,
        "GET",
        "/v1/zones/bl/export?format=list",
        &[("accept-encoding", "gzip")],
        "",
    );
    let mut plain = String::new();
    std::io::Read::read_to_string(
        &mut flate2::read::GzDecoder::new(&packed.body[..]),
        &mut plain,
    )
    .unwrap();
    assert_eq!(
        (packed.header("content-encoding"), plain.lines().count()),
        ("gzip", 3)
    );
}

#[test]
fn health_metrics_and_openapi_description_are_served() {
    let api = Api::new();
    api.list("45.1.1.1", "relay");
    api.dns("1.1.1.45");
    assert_eq!(api.call("", "GET", "/health/live", &[], "").status, 200);
    assert_eq!(api.call("", "GET", "/health/ready", &[], "").status, 200);
    let metrics = api.get("/metrics").text();
    let listed = metrics
        .lines()
        .find_map(|l| l.strip_prefix("orbsd_dns_listed_total{zone=\"bl.orbs.example\"} "));
    assert!(
        listed.is_some_and(|n| n.parse::<u64>().unwrap() >= 1),
        "{metrics}"
    );
    for line in metrics.lines().filter(|l| !l.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(
            value.parse::<f64>().is_ok() && name.starts_with("orbsd_"),
            "{line}"
        );
    }
    let description = api.call("", "GET", "/openapi.json", &[], "").json();
    assert!(
        description["openapi"].as_str().unwrap().starts_with("3.1"),
        "{}",
        description["openapi"]
    );
    // The document is served at one path, which the interactive page uses too, and sent only to a
    // client that does not have it.
    let document = api.call("", "GET", "/openapi.json", &[], "");
    let current = [("if-none-match", document.header("etag"))];
    let again = api.call("", "GET", "/openapi.json", &current, "");
    assert!(
        again.status == 304 && again.body.is_empty() && document.header("etag").len() > 10,
        "{again:?}"
    );
    assert_eq!(
        api.call("", "GET", "/api-docs/openapi.json", &[], "")
            .status,
        404
    );
    let initializer = api
        .call("", "GET", "/docs/swagger-initializer.js", &[], "")
        .text();
    assert!(initializer.contains("\"/openapi.json\""), "{initializer}");
    let page = api.call("", "GET", "/docs/", &[], "");
    assert!(
        page.status == 200 && page.text().contains("swagger"),
        "{page:?}"
    );
    assert!(!page.text().contains("//unpkg") && !page.text().contains("//cdn"));
    for code in orbsd::api::ProblemCode::ALL {
        assert_eq!(
            api.call("", "GET", &format!("/problems/{code}"), &[], "")
                .status,
            200
        );
    }
    assert_eq!(api.get("/nowhere").problem(), "not-found");
    assert_eq!(
        api.call(&api.owner, "PATCH", "/v1/bulk", &[], "").problem(),
        "method-not-allowed"
    );
    let status = api.get("/v1/status").ok();
    assert_eq!(status["zones"][0]["zone"], "bl.orbs.example");
}

/// The public listener answers only look-ups.
#[test]
fn public_listener_serves_only_the_lookup() {
    let port = crate::lab::free_port();
    let mut api = Api::with(&format!(
        "[web]\nlisten = \"127.0.0.1:{port}\"\n{}",
        crate::lab::CONFIG
    ));
    api.list("45.1.1.1", "relay");
    api.addr.set_port(port);
    assert_eq!(
        api.call("", "GET", "/lookup?subject=45.1.1.1", &[], "")
            .json()["listed"],
        true
    );
    for path in [
        "/metrics",
        "/docs/",
        "/openapi.json",
        "/v1/status",
        "/v1/listings",
        "/health/ready",
    ] {
        assert_eq!(
            api.call(&api.owner, "GET", path, &[], "").status,
            404,
            "{path}"
        );
    }
}
