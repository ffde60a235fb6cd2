//! Tests the API against its description with schemathesis.

use std::process::Command;

use super::Api;
use crate::peers::peers;

/// No 5xx, no response outside the schema, no accepted request that the schema forbids. `make
/// drill` runs it for longer.
#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn schemathesis_finds_no_violation() {
    run_schemathesis("15");
}

fn run_schemathesis(examples: &str) {
    let api = Api::new();
    api.list("45.1.1.1", "relay");
    api.f.write("a.txt", "46.1.1.1\n46.1.1.2\n");
    api.f
        .ok(&["import", "--source", "xbl", "--reason", "relay", "a.txt"]);
    let schemathesis = peers().join("venv/bin/schemathesis");
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
    // What was found comes last: the log of the daemon is long, and the end of a report is what is kept.
    assert!(
        out.status.success() && said.contains("Fuzzing"),
        "{}\n{}\n{said}",
        api.f.log(),
        String::from_utf8_lossy(&out.stderr)
    );
    api.f.ok(&["status"]);
}

/// Long tests, which only `make drill` runs.
mod drill {
    use super::*;

    #[test]
    #[ignore = "takes long; run `make drill`"]
    fn schemathesis_finds_no_violation_in_a_long_run() {
        run_schemathesis("500");
    }
}
