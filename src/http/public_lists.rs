//! The operations behind the public pages about the lists: how to use them, their policy, and their
//! state.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::{App, import::find_zone, notices, tickets};
use crate::{
    api::{
        ListCodeResponse, ListDayResponse, ListQualityResponse, ListResponse, ListStatusResponse,
        NoticeState, PolicyResponse, ProblemDetails, PublicStatusResponse,
        PublishedReasonPolicyResponse, ReasonListResponse, RecipePartResponse, RecipeResponse,
        TestPointsResponse,
    },
    index::{Snapshot, ZoneView},
    ledger::removals,
    model::{Mask, Serial, Time, ZoneKind},
    recipes::{self, Recipe},
    statistics::{DayFigures, ListCount},
};

/// For how many seconds figures are used before they are counted again.
const FIGURES_SECONDS: u64 = 600;
/// The time between two checks whether the figures are old.
const FIGURES_POLL: Duration = Duration::from_secs(30);
/// The period of the removals that are counted, in seconds.
const REMOVALS_SECONDS: u64 = 30 * 86_400;
/// How many commits are searched for the one that gave a zone its serial.
const MAX_COMMITS: u64 = 64;

/// What was counted last.
#[derive(Debug, Clone, Default)]
struct Counted {
    at: Option<Time>,
    by_reasons: BTreeMap<Mask, u64>,
    removals: Option<u64>,
    under_way: bool,
    /// When zones got a serial: by the name of the zone.
    changed: BTreeMap<String, (Serial, Time)>,
}

/// The figures of the public pages, which are counted in the background.
#[derive(Debug, Clone, Default)]
pub struct Figures(Arc<Mutex<Counted>>);

impl Figures {
    /// Begins a count if the figures are old and no other count runs.
    fn begin_count(&self, now: Time) -> Option<CountPermit> {
        let mut counted = self.0.lock();
        let is_old = counted
            .at
            .is_none_or(|at| now.0.saturating_sub(at.0) > FIGURES_SECONDS);
        if !is_old || counted.under_way {
            return None;
        }
        counted.under_way = true;
        let figures = self.clone();
        Some(CountPermit { figures, now })
    }
}

/// A count that runs. Another one can begin after it is dropped, however the count ended.
#[derive(Debug)]
struct CountPermit {
    figures: Figures,
    /// When the count began.
    now: Time,
}

impl Drop for CountPermit {
    fn drop(&mut self) {
        self.figures.0.lock().under_way = false;
    }
}

/// Whether the public may know a list: not a catalog, and not the log-ins of the operator's users.
fn is_public(zone: &ZoneView) -> bool {
    zone.spec.kind != ZoneKind::Catalog && !zone.spec.is_volatile()
}

/// The lists that the public may know.
fn public_zones(snapshot: &Snapshot) -> impl Iterator<Item = (usize, &ZoneView)> {
    let zones = snapshot.zones.all().iter().enumerate();
    zones.filter(|(_, z)| is_public(z))
}

/// Returns all lists, without recipes.
pub fn lists(app: &App) -> Vec<ListResponse> {
    let snapshot = app.ledger.published.snapshot();
    public_zones(&snapshot)
        .map(|(_, z)| list_of(app, z, Vec::new()))
        .collect()
}

/// Returns a list with the recipes for its use.
///
/// # Errors
///
/// There is no such list.
pub fn list(app: &App, name: &str) -> Result<ListResponse, ProblemDetails> {
    let snapshot = app.ledger.published.snapshot();
    let zone = find_zone(&snapshot, name)?;
    if !is_public(zone) {
        return Err(ProblemDetails::not_found(format!(
            "there is no list `{name}`"
        )));
    }
    Ok(list_of(app, zone, recipes::of(&zone.spec)))
}

