//! The listings of a zone, cut into pieces of uniform value, for exports of prefixes.

mod reshaped;

use reshaped::Reshaped;
pub use reshaped::{OnReshaped, Shape};

use super::{
    build::Tables,
    ip4::Block,
    listing::Items,
    render::{self, Rendered},
    space::{Ip4Octets, LabelTree},
    values::FactsId,
    zones::ZoneView,
};
use crate::model::{Domain, Prefix4, Prefix6, Scope, Subject};

/// How the listings are cut into pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoverMode {
    /// Each piece has one value.
    Values,
    /// Each piece has one answer: one value, and one listed subject if a text names it.
    Answers,
    /// Single addresses that are themselves listed are pieces of their own, unless a prefix lists
    /// them too.
    Subjects,
    /// The fewest prefixes, whatever their values.
    Fewest,
}

impl CoverMode {
    /// Whether neighbours with these items are one piece; `alike` tells whether their answers are.
    fn joins(self, one: &Items, other: &Items, alike: impl FnOnce() -> bool) -> bool {
        match self {
            CoverMode::Subjects | CoverMode::Fewest => true,
            CoverMode::Values => one.same(other),
            CoverMode::Answers => one.same(other) && alike(),
        }
    }
}

/// Whether the items give the same answers in two places. A text with `$` names the listed subject,
/// so neighbours that are listed one by one have different answers.
fn answers_alike(
    tables: &Tables,
    zone: &ZoneView,
    items: &Items,
    same_subject: impl Fn(u8) -> bool,
) -> bool {
    items.as_slice().iter().all(|item| {
        let names_subject =
            |template: &str| template.contains('$') && template.replace("$$", "").contains('$');
        same_subject(item.len)
            || !zone.publish.iter().any(|p| {
                let own = tables.interned.own_text(item.text);
                p.reason == item.reason && names_subject(own.unwrap_or(&p.text))
            })
    })
}

/// A run of IPv4 addresses that is being built.
struct Run<'a, 'r> {
    tables: &'a Tables,
    zone: &'a ZoneView,
    open: Option<(u32, u32, Items)>,
    mode: CoverMode,
    tell: &'a mut dyn FnMut(Subject, &Items),
    reshaped: Reshaped<'r>,
}

impl Run<'_, '_> {
    /// Adds addresses. `alone`: a host that nothing covers.
    fn add(&mut self, first: u32, last: u32, items: &Items, alone: bool) {
        if alone && self.mode == CoverMode::Subjects {
            self.flush();
            self.start(first, last, items);
            return self.flush();
        }
        let (tables, zone, mode) = (self.tables, self.zone, self.mode);
        if let Some((start, end, old)) = &mut self.open
            && end.checked_add(1) == Some(first)
            && !items.is_empty()
            && mode.joins(old, items, || {
                answers_alike(tables, zone, items, |len| {
                    Prefix4::new(*start, len.min(32)) == Prefix4::new(first, len.min(32))
                })
            })
        {
            *end = last;
            self.reshaped.add(first.into(), last.into(), items);
            return;
        }
        self.flush();
        self.start(first, last, items);
    }

    fn start(&mut self, first: u32, last: u32, items: &Items) {
        if !items.is_empty() {
            self.open = Some((first, last, items.clone()));
            self.reshaped.add(first.into(), last.into(), items);
        }
    }

    fn flush(&mut self) {
        if let Some((first, last, items)) = self.open.take() {
            Prefix4::cover(first, last).for_each(|p| (self.tell)(Subject::V4(p), &items));
            self.reshaped.end();
        }
    }
}

/// Reports every listed piece of a zone, in order: disjoint prefixes, then domains. An excluded
/// domain has no items.
pub fn prefix_cover(
    tables: &Tables,
    zone: &ZoneView,
    mode: CoverMode,
    tell: &mut dyn FnMut(Subject, &Items),
) {
    prefix_cover_reshaped(tables, zone, mode, None, tell);
}

/// The same; also reports each listed prefix that is not a piece as it is listed.
pub fn prefix_cover_reshaped(
    tables: &Tables,
    zone: &ZoneView,
    mode: CoverMode,
    reshaped: Option<OnReshaped>,
    tell: &mut dyn FnMut(Subject, &Items),
) {
    if zone.has_ip4 {
        address_cover(tables, zone, mode, reshaped, tell);
    }
    if zone.spec.has_names() {
        names(tables, zone, tell);
    }
}

