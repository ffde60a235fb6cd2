//! The public look-up: whether a subject is listed, and everything that may be known about it.

use std::net::IpAddr;

use super::{
    super::{App, claims, netblocks, tickets},
    applying::{ApplyingListing, covering_verdicts},
    past,
    reading::{LookupSubject, bounce_response},
    rules::{applied_rules, counted, is_published},
    widening::Listings,
    zones::{answer, dig_command},
};
use crate::{
    api::{
        FeedResponse, HostNameResponse, LookupAnswer, LookupReasonResponse, LookupResponse,
        LookupZoneResponse, NetworkResponse, OtherListResponse, PastListingResponse,
        ProblemDetails, PublicSourceResponse, RelayFindingsResponse, UnaskableZoneResponse,
    },
    bounce::Bounce,
    index::ZoneView,
    model::{Event, Mask, ReasonId, Subject},
    relay::networks::Network,
    store::Dictionary,
};

/// The most `dig` commands of a response.
const MAX_DIG: usize = 10;

/// Looks up a subject for a client. May block.
pub(super) fn find_public(
    app: &App,
    asked: &LookupSubject,
    client: IpAddr,
) -> Result<LookupResponse, ProblemDetails> {
    let subject = &asked.subject;
    let (store, snapshot) = (&app.ledger.store, app.ledger.published.snapshot());
    let dictionary = store.dictionary();
    let (mut zones, mut never_asked, mut kind) = (Vec::new(), Vec::new(), Vec::new());
    // The listings are read only if a zone lists the subject.
    let mut listings: Option<Listings> = None;
    let mut feeds: Option<Vec<FeedResponse>> = None;
    for z in snapshot.zones.all().iter().filter(|z| z.allows(client)) {
        let Some(answer) = answer(&snapshot, z, subject) else {
            continue;
        };
        if let Some(cause) = answer.never_asked {
            never_asked.push(UnaskableZoneResponse {
                zone: answer.zone,
                cause,
            });
            continue;
        }
        kind.push(z);
        if answer.codes.is_empty() {
            continue;
        }
        let listings = match &mut listings {
            Some(listings) => listings,
            unread => {
                let covering = covering_verdicts(store, subject)?;
                unread.insert(Listings::read(store, &snapshot, subject, &covering)?)
            }
        };
        let reasons = reasons(app, &mut feeds, &dictionary, z, subject, listings);
        // The answer for a prefix is that for its first address, which may be listed alone.
        if reasons.is_empty() && covers_hosts(subject) {
            continue;
        }
        let rules = applied_rules(&snapshot, &dictionary, z, subject, listings);
        zones.push(LookupZoneResponse {
            rules: rules.into_iter().filter(|r| r.listed).collect(),
            zone: answer.zone,
            codes: answer.codes,
            texts: answer.texts,
            reasons,
            contact: z.spec.contact.clone(),
        });
    }
    let listed = !zones.is_empty();
    let published = kind.iter().fold(0, |all, z| all | z.listing_mask);
    let history = store.history(subject)?;
    let past = match listed {
        true => None,
        false => past_listing(app, subject, &history, &kind, published)?,
    };
    let other_lists = other_lists(asked.bounce.as_ref(), subject);
    let bounce = asked.bounce.as_ref().map(|b| bounce_response(b, listed));
    let is_stale = bounce.as_ref().is_some_and(|b| b.stale);
    let answer = match (listed, &past) {
        (true, _) => listed_answer(&zones),
        (false, Some(_)) if is_stale || other_lists.is_empty() => LookupAnswer::WasListed,
        (false, _) if !other_lists.is_empty() => LookupAnswer::OtherList,
        (false, _) => LookupAnswer::NeverListed,
    };
    let addr = host_address(subject);
    let relay_tests = addr
        .filter(|_| listed)
        .and_then(|a| claims::relay_findings(&app.relay, a, client));
    let refused = |e| ProblemDetails::of_ticket_error(e, &dictionary);
    let repetition = |_| app.tickets.standing_repetition(subject, app.ledger.now());
    let test_repetition = addr.map(repetition).transpose().map_err(refused)?.flatten();
    let removal = match listed {
        true => tickets::removal_options(&app.tickets, subject).map_err(refused)?,
        false => Vec::new(),
    };
    Ok(LookupResponse {
        what_to_do: what_to_do(answer, &zones, relay_tests.as_ref(), is_stale, &other_lists),
        answer,
        unicode: unicode_name(subject),
        cache_seconds: cache_seconds(&kind, &zones),
        dig: dig_commands(&kind, &zones, subject),
        timeline: past::timeline(&history, &dictionary, published),
        host_name: addr.and_then(|a| host_name(app, a, listed)),
        network: network(app, subject),
        subject: subject.to_string(),
        listed,
        zones,
        never_asked,
        relay_tests,
        test_repetition: test_repetition.map(Into::into),
        past,
        other_lists,
        bounce,
        trace: asked.trace.clone(),
        removal,
    })
}

