//! Personal data: what is older than its retention is erased, also after a restore.

use std::{fs, sync::Arc};

use orbsd::{
    clock::wall,
    ledger::{AccountChange, Ledger},
    model::{Time, history::IdempotencyKey},
    netblocks::{KnownSenders, NetblockService},
    privacy::{Erasures, PersonalData, PersonalSubject, RetentionJob},
    random::Random,
    relay::RelayService,
    reverse_names::ReverseNames,
    store::schema::AuditRecord,
    tickets::{NewTicket, TicketService, ZoneServers},
};
use serde_json::{Value, json};

use crate::{
    api::Api,
    lab::{CONFIG, Daemon, Folder},
};

const DAY: u64 = 86_400;

fn record(at: Time, from: &str, action: &str) -> AuditRecord {
    AuditRecord {
        at,
        author: "anna".into(),
        from: from.into(),
        action: action.into(),
        target: "45.51.100.7".into(),
        note: Some("in the log of mx.example.org".into()),
        ..AuditRecord::default()
    }
}

fn note(ledger: &Ledger, record: AuditRecord) {
    ledger
        .change_accounts_blocking(AccountChange::AuditOnly, Some(record))
        .unwrap();
}

pub fn tickets(f: &Folder, ledger: &Ledger) -> TicketService {
    let relay = RelayService::new(ledger.clone(), f.config().probe.relay.clone());
    let servers: ZoneServers = Arc::new(Vec::new);
    let settings = f.config().tickets;
    TicketService::new(ledger.clone(), relay, settings, servers, Random::system())
}

fn job(f: &Folder, ledger: &Ledger) -> RetentionJob {
    let tickets = tickets(f, ledger);
    RetentionJob::new(PersonalData {
        ledger: ledger.clone(),
        relay: tickets.relay.clone(),
        tickets,
        netblocks: NetblockService::new(
            ledger.clone(),
            KnownSenders::default(),
            Default::default(),
        ),
        reverse_names: ReverseNames::default(),
        query_sample: Default::default(),
        erasures: Erasures::new(f.config().erasures(), Random::system()),
    })
}

fn audit(ledger: &Ledger) -> Vec<AuditRecord> {
    let mut all = Vec::new();
    let read = ledger.store.audit(u64::MAX, &mut |_, record| {
        all.push(record);
        true
    });
    read.unwrap();
    all
}

#[test]
fn addresses_are_erased_from_old_audit_records_and_the_records_stay() {
    let f = Folder::new();
    let ledger = f.ledger();
    let now = ledger.now();
    for from in ["192.0.2.9", "2001:db8::9", "socket"] {
        note(&ledger, record(now, from, "list"));
    }
    note(&ledger, record(now, "192.0.2.9", "nominate"));
    let job = job(&f, &ledger);
    let run = job.run(None);
    assert_eq!((run.erased["audit_addresses"], run.problem), (0, None));
    f.time.pass(91 * DAY as u32);
    let run = job.run(None);
    assert_eq!(
        run.erased["reporter_texts"], 1,
        "the note of the nomination: {run:?}"
    );
    assert_eq!(run.erased["audit_addresses"], 0);
    f.time.pass(90 * DAY as u32);
    note(&ledger, record(ledger.now(), "192.0.2.10", "list"));
    assert_eq!(job.run(None).erased["audit_addresses"], 3);
    let all = audit(&ledger);
    let from: Vec<&str> = all.iter().map(|r| r.from.as_str()).collect();
    assert_eq!(from, ["192.0.2.10", "", "socket", "", ""]);
    let notes: Vec<bool> = all.iter().map(|r| r.note.is_some()).collect();
    assert_eq!(notes, [true, false, true, true, true]);
    // What was read once is not read again.
    let run = job.run(None);
    assert_eq!(
        (run.erased["audit_addresses"], run.erased["reporter_texts"]),
        (0, 0)
    );
    assert_eq!(job.report().total["audit_addresses"], 3);
}

#[test]
fn long_audit_log_is_erased_in_parts() {
    let f = Folder::new();
    let ledger = f.ledger();
    let now = ledger.now();
    let key = |n: u32| IdempotencyKey {
        key: u128::from(n).to_be_bytes(),
        body: 0,
    };
    for n in 0..5100 {
        let idempotency = (n == 0).then(|| key(n));
        note(
            &ledger,
            AuditRecord {
                idempotency,
                ..record(now, "192.0.2.9", "list")
            },
        );
    }
    f.time.pass(181 * DAY as u32);
    let job = job(&f, &ledger);
    let run = job.run(Some(std::time::Instant::now()));
    assert!(run.is_partial && job.is_due(), "{run:?}");
    assert_eq!(run.erased["audit_addresses"], 5000);
    let run = job.run(None);
    assert!(!run.is_partial && !job.is_due(), "{run:?}");
    assert_eq!(run.erased["audit_addresses"], 100);
    f.time.pass(DAY as u32 + 1);
    assert!(job.is_due(), "a day later");
}

