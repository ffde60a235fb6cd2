//! The views of a zone that can be transferred: its records by owner names, and its rows.

use crate::{
    index::{
        Interned, Snapshot, Tables, ZoneView,
        difference::View,
        render::{Emit, Rendered, records, render_while},
        rows,
    },
    model::Serial,
};

/// The view that a name requests: the zone's own name requests its records, `_rows` below it its
/// rows. `None` for other names.
pub fn view_of(below: &[u8]) -> Option<View> {
    match below {
        [] => Some(View::Names),
        rows::ROWS => Some(View::Rows),
        _ => None,
    }
}

/// Renders one view of a zone, for as long as `emit` returns true.
pub(super) fn render_view(view: View, tables: &Tables, zone: &ZoneView, emit: Emit) -> bool {
    match view {
        View::Names => render_while(tables, zone, emit),
        View::Rows => rows::render_rows(tables, zone, emit),
    }
}

/// The records of an owner of one view.
pub(super) fn records_of(
    view: View,
    interned: &Interned,
    zone: &ZoneView,
    owner: &[u8],
    at: &Rendered,
    sink: &mut dyn FnMut(u16, u32, &[u8]),
) {
    match view {
        View::Names => records(interned, zone, at, sink),
        View::Rows => rows::records(interned, zone, owner, at, sink),
    }
}

/// A zone's serial in a snapshot.
pub fn serial(snapshot: &Snapshot, number: usize) -> Serial {
    snapshot
        .serials
        .get(number)
        .copied()
        .unwrap_or(Serial(snapshot.zones.all()[number].spec.serial))
}
