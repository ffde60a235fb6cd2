//! The ledger: the one writer, and the one order of commit: check, decide, commit, apply, publish,
//! receipt.
//!
//! Each feature has a file with its types, one below `handle` that asks for it, and one below
//! `writer` that does it.

mod accounts;
mod command;
mod diff;
mod error;
pub mod guard;
mod handle;
mod health;
pub mod held;
mod import;
mod left_behind;
mod map;
pub mod names;
pub mod outbox;
mod proposals;
mod receipt;
mod relay_rows;
pub mod removal_log;
mod removal_watch;
pub mod removals;
mod rename;
mod restore;
mod serials;
mod settings;
mod start;
mod tables;
mod transaction;
mod undo;
mod writer;

pub use accounts::{Book, Keep};
use command::{Job, QUEUE};
pub use diff::Both;
pub use error::Refused;
pub use handle::{Ledger, Pending};
pub use health::{Health, RemovalsHealth};
pub use import::{Follow, Import, ImportError};
pub use left_behind::{LeftBehind, left_behind_while_stopped};
pub use map::Map;
pub use proposals::{PROPOSE, Proposal, ProposalLimits, Proposals};
pub use receipt::{ImportResult, Receipt, Renewal};
pub use relay_rows::RelayRows;
pub use removal_log::OnLoss;
pub use rename::{NameKind, Rename};
pub use restore::{Replayed, RestoreSerials, begin_log, check_log, restore};
pub use serials::{SeenSerials, SerialChange, SerialRequest};
pub use settings::{ReasonSettings, Settings};
pub use start::open;
pub use undo::{ChangedBy, MANY, Undo, Undone};
