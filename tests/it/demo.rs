//! The demonstrations: of the public site, and of the lists that stood beside ORBS.

use std::process::Command;

/// Runs a demonstration, which says at its end whether all is as it promises.
fn check(script: &str, args: &[&str]) {
    let out = Command::new("python3")
        .args([script, env!("CARGO_BIN_EXE_orbsd")])
        .args(args)
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&out.stdout);
    assert!(
        out.status.success() && output.contains("All promises are kept."),
        "{output}{}",
        String::from_utf8_lossy(&out.stderr)
    );
}

/// Goes through the steps of a visitor: an open relay, a closed server, one that defers, and one
/// that shuts the tester out.
#[test]
#[ignore = "takes minutes; run `make test`"]
fn demonstration_keeps_its_promises() {
    check("tests/demo/site.py", &["check"]);
}

/// Each list is a zone of one daemon.
#[test]
fn companion_lists_keep_their_promises() {
    check("tests/demo/companions.py", &[]);
}
