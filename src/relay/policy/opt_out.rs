//! An opt-out.

use serde::{Deserialize, Serialize};

use crate::model::Time;

/// A request of an owner not to be tested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptOut {
    /// What is not to be tested.
    pub subject: String,
    /// Since when.
    pub at: Time,
    /// Who recorded it.
    pub by: String,
    /// How control was proved.
    pub proof: String,
}
