//! Reverse names of listed addresses, for pages: a cache that is filled in the background, so that
//! no page waits for a look-up outside of this machine. [`generic`] lists addresses by their names.
//!
//! Only addresses that are listed are looked up, and only after a page has shown them: what visitors
//! ask about is not told to name servers of others. [`ReverseNameTable`] has the rules and no clock.

pub mod generic;
mod table;
mod worker;

pub use table::{ReverseName, ReverseNameTable};
pub use worker::{ReverseLookup, ReverseNameStats, ReverseNames, ReverseResolver, dns_resolver};
