//! The ledger: the one writer, and the one order of commit: check, decide, commit, apply, publish, receipt.

pub mod desk;
mod expiry;
mod group;
pub mod guard;
mod handle;
pub mod held;
mod import;
pub mod outbox;
mod past;
mod people;
pub mod removals;
mod restore;
mod serials;
mod start;
mod undo;
mod writer;

use handle::{GROUP, Job, QUEUE, Reply};
pub use handle::{Health, ImportResult, Ledger, Pending, ReasonSettings, Receipt, Refused, Settings};
pub use import::{Follow, Import, ImportError};
pub use past::Both;
pub use people::{Book, Keep, Proposal};
pub use restore::{Replayed, RestoreSerials, restore};
pub use serials::{SeenSerials, SerialChange, SerialRequest};
pub use start::open;
pub use undo::{MANY, Undo, Undone};
