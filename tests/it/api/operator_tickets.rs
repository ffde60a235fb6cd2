//! Tickets for operators: who sees what, decisions, clocks, and events for webhooks.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use orbsd::{
    api::TicketResponse,
    model::{Subject, Time},
    random::Random,
    relay::RelayService,
    tickets::{NewTicket, TicketService, ZoneServers},
};
use serde_json::{Value, json};

use super::{Api, hooks::Sink};
use crate::lab::{CONFIG, Folder};

const DAY: u64 = 86_400;
const MESSAGE: &str = "I closed it, says postmaster@victim.example";

/// Opens a ticket about a listing that a person decides, and asks for the decision.
fn waiting_ticket(api: &Api, subject: &str) -> TicketResponse {
    api.list(subject, "netblock");
    let request = json!({"subject": subject, "message": MESSAGE}).to_string();
    let opened = api.call("", "POST", "/tickets", &[], &request).ok();
    let path = opened["path"].as_str().unwrap().to_string();
    let review = api
        .call("", "POST", &format!("{path}/review"), &[], "{}")
        .ok();
    serde_json::from_value(review).unwrap()
}

/// The service of tickets on the store of a folder whose daemon does not run.
fn service(f: &Folder) -> TicketService {
    let ledger = f.ledger();
    let relay = RelayService::new(ledger.clone(), f.config().probe.relay.clone());
    let servers: ZoneServers = Arc::new(Vec::new);
    TicketService::new(ledger, relay, f.config().tickets, servers, Random::system())
}

/// Opens a ticket at an earlier time, which waits for a person since then.
fn earlier_ticket(api: &mut Api, subject: &str, days: u64) -> u64 {
    api.list(subject, "netblock");
    drop(api.daemon.take());
    let tickets = service(&api.f);
    let at = Time(tickets.now().0 - days * DAY);
    let request = NewTicket {
        subject: subject.parse::<Subject>().unwrap(),
        policy: None,
        message: MESSAGE.into(),
        language: String::new(),
        client: None,
    };
    let number = tickets.open(&request, at).unwrap().number;
    tickets.ask_review(number, at).unwrap();
    tickets.ledger.stop().unwrap();
    number
}

fn numbers(page: &Value) -> Vec<u64> {
    let items = page["items"].as_array().unwrap();
    items
        .iter()
        .map(|t| t["number"].as_u64().unwrap())
        .collect()
}

#[test]
fn conversation_is_for_editors_and_the_secret_path_for_nobody() {
    let api = Api::new();
    let ticket = waiting_ticket(&api, "45.51.100.7");
    let path = format!("/v1/tickets/{}", ticket.number);
    let secret = ticket.path.strip_prefix("/tickets/").unwrap();
    for (role, sees) in [("reader", false), ("editor", true), ("owner", true)] {
        let token = api.user(role, role);
        let found = api.call(&token, "GET", &path, &[], "");
        assert!(!found.text().contains(secret), "{role}");
        let found = found.ok();
        assert_eq!(found["conversation"].is_array(), sees, "{role}: {found}");
        assert_eq!(found.to_string().contains("victim.example"), sees, "{role}");
        let list = api.call(&token, "GET", "/v1/tickets", &[], "").text();
        assert!(
            !list.contains(secret) && !list.contains("victim"),
            "{role}: {list}"
        );
    }
    let reader = api.token("reader", "reader", &[]);
    let reply = json!({"text": "no"}).to_string();
    for action in ["reply", "approve", "refuse"] {
        let call = api.call(&reader, "POST", &format!("{path}/{action}"), &[], &reply);
        assert_eq!(call.problem(), "forbidden", "{action}");
    }
}

