//! Personal data: what is older than its retention is erased, also after a restore.

use std::{fs, sync::Arc};

use orbsd::{
    clock::wall,
    ledger::{AccountChange, Ledger},
    model::{Time, history::IdempotencyKey},
    privacy::RetentionJob,
    random::Random,
    relay::RelayService,
    store::schema::AuditRecord,
    tickets::{TicketService, ZoneServers},
};

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

fn job(f: &Folder, ledger: &Ledger) -> RetentionJob {
    let relay = RelayService::new(ledger.clone(), f.config().probe.relay.clone());
    let servers: ZoneServers = Arc::new(Vec::new);
    let settings = f.config().tickets.clone();
    let random = Random::system();
    let tickets = TicketService::new(ledger.clone(), relay.clone(), settings, servers, random);
    RetentionJob::new(ledger.clone(), relay, tickets)
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
    let mut api = Api::new();
    drop(api.daemon.take());
    let ledger = api.f.ledger();
    note(
        &ledger,
        record(Time(wall().0 - 200 * DAY), "192.0.2.9", "list"),
    );
    ledger.stop().unwrap();
    drop(ledger);
    api.f.ok(&["backup", "copy"]);
    fs::remove_dir_all(api.f.path().join("data")).unwrap();
    api.f.ok(&["restore", "copy", "--without-removal-log"]);
    api.daemon = Some(Daemon::start(&api.f));
    let status = api.get("/v1/status").ok();
    assert_eq!(
        status["retention"]["erased"]["audit_addresses"], 1,
        "{status}"
    );
    assert_eq!(status["retention"]["problem"], serde_json::Value::Null);
    let found = api.get("/v1/audit?action=list").ok();
    assert_eq!(found["items"][0]["from"], "", "{found}");
    assert_eq!(found["items"][0]["target"], "45.51.100.7");
    let shown = api.f.ok(&["status"]);
    assert!(
        shown.contains("old data: erased at ") && shown.contains("1 audit_addresses"),
        "{shown}"
    );
    let metrics = api.get("/metrics").text();
    assert!(
        metrics.contains("orbsd_retention_erased_total{key=\"audit_addresses\"} 1\n")
            && metrics.contains("\norbsd_retention_failed 0\n"),
        "{metrics}"
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