#[test]
fn old_reports_of_imports_are_deleted() {
    let f = Folder::new();
    let ledger = f.ledger();
    for (id, days) in [("old", 91), ("new", 89)] {
        let at = Time(ledger.now().0 - days * DAY);
        let import = AccountChange::Import(id.into(), at, Arc::from("{}"));
        ledger.change_accounts_blocking(import, None).unwrap();
    }
    assert_eq!(job(&f, &ledger).run(None).erased["import_reports"], 1);
    let left: Vec<String> = ledger.accounts().imports.keys().cloned().collect();
    assert_eq!(left, ["new"]);
    ledger.stop().unwrap();
    drop(ledger);
    assert_eq!(f.ledger().accounts().imports.size(), 1, "also on disk");
}

#[test]
fn restored_backup_is_erased_before_the_api_answers() {
    let f = Folder::new();
    let ledger = f.ledger();
    note(
        &ledger,
        record(Time(wall().0 - 200 * DAY), "192.0.2.9", "list"),
    );
    ledger.stop().unwrap();
    drop(ledger);
    f.ok(&["backup", "copy"]);
    fs::remove_dir_all(f.path().join("data")).unwrap();
    f.ok(&["restore", "copy", "--without-removal-log"]);
    let _daemon = Daemon::start(&f);
    let status = f.json(&["status", "--json"]);
    assert_eq!(
        status["retention"]["erased"]["audit_addresses"], 1,
        "{status}"
    );
    assert_eq!(status["retention"]["problem"], Value::Null);
    let found = f.ok(&["audit", "--action", "list", "--json"]);
    let found: Value = serde_json::from_str(found.trim()).unwrap();
    assert_eq!(
        (&found["from"], &found["target"]),
        (&json!(""), &json!("45.51.100.7"))
    );
    let shown = f.ok(&["status"]);
    assert!(
        shown.contains("old data: erased at ") && shown.contains("1 audit_addresses"),
        "{shown}"
    );
}

#[test]
fn reload_applies_new_periods() {
    let api = Api::with(&format!(
        "[retention]\naudit_addresses = \"300d\"\n{CONFIG}"
    ));
    let text = fs::read_to_string(api.f.path().join("config.toml")).unwrap();
    api.f
        .write("config.toml", &text.replace("\"300d\"", "\"0s\""));
    let refused = api.f.orbsd(&["reload"]);
    assert!(!refused.status.success());
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        why.contains("audit_addresses") && why.contains("write 1d or more"),
        "{why}"
    );
    api.f
        .write("config.toml", &text.replace("\"300d\"", "\"10d\""));
    api.f.ok(&["reload"]);
}

/// Opens a ticket with a message that names a mail address.
fn ticket(api: &Api, subject: &str, message: &str) {
    api.list(subject, "netblock");
    let request = json!({"subject": subject, "message": message}).to_string();
    api.call("", "POST", "/tickets", &[], &request).ok();
}

fn kinds(report: &Value, list: &str) -> Vec<String> {
    let all = report[list].as_array().unwrap();
    let mut kinds: Vec<String> = all
        .iter()
        .map(|f| f["kind"].as_str().unwrap().into())
        .collect();
    kinds.dedup();
    kinds
}

