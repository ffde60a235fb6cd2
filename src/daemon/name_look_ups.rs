//! The look-ups of reverse names: those for pages, and those for listings by generic names; and the
//! sample of queries, which has candidates for them.

use std::{sync::Arc, time::Duration};

use tokio::{runtime::Runtime, sync::watch::Receiver, task::JoinHandle};

use crate::{
    clock::uptime,
    config::Config,
    http,
    query_sample::QuerySample,
    random::Random,
    resolver::Resolver,
    reverse_names::{
        ReverseResolver,
        generic::{GenericNameService, NameDns},
    },
};

/// The time between two collections of sampled queries.
const COLLECT_INTERVAL: Duration = Duration::from_millis(250);

/// Starts the look-ups, and the collection of sampled queries.
pub(super) fn start(
    background: &Runtime,
    app: &http::App,
    resolver: ReverseResolver,
    stop: &Receiver<bool>,
) -> [JoinHandle<()>; 3] {
    let (ledger, names) = (app.ledger.clone(), app.reverse_names.clone());
    let sample = app.netblocks.query_sample.clone();
    let pages = names.run(resolver, ledger.clock.clone(), stop.clone());
    let generic = app.generic_names.clone();
    let listings = generic.run(ledger, sample.clone(), stop.clone());
    [
        background.spawn(pages),
        background.spawn(listings),
        background.spawn(collect(sample, stop.clone())),
    ]
}

/// Collects sampled queries until `stop` is set.
async fn collect(sample: QuerySample, mut stop: Receiver<bool>) {
    let mut every = tokio::time::interval(COLLECT_INTERVAL);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = every.tick() => sample.collect(uptime()),
            _ = stop.wait_for(|s| *s) => return,
        }
    }
}

/// Makes the service of listings by generic reverse names. Its resolver keeps no responses, so that
/// two look-ups of a name are two questions.
pub fn generic_names(config: &Config) -> GenericNameService {
    let dns = Resolver::uncached(&config.http_client.resolvers)
        .map(|r| Arc::new(r) as Arc<dyn NameDns>)
        .map_err(|e| format!("http_client.resolvers: {e}"));
    GenericNameService::new(config.generic_names.clone(), dns, Random::system())
}
