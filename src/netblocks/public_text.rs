//! The public texts of netblocks. They are fixed, so that no text of an operator becomes public.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::NetblockError;

/// Why a network is listed: a fixed public text with its parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, strum::IntoStaticStr)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[strum(serialize_all = "kebab-case")]
pub enum NetblockText {
    /// Many of its addresses send spam.
    SpamFromMany {
        /// How many addresses were seen to send it.
        addresses: u32,
    },
    /// It hosts what senders of spam need, such as web sites, name servers or mailboxes.
    SpamSupport {},
    /// Its owner does not act on complaints.
    IgnoresComplaints {
        /// How many complaints were sent.
        complaints: u32,
        /// For how many days.
        days: u32,
    },
    /// It has open relays, and its owner refuses to close them.
    OpenRelays {
        /// How many open relays a test has proved.
        hosts: u32,
    },
    /// Somebody announces it who does not hold it.
    Hijacked {},
    /// Its holder asked for the listing, because it sends no mail.
    HolderRequest {},
}

impl NetblockText {
    /// The name of the kind.
    pub fn kind(&self) -> &'static str {
        self.into()
    }

    /// Whether its owner has to be asked before the listing. Nobody can be asked about a hijacked
    /// network, and the holder who asked for the listing need not be.
    pub fn needs_contact(&self) -> bool {
        match self {
            NetblockText::SpamFromMany { .. }
            | NetblockText::SpamSupport {}
            | NetblockText::IgnoresComplaints { .. }
            | NetblockText::OpenRelays { .. } => true,
            NetblockText::Hijacked {} | NetblockText::HolderRequest {} => false,
        }
    }

    /// The text in English, for programs and the terminal; pages have it in each language.
    pub fn english(&self) -> String {
        match self {
            NetblockText::SpamFromMany { addresses } => {
                format!("{addresses} of its addresses send spam.")
            }
            NetblockText::SpamSupport {} => {
                "It hosts what senders of spam need, such as web sites, name servers or mailboxes."
                    .into()
            }
            NetblockText::IgnoresComplaints { complaints, days } => format!(
                "Its owner did not act on {complaints} complaints about spam in {days} days."
            ),
            NetblockText::OpenRelays { hosts } => {
                format!("It has {hosts} open relays, and its owner does not close them.")
            }
            NetblockText::Hijacked {} => "It is announced by somebody who does not hold it.".into(),
            NetblockText::HolderRequest {} => {
                "Its holder asked for the listing, because it sends no mail.".into()
            }
        }
    }

    /// Refuses parameters that say nothing.
    pub(super) fn check(&self) -> Result<(), NetblockError> {
        let parameters: &[(&str, u32)] = match self {
            NetblockText::SpamFromMany { addresses } => &[("addresses", *addresses)],
            NetblockText::IgnoresComplaints { complaints, days } => {
                &[("complaints", *complaints), ("days", *days)]
            }
            NetblockText::OpenRelays { hosts } => &[("hosts", *hosts)],
            NetblockText::SpamSupport {}
            | NetblockText::Hijacked {}
            | NetblockText::HolderRequest {} => &[],
        };
        match parameters.iter().find(|(_, n)| *n == 0) {
            None => Ok(()),
            Some((name, _)) => Err(NetblockError::Invalid(format!(
                "public_text.{name}: must be 1 or more"
            ))),
        }
    }
}