#[test]
fn everything_that_names_a_mail_address_is_shown_and_what_may_be_erased_is_erased() {
    let api = Api::new();
    ticket(
        &api,
        "45.51.100.7",
        "Answer to anna@victim.example, please.",
    );
    ticket(
        &api,
        "45.51.100.8",
        "Answer to joanna@victim.example, please.",
    );
    let listing = json!({"subject": "45.51.100.9", "reason": "relay", "note": "reported by anna@victim.example"});
    api.post("/v1/listings", &listing.to_string()).ok();
    let shown = api
        .f
        .json(&["privacy", "show", "Anna@victim.example", "--json"]);
    let found = kinds(&shown, "findings");
    for kind in ["tickets", "listings", "audit-records"] {
        assert!(found.iter().any(|k| k == kind), "{kind}: {shown}");
    }
    assert!(!shown.to_string().contains("joanna"), "{shown}");
    let text = api.f.ok(&["privacy", "show", "anna@victim.example"]);
    assert!(
        text.contains("note of 45.51.100.9 at ") && text.contains("ticket 1"),
        "{text}"
    );
    let erased = api
        .f
        .json(&["privacy", "erase", "anna@victim.example", "--json"]);
    assert_eq!(
        erased["erased"],
        json!({"audit-records": 1, "listings": 1, "tickets": 1}),
        "{erased}"
    );
    assert_eq!(erased["kept"], json!([]), "{erased}");
    let audit = api.get("/v1/audit?action=list").text();
    assert!(
        audit.contains("45.51.100.9") && !audit.contains("anna@victim"),
        "the record stays without its note: {audit}"
    );
    assert_eq!(api.get("/v1/tickets/1").problem(), "not-found");
    assert_eq!(
        api.get("/v1/tickets/2").status,
        200,
        "the ticket of somebody else stays"
    );
    let subject = api.get("/v1/subjects/45.51.100.9").text();
    assert!(
        !subject.contains("anna@") && subject.contains("erased on request"),
        "{subject}"
    );
    assert_eq!(
        api.dns("9.100.51.45"),
        "NOERROR 127.0.0.2",
        "the listing stays"
    );
}

#[test]
fn history_of_an_address_stays_with_the_reason() {
    let api = Api::new();
    ticket(&api, "45.51.100.7", "It is closed.");
    let erased = api.f.ok(&["privacy", "erase", "45.51.100.7"]);
    assert!(
        erased.starts_with("erased: 1 tickets\nwhat stays:\n"),
        "{erased}"
    );
    assert!(
        erased.contains("listings: kept permanently, as the record"),
        "{erased}"
    );
    assert_eq!(api.dns("7.100.51.45"), "NOERROR 127.0.0.3");
    let nothing = api.f.ok(&["privacy", "show", "192.0.2.77"]);
    assert_eq!(nothing, "nothing is stored that names 192.0.2.77\n");
}

