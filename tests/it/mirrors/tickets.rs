//! The page of a removal shows what real mirrors serve.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    servers::{Kind, Mirror},
    worlds,
};
use crate::api::Api;

const ZONE: &str = "bl.orbs.example";

/// Waits until the page of a removal shows a mirror in a state. Returns the removal.
fn wait(api: &Api, ticket: &Value, state: &str) -> Value {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let page = ticket["path"].as_str().unwrap();
        let removal = api.call("", "GET", page, &[], "").ok()["removal"].clone();
        // The public page shows the same.
        let public = removal["released"].as_str().unwrap();
        let public = api.call("", "GET", public, &[], "").ok()["removal"].clone();
        let mirror = &removal["servers"][1];
        let is_current = state == "current";
        if mirror["state"] == state && public["servers"] == removal["servers"] {
            assert_eq!(mirror["at"].is_string(), is_current, "{removal:#}");
            assert_eq!(removal["everywhere_at"].is_string(), is_current);
            return removal;
        }
        assert!(mirror["at"].is_null(), "{state}: {removal:#}");
        assert!(
            Instant::now() < until,
            "{state}: {removal:#}\n{}",
            api.f.log()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn remove(api: &Api, subject: &str) -> Value {
    let request = json!({ "subject": subject }).to_string();
    let ticket = api.call("", "POST", "/tickets", &[], &request).ok();
    assert_eq!(ticket["state"], "granted", "{ticket:#}");
    ticket
}

fn page_shows_what_the_mirror_serves(kind: Kind) {
    let config = worlds::config("[removal_policies]\nnetblock = \"on-request\"\n");
    let api = Api::with_folder(&config, |config| {
        worlds::folder_with(config, &[("bl", &worlds::zone(ZONE, &[]))])
    });
    let mut mirror = Mirror::new(kind, api.f.addr(), &[ZONE]);
    let zone = worlds::zone(ZONE, &[mirror.addr]);
    api.f.write("zones/bl.toml", &zone);
    api.f.ok(&["reload"]);
    for n in 1..=3 {
        api.list(&format!("45.1.1.{n}"), "netblock");
    }
    mirror.start();
    mirror.in_step(ZONE, api.f.addr(), Duration::from_secs(30));
    // The mirror is reached by NOTIFY, and the page has the second at which it served the removal.
    let ticket = remove(&api, "45.1.1.1");
    mirror.in_step(ZONE, api.f.addr(), Duration::from_secs(30));
    let in_step = orbsd::clock::wall().0;
    let removal = wait(&api, &ticket, "current");
    assert_eq!(removal["servers"][1]["server"], mirror.addr.to_string());
    let seconds = |at: &Value| {
        let time: orbsd::model::Time = at.as_str().unwrap().parse().unwrap();
        time.0
    };
    let (at, shown) = (seconds(&removal["at"]), seconds(&removal["everywhere_at"]));
    assert!(
        at <= shown && shown <= in_step + 6,
        "{at} {in_step} {removal:#}"
    );
    // The mirror answers, but cannot transfer the zone.
    mirror.wire.away(true);
    let ticket = remove(&api, "45.1.1.2");
    wait(&api, &ticket, "behind");
    // The mirror is down.
    mirror.stop();
    wait(&api, &ticket, "silent");
    let second = remove(&api, "45.1.1.3");
    wait(&api, &second, "silent");
    mirror.wire.away(false);
    mirror.start();
    mirror.in_step(ZONE, api.f.addr(), Duration::from_secs(30));
    wait(&api, &ticket, "current");
    wait(&api, &second, "current");
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn page_of_a_removal_shows_what_nsd_serves() {
    page_shows_what_the_mirror_serves(Kind::Nsd);
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn page_of_a_removal_shows_what_knot_serves() {
    page_shows_what_the_mirror_serves(Kind::Knot);
}