fn list_of(app: &App, zone: &ZoneView, recipes: Vec<Recipe>) -> ListResponse {
    let settings = app.ledger.settings();
    let lifetime = |name: &String| {
        let reason = settings.reasons.iter().find(|r| r.name == *name);
        reason.and_then(|r| r.lifetime).map(|l| l.0)
    };
    let codes = zone.publish.iter().zip(&zone.spec.publish);
    let codes = codes.map(|(p, spec)| ListCodeResponse {
        code: std::net::Ipv4Addr::from(p.code).to_string(),
        reason: p.name.to_string(),
        rule: spec.rule().map(|rule| rule.to_string()),
        text: p.text.to_string(),
        // A rule ends with the first of its reasons if it needs all, else with the last.
        lifetime_seconds: match spec.any.len() > 1 {
            false => spec.reasons().filter_map(lifetime).min(),
            true => {
                let each: Option<Vec<u64>> = spec.reasons().map(lifetime).collect();
                each.and_then(|all| all.into_iter().max())
            }
        },
    });
    let (spec, about) = (&zone.spec, &zone.spec.about);
    ListResponse {
        zone: zone.name.to_string(),
        alias: spec.short_name.clone(),
        kind: spec.kind,
        use_for: about.use_for.clone(),
        not_for: about.not_for.clone(),
        criteria: about.criteria.clone(),
        recommended: about.recommended(),
        codes: codes.collect(),
        bitmask: spec.bitmask,
        ttls: [spec.longest_ttl().0 as u32, zone.ttls[1], zone.ttls[2]],
        contact: spec.contact.clone(),
        test_points: test_points(zone),
        open: zone.is_open(),
        ends: spec.retire.as_ref().map(|r| r.empty_at.into()),
        recipes: recipes.into_iter().map(recipe).collect(),
    }
}

/// A recipe as it is sent.
pub fn recipe(recipe: Recipe) -> RecipeResponse {
    let parts = recipe.parts.into_iter().map(|p| RecipePartResponse {
        purpose: p.purpose,
        file: p.file,
        text: p.text,
    });
    RecipeResponse {
        id: recipe.id.into(),
        program: recipe.program.into(),
        parts: parts.collect(),
    }
}

fn test_points(zone: &ZoneView) -> TestPointsResponse {
    let [listed, unlisted] = match zone.spec.kind {
        ZoneKind::Address => [("127.0.0.2", "2.0.0.127"), ("127.0.0.1", "1.0.0.127")],
        _ => [("test", "test"), ("invalid", "invalid")],
    };
    let name = |label: &str| format!("{label}.{}", zone.name);
    TestPointsResponse {
        listed: listed.0.into(),
        listed_name: name(listed.1),
        unlisted: unlisted.0.into(),
        unlisted_name: name(unlisted.1),
    }
}

/// Returns the policy of the lists.
pub fn policy(app: &App) -> PolicyResponse {
    let lists = lists(app);
    let settings = app.ledger.settings();
    let relay = app.relay.settings();
    let removal = tickets::removal_policies(app);
    let reasons = removal.reasons.iter().map(|r| {
        let configured = settings.reasons.iter().find(|c| c.name == r.reason);
        let publishes = lists.iter().filter_map(|l| {
            let code = l.codes.iter().find(|c| c.reason == r.reason)?;
            Some(ReasonListResponse {
                zone: l.zone.clone(),
                alias: l.alias.clone(),
                code: code.code.clone(),
            })
        });
        PublishedReasonPolicyResponse {
            reason: r.reason.clone(),
            text: configured.map_or(String::new(), |c| c.text.clone()),
            lifetime_seconds: configured.and_then(|c| c.lifetime).map(|l| l.0),
            lists: publishes.collect(),
            policy: r.policy,
            proof_required: r.proof_required,
            approved: configured.is_some_and(|c| c.two_persons),
        }
    });
    PolicyResponse {
        reasons: reasons.collect(),
        lists,
        removal,
        special_ranges: settings.special.iter().map(ToString::to_string).collect(),
        tests_relays: relay.enabled && relay.public,
        test_contact: relay.tester.contact.clone(),
        quality: quality(app),
    }
}

