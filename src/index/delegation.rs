//! Delegations of a zone, and the addresses of name servers inside it (RFC 9471: glue).

use super::{
    listing::labels_in,
    records::starts_label,
    zone_set::ZoneSet,
    zones::{Rr, StaticRecords, ZoneView, rtype},
};
use crate::model::ZoneKind;

/// A name server inside one of our zones that has no address there, so that no client can reach it
/// by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingAddress {
    /// The number of the zone in which the name is: its file needs the address.
    pub zone: usize,
    /// The name server.
    pub name: String,
    /// Its name as a `[[record]]` of the zone has it.
    pub record: String,
    /// Why no `[[record]]` can have the name.
    pub problem: Option<String>,
}

impl ZoneView {
    /// A name's labels below the origin; `None` for a name outside the zone. Both in wire form,
    /// lower case.
    pub fn relative_to_origin<'n>(&self, name: &'n [u8]) -> Option<&'n [u8]> {
        let at = name.len().checked_sub(self.origin.len())?;
        (name[at..] == *self.origin && starts_label(name, at)).then_some(&name[..at])
    }

    /// A name server's offset in the zone and its records there; `None` for one outside, or without
    /// records.
    pub fn name_server<'z>(&'z self, data: &'z [u8]) -> Option<(&'z [u8], &'z StaticRecords)> {
        let place = self.relative_to_origin(data)?;
        self.fixed.get(place).map(|fixed| (place, fixed))
    }

    /// The offset in a name below the origin at which the part starts that an NS record of the zone
    /// file delegates, and its records. `starts` are the offsets of its labels.
    #[inline]
    pub fn delegation(&self, labels: &[u8], starts: &[u8]) -> Option<(usize, &StaticRecords)> {
        if self.cuts.is_empty() {
            return None;
        }
        // The highest delegation counts: names below it are not ours.
        starts.iter().rev().map(|s| usize::from(*s)).find_map(|at| {
            let cut = self.cuts.iter().find(|c| ***c == labels[at..])?;
            Some((at, self.fixed.get(cut)?))
        })
    }

    /// Checks whether a name can be delegated, and records it.
    pub(super) fn check_cut(&mut self, place: &[u8]) -> Result<(), String> {
        match self.spec.kind {
            _ if place.is_empty() => {
                Err("the name servers of the zone itself are named by `ns`".into())
            }
            ZoneKind::Domain => Err(
                "any name of a domain zone can be listed, so none can be delegated by a record"
                    .into(),
            ),
            _ => {
                if !self.cuts.iter().any(|c| **c == *place) {
                    self.cuts.push(place.into());
                }
                Ok(())
            }
        }
    }

    /// Refuses records at and below delegated names, except for the delegation and the addresses of
    /// its name servers: no query would be answered with them.
    pub(super) fn check_below_cuts(&self) -> Result<(), String> {
        for cut in &self.cuts {
            let servers: Vec<&[u8]> = self.name_servers(cut).collect();
            for (place, fixed) in self
                .fixed
                .iter()
                .filter(|(p, _)| p.ends_with(cut) && starts_label(p, p.len() - cut.len()))
            {
                let server = servers.contains(&&place[..]);
                let fits =
                    |r: &Rr| (server && is_address(r)) || (r.rtype == rtype::NS && place == cut);
                if !fixed.rrs.iter().all(fits) {
                    let name = |p: &[u8]| {
                        labels_in(p)
                            .map(|l| l.escape_ascii().to_string())
                            .collect::<Vec<_>>()
                            .join(".")
                    };
                    return Err(format!(
                        "record {}: `{}` is delegated, so only NS records and the addresses of its name servers belong there",
                        name(place),
                        name(cut)
                    ));
                }
            }
        }
        Ok(())
    }

    /// The name servers of a static name that are inside the zone, as offsets.
    fn name_servers<'z>(&'z self, place: &[u8]) -> impl Iterator<Item = &'z [u8]> {
        let rrs = self.fixed.get(place).into_iter().flat_map(|f| &f.rrs);
        rrs.filter(|r| r.rtype == rtype::NS)
            .filter_map(|r| self.relative_to_origin(&r.data))
    }
}

/// Whether a record is an address.
pub fn is_address(r: &Rr) -> bool {
    [rtype::A, rtype::AAAA].contains(&r.rtype)
}

impl ZoneSet {
    /// All name servers inside zones of ours: the zone that names them, the name, and the zone in
    /// which the name is.
    fn inner_name_servers(&self) -> Vec<(usize, Box<[u8]>, usize)> {
        let mut out = Vec::new();
        for (i, zone) in self.all().iter().enumerate() {
            for rr in zone
                .fixed
                .values()
                .flat_map(|f| &f.rrs)
                .filter(|r| r.rtype == rtype::NS)
            {
                if let Some((owner, _)) = self.find(&rr.data, |at| starts_label(&rr.data, at)) {
                    out.push((i, rr.data.clone(), owner));
                }
            }
        }
        out.sort();
        out.dedup();
        out
    }

    /// Gives each zone the addresses of name servers that it names and that are below it in other
    /// zones of ours, because mirrors of the upper zone may not have the lower one.
    pub(super) fn add_glue(&mut self) {
        for (i, name, owner) in self
            .inner_name_servers()
            .into_iter()
            .filter(|(i, _, owner)| i != owner)
        {
            let found = self.all()[owner]
                .name_server(&name)
                .map(|(_, fixed)| fixed.rrs.clone())
                .unwrap_or_default();
            let addresses: Vec<Rr> = found.into_iter().filter(is_address).collect();
            let place = self.all()[i].relative_to_origin(&name).map(<[u8]>::to_vec);
            if let Some(place) = place.filter(|_| !addresses.is_empty()) {
                self.zone_mut(i).add_addresses(&place, addresses);
            }
        }
    }

    /// The name servers inside our zones that have no address.
    pub fn missing_addresses(&self) -> Vec<MissingAddress> {
        let mut out: Vec<MissingAddress> = Vec::new();
        for (_, name, owner) in self.inner_name_servers() {
            let zone = &self.all()[owner];
            if zone
                .name_server(&name)
                .is_some_and(|(_, fixed)| fixed.rrs.iter().any(is_address))
            {
                continue;
            }
            let text = |labels: &[u8]| {
                labels_in(labels)
                    .filter(|l| !l.is_empty())
                    .map(|l| l.escape_ascii().to_string())
                    .collect::<Vec<_>>()
                    .join(".")
            };
            let place = zone.relative_to_origin(&name).unwrap_or_default();
            let record = if place.is_empty() {
                "@".into()
            } else {
                text(place)
            };
            let problem = if place.is_empty() {
                None
            } else {
                zone.check_place(place).err()
            };
            let missing = MissingAddress {
                zone: owner,
                name: text(&name),
                record,
                problem,
            };
            if !out.contains(&missing) {
                out.push(missing);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests;