#[test]
fn sample_of_queries_is_searched_and_erased_for_an_address() {
    let api = Api::with(&format!("{CONFIG}[query_sample]\none_in = 1\n"));
    for reversed in ["7.100.51.45", "8.100.51.45", "8.100.51.45"] {
        api.dns(reversed);
    }
    let show = |subject: &str| api.f.ok(&["privacy", "show", subject]);
    // It is collected a few times in a second.
    let begin = std::time::Instant::now();
    while !show("45.51.100.0/24").contains("asked about 2 different addresses of it, since") {
        assert!(begin.elapsed().as_secs() < 20, "{}", show("45.51.100.0/24"));
    }
    let shown = show("45.51.100.7");
    for expected in [
        "queried-addresses: kept as long as the operators have set",
        "  sample of queries (erasable):\n    asked about, since 20",
        "  sample of queries about 45.51.100.0/24:\n    asked about 2 different addresses of it, since 20",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let neighbour = show("45.51.100.9");
    assert!(
        neighbour.contains("sample of queries about 45.51.100.0/24:")
            && !neighbour.contains("(erasable)"),
        "{neighbour}"
    );
    assert_eq!(
        show("45.51.101.7"),
        "nothing is stored that names 45.51.101.7\n"
    );
    let erased = api.f.ok(&["privacy", "erase", "45.51.100.7"]);
    assert!(
        erased.starts_with("erased: 1 queried-addresses\nwhat stays:\n")
            && erased.contains("asked about 1 different address of it, since"),
        "{erased}"
    );
    assert!(!show("45.51.100.7").contains("(erasable)"));
    assert!(show("45.51.100.8").contains("(erasable)"));
}

#[test]
fn requests_about_personal_data_are_for_owners_and_audited_without_the_subject() {
    let api = Api::new();
    let operator = api.user("opal", "operator");
    let body = json!({"subject": "anna@victim.example"}).to_string();
    for path in ["/v1/privacy/report", "/v1/privacy/erasure"] {
        assert_eq!(
            api.call(&operator, "POST", path, &[], &body).problem(),
            "forbidden"
        );
        api.post(path, &body).ok();
        let bad = json!({"subject": "anna@192.0.2.1"}).to_string();
        assert_eq!(api.post(path, &bad).problem(), "invalid");
    }
    let audit = api.get("/v1/audit").text();
    assert!(
        audit.contains("privacy.show") && audit.contains("privacy.erase"),
        "{audit}"
    );
    assert!(!audit.contains("victim.example") && !api.f.log().contains("victim.example"));
}

#[test]
fn closed_ticket_is_erased_after_its_retention() {
    let mut api = Api::new();
    api.list("45.51.100.7", "netblock");
    drop(api.daemon.take());
    let ledger = api.f.ledger();
    let job = job(&api.f, &ledger);
    let request = NewTicket {
        subject: "45.51.100.7".parse().unwrap(),
        policy: None,
        message: "It is closed.".into(),
        language: String::new(),
        client: None,
    };
    let tickets = tickets(&api.f, &ledger);
    let number = tickets.open(&request, ledger.now()).unwrap().number;
    tickets.withdraw(number, ledger.now()).unwrap();
    api.f.time.pass(89 * DAY as u32);
    assert_eq!(job.run(None).erased["tickets"], 0);
    api.f.time.pass(2 * DAY as u32);
    assert_eq!(job.run(None).erased["tickets"], 1);
    assert!(tickets.get(number).is_err());
}

#[test]
fn erasure_on_request_survives_the_restore_of_an_older_backup() {
    let api = Api::new();
    ticket(
        &api,
        "45.51.100.7",
        "Answer to anna@victim.example, please.",
    );
    ticket(&api, "45.51.100.8", "Answer to bob@victim.example, please.");
    let note = "reported by anna@victim.example";
    let listing = json!({"subject": "45.51.100.9", "reason": "relay", "note": note});
    api.post("/v1/listings", &listing.to_string()).ok();
    api.f.ok(&["backup", "copy"]);
    api.f.ok(&["privacy", "erase", "anna@victim.example"]);
    let file = fs::read_to_string(api.f.path().join("data.erasures.json")).unwrap();
    assert!(!file.contains("victim") && !file.contains("anna"), "{file}");
    let mut api = api;
    drop(api.daemon.take());
    let log = api.f.path().join("data/removals.log");
    let kept = api.f.path().join("removals.kept");
    fs::copy(log, &kept).unwrap();
    fs::remove_dir_all(api.f.path().join("data")).unwrap();
    api.f
        .ok(&["restore", "copy", "--removal-log", "removals.kept"]);
    // A command that opens the store itself erases first, as a start does.
    let left = api
        .f
        .json(&["privacy", "show", "anna@victim.example", "--json"]);
    assert_eq!(left["findings"], json!([]), "{left}");
    api.daemon = Some(Daemon::start(&api.f));
    assert_eq!(api.get("/v1/tickets/1").problem(), "not-found");
    assert_eq!(
        api.get("/v1/tickets/2").status,
        200,
        "the ticket of somebody else stays"
    );
    let subject = api.get("/v1/subjects/45.51.100.9").text();
    assert!(!subject.contains("anna@"), "{subject}");
    let status = api.f.json(&["status", "--json"]);
    assert_eq!(
        status["retention"]["erased"]["on_request"], 0,
        "it was repeated once: {status}"
    );
}

#[test]
fn restored_store_is_erased_again_before_a_listener_opens() {
    let mut api = Api::new();
    ticket(&api, "45.51.100.7", "It is closed.");
    api.f.ok(&["backup", "copy"]);
    api.f.ok(&["privacy", "erase", "45.51.100.7"]);
    drop(api.daemon.take());
    fs::remove_dir_all(api.f.path().join("data")).unwrap();
    api.f.ok(&["restore", "copy", "--without-removal-log"]);
    api.daemon = Some(Daemon::start(&api.f));
    assert_eq!(api.get("/v1/tickets/1").problem(), "not-found");
    let status = api.f.json(&["status", "--json"]);
    assert_eq!(status["retention"]["erased"]["on_request"], 1, "{status}");
}

#[test]
fn nothing_is_erased_if_the_erasure_cannot_be_recorded() {
    let api = Api::new();
    ticket(&api, "45.51.100.7", "It is closed.");
    api.f.write("data.erasures.json", "{");
    let refused = api.f.orbsd(&["privacy", "erase", "45.51.100.7"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && why.contains("data.erasures.json"),
        "{why}"
    );
    assert_eq!(api.get("/v1/tickets/1").status, 200);
}

#[test]
fn start_is_refused_if_erasures_on_request_cannot_be_repeated() {
    let mut api = Api::new();
    ticket(&api, "45.51.100.7", "It is closed.");
    api.f.ok(&["privacy", "erase", "45.51.100.7"]);
    drop(api.daemon.take());
    let file = fs::read_to_string(api.f.path().join("data.erasures.json")).unwrap();
    api.f.write("data.erasures.json", "{");
    let refused = api.f.orbsd(&["serve"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{why}");
    for part in [
        "data.erasures.json",
        "put a copy of it back",
        "does not start",
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
    api.f.write("data.erasures.json", &file);
    api.daemon = Some(Daemon::start(&api.f));
}

#[test]
fn erasure_that_did_not_complete_is_repeated_before_the_next() {
    let f = Folder::new();
    let ledger = f.ledger();
    let data = job(&f, &ledger).data().clone();
    for name in ["anna", "bob"] {
        let note_of = format!("reported by {name}@victim.example");
        let record = AuditRecord {
            note: Some(note_of),
            ..record(ledger.now(), "socket", "list")
        };
        note(&ledger, record);
    }
    // The first one stops after the entry in the file.
    let erasures = Erasures::new(f.config().erasures(), Random::system());
    erasures
        .add("anna@victim.example", 0, ledger.now())
        .unwrap();
    data.erase(&PersonalSubject::parse("bob@victim.example").unwrap())
        .unwrap();
    for record in audit(&ledger) {
        let left = record.note.unwrap_or_default();
        assert!(!left.contains("victim"), "{left}");
    }
    assert_eq!(data.tickets.last_erasure().unwrap(), 2);
}

#[test]
fn erasures_at_the_same_time_are_all_carried_out() {
    let f = Folder::new();
    let ledger = f.ledger();
    let data = job(&f, &ledger).data().clone();
    std::thread::scope(|scope| {
        for n in 0..4 {
            let data = &data;
            scope.spawn(move || {
                let who = PersonalSubject::parse(&format!("p{n}@victim.example"));
                data.erase(&who.unwrap()).unwrap();
            });
        }
    });
    assert_eq!(data.tickets.last_erasure().unwrap(), 4);
    assert_eq!(data.repeat_erasures(), Ok(Default::default()));
}

#[test]
fn every_ticket_that_names_a_person_is_found_and_erased() {
    // More tickets than are read at once.
    const TICKETS: u32 = 120;
    let mut api = Api::new();
    for n in 1..=TICKETS {
        api.list(&format!("45.51.100.{n}"), "netblock");
    }
    drop(api.daemon.take());
    let ledger = api.f.ledger();
    let data = job(&api.f, &ledger).data().clone();
    let open = |subject: &str, message: &str| {
        let request = NewTicket {
            subject: subject.parse().unwrap(),
            policy: None,
            message: message.into(),
            language: String::new(),
            client: None,
        };
        data.tickets.open(&request, ledger.now()).unwrap().number
    };
    let numbers: Vec<u64> = (1..=TICKETS)
        .map(|n| {
            let is_named = [1, 2, TICKETS].contains(&n);
            let message = if is_named {
                "From: anna@victim.example"
            } else {
                "It is closed."
            };
            open(&format!("45.51.100.{n}"), message)
        })
        .collect();
    let who = PersonalSubject::parse("victim.example").unwrap();
    let found = data.find(&who).unwrap();
    let oldest = format!("ticket {}", numbers[0]);
    assert!(found.findings.iter().any(|f| f.place == oldest) && !found.is_truncated);
    assert_eq!(data.erase(&who).unwrap()["tickets"], 3);
    assert!(data.tickets.get(numbers[0]).is_err());
    assert!(data.tickets.get(numbers[2]).is_ok());
}

#[test]
fn old_proposals_and_codes_of_tickets_are_erased() {
    let mut api = Api::new();
    api.list("45.51.100.7", "netblock");
    drop(api.daemon.take());
    let ledger = api.f.ledger();
    let job = job(&api.f, &ledger);
    let request = NewTicket {
        subject: "45.51.100.7".parse().unwrap(),
        policy: None,
        message: "It is closed.".into(),
        language: String::new(),
        client: None,
    };
    let tickets = tickets(&api.f, &ledger);
    let number = tickets.open(&request, ledger.now()).unwrap().number;
    let codes = || tickets.get(number).unwrap().codes.len();
    assert!(codes() > 0, "the page of the ticket shows a code");
    api.f.time.pass(7 * DAY as u32);
    assert_eq!(job.run(None).erased["ticket_codes"], 0);
    api.f.time.pass(DAY as u32 + 60);
    assert_eq!(job.run(None).erased["ticket_codes"], 1);
    assert_eq!(codes(), 0);
}
