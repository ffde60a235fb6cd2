//! The state that the handlers of pages share.

use std::sync::Arc;

use axum::extract::FromRef;

use super::settings::SiteSettings;
use crate::{
    api::Timestamp,
    http::{App, Report},
};

/// A notice of the operators at the top of each page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Banner {
    /// The text of the notice.
    pub text: String,
    /// When the notice began.
    pub since: Timestamp,
}

/// The state that the handlers of pages share.
#[derive(Clone)]
pub(super) struct SiteState {
    /// The operations.
    pub app: App,
    /// What the operator says about the site.
    pub settings: Arc<SiteSettings>,
    /// Returns the notices that are in force, the newest first.
    pub banners: Report<Vec<Banner>>,
}

impl FromRef<SiteState> for App {
    fn from_ref(state: &SiteState) -> App {
        state.app.clone()
    }
}
