//! The public site: its pages have to answer, also to clients that are listed (RFC 6471 section
//! 2.2.2).

use std::net::{IpAddr, Ipv4Addr};

use super::{
    context::Context,
    finding::{Area, Examination, Finding},
    listeners::reachable,
    web::{Route, status},
};

/// The address that every list has (RFC 5782 section 5). On this machine it is a client as any
/// other loopback address.
const LISTED_CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Requests the front page: at its public URL, and at the listener from a listed address.
pub(super) async fn check(context: &Context) -> Vec<Finding> {
    let Ok(config) = &context.config else {
        return vec![context.without_config(Area::Site)];
    };
    let Some(listen) = config.web.listen else {
        return Vec::new();
    };
    let examination = |check, target: &str| Examination::new(Area::Site, check, target);
    let Ok(resolver) = &context.resolver else {
        return vec![
            examination("pages", &config.base_url)
                .not_seen("no resolver can be asked", "name one with `--from`"),
        ];
    };
    let url = format!("{}/", config.base_url);
    let from_listed = Route {
        to: Some(reachable(listen)),
        from: Some(LISTED_CLIENT),
    };
    let is_local = matches!(reachable(listen).ip(), IpAddr::V4(ip) if ip.is_loopback());
    let (public, listed) = tokio::join!(status(resolver, &url, Route::default()), async {
        match is_local {
            true => Some(status(resolver, &local_url(&url, config.web.tls), from_listed).await),
            false => None,
        }
    },);
    let public = assess(
        examination("pages", &url),
        &public,
        "let [web] base_url lead to this server: its DNS, its proxy, its certificate, its firewall",
    );
    let target = format!("{listen} from {LISTED_CLIENT}, which is listed");
    let examination = examination("listed-client", &target);
    let listed = match listed {
        Some(found) => assess(
            examination,
            &found,
            "do not use the list, or any other one, to refuse clients of the site: those who are listed have to read why (RFC 6471 section 2.2.2)",
        ),
        None => examination.not_seen(
            "the listener is not on a loopback address, so that no listed client can be imitated",
            "request the site from a listed address",
        ),
    };
    vec![public, listed]
}

/// The URL with the scheme of the listener, which a proxy may change.
fn local_url(url: &str, is_encrypted: bool) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    match is_encrypted {
        true => format!("https://{rest}"),
        false => format!("http://{rest}"),
    }
}

/// Assesses the status of a page.
pub(super) fn assess(
    examination: Examination,
    found: &Result<u16, String>,
    remedy: &str,
) -> Finding {
    match found {
        Ok(status @ 200..=399) => examination.good(format!("it answers with {status}")),
        Ok(status) => examination.fault(format!("it answers with {status}"), remedy),
        Err(why) => examination.fault(format!("it does not answer: {why}"), remedy),
    }
}
