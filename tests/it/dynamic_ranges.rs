//! Dynamic ranges of providers on a real daemon, with a name server for the reverse zones: from the
//! request to what DNS, the look-up and the operators see.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    api::{Api, Reply},
    lab::{CONFIG, free_port},
    name_server::NameServer,
};

const ZONE: &str = r#"
origin = "bl.orbs.example"
kind = "address"
ns = ["ns1.orbs.example"]
contact = "hostmaster@orbs.example"
publish = [{ reason = "dynamic", code = "127.0.0.10" }]
"#;
const RANGE: &str = "45.51.0.0/16";
const APEX: &str = "51.45.in-addr.arpa";
/// A zone below [`APEX`] that somebody else has.
const DELEGATED: &str = "7.51.45.in-addr.arpa";

struct Lab {
    api: Api,
    names: NameServer,
    web: SocketAddr,
}

impl Lab {
    fn new() -> Lab {
        let [dns, web] = [0; 2].map(|_| SocketAddr::from(([127, 0, 0, 1], free_port())));
        let names = NameServer::start(dns);
        names.zone(APEX);
        names.zone(DELEGATED);
        // Netblocks need two persons here; the ranges of providers do not.
        let config = format!(
            "{CONFIG}[[reason]]\nname = \"dynamic\"\ntext = \"Dynamic $\"\n\
             [web]\nlisten = \"{web}\"\nbase_url = \"https://list.example\"\n\
             [http_client]\nresolvers = [\"{dns}\"]\n\
             [netblocks]\nrequired = true\n[dynamic_ranges]\nreason = \"dynamic\"\n"
        );
        let api = Api::with_zones(&config, &[("bl", ZONE)]);
        Lab { api, names, web }
    }