#[test]
fn tickets_that_wait_for_a_person_come_first_on_every_page() {
    let api = Api::new();
    for n in 1..=4 {
        waiting_ticket(&api, &format!("45.51.100.{n}"));
    }
    let refusal = json!({"text": "It sends spam."}).to_string();
    api.post("/v1/tickets/4/refuse", &refusal).ok();
    api.post("/v1/tickets/1/refuse", &refusal).ok();
    assert_eq!(numbers(&api.get("/v1/tickets").ok()), [2, 3, 4, 1]);
    assert_eq!(numbers(&api.get("/v1/tickets?waiting=true").ok()), [2, 3]);
    assert_eq!(numbers(&api.get("/v1/tickets?state=refused").ok()), [4, 1]);
    assert_eq!(
        numbers(&api.get("/v1/tickets?subject=45.51.100.3").ok()),
        [3]
    );
    for limit in 1..=4 {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let page = api.get(&format!("/v1/tickets?limit={limit}{after}")).ok();
            all.extend(numbers(&page));
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(all, [2, 3, 4, 1], "limit {limit}");
    }
    let shown = api.f.ok(&["tickets", "list", "--waiting"]);
    assert!(
        shown.starts_with("2 removal 45.51.100.2 review: netblock, opened "),
        "{shown}"
    );
}

#[test]
fn approval_delists_is_idempotent_and_is_audited_by_number_alone() {
    let api = Api::new();
    let ticket = waiting_ticket(&api, "45.51.100.7");
    assert_eq!(api.dns("7.100.51.45"), "NOERROR 127.0.0.3");
    let reply = json!({"text": "We look at it."}).to_string();
    let replied = api.post("/v1/tickets/1/reply", &reply).ok();
    assert_eq!(
        replied["answer_by"],
        Value::Null,
        "the clock of answers stops: {replied}"
    );
    assert!(replied["decision_by"].is_string());
    let approval = json!({"text": "Removed. Sorry, postmaster@victim.example."}).to_string();
    let key = [("idempotency-key", "a1")];
    let path = "/v1/tickets/1/approve";
    let first = api.call(&api.owner, "POST", path, &key, &approval).ok();
    assert_eq!(first["state"], "granted");
    // The response is personal, so that it is not kept beside the ticket.
    let again = api.call(&api.owner, "POST", path, &key, &approval);
    assert_eq!(again.problem(), "already-processed");
    assert_eq!(api.post(path, "{}").problem(), "conflict", "it is closed");
    assert!(api.dns("7.100.51.45").starts_with("NXDOMAIN"));
    let own = api.call("", "GET", &ticket.path, &[], "").ok();
    assert_eq!(own["messages"].as_array().unwrap().len(), 3, "{own}");
    assert!(
        !own.to_string().contains("root"),
        "operators are not named: {own}"
    );
    let audit = api.get("/v1/audit?limit=1000").text();
    assert!(
        audit.contains("\"ticket-approve\"") && audit.contains("\"ticket 1\""),
        "{audit}"
    );
    assert!(
        !audit.contains("victim.example") && !audit.contains("We look"),
        "{audit}"
    );
    assert!(!api.f.log().contains("victim.example"));
}

#[test]
fn token_that_is_limited_to_other_subjects_decides_nothing() {
    let api = Api::new();
    waiting_ticket(&api, "45.51.100.7");
    let limited = api.token("root", "editor", &["--prefix", "45.52.0.0/16"]);
    let reply = json!({"text": "no"}).to_string();
    let call = api.call(&limited, "POST", "/v1/tickets/1/refuse", &[], &reply);
    assert_eq!(call.problem(), "forbidden");
}

#[test]
fn refusal_needs_a_text_and_missing_tickets_are_not_found() {
    let api = Api::new();
    waiting_ticket(&api, "45.51.100.7");
    assert_eq!(api.post("/v1/tickets/1/refuse", "{}").problem(), "invalid");
    assert_eq!(
        api.post("/v1/tickets/9/refuse", "{}").problem(),
        "not-found"
    );
    let refused = api.f.ok(&["tickets", "refuse", "1", "It sends spam."]);
    assert_eq!(refused, "1: 45.51.100.7, refused\n");
    let shown = api.f.ok(&["tickets", "show", "1"]);
    assert!(
        shown.contains("requester:\n    I closed it") && shown.contains("    It sends spam."),
        "{shown}"
    );
}

