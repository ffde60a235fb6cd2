//! Netblocks: networks that are listed by the decision of two persons, with a written reason, the
//! record of what was asked of their owner, and an end. `docs/netblocks.md` describes the rules.
//!
//! | file | content |
//! | --- | --- |
//! | `public_text` | the fixed public texts, with their parameters |
//! | `contact` | what was asked of an owner, and what came back |
//! | `entry` | an entry with its states and rules: no I/O and no clock |
//! | `tables`, `service` | the stored entries; decisions are committed with their listings |
//! | `collateral` | what a listing would cover: a count of listings, exemptions, known senders and sampled addresses |
//! | `known_senders` | the operator's file of senders whose listing would be a mistake |

mod collateral;
mod contact;
mod entry;
mod error;
mod known_senders;
mod public_text;
mod service;
mod tables;
#[cfg(test)]
mod tests;

pub use collateral::{Collateral, CollateralCount};
pub use contact::{ContactAnswer, ContactRequest, NetblockContact};
pub use entry::{
    MAX_PERIOD, Netblock, NetblockAuthor, NetblockEnd, NetblockRenewal, NetblockSignature,
    NetblockState, NetblockStep, NewNetblock,
};
pub use error::NetblockError;
pub use known_senders::{KnownSender, KnownSenders};
pub use public_text::NetblockText;
pub use service::{NetblockService, SETTLE_INTERVAL};
