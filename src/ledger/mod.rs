//! The ledger: the only writer of the store. It handles one command at a time: check, decide, make
//! the tables, write one synced batch, publish, acknowledge, notify.
//!
//! A feature has up to three files: its types here, the caller's side in `handle/`, and the
//! writer's side in `writer/`. The types depend on neither side.

mod accounts;
mod diff;
mod error;
mod feature_batch;
mod feature_rows;
mod feature_table;
pub mod guard;
mod handle;
mod health;
pub mod held;
mod import;
mod left_behind;
mod map;
pub mod names;
pub mod notices;
pub mod outbox;
mod proposals;
mod publish_rules;
mod receipt;
pub mod removal_log;
mod removal_watch;
pub mod removals;
mod rename;
mod restore;
mod serials;
mod settings;
mod start;
mod tables;
#[cfg(test)]
pub(crate) mod tests;
mod transaction;
mod undo;
mod writer;

pub use accounts::{AccountChange, Accounts};
pub use diff::OldAndNew;
pub use error::LedgerError;
pub use feature_batch::{FeatureBatch, Rounds};
pub use feature_rows::{FeatureNotice, FeatureRows};
pub use feature_table::{Feature, FeatureTable, KeyPart, KeyRange};
pub use handle::{Ledger, Pending};
pub use health::{Health, RemovalLogHealth, ZoneChanges};
pub use import::{Follow, Import, ImportError};
pub use left_behind::{LeftBehind, left_behind_while_stopped};
pub use map::Map;
pub use proposals::{PROPOSE, Proposal, ProposalLimits, Proposals};
pub use receipt::{ImportResult, Receipt, Renewal};
pub use removal_log::OnLoss;
pub use rename::{NameKind, Rename};
pub use restore::{RestoreReport, RestoreSerials, begin_log, check_log, restore};
pub use serials::{MirrorSerials, SerialChange, SerialRequest};
pub use settings::{ExpiryBatch, LedgerSettings, NetblockRule, ReasonSettings};
pub use start::open;
pub use undo::{ChangedBy, MAX_CHANGES, Undo, UndoResult};
