//! The demonstration of the public site.

use std::process::Command;

/// Goes through the steps of a visitor: an open relay, a closed server, one that defers, and one
/// that shuts the tester out.
#[test]
#[ignore = "takes minutes; run `make test`"]
fn demonstration_keeps_its_promises() {
    let out = Command::new("python3")
        .args(["tests/demo/site.py", env!("CARGO_BIN_EXE_orbsd"), "check"])
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&out.stdout);
    assert!(
        out.status.success() && output.contains("All promises are kept."),
        "{output}{}",
        String::from_utf8_lossy(&out.stderr)
    );
}
