//! The requests and responses of the HTTP API as types. Handlers return them, the command line and
//! the tests read them, and the OpenAPI document describes them.
//!
//! A `…Query` holds the query parameters of a request, a `…Request` its body, and a `…Response` the
//! body of the response. Times are RFC 3339 in UTC. A list is a [`Page`].

mod accounts;
mod advice;
mod changes;
mod common;
mod comparisons;
mod evidence;
mod feeds;
mod generic_names;
mod imports;
mod jobs;
mod links;
mod listings;
mod logins;
mod mirrors;
mod netblocks;
mod notices;
mod privacy;
mod problem;
mod proposals;
mod providers;
mod public_lists;
mod quality;
mod status;
mod subjects;
mod text_pages;
mod tickets;
mod webhooks;
mod zone_codes;
mod zones;

pub use accounts::{
    AuditQuery, AuditRecordResponse, BoundsBody, MeResponse, MeTokenResponse, TokenRequest,
    TokenResponse, TokenSecretResponse, UserChangeRequest, UserRequest, UserResponse,
    UserSecretsResponse,
};
pub use advice::{
    AdviceEntryResponse, AdviceQuery, AdviceQuestionResponse, AdviceResponse, AdviceSearchResponse,
    GuideResponse, GuideSectionResponse, GuideSummaryResponse, ProductResponse,
    ProductSummaryResponse, RecognisedProductResponse, RecognitionResponse, SettingCheckResponse,
    SettingLinesResponse, SourceDocumentResponse, SuggestionResponse, WrongDocumentResponse,
};
pub use changes::{
    ChangeEndResponse, ChangeGapResponse, ChangeResponse, ChangesPage, ChangesQuery,
    CommitResponse, LaterCommitResponse, UndoQuery, UndoRequest, UndoResponse,
};
pub use common::{DifferenceResponse, Page, ReceiptResponse, RenewalResponse, Timestamp};
pub use comparisons::{
    AloneEntryResponse, ComparisonCounts, ComparisonFileResponse, ComparisonQuery,
    ComparisonResponse, CoverageResponse, EntryGroupName, OverlapResponse, PairOverlapResponse,
    PairSideResponse, SampleGroupResponse, ShareResponse, SourceOverlapResponse,
};
pub use evidence::{
    BlockedClaimResponse, BlockedReplyResponse, ClaimRequest, ClaimResponse, EvidenceQuery,
    OptOutQuery, OptOutRequest, OptOutResponse, OptOutSubjectResponse, ProofResponse,
    RepairAdviceResponse, ReviewRequest, ReviewResponse, SettingChangeResponse,
};
pub use feeds::{
    ExtentResponse, FeedDecision, FeedDecisionResponse, FeedKind, FeedResponse, GuardKind,
    HeldListResponse, SourceResetResponse,
};
pub use generic_names::{
    AssessedNameResponse, GenericNameCheckResponse, GenericNameQuery, GenericNamesStatusResponse,
    NameAssessmentKind,
};
pub use imports::{ImportMode, ImportQuery, ImportResponse, ImportState};
pub use jobs::{
    ControlResponse, JobResponse, JobTrigger, JobsQuery, NamedProductResponse, NominationKind,
    NominationRequest, OtherTesterResponse, OutcomeDetail, OutcomeKind, PreparedProbesResponse,
    ProbeResultsRequest, PublicRelayTestsResponse, RelayTestNotesResponse, RelayTestResponse,
    SurveyCountResponse, SurveyMonthResponse, TestResultResponse, TesterNumberResponse,
};
pub use links::{BlocklistLinkResponse, LinkGroupResponse, LinkResponse, LinksResponse};
pub use listings::{
    BulkQuery, BulkResponse, DeletionQuery, EventName, EventResponse, EvidenceResponse,
    ExemptionEndQuery, ExemptionRequest, ExemptionResponse, HoldEndQuery, HoldRequest,
    HoldResponse, ListingRequest, ListingResponse, ListingSubmissionResponse, ListingsQuery,
    Operation, PageQuery, PurgeQuery, PurgeRequest, PurgeResponse, RemainingListing,
    RenewalRequest,
};
pub use logins::{
    LoginReportResponse, LoginResponse, LoginsQuery, LoginsRequest, LoginsResponse, LogoutQuery,
    LogoutResponse,
};
pub use mirrors::{
    LagResponse, MirrorCounts, MirrorNotifyResponse, MirrorRequestResponse, MirrorResponse,
    MirrorTransferResponse, TransferScope,
};
pub use netblocks::{
    CollateralResponse, NetblockContactRequest, NetblockContactResponse, NetblockRenewalRequest,
    NetblockRenewalResponse, NetblockRequest, NetblockResponse, NetblockStepResponse,
    NetblocksQuery, PublicNetblockContactResponse, PublicNetblockResponse,
    QueriedAddressesResponse,
};
pub use notices::{
    NoticeRequest, NoticeResponse, NoticeState, PublicNoticeResponse, PublicNoticesResponse,
};
pub use privacy::{
    DataKindResponse, PersonalDataRequest, PersonalDataResponse, PersonalErasureResponse,
    PersonalFindingResponse, PrivacyKindsResponse, RetentionResponse,
};
pub use problem::{FieldError, ProblemCode, ProblemDetails};
pub use proposals::{
    ProposalDeletionQuery, ProposalDeletionResponse, ProposalResponse, ProposalsQuery,
};
pub use providers::{
    ProvidedEntryResponse, ProviderDetailResponse, ProviderEditRequest, ProviderEditResponse,
    ProviderPageResponse, ProviderRemovalQuery, ProviderRequest, ProviderResponse,
    ProviderSummaryResponse, ProviderUndoRequest, ProvidersPageResponse, ProvidersQuery,
};
pub use public_lists::{
    ListCodeResponse, ListDayResponse, ListResponse, ListStatusResponse, PolicyResponse,
    PublicStatusResponse, PublishedReasonPolicyResponse, ReasonListResponse, RecipePartResponse,
    RecipeResponse, TestPointsResponse,
};
pub use quality::{
    ListQualityResponse, QualityDayResponse, QualityQuery, QualityResponse, SourceQualityResponse,
    ZoneQualityResponse,
};
pub use status::{
    BackupRequest, BackupResponse, ClockAcceptedResponse, ClockResponse, ClockStateName,
    ConfigurationCheckResponse, ConnectionCounts, DamageResponse, ExportStatusResponse,
    IntegrityResponse, LastBackupResponse, ListedCounts, NameClassResponse, ReasonResponse,
    RejectedNamesQuery, RejectedNamesResponse, ReloadQuery, ReloadResponse, RemovalGapResponse,
    RemovalLogResponse, RenameRequest, RenameResponse, RetirementResponse, RetirementStage,
    ScrubProgressResponse, ScrubReportResponse, ScrubRequest, ScrubsResponse, SourceStatusResponse,
    StatusResponse, TesterResponse, UnconfiguredKind, UnconfiguredResponse, WorkerResponse,
    WriteState, ZoneStatusResponse,
};
pub use subjects::{
    AppliedRuleResponse, BounceResponse, CoverResponse, HopResponse, HopStanding, HostNameResponse,
    LookupAnswer, LookupQuery, LookupReasonResponse, LookupResponse, LookupTextRequest,
    LookupZoneResponse, NetworkResponse, OmittedExportResponse, OtherListResponse,
    PastListingResponse, PublicProofResponse, PublicSourceResponse, RelayFindingsResponse,
    RemovalOptionResponse, SubjectResponse, SubjectZoneResponse, TimelineEventResponse,
    TimelineKind, TraceResponse, UnaskableZoneResponse,
};
pub use text_pages::{
    LanguageQuery, TextForm, TextLinkResponse, TextPageResponse, TextResponse, TextSectionResponse,
};
pub use tickets::{
    CommandResponse, ConfirmationKind, ConfirmationResponse, ControlOptionResponse,
    ControlProofResponse, ControlProvedResponse, CorrectionRequest, MessageAuthor,
    ReasonPolicyResponse, ReleasedResponse, RemovalPoliciesResponse, RemovalResponse,
    RemovalServerResponse, RepetitionRequest, RepetitionResponse, SelfTestPageResponse,
    SelfTestRequest, TestOutcomeResponse, TicketAddressResponse, TicketApprovalRequest,
    TicketClockResponse, TicketCodeRequest, TicketContactRequest, TicketContactResponse,
    TicketConversationResponse, TicketDecisionRequest, TicketDetailResponse, TicketMessageRequest,
    TicketMessageResponse, TicketRequest, TicketResponse, TicketStepResponse,
    TicketSummaryResponse, TicketTestResponse, TicketsQuery, TicketsStatusResponse,
};
pub use webhooks::{
    WebhookChangeRequest, WebhookMessageResponse, WebhookRequest, WebhookResponse,
    WebhookSecretResponse,
};
pub use zone_codes::ZoneCodes;
pub use zones::{
    ExportChangeResponse, ExportQuery, ExportReportQuery, ExportReportResponse,
    MirrorSerialResponse, PublishedReasonResponse, SerialRequestBody, SerialResponse, ZoneResponse,
};
