//! Listings, exemptions, holds, purges, and streams of changes.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{ProblemDetails, ReceiptResponse, RenewalResponse, Timestamp, ZoneCodes};
use crate::model::EvidenceKind;
pub use crate::model::event::EventName;

/// Query parameters of `GET /v1/listings`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListingsQuery {
    /// Only subjects that this address or prefix covers.
    pub prefix: Option<String>,
    /// Only this domain and the names below it.
    pub domain: Option<String>,
    /// Only listings for this reason.
    pub reason: Option<String>,
    /// Only listings by this source.
    pub source: Option<String>,
    /// Only listings that this author created or last renewed.
    pub author: Option<String>,
    /// Only listings whose text or note contains this.
    pub text: Option<String>,
    /// Only listings since this time or later: a date, an RFC 3339 time, or a duration before now
    /// (7d).
    #[param(example = "7d")]
    pub from: Option<String>,
    /// Only listings since this time or earlier.
    pub to: Option<String>,
    /// The `next` of the previous page.
    pub after: Option<String>,
    /// The largest number of items on the page (default 100).
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
}

/// Query parameters of a paged list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// The `next` of the previous page.
    pub after: Option<String>,
    /// The largest number of items on the page (default 100).
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
}

/// The operation that a change performs on its subject.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// List the subject for a reason, or renew its listing.
    #[default]
    List,
    /// End listings of the subject.
    Delist,
    /// Never publish the subject.
    Exempt,
    /// End the exemption of the subject.
    Unexempt,
    /// Suppress a reason for the subject.
    Hold,
    /// End holds of the subject.
    Unhold,
}

/// A change of one subject: a new listing, or a line of `POST /v1/bulk`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"subject": "192.0.2.1", "reason": "spam", "until": "30d", "note": "three messages to a trap"}))]
pub struct ListingRequest {
    /// The operation; `POST /v1/listings` accepts only `list`.
    #[serde(default)]
    pub op: Operation,
    /// An address, a prefix, a domain, or a digest where a hash zone publishes the reason.
    pub subject: String,
    /// The reason; `list` and `hold` need it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The source (default `operator`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// When the change expires: a duration (`30d`), a time (RFC 3339), or, for `list`, `never`.
    /// Without it, an existing listing keeps its end, and a new one expires after the lifetime of
    /// its reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "30d")]
    pub until: Option<String>,
    /// The text of this listing, instead of that of its reason; `$` stands for the subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// For `list`: list a single IPv6 address exactly, so that no zone publishes the network around
    /// it in its place.
    #[serde(default)]
    pub exact: bool,
    /// A note for the history, such as what was observed; never published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Accept a subject in a special-purpose range.
    #[serde(default)]
    pub special: bool,
    /// Clear host bits in a prefix instead of refusing it.
    #[serde(default)]
    pub clear_host_bits: bool,
    /// For `delist`: set no hold, since the listing was a mistake; any source may list the subject
    /// again.
    #[serde(default)]
    pub no_hold: bool,
    /// For `delist`: the listing was an error. It is counted in the error rates of the zones and
    /// sources that had it.
    #[serde(default)]
    pub listed_in_error: bool,
    /// For `list`: list the subject although a removal was granted. Requires the role operator.
    #[serde(default)]
    pub break_hold: bool,
    /// For `list`: list the subject although no zone publishes such a subject for the reason.
    #[serde(default)]
    pub unpublished: bool,
    /// For `list` and `exempt`: public suffixes that are accepted, such as `tk`.
    #[serde(default)]
    pub allow_suffix: Vec<String>,
}

/// The new end, text and note of a listing.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RenewalRequest {
    /// When the listing expires: a duration, a time, or `never` (default: after the lifetime of its
    /// reason).
    #[schema(example = "30d")]
    pub until: Option<String>,
    /// The text of this listing, instead of that of its reason; `$` stands for the subject.
    pub text: Option<String>,
    /// A note for the history, such as what was observed.
    pub note: Option<String>,
}

