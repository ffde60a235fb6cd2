//! The whole description of the API, tried out by schemathesis.

use std::process::Command;

use super::Api;
/// No 5xx, nothing outside the schema, nothing taken that the schema forbids. `make drill` looks
/// for longer.
#[test]
fn schemathesis_finds_nothing() {
    look("15");
}

#[test]
#[ignore = "a drill: `make drill`"]
fn schemathesis_finds_nothing_in_a_long_run() {
    look("500");
}

fn look(examples: &str) {
    let api = Api::new();
    api.list("45.1.1.1", "relay");
    api.f.write("a.txt", "46.1.1.1\n46.1.1.2\n");
    api.f
        .ok(&["import", "--source", "xbl", "--reason", "relay", "a.txt"]);
    let peers = std::env::var_os("ORBSD_PEERS")
        .expect("ORBSD_PEERS names the folder of `make peers`; run `make test`");
    let schemathesis = std::path::PathBuf::from(peers).join("venv/bin/schemathesis");
    let script = std::env::current_dir().unwrap().join("tests/schema/run.sh");
    let out = Command::new("sh")
        .arg(script)
        .arg(&schemathesis)
        .args([
            format!("http://{}", api.addr),
            api.owner.clone(),
            examples.into(),
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(
        out.status.success() && said.contains("Fuzzing"),
        "{said}\n{}\n{}",
        String::from_utf8_lossy(&out.stderr),
        api.f.log()
    );
    api.f.ok(&["status"]);
}
