//! A Python client that is generated from the OpenAPI document.

use std::process::Command;

use super::Api;

/// The document is valid OpenAPI, openapi-python-client generates a client without a warning, and
/// the client works with the daemon.
#[test]
fn generated_python_client_works() {
    let api = Api::new();
    let peers = std::env::var_os("ORBSD_PEERS")
        .expect("ORBSD_PEERS names the folder of `make peers`; run `make test`");
    let venv = std::path::PathBuf::from(peers).join("client");
    let script = std::env::current_dir()
        .unwrap()
        .join("tests/schema/client.sh");
    let out = Command::new("sh")
        .arg(script)
        .arg(&venv)
        .args([format!("http://{}", api.addr), api.owner.clone()])
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&out.stdout);
    assert!(
        out.status.success() && printed.contains("the generated client works"),
        "{printed}\n{}",
        String::from_utf8_lossy(&out.stderr)
    );
}