/// Query parameters of `DELETE /v1/listings/{id}`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeletionQuery {
    /// How long no source may list the subject again: a duration, a time, or `none` if the listing
    /// was a mistake (default 30d).
    #[param(example = "30d")]
    pub hold: Option<String>,
    /// End the listing of this source alone; others stay.
    pub only: bool,
    /// The listing was an error. It is counted in the error rates of the zones and sources that
    /// had it.
    pub listed_in_error: bool,
    /// A note for the history that says why.
    pub note: Option<String>,
}

/// A listing that was created, or a proposal that another person has to approve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ListingSubmissionResponse {
    /// The ID of the listing.
    pub id: String,
    /// The number of the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<u64>,
    /// The new serials, by zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serials: Option<std::collections::BTreeMap<String, u32>>,
    /// The revision of the subject after the write, for `If-Match`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The old and the new end of a listing that was renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewed: Option<RenewalResponse>,
    /// The ID of the proposal that another person has to approve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<String>,
}

impl ListingSubmissionResponse {
    /// The response for a listing that was created.
    pub fn created(id: String, receipt: ReceiptResponse) -> ListingSubmissionResponse {
        ListingSubmissionResponse {
            id,
            commit: Some(receipt.commit),
            serials: Some(receipt.serials),
            revision: receipt.revision,
            renewed: receipt.renewed,
            proposal: None,
        }
    }

    /// The response for a listing that another person has to approve.
    pub fn proposed(id: String, proposal: String) -> ListingSubmissionResponse {
        ListingSubmissionResponse {
            id,
            commit: None,
            serials: None,
            revision: None,
            renewed: None,
            proposal: Some(proposal),
        }
    }
}

/// Evidence for a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EvidenceResponse {
    /// The kind of evidence.
    pub kind: EvidenceKind,
    /// The evidence as text.
    pub text: String,
}

/// A subject that a source lists for a reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ListingResponse {
    /// The ID of the listing, for `/v1/listings/{id}`.
    pub id: String,
    /// An address, a prefix or a domain.
    pub subject: String,
    /// The reason.
    pub reason: String,
    /// The source.
    pub source: String,
    /// When the listing began.
    pub since: Timestamp,
    /// When the source last saw it: when it listed or renewed it, or, for a feed's entry, the last
    /// import of the feed.
    pub last_seen: Timestamp,
    /// When the listing expires; null for a feed's entry, which ends with the feed.
    pub until: Option<Timestamp>,
    /// The text of this listing, instead of that of its reason; `$` stands for the subject.
    pub text: Option<String>,
    /// True for an exclusion from a wider listing of the same source, which lists nothing.
    pub exclusion: bool,
    /// True for a single IPv6 address that is published as it is by zones that publish the networks
    /// around others.
    #[serde(default)]
    pub exact: bool,
    /// True while a granted removal suppresses the listing, so that it is not published.
    pub held: bool,
    /// The author who created or last renewed the listing.
    pub author: Option<String>,
    /// A note of the author or of the feed's list, for operators; never published.
    pub note: Option<String>,
    /// The evidence for the listing.
    pub evidence: Vec<EvidenceResponse>,
    /// The revision of the subject, for `If-Match`.
    pub revision: String,
}

/// A subject to exempt.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"subject": "192.0.2.0/24", "until": "1y", "note": "our own mail servers"}))]
pub struct ExemptionRequest {
    /// An address, a prefix or a domain.
    pub subject: String,
    /// When the exemption ends: a duration or a time (default: never).
    #[serde(default)]
    pub until: Option<String>,
    /// A note for the history that says why.
    #[serde(default)]
    pub note: Option<String>,
    /// Public suffixes that are accepted, such as `tk`.
    #[serde(default)]
    pub allow_suffix: Vec<String>,
}

/// Query parameters of `DELETE /v1/exemptions`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExemptionEndQuery {
    /// An address, a prefix or a domain.
    pub subject: String,
    /// A note for the history that says why.
    pub note: Option<String>,
}

/// A subject that is never published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExemptionResponse {
    /// The subject.
    pub subject: String,
    /// When the exemption began.
    pub since: Timestamp,
    /// When the exemption ends; null: never.
    pub until: Option<Timestamp>,
    /// The revision of the subject, for `If-Match`.
    pub revision: String,
}