    /// Sends a request to the site, as a program or as a browser.
    fn send(&self, method: &str, path: &str, kind: &str, accept: &str, body: &str) -> Reply {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .into();
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.web))
            .header("host", "list.example")
            .header("content-type", kind)
            .header("accept", accept);
        let sent = match method {
            "GET" => agent.run(request.body(()).unwrap()),
            _ => agent.run(request.body(body.to_string()).unwrap()),
        };
        let mut reply = sent.unwrap();
        let body = reply.body_mut().read_to_vec().unwrap();
        Reply {
            status: reply.status().as_u16(),
            headers: reply.headers().clone(),
            body,
        }
    }

    fn post(&self, path: &str, body: &Value) -> Reply {
        let body = body.to_string();
        self.send("POST", path, "application/json", "application/json", &body)
    }

    fn get(&self, path: &str) -> Value {
        self.send("GET", path, "application/json", "application/json", "")
            .ok()
    }

    fn html(&self, method: &str, path: &str, form: &str) -> Reply {
        let kind = "application/x-www-form-urlencoded";
        self.send(method, path, kind, "text/html", form)
    }

    /// Waits until the provider at a path fulfils a condition.
    fn wait(&self, path: &str, what: &str, is_met: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let found = self.get(path);
            if is_met(&found) {
                return found;
            }
            assert!(
                Instant::now() < end,
                "{what}: {found}\n{}",
                self.api.f.log()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Whether the zone lists the address with these octets in reverse order.
    fn is_listed(&self, reversed: &str) -> bool {
        self.api.dns(reversed).contains("127.0.0.10")
    }

    fn edit(&self, path: &str, action: &str, subject: &str) -> Reply {
        let body = json!({ "action": action, "subject": subject });
        self.post(&format!("{path}/edits"), &body)
    }

    /// A provider whose record is found.
    fn proved(&self) -> String {
        let opened = self.post("/providers", &json!({ "range": RANGE }));
        assert_eq!(opened.status, 201, "{}", opened.text());
        let opened = opened.json();
        let path = opened["path"].as_str().unwrap().to_string();
        let asked = self.wait(&path, "the zone is found", |p| {
            p["record_names"] == json!([APEX])
        });
        assert_eq!(asked["state"], "requested");
        assert_eq!(self.edit(&path, "add", "45.51.100.0/22").status, 409);
        self.names
            .text(APEX, opened["record_text"].as_str().unwrap());
        self.wait(&path, "the record is found", |p| p["state"] == "proved");
        path
    }

    /// The commit of the last audit record of an action.
    fn commit_of(&self, action: &str) -> String {
        let records = self.api.get("/v1/audit").ok();
        let records = records["items"].as_array().unwrap();
        let found = records.iter().find(|r| r["action"] == action);
        let found = found.unwrap_or_else(|| panic!("{action}: {records:#?}"));
        assert_eq!(found["author"], "provider 1", "{found}");
        found["commit"].to_string()
    }
}

#[test]
fn provider_proves_a_range_by_dns_and_edits_what_its_zones_contain() {
    let lab = Lab::new();
    let path = lab.proved();
    let added = lab.edit(&path, "add", "45.51.100.0/22").ok();
    assert_eq!(added["ranges"][0]["subject"], "45.51.100.0/22");
    assert!(lab.is_listed("9.101.51.45"));
    let page = lab.edit(&path, "take-out", "45.51.100.25").ok();
    assert_eq!(page["hosts"][0]["subject"], "45.51.100.25");
    assert!(!lab.is_listed("25.100.51.45") && lab.is_listed("26.100.51.45"));

    // What is delegated to others, and what is outside, is not the provider's.
    let refused = lab.edit(&path, "add", "45.51.7.0/24");
    assert_eq!(refused.status, 409);
    assert!(refused.text().contains(DELEGATED), "{}", refused.text());
    assert_eq!(lab.edit(&path, "take-out", "45.51.7.9").status, 409);
    assert_eq!(lab.edit(&path, "add", "45.52.0.0/24").status, 422);
    assert!(!lab.is_listed("9.7.51.45") && !lab.is_listed("9.0.52.45"));

    // The provider undoes an edit; an operator undoes others.
    let undone = lab
        .post(&format!("{path}/undo"), &json!({ "edit": 2 }))
        .ok();
    assert_eq!(undone["edits"][0]["reverts"], 2);
    assert!(lab.is_listed("25.100.51.45"));
    lab.edit(&path, "take-out", "45.51.100.25").ok();
    let commit = lab.commit_of("provider.take-out");
    lab.api.f.ok(&["undo", &commit, "--break-hold"]);
    assert!(lab.is_listed("25.100.51.45"));
    let commit = lab.commit_of("provider.add");
    lab.api.f.ok(&["undo", &commit]);
    assert!(!lab.is_listed("26.100.51.45"));
    assert_eq!(lab.get(&path)["ranges"], json!([]));

    // An operator sees providers without their secret, and ends their edits.
    lab.edit(&path, "add", "45.51.100.0/22").ok();
    let listed = lab.api.f.ok(&["provider", "list", "--state", "proved"]);
    assert!(listed.contains("1 45.51.0.0/16 proved"), "{listed}");
    let shown = lab.api.f.ok(&["provider", "show", "1"]);
    assert!(shown.contains("lists 45.51.100.0/22"), "{shown}");
    let secret = path.rsplit('/').next().unwrap();
    assert!(!listed.contains(secret) && !shown.contains(secret));
    lab.api.f.ok(&["provider", "remove", "1"]);
    assert!(!lab.is_listed("26.100.51.45"));
    assert_eq!(lab.edit(&path, "add", "45.51.100.0/22").status, 409);
    assert_eq!(lab.get(&path)["state"], "removed");
    let again = lab.post("/providers", &json!({ "range": RANGE }));
    assert_eq!(again.problem(), "conflict");
}

#[test]
fn provider_edits_on_the_pages_and_owners_of_static_hosts_need_no_provider() {
    let lab = Lab::new();
    let form = lab.html("GET", "/providers", "");
    assert!(form.text().contains("name=\"range\""), "{}", form.text());
    let wrong = lab.html("POST", "/providers", "range=45.51");
    assert_eq!(wrong.status, 422);
    assert!(wrong.text().contains("aria-invalid"), "{}", wrong.text());
    let path = lab.proved();
    let page = lab.html("GET", &path, "").text();
    assert!(page.contains(&format!("{APEX}. 3600 IN TXT")), "{page}");
    let edits = format!("{path}/edits");
    let added = lab.html("POST", &edits, "action=add&subject=45.51.100.0%2F24");
    assert_eq!(
        (added.status, added.header("location")),
        (303, path.as_str())
    );
    assert!(lab.is_listed("9.100.51.45"));
    let wrong = lab.html("POST", &edits, "action=take-out&subject=45.51.100.0%2F25");
    assert_eq!(wrong.status, 422);
    let text = wrong.text();
    assert!(
        text.contains("id=\"host-error\"") && text.contains("45.51.100.0/25"),
        "{text}"
    );

    // A host with a name of its own is removed on the request of its owner, and one with a name of
    // the provider is not.
    let (own, generic): (IpAddr, IpAddr) = ([45, 51, 100, 30].into(), [45, 51, 100, 31].into());
    lab.names.host(own, "mail.shop.example");
    lab.names.host(generic, "dsl-45-51-100-31.pool.isp.example");
    let open = |addr: IpAddr| {
        let opened = lab
            .post("/tickets", &json!({ "subject": addr.to_string() }))
            .ok();
        opened["path"].as_str().unwrap().to_string()
    };
    let (own, generic) = (open(own), open(generic));
    lab.wait(&own, "the name is found", |t| t["state"] == "granted");
    assert_eq!(lab.get(&generic)["state"], "needs-proof");
    assert!(!lab.is_listed("30.100.51.45"));
    assert!(lab.is_listed("31.100.51.45") && lab.is_listed("29.100.51.45"));
    // It is not the provider's to put back.
    assert_eq!(lab.edit(&path, "put-back", "45.51.100.30").status, 409);
    assert!(!lab.is_listed("30.100.51.45"));
}
