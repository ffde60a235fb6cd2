//! What the last tests of all hosts found, for comparisons with other lists.

use std::net::IpAddr;

use super::{
    batch::RelayBatch,
    outcome::Assessment,
    policy::Trigger,
    service::{RelayError, RelayService},
    tables::{HOST_JOBS, JOBS},
};
use crate::{model::Time, store::StoreError};

/// The most tests of one host that are read, the newest first.
const MAX_JOBS: usize = 20;

impl RelayService {
    /// Returns the hosts of which a test found whether they are open, each with what the last such
    /// test found: [`Assessment::Open`] or [`Assessment::Closed`]. A test that the holder of an
    /// address asked for does not count, because its result is theirs.
    pub fn tested_hosts(&self) -> Result<Vec<(IpAddr, Assessment)>, RelayError> {
        let batch = self.batch(Time(0));
        let mut hosts: Vec<IpAddr> = Vec::new();
        let all = HOST_JOBS.all();
        batch.visit_keys(&all, &all.prefix, &mut |_, (host, _)| {
            if hosts.last() != Some(&host) {
                hosts.push(host);
            }
            true
        })?;
        let mut out = Vec::new();
        for host in hosts {
            out.extend(last_finding(&batch, host)?.map(|found| (host, found)));
        }
        Ok(out)
    }
}

/// What the last test of a host found that shows whether it is open.
fn last_finding(batch: &RelayBatch<'_>, host: IpAddr) -> Result<Option<Assessment>, StoreError> {
    for id in batch.scan_numbers_desc(&HOST_JOBS.of(&host), u64::MAX, MAX_JOBS)? {
        let job = batch.get(JOBS, &id)?.filter(|job| {
            !job.is_open() && job.trigger != Trigger::SelfTest && job.ended.is_some()
        });
        let found = job.map(|job| job.assessment());
        if let Some(Assessment::Open | Assessment::Closed) = found {
            return Ok(found);
        }
    }
    Ok(None)
}
