//! The command: options, and all checks at the same time.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use tokio::{runtime::Runtime, task::JoinSet};

use super::{
    certificates, configuration,
    context::Context,
    daemon, files,
    finding::{Area, Examination, Finding},
    listeners,
    report::{self, Form},
    site, tester, zones,
};
use crate::{
    cli::{CliError, Common, client::runtime},
    config::Config,
    model::{ZoneKind, time::Seconds},
};

/// How long a group of checks may take: five questions, one after the other, without an answer. The
/// checks of a zone wait for its parent zone, the addresses of its servers, the servers, this server
/// and the sample.
const GROUP_TIMEOUT: Duration = Duration::from_millis(9000);

/// Look for faults of this server as its users see it, and name the remedies
#[derive(Debug, Args)]
pub(in crate::cli) struct Doctor {
    /// Check only these areas
    #[arg(long, value_name = "AREA", value_delimiter = ',')]
    only: Vec<Area>,
    /// Ask this DNS resolver, ADDRESS or ADDRESS:PORT [default: those of the configuration]
    #[arg(long, value_name = "RESOLVER", value_parser = parse_resolver)]
    from: Option<SocketAddr>,
    /// DNSBL that must not list the addresses of the relay tester; may be repeated
    #[arg(long, value_name = "ZONE")]
    dnsbl: Vec<String>,
    /// Port of the name servers of each zone and of its parent zone
    #[arg(long, value_name = "PORT", default_value_t = 53)]
    dns_port: u16,
    /// Show good findings too
    #[arg(long)]
    all: bool,
    /// Print one line for monitoring, as plugins of Nagios do
    #[arg(long, conflicts_with = "all")]
    nagios: bool,
}

/// Parses the address of a resolver, with port 53 as the default.
pub(super) fn parse_resolver(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
    address
        .or_else(|_| text.parse())
        .map_err(|_| format!("`{text}` is not an address, such as 9.9.9.9 or [2620:fe::fe]:53"))
}

/// Runs the checks and shows what they found.
pub(in crate::cli) fn run(common: &Common, doctor: &Doctor) -> Result<(), CliError> {
    if common.server.is_some() {
        return Err(CliError::DoctorUsage(
            "--server: run this on the machine of the daemon, whose files and listeners are checked".into(),
        ));
    }
    let runtime = runtime()?;
    let context = {
        // The resolver needs it.
        let _in = runtime.enter();
        Context::read(common, doctor.from, doctor.dns_port, doctor.dnsbl.clone())
    };
    let mut findings = examine(&runtime, &Arc::new(context), &doctor.only);
    // Threads that still wait do not delay the end.
    runtime.shutdown_background();
    report::sort(&mut findings);
    let form = match (common.json, doctor.nagios) {
        (true, _) => Form::Json,
        (false, true) => Form::Nagios,
        (false, false) => Form::Table { all: doctor.all },
    };
    report::show(&findings, form)
}

/// Runs the checks of these areas; of all areas if there are none.
fn examine(runtime: &Runtime, context: &Arc<Context>, only: &[Area]) -> Vec<Finding> {
    let is_wanted = |area: Area| only.is_empty() || only.contains(&area);
    let mut findings = local(context, is_wanted);
    findings.extend(runtime.block_on(remote(context, is_wanted)));
    findings.retain(|f| is_wanted(f.area));
    findings
}

/// The findings of the files and of the daemon's report.
fn local(context: &Context, is_wanted: impl Fn(Area) -> bool) -> Vec<Finding> {
    let mut out = Vec::new();
    if is_wanted(Area::Configuration) {
        out.extend(configuration::check(context));
    }
    if is_wanted(Area::Daemon) {
        out.extend(daemon::check(context));
    }
    if is_wanted(Area::Certificates) {
        out.extend(certificates::check(context));
    }
    if is_wanted(Area::Clock) {
        match context.clock() {
            Some(clock) => out.extend(daemon::clock(&clock)),
            None => out.push(context.without_config(Area::Clock)),
        }
    }
    match &context.daemon {
        Ok(found) => {
            let now = found.status.now.0;
            let feeds = found.status.feeds.iter();
            out.extend(feeds.flat_map(|f| daemon::feed(f, interval(context, &f.feed), now)));
            out.push(daemon::backup(found.status.last_backup.as_ref(), now));
            out.push(daemon::removal_log(&found.status.removal_log));
        }
        Err(why) => {
            out.push(context.without_daemon(Area::Feeds, why));
            out.push(context.without_daemon(Area::Backup, why));
        }
    }
    out
}

/// The interval of a feed in the configuration.
fn interval(context: &Context, feed: &str) -> Option<Seconds> {
    let feeds = context.config.as_ref().ok()?.feeds.iter();
    feeds.filter(|f| f.name == feed).map(|f| f.every).next()
}

/// The findings of checks that use the network, at the same time.
async fn remote(context: &Arc<Context>, is_wanted: impl Fn(Area) -> bool) -> Vec<Finding> {
    let mut tasks: JoinSet<Vec<Finding>> = JoinSet::new();
    let own = || context.clone();
    if is_wanted(Area::Delegation) || is_wanted(Area::Servers) {
        match &context.config {
            Ok(config) => zone_checks(config, context, &mut tasks),
            Err(_) => {
                let areas = [Area::Delegation, Area::Servers];
                let findings = areas.map(|area| context.without_config(area)).to_vec();
                tasks.spawn(async move { findings });
            }
        }
    }
    if is_wanted(Area::Listeners) {
        limited(
            &mut tasks,
            &[Area::Listeners],
            "all",
            listeners::check(own()),
        );
    }
    if is_wanted(Area::Machine) {
        let context = own();
        let check = async move { files::check(&context).await };
        limited(&mut tasks, &[Area::Machine], "all", check);
    }
    if is_wanted(Area::Tester) {
        limited(&mut tasks, &[Area::Tester], "all", tester::check(own()));
    }
    if is_wanted(Area::Site) {
        let context = own();
        let check = async move { site::check(&context).await };
        limited(&mut tasks, &[Area::Site], "all", check);
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

/// Starts the checks of each zone that clients query.
fn zone_checks(config: &Config, context: &Arc<Context>, tasks: &mut JoinSet<Vec<Finding>>) {
    let zones = config.ledger.zones.iter();
    for zone in zones.filter(|z| z.kind != ZoneKind::Catalog) {
        let check = zones::check(context.clone(), Arc::new(zone.clone()));
        limited(
            tasks,
            &[Area::Delegation, Area::Servers],
            &zone.origin,
            check,
        );
    }
}

/// Starts a group of checks of some areas, whose end does not wait for others.
fn limited(
    tasks: &mut JoinSet<Vec<Finding>>,
    areas: &'static [Area],
    target: &str,
    check: impl Future<Output = Vec<Finding>> + Send + 'static,
) {
    let target = target.to_string();
    tasks.spawn(async move {
        let found = tokio::time::timeout(GROUP_TIMEOUT, check).await;
        found.unwrap_or_else(|_| {
            areas
                .iter()
                .map(|area| unfinished(*area, &target))
                .collect()
        })
    });
}

/// The finding of an area whose checks did not end.
fn unfinished(area: Area, target: &str) -> Finding {
    Examination::new(area, "time", target).not_seen(
        format!(
            "the checks did not end within {} ms",
            GROUP_TIMEOUT.as_millis()
        ),
        format!("look for what does not answer: run `orbsd doctor --only {area}` again"),
    )
}