/// The address of a subject that is a single host.
fn host_address(subject: &Subject) -> Option<IpAddr> {
    match subject {
        Subject::V4(p) if p.is_host() => Some(IpAddr::V4(p.first().into())),
        Subject::V6(p) if p.is_host() => Some(IpAddr::V6(p.first().into())),
        _ => None,
    }
}

/// Whether a subject is a prefix of several addresses.
fn covers_hosts(subject: &Subject) -> bool {
    subject.is_address() && host_address(subject).is_none()
}

/// The published reasons of a zone that apply, each once: the nearest listing, and of several
/// sources our own before those of others, then the oldest.
fn reasons(
    app: &App,
    feeds: &mut Option<Vec<FeedResponse>>,
    dictionary: &Dictionary,
    z: &ZoneView,
    subject: &Subject,
    listings: &Listings,
) -> Vec<LookupReasonResponse> {
    let mut out: Vec<LookupReasonResponse> = Vec::new();
    let published = z.publish.iter();
    let published = published.filter(|p| is_published(p, subject, listings));
    let each = published.flat_map(|p| ReasonId::all_of(p.listing_mask()).map(move |r| (p, r)));
    for (p, reason) in each {
        let name = dictionary.reasons.name(reason);
        if out.iter().any(|r| r.reason == name) {
            continue;
        }
        let mine = || counted(p, subject, listings).filter(|l| l.entry.reason == reason);
        let is_of_others = |l: &ApplyingListing| dictionary.sources.is_of_others(l.entry.source);
        let own = mine().find(|l| !is_of_others(l));
        let Some(nearest) = own.or_else(|| mine().next()) else {
            continue;
        };
        let is_alike = |l: &&ApplyingListing| {
            l.listed == nearest.listed && is_of_others(l) == is_of_others(nearest)
        };
        let oldest = mine().filter(is_alike).min_by_key(|l| l.entry.since);
        let l = oldest.unwrap_or(nearest);
        let mut source = None;
        if is_of_others(l) {
            let feeds = feeds.get_or_insert_with(|| (app.feeds)());
            let feed = dictionary.sources.name(l.entry.source);
            source = Some(public_source(feeds, feed, subject));
        }
        out.push(LookupReasonResponse {
            reason: name.into(),
            listed: l.listed.to_string(),
            network: l.network.map(|n| n.to_string()),
            since: l.entry.since.into(),
            until: l.entry.until.map(Into::into),
            source,
            netblock: netblocks::page_of_listing(app, &l.listed, &l.entry),
        });
    }
    out
}

/// A list of another publisher, with the pages that the configuration names.
fn public_source(feeds: &[FeedResponse], name: &str, subject: &Subject) -> PublicSourceResponse {
    let feed = feeds.iter().find(|f| f.feed == name);
    let page = |url: Option<&String>| url.map(|url| crate::bounce::page_for(url, subject));
    let title = feed.and_then(|f| f.title.clone());
    PublicSourceResponse {
        name: name.into(),
        title: title.unwrap_or_else(|| name.into()),
        lookup_url: page(feed.and_then(|f| f.lookup_url.as_ref())),
        removal_url: page(feed.and_then(|f| f.removal_url.as_ref())),
    }
}