/// Reports the listed pieces of a zone's addresses, in order; see [`prefix_cover_reshaped`].
pub fn address_cover(
    tables: &Tables,
    zone: &ZoneView,
    mode: CoverMode,
    reshaped: Option<OnReshaped>,
    tell: &mut dyn FnMut(Subject, &Items),
) {
    let mut run = Run {
        tables,
        zone,
        open: None,
        mode,
        tell,
        reshaped: Reshaped::new(Prefix4::BITS, reshaped),
    };
    ip4(tables, zone, &mut run);
    run.flush();
    if !zone.has_ip6 {
        return;
    }
    let mut reshaped = Reshaped::new(Prefix6::BITS, run.reshaped.finish());
    let mut open: Option<(u128, u128, Items)> = None;
    let mut flush = |open: &mut Option<(u128, u128, Items)>, reshaped: &mut Reshaped| {
        if let Some((first, last, items)) = open.take() {
            Prefix6::cover(first, last).for_each(|p| tell(Subject::V6(p), &items));
            reshaped.end();
        }
    };
    let all = Prefix6::new(0, 0);
    tables.ip6.each_run(all, &mut |first, last, value| {
        let mut items = Items::default();
        items.extend(&tables.interned.value(value).items, zone.mask);
        let items = items.shown();
        if items.is_empty() {
            return true;
        }
        match &mut open {
            Some((start, end, old))
                if end.checked_add(1) == Some(first)
                    && mode.joins(old, &items, || {
                        answers_alike(tables, zone, &items, |len| {
                            Prefix6::new(*start, len) == Prefix6::new(first, len)
                        })
                    }) =>
            {
                *end = last;
            }
            open => {
                flush(open, &mut reshaped);
                *open = Some((first, last, items.clone()));
            }
        }
        reshaped.add(first, last, &items);
        true
    });
    flush(&mut open, &mut reshaped);
}

fn ip4(tables: &Tables, zone: &ZoneView, run: &mut Run) {
    let octets = Ip4Octets {
        ip4: &tables.ip4,
        interned: &tables.interned,
    };
    for (a, row) in tables
        .ip4
        .rows
        .iter()
        .enumerate()
        .filter_map(|(a, r)| Some((a as u32, r.as_deref()?)))
    {
        for b in 0..=255u8 {
            let base = a << 24 | u32::from(b) << 16;
            match row.blocks[usize::from(b)].as_deref() {
                None => run.add(
                    base,
                    base | 0xffff,
                    &octets.value(&[a as u8, b], zone.mask),
                    false,
                ),
                Some(block) => block_runs(&octets, zone, base, block, run),
            }
        }
    }
}

/// A block: its runs and its hosts bound stretches of one value.
fn block_runs(octets: &Ip4Octets, zone: &ZoneView, base: u32, block: &Block, run: &mut Run) {
    let hosts = block.hosts.to_vec();
    let mut cuts: Vec<u32> = vec![0, 0x1_0000];
    cuts.extend(
        block
            .ranges
            .iter()
            .flat_map(|r| [u32::from(r.first), u32::from(r.last) + 1]),
    );
    cuts.extend(
        hosts
            .iter()
            .flat_map(|h| [u32::from(*h), u32::from(*h) + 1]),
    );
    cuts.sort_unstable();
    cuts.dedup();
    for pair in cuts.windows(2) {
        let (first, last) = (base | pair[0], base | (pair[1] - 1));
        let items = octets.value(&first.to_be_bytes(), zone.mask);
        let (own, cover) = octets.ip4.get(first);
        let alone = own != FactsId::NONE && octets.interned.value(cover).mask & zone.mask == 0;
        run.add(first, last, &items, alone);
    }
}

fn names(tables: &Tables, zone: &ZoneView, tell: &mut dyn FnMut(Subject, &Items)) {
    render::names(tables, zone, &mut |owner, at| {
        let labels: Vec<String> = super::listing::labels_in(owner)
            .map(|l| String::from_utf8_lossy(l).into_owned())
            .collect();
        let name = labels.join(".");
        let (scope, name) = name
            .strip_prefix("*.")
            .map_or((Scope::Name, &*name), |n| (Scope::Below, n));
        let subject = |scope| Subject::Domain(Domain::from_canonical(name, scope));
        let mut items = Items::default();
        match at {
            Rendered::Static(_) | Rendered::Row(_) | Rendered::Identity(_) => {}
            Rendered::Listed(l) => {
                items.extend(l.own, zone.mask);
                items.extend(l.cover, zone.mask);
                tell(subject(scope), &items);
            }
            Rendered::Excluded => tell(subject(Scope::Tree), &items),
        }
        true
    });
}
