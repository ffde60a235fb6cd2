//! Walks down the chain to the line that took the message from outside.

use std::net::IpAddr;

use super::{
    Hop, Standing, Trace, Unattributed,
    address::is_private,
    block::{Fields, received_fields},
    received::{Handover, ParsedLine},
};
use crate::model::Subject;

/// Attributes a message to the address that handed it to the reader's own servers.
///
/// `headers` are the pasted headers, with any text before and after them. `own` are the addresses
/// and prefixes of the reader's servers; domains in it have no effect. The module's documentation
/// has the rules.
///
/// Returns `None` if the text has no `Received` field in a header block.
pub fn trace(headers: &str, own: &[Subject]) -> Option<Trace> {
    trace_counted(headers, own).0
}

/// [`trace`], and the bytes that it looked at, counted as often as they were.
pub(super) fn trace_counted(headers: &str, own: &[Subject]) -> (Option<Trace>, usize) {
    let Fields {
        fields,
        truncated,
        mut work,
    } = received_fields(headers);
    if fields.is_empty() {
        return (None, work);
    }
    let is_own = |a: IpAddr| is_private(a) || own.iter().any(|o| o.covers(&Subject::host(a)));
    let mut attribution = None;
    let mut hops = Vec::with_capacity(fields.len());
    for field in &fields {
        let line = ParsedLine::parse(&field.value, &mut work);
        let standing = match (attribution, line.handover, line.address) {
            (Some(_), _, _) => Standing::Unproved,
            (None, Handover::Internal, _) => Standing::Own,
            (None, Handover::LocalSubmission, _) => {
                attribution = Some(Err(Unattributed::LocalSubmission));
                Standing::Own
            }
            (None, Handover::Client, Some(address)) if is_own(address) => Standing::Own,
            (None, Handover::Client, address) => {
                attribution = Some(address.ok_or(Unattributed::AddressUnknown));
                Standing::HandedOver
            }
        };
        hops.push(hop(field.line, &field.value, &line, standing));
    }
    let end = match truncated {
        true => Unattributed::TooLong,
        false => Unattributed::NoOutsideClient,
    };
    let trace = Trace {
        hops,
        attribution: attribution.unwrap_or(Err(end)),
        truncated,
    };
    (Some(trace), work)
}

fn hop(number: u32, value: &str, line: &ParsedLine<'_>, standing: Standing) -> Hop {
    let owned = |part: Option<&str>| part.map(single_spaced).filter(|p| !p.is_empty());
    Hop {
        line: number,
        from_name: owned(line.from_name),
        reverse_name: owned(line.reverse_name),
        address: line.address,
        by: owned(line.by),
        protocol: owned(line.protocol),
        id: owned(line.id),
        recipient: owned(line.recipient),
        received_at: owned(line.received_at),
        tls: owned(line.tls),
        text: single_spaced(value),
        standing,
    }
}

/// A text with a single space between its words, and none around them.
fn single_spaced(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_ascii_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}