/// Whether the listings are our own, or only those of lists of other publishers.
fn listed_answer(zones: &[LookupZoneResponse]) -> LookupAnswer {
    let mut reasons = zones.iter().flat_map(|z| &z.reasons).peekable();
    let has_reasons = reasons.peek().is_some();
    match has_reasons && reasons.all(|r| r.source.is_some()) {
        true => LookupAnswer::ListedBySource,
        false => LookupAnswer::Listed,
    }
}

/// The end of the last listing of a subject that is not listed now.
fn past_listing(
    app: &App,
    subject: &Subject,
    history: &[Event],
    kind: &[&ZoneView],
    published: Mask,
) -> Result<Option<PastListingResponse>, ProblemDetails> {
    let Some(end) = past::last_end(&app.ledger.store, subject, history, published)? else {
        return Ok(None);
    };
    let zones = kind.iter().filter(|z| z.listing_mask & end.reasons != 0);
    let zones: Vec<String> = zones.map(|z| z.name.to_string()).collect();
    let dictionary = app.ledger.store.dictionary();
    let refused = |e| ProblemDetails::of_ticket_error(e, &dictionary);
    let everywhere_at = app
        .tickets
        .everywhere_at(subject, &zones, end.at)
        .map_err(refused)?;
    Ok(Some(PastListingResponse {
        zones,
        ended: end.at.into(),
        everywhere_at: everywhere_at.map(Into::into),
    }))
}

/// The lists of others that a pasted message names.
fn other_lists(bounce: Option<&Bounce>, subject: &Subject) -> Vec<OtherListResponse> {
    let Some(bounce) = bounce else {
        return Vec::new();
    };
    let misconfigured = bounce.receiver_misconfigured.then(|| {
        "The message shows that the refusing server queries this list in a way that the list does not answer, and takes the error for a listing. Your address is probably not listed; tell the postmaster of that server.".to_string()
    });
    let others = bounce.zones.iter().filter(|z| !z.own);
    let response = |z: &crate::bounce::FoundZone| {
        let list = z.list;
        let remark = list.and_then(|l| l.remark());
        let notes: Vec<String> = misconfigured.iter().cloned().chain(remark).collect();
        OtherListResponse {
            zone: z.zone.clone(),
            name: list.map_or_else(|| z.zone.clone(), |l| l.name.clone()),
            known: list.is_some(),
            alive: list.is_none_or(|l| l.closed.is_none()),
            lookup_url: list.and_then(|l| l.lookup_page(subject)),
            removal_url: list.and_then(|l| l.removal_page(subject)),
            note: Some(notes.join(" ")).filter(|n| !n.is_empty()),
        }
    };
    others.map(response).collect()
}

/// For how long receivers may remember the present answer: the largest TTL of the zones.
fn cache_seconds(kind: &[&ZoneView], zones: &[LookupZoneResponse]) -> u32 {
    let lists = |z: &&&ZoneView| zones.iter().any(|l| *l.zone == *z.name);
    let ttls: Vec<u32> = match zones.is_empty() {
        true => kind.iter().map(|z| z.ttls[1]).collect(),
        false => kind
            .iter()
            .filter(lists)
            .map(|z| z.spec.longest_ttl().0 as u32)
            .collect(),
    };
    ttls.into_iter().max().unwrap_or_default()
}

/// The commands that show what mail servers see: for the zones that list the subject, or for all.
fn dig_commands(
    kind: &[&ZoneView],
    zones: &[LookupZoneResponse],
    subject: &Subject,
) -> Vec<String> {
    let shown = |z: &&&ZoneView| zones.is_empty() || zones.iter().any(|l| *l.zone == *z.name);
    let commands = kind.iter().filter(shown);
    let commands = commands.filter_map(|z| dig_command(z, subject));
    commands.take(MAX_DIG).collect()
}

