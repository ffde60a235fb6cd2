//! The ledger: the one writer, and the one order of commit: check, decide, commit, apply, publish,
//! receipt.

mod expiry;
mod group;
pub mod guard;
mod handle;
pub mod held;
mod import;
pub mod names;
pub mod outbox;
mod past;
mod people;
mod proposals;
mod relay_rows;
pub mod removal_log;
mod removal_watch;
pub mod removals;
mod rename;
mod restore;
mod serials;
mod start;
mod undo;
mod writer;

use handle::{GROUP, Job, QUEUE, Reply};
pub use handle::{
    Health, ImportResult, Ledger, Pending, ReasonSettings, Receipt, Refused, RelayRows,
    RemovalsHealth, Renewal, Settings,
};
pub use import::{Follow, Import, ImportError};
pub use past::Both;
pub use people::{Book, Keep, Map};
pub use proposals::{PROPOSE, Proposal, ProposalLimits, Proposals};
pub use removal_log::OnLoss;
pub use rename::{LeftBehind, NameKind, Rename, left_behind_while_stopped};
pub use restore::{Replayed, RestoreSerials, begin_log, check_log, restore};
pub use serials::{SeenSerials, SerialChange, SerialRequest};
pub use start::open;
pub use undo::{ChangedBy, MANY, Undo, Undone};
