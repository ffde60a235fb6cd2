//! The record of an opt-out.

use serde::{Deserialize, Serialize};

use crate::model::Time;

/// The request of an owner not to test some hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptOut {
    /// The address or prefix that is not tested.
    pub subject: String,
    /// The time of the request.
    pub at: Time,
    /// The user who recorded it.
    pub by: String,
    /// How the owner has proved control of the subject.
    pub proof: String,
}