/// The network of an address or prefix, if the operator has a table and it has a route.
fn network(app: &App, subject: &Subject) -> Option<NetworkResponse> {
    let addr = match subject {
        Subject::V4(p) => IpAddr::V4(p.first().into()),
        Subject::V6(p) => IpAddr::V6(p.first().into()),
        Subject::Domain(_) => return None,
    };
    let settings = app.relay.settings();
    match settings.asn_table.of(addr) {
        Network::As(asn) => Some(NetworkResponse {
            asn,
            holder: settings.asn_table.holder(asn).map(Into::into),
        }),
        Network::Wide(_) => None,
    }
}

/// The reverse name of an address from the cache. Only a listed address is refreshed.
fn host_name(app: &App, addr: IpAddr, listed: bool) -> Option<HostNameResponse> {
    let found = app.reverse_names.get(addr, listed, app.ledger.now())?;
    Some(HostNameResponse {
        name: found.name,
        confirmed: found.confirmed,
        at: found.at.into(),
    })
}

/// An internationalised domain in the letters of its language.
fn unicode_name(subject: &Subject) -> Option<String> {
    let Subject::Domain(d) = subject else {
        return None;
    };
    let (unicode, valid) = idna::domain_to_unicode(d.name());
    (valid.is_ok() && unicode != d.name()).then_some(unicode)
}

/// What the owner of a subject can do, in a sentence for programs and logs.
fn what_to_do(
    answer: LookupAnswer,
    zones: &[LookupZoneResponse],
    relay_tests: Option<&RelayFindingsResponse>,
    is_stale: bool,
    others: &[OtherListResponse],
) -> String {
    let sources = || {
        let all = zones.iter().flat_map(|z| &z.reasons);
        let mut titles: Vec<&str> = all
            .filter_map(|r| r.source.as_ref())
            .map(|s| s.title.as_str())
            .collect();
        titles.sort_unstable();
        titles.dedup();
        titles.join(", ")
    };
    match answer {
        LookupAnswer::Listed if relay_tests.is_some_and(|t| t.inputs.is_empty()) => "Close the server to relaying, restart it, and claim that it is closed (POST /claims): it is tested again and released.".into(),
        LookupAnswer::Listed => "Read the text of each zone and fix what it names. Then ask for the removal (POST /tickets), or write to the contact of the zone.".into(),
        LookupAnswer::ListedBySource => format!(
            "Ask {} for the removal: it supplies the listing. A removal here (POST /tickets) suppresses the listing in our zones only.",
            sources()
        ),
        LookupAnswer::WasListed if is_stale => "Wait, or tell the postmaster of the refusing server: it is not listed here any more, and that server has an old copy of the list or remembers an old answer.".into(),
        LookupAnswer::WasListed => "Nothing: it is not listed here any more.".into(),
        LookupAnswer::OtherList => {
            let names: Vec<&str> = others.iter().map(|l| l.name.as_str()).collect();
            format!("Look it up at {}, which the message names: it is not listed here.", names.join(", "))
        }
        LookupAnswer::NeverListed if is_stale => "Tell the postmaster of the refusing server: it is not listed here, and that server has an old copy of the list or remembers an old answer.".into(),
        LookupAnswer::NeverListed => "Nothing: it is not listed here.".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domain_is_shown_in_both_forms() {
        let name = |s: &str| unicode_name(&s.parse().unwrap());
        assert_eq!(name("bücher.example").as_deref(), Some("bücher.example"));
        assert_eq!(name("xn--80ak6aa92e.com").as_deref(), Some("аррӏе.com"));
        assert_eq!(name("apple.com"), None);
        assert_eq!(name("45.51.100.7"), None);
    }

    #[test]
    fn pages_of_a_source_have_the_subject() {
        let feed = FeedResponse {
            feed: "xbl".into(),
            title: Some("Exploits".into()),
            lookup_url: Some("https://x.example/?q={}".into()),
            ..FeedResponse::default()
        };
        let subject = "45.51.100.7".parse().unwrap();
        let source = public_source(&[feed], "xbl", &subject);
        assert_eq!(source.title, "Exploits");
        assert_eq!(
            source.lookup_url.as_deref(),
            Some("https://x.example/?q=45.51.100.7")
        );
        assert_eq!(source.removal_url, None);
        assert_eq!(
            public_source(&[], "manual-import", &subject).title,
            "manual-import"
        );
    }
}