fn with_sink() -> (Api, Sink) {
    let config = format!("[http_client]\nallow_special_ranges = [\"127.0.0.1\"]\n{CONFIG}");
    let (api, sink) = (Api::with(&config), Sink::new());
    let url = json!({"url": format!("http://{}/hook", sink.addr)}).to_string();
    api.post("/v1/webhooks", &url).ok();
    (api, sink)
}

/// Waits for the events about tickets.
fn ticket_events(sink: &Sink, least: usize) -> Vec<Value> {
    let until = Instant::now() + Duration::from_secs(40);
    loop {
        let all = sink.wait(0).into_iter().map(|(_, body)| body);
        let is_ticket = |b: &Value| {
            b["event"]
                .as_str()
                .is_some_and(|e| e.starts_with("ticket-"))
        };
        let found: Vec<Value> = all.filter(is_ticket).collect();
        if found.len() >= least {
            return found;
        }
        assert!(Instant::now() < until, "{found:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn webhooks_get_opened_and_closed_tickets_by_number_only() {
    let (api, sink) = with_sink();
    waiting_ticket(&api, "45.51.100.7");
    api.post("/v1/tickets/1/approve", "{}").ok();
    let events = ticket_events(&sink, 2);
    let names: Vec<_> = events
        .iter()
        .map(|e| (&e["event"], &e["ticket"], &e["state"]))
        .collect();
    assert_eq!(
        names,
        [
            (&json!("ticket-opened"), &json!(1), &Value::Null),
            (&json!("ticket-closed"), &json!(1), &json!("granted"))
        ]
    );
    let text = format!("{events:?}");
    assert!(
        !text.contains("45.51.100.7") && !text.contains("victim"),
        "{text}"
    );
    let metrics = api.get("/metrics").text();
    for sample in [
        "orbsd_tickets_opened_total 1\n",
        "orbsd_tickets_closed_total{state=\"granted\"} 1\n",
        "orbsd_tickets_open 0\n",
    ] {
        assert!(metrics.contains(sample), "{sample}: {metrics}");
    }
}

/// RFC 6471 section 2.2.5: an answer within two days, a decision within seven.
#[test]
fn overdue_answer_is_reported_once_in_status_metrics_and_webhooks() {
    let (mut api, sink) = with_sink();
    let number = earlier_ticket(&mut api, "45.51.100.7", 3);
    api.start();
    let until = Instant::now() + Duration::from_secs(40);
    while !ticket_events(&sink, 1)
        .iter()
        .any(|e| e["event"] == "ticket-overdue")
    {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(50));
    }
    let events = ticket_events(&sink, 1);
    let overdue = events
        .iter()
        .find(|e| e["event"] == "ticket-overdue")
        .unwrap();
    assert_eq!(
        (&overdue["ticket"], &overdue["clock"]),
        (&json!(number), &json!("answer"))
    );
    let status = api.get("/v1/status").ok();
    let tickets = &status["tickets"];
    assert_eq!(tickets["answer"]["overdue"], 1, "{tickets}");
    assert_eq!(tickets["decision"]["overdue"], 0);
    assert_eq!(tickets["decision"]["next_ticket"], number);
    let shown = api.f.ok(&["status"]);
    assert!(
        shown.contains("tickets: 1 open, 1 wait for a person"),
        "{shown}"
    );
    assert!(shown.contains("OVERDUE: 1"), "{shown}");
    let metrics = api.get("/metrics").text();
    assert!(
        metrics.contains("orbsd_tickets_overdue{clock=\"answer\"} 1\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("orbsd_tickets_overdue{clock=\"decision\"} 0\n"),
        "{metrics}"
    );
    // A restart does not report it again.
    drop(api.daemon.take());
    api.start();
    std::thread::sleep(Duration::from_secs(3));
    let all = ticket_events(&sink, 1);
    let overdue = all.iter().filter(|e| e["event"] == "ticket-overdue");
    assert_eq!(overdue.count(), 1, "{all:?}");
    let reply = json!({"text": "We look at it."}).to_string();
    api.post(&format!("/v1/tickets/{number}/reply"), &reply)
        .ok();
    assert_eq!(
        api.get("/v1/status").ok()["tickets"]["answer"]["overdue"],
        0
    );
}