/// The figures of all lists that were counted last, for the public; none until they are counted.
fn quality(app: &App) -> Vec<ListQualityResponse> {
    let Some(report) = app.quality.last() else {
        return Vec::new();
    };
    let snapshot = app.ledger.published.snapshot();
    let lists = public_zones(&snapshot).filter_map(|(_, z)| {
        Some(ListQualityResponse {
            zone: z.name.to_string(),
            alias: z.spec.short_name.clone(),
            counted: report.counted.into(),
            figures: *report.zones.get(&*z.name)?,
        })
    });
    lists.collect()
}

/// Returns the public state of the lists. Figures are at most ten minutes old; the first client
/// after a start waits until they are counted.
pub async fn status(app: &App) -> PublicStatusResponse {
    let (now, app_copy) = (app.ledger.now(), app.clone());
    let missing = app.figures.0.lock().at.is_none();
    if let Some(permit) = app.figures.begin_count(now) {
        let counting = tokio::task::spawn_blocking(move || count(&app_copy, &permit));
        if missing {
            // A panic of the count leaves the figures unknown.
            let _ = counting.await;
        }
    }
    let app = app.clone();
    let read = tokio::task::spawn_blocking(move || read_status(&app, now));
    read.await.unwrap_or_else(|_| PublicStatusResponse {
        up: false,
        now: now.into(),
        started: now.into(),
        lists: Vec::new(),
        removals_30_days: None,
        counted: None,
        notices: Vec::new(),
    })
}

/// Counts the figures again and again until `stop` is set, so that each day has some.
pub async fn count_figures(app: App, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(FIGURES_POLL) => {}
            _ = stop.wait_for(|s| *s) => break,
        }
        let counting = app.clone();
        if let Some(permit) = app.figures.begin_count(app.ledger.now()) {
            // A panic of the count leaves the figures as they were.
            let _ = tokio::task::spawn_blocking(move || count(&counting, &permit)).await;
        }
    }
    add_to_statistics(&app, None);
}

/// Adds the entries and changes of the lists to the figures of today.
fn add_to_statistics(app: &App, by_reasons: Option<&BTreeMap<Mask, u64>>) {
    let snapshot = app.ledger.published.snapshot();
    let changes = app.ledger.health.take_zone_changes();
    let counts = public_zones(&snapshot).map(|(_, zone)| {
        let name = zone.name.to_string();
        let changes = changes.get(&name).copied().unwrap_or_default();
        let count = ListCount {
            entries: by_reasons.map(|counted| entries_of(counted, zone)),
            listed: changes.listed,
            delisted: changes.delisted,
        };
        (name, count)
    });
    app.statistics.add(app.ledger.now(), &counts.collect());
}

/// The number of entries that a zone publishes.
fn entries_of(by_reasons: &BTreeMap<Mask, u64>, zone: &ZoneView) -> u64 {
    let listed = by_reasons
        .iter()
        .filter(|(mask, _)| **mask & zone.mask != 0);
    listed.map(|(_, n)| n).sum()
}

/// Counts entries and removals.
fn count(app: &App, permit: &CountPermit) {
    let snapshot = app.ledger.published.snapshot();
    let derivations = snapshot.zones.derivations();
    let by_reasons = snapshot.tables.count_by_reasons(&derivations);
    let path = app.ledger.settings().removals.clone();
    let since = Time(permit.now.0.saturating_sub(REMOVALS_SECONDS));
    let removals = path.and_then(|p| match removals::count_since(&p, since) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Some(0),
        counted => counted.ok(),
    });
    add_to_statistics(app, Some(&by_reasons));
    let mut counted = app.figures.0.lock();
    counted.at = Some(permit.now);
    counted.by_reasons = by_reasons;
    counted.removals = removals;
}

