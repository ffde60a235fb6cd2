//! Domain types: the values and rules that all other modules use. No I/O, no clock, no async.

pub mod access;
pub mod digest;
pub mod domain;
pub mod entry_text;
pub mod event;
pub mod evidence;
pub mod history;
pub mod key;
pub mod names;
pub mod prefix;
pub mod reason;
pub mod retire;
pub mod retirement;
pub mod serial;
pub mod special;
pub mod subject;
pub mod text;
pub mod time;
pub mod verdict;
pub mod zone;

pub use access::{Role, Token, TokenRestrictions, User};
pub use digest::Digest;
pub use domain::{Domain, Scope};
pub use entry_text::{EntryText, FeedPath, MAX_HOPS, StoreId};
pub use event::{Event, EventKind};
pub use evidence::{Evidence, EvidenceKind};
pub use history::{Change, Preconditions};
pub use key::{Algorithm, Keys, TsigKey};
pub use prefix::{Prefix4, Prefix6};
pub use reason::{MAX_REASONS, Mask, ReasonId, Reasons, SourceId, Sources};
pub use serial::Serial;
pub use subject::Subject;
pub use time::Time;
pub use verdict::{Entry, Exempt, Hold, Verdict};
pub use zone::{Zone, ZoneKind};