/// A subject for which a reason is suppressed.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"subject": "192.0.2.1", "reason": "spam", "until": "90d"}))]
pub struct HoldRequest {
    /// An address, a prefix or a domain.
    pub subject: String,
    /// The reason to suppress.
    pub reason: String,
    /// When the hold ends: a duration or a time (default 30d).
    #[serde(default)]
    pub until: Option<String>,
    /// A note for the history that says why.
    #[serde(default)]
    pub note: Option<String>,
}

/// Query parameters of `DELETE /v1/holds`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HoldEndQuery {
    /// An address, a prefix or a domain.
    pub subject: String,
    /// Only the hold of this reason.
    pub reason: Option<String>,
    /// A note for the history that says why.
    pub note: Option<String>,
}

/// A hold: a reason that is suppressed for a subject, since a removal was granted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HoldResponse {
    /// The subject.
    pub subject: String,
    /// The reason.
    pub reason: String,
    /// The source whose listings are suppressed; null: those of every source.
    pub source: Option<String>,
    /// When the hold began.
    pub since: Timestamp,
    /// When the hold ends; null: together with the wider listing from which it excludes the
    /// subject.
    pub until: Option<Timestamp>,
}

/// One event in the history of a subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventResponse {
    /// When the change was made.
    pub at: Timestamp,
    /// What happened.
    pub event: EventName,
    /// The reason; null for an exemption.
    pub reason: Option<String>,
    /// The source; null: every source.
    pub source: Option<String>,
    /// When the effect of the event ends; null if it has no end.
    pub until: Option<Timestamp>,
    /// Whether the listing is exact: a single IPv6 address, never published as the network around
    /// it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exact: bool,
    /// The author of the change.
    pub author: String,
    /// The evidence for the change.
    pub evidence: Option<EvidenceResponse>,
}

/// Query parameters of `POST /v1/bulk`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BulkQuery {
    /// Also report the zones that publish a listed subject, and the listings that remain of a
    /// subject that was delisted without a hold.
    pub published: bool,
}

/// A listing that remains after a subject was delisted without a hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RemainingListing {
    /// The listed subject: the delisted one, or a wider one that covers it.
    pub subject: String,
    /// The source.
    pub source: String,
    /// Whether the source is a feed.
    pub feed: bool,
    /// The reason.
    pub reason: String,
}

/// The result of one line of `POST /v1/bulk`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BulkResponse {
    /// The number of the line, from 1; empty lines count.
    pub line: u64,
    /// 201: the change was made; 202: another person has to approve it; otherwise the status of the
    /// problem.
    pub status: u16,
    /// The number of the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<u64>,
    /// The ID of the proposal that another person has to approve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<String>,
    /// With `published=true`, for `list`: the zones that publish the subject now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<Vec<ZoneCodes>>,
    /// The old and the new end of a listing that was renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewed: Option<RenewalResponse>,
    /// With `published=true`, for `delist` with `no_hold`: the listings that remain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<Vec<RemainingListing>>,
    /// Why the line was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemDetails>,
}

/// Query parameters of `POST /v1/purges`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PurgeQuery {
    /// Only report what would be removed.
    pub dry_run: bool,
}

/// Which listings to remove. At least one condition is required.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({"source": "oldlist", "note": "its author has withdrawn it"}))]
pub struct PurgeRequest {
    /// Only listings by this source; entries of a feed come back with its next import.
    pub source: Option<String>,
    /// Only listings for this reason.
    pub reason: Option<String>,
    /// Only listings that this author created or last renewed.
    pub author: Option<String>,
    /// Only subjects that this address or prefix covers.
    pub prefix: Option<String>,
    /// Only this domain and the names below it.
    pub domain: Option<String>,
    /// Only listings since this time or later: a date, an RFC 3339 time, or a duration before now
    /// (7d).
    pub from: Option<String>,
    /// Only listings since this time or earlier.
    pub to: Option<String>,
    /// Suppress the reasons for 30 days, as a granted removal does.
    pub hold: bool,
    /// A note for the history that says why.
    pub note: Option<String>,
}

/// The listings that were removed, or, in a dry run, would be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PurgeResponse {
    /// The number of listings.
    pub count: usize,
    /// Their first subjects.
    pub sample: Vec<String>,
    /// The receipts of the commits; each commit has at most 50,000 subjects, so that it can be
    /// undone.
    pub commits: Vec<ReceiptResponse>,
}