fn read_status(app: &App, now: Time) -> PublicStatusResponse {
    let snapshot = app.ledger.published.snapshot();
    let mirrors = (app.mirrors)();
    let changed = changes(app, &snapshot);
    let counted = app.figures.0.lock().clone();
    let lists = public_zones(&snapshot).map(|(i, zone)| {
        let own = mirrors
            .iter()
            .filter(|m| m.configured && m.zone == *zone.name);
        let own: Vec<_> = own.collect();
        let since = changed.get(&*zone.name).map(|(_, at)| *at);
        ListStatusResponse {
            zone: zone.name.to_string(),
            alias: zone.spec.short_name.clone(),
            serial: snapshot.serials.get(i).map_or(0, |s| s.0),
            changed: since.map(Into::into),
            age_seconds: since.map(|at| now.0.saturating_sub(at.0)),
            entries: counted.at.map(|_| entries_of(&counted.by_reasons, zone)),
            days: app
                .statistics
                .of_list(&zone.name, now)
                .into_iter()
                .map(day)
                .collect(),
            mirrors: own.len(),
            current_mirrors: own
                .iter()
                .filter(|m| m.mirror_serial == Some(m.serial))
                .count(),
            lag_seconds: own
                .iter()
                .filter_map(|m| m.behind.filter(|b| b.serials > 0).map(|b| b.seconds))
                .max(),
            ends: zone.spec.retire.as_ref().map(|r| r.empty_at.into()),
        }
    });
    let current = |state: NoticeState| matches!(state, NoticeState::Current | NoticeState::Planned);
    PublicStatusResponse {
        up: app.ledger.health.writes_refused().is_none(),
        now: now.into(),
        started: app.started.into(),
        lists: lists.collect(),
        removals_30_days: counted.removals,
        counted: counted.at.map(Into::into),
        notices: notices::public(app)
            .items
            .into_iter()
            .filter(|n| current(n.state))
            .collect(),
    }
}

fn day((day, figures): (Time, DayFigures)) -> ListDayResponse {
    ListDayResponse {
        day: day.into(),
        entries: figures.entries,
        listed: figures.listed,
        delisted: figures.delisted,
    }
}

/// When each zone got its present serial, as far as that is known.
fn changes(app: &App, snapshot: &Snapshot) -> BTreeMap<String, (Serial, Time)> {
    let serials = || {
        let zones = public_zones(snapshot);
        zones.filter_map(|(i, z)| Some((z.name.to_string(), *snapshot.serials.get(i)?)))
    };
    let mut known = app.figures.0.lock().changed.clone();
    let is_known = |known: &BTreeMap<String, (Serial, Time)>, name: &str, serial: Serial| {
        known.get(name).is_some_and(|(s, _)| *s == serial)
    };
    let mut missing: BTreeMap<String, Serial> = serials()
        .filter(|(name, serial)| !is_known(&known, name, *serial))
        .collect();
    let mut seq = snapshot.seq;
    let oldest = snapshot.seq.saturating_sub(MAX_COMMITS);
    while !missing.is_empty() && seq > oldest {
        if let Ok(Some(commit)) = app.ledger.store.commit_row(seq) {
            for (name, _, after) in &commit.serials {
                if missing.get(name) == Some(after) {
                    missing.remove(name);
                    known.insert(name.clone(), (*after, commit.at));
                }
            }
        }
        seq -= 1;
    }
    for name in missing.keys() {
        known.remove(name);
    }
    app.figures.0.lock().changed = known.clone();
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_count_runs_and_another_begins_after_a_panic() {
        let (figures, now) = (Figures::default(), Time(1_000_000));
        let permit = figures.begin_count(now).unwrap();
        assert!(figures.begin_count(now).is_none());
        let counting = std::thread::spawn(move || {
            let _permit = permit;
            panic!("the count fails");
        });
        assert!(counting.join().is_err());
        assert!(figures.begin_count(now).is_some());
    }
}
