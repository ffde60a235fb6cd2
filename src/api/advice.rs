//! The knowledge base: products, entries, guides, and what a session shows of a product.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::advice::{
    AdviceEntry, Confidence, Guide, Product, ProductKind, Prose, Recognised, Recognition, Section,
    Securable, SessionPart, SettingLines, SourceDocument, Suggestion, securable,
};

/// Query parameters of a search in the knowledge base.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AdviceQuery {
    /// Words, or a pasted greeting or session, of which at most 4,096 bytes count; without it, all
    /// products and guides are returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// The language of texts that are translated: en, de or ja; English by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lang: Option<String>,
}

/// Where a statement comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceDocumentResponse {
    /// Its name within the product.
    pub id: String,
    /// Who has written it, and its title or number.
    pub title: String,
    /// Its address, if it is known to stay.
    pub url: Option<String>,
    /// When it was written or the version appeared: a year, a month or a day.
    pub date: String,
}

/// A statement in documents that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WrongDocumentResponse {
    /// Which document says what.
    pub claim: String,
    /// How it is.
    pub truth: String,
    /// How that is known.
    pub proof: String,
}

/// A command that shows whether a change is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SettingCheckResponse {
    /// The command.
    pub command: String,
    /// What it shows if the change is in force.
    pub expect: String,
}

/// Lines to copy into a file, or commands to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SettingLinesResponse {
    /// The file, table or menu to which they belong; null for commands.
    pub file: Option<String>,
    /// The lines whose place they take, as they are in the usual configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// The lines.
    pub lines: String,
    /// What they mean, or what to replace in them.
    pub note: Option<String>,
}

/// What is wrong with some versions of a product, and how to close them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AdviceEntryResponse {
    /// Its name within the product.
    pub id: String,
    /// The headline.
    pub title: String,
    /// The versions that it is about, in words.
    pub versions: String,
    /// The first version that it is about, if it is only about later ones.
    pub since: Option<String>,
    /// The first version that it is no longer about.
    pub before: Option<String>,
    /// Whether these builds can be closed.
    pub securable: Securable,
    /// The names of the relay tests that they fail.
    pub fails: Vec<String>,
    /// Why they deliver mail for strangers, or why they do not.
    pub why: String,
    /// What to do, in order.
    pub steps: Vec<String>,
    /// Lines to copy into files, or commands to run.
    pub changes: Vec<SettingLinesResponse>,
    /// Why there are no lines to copy, if a setting closes these builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_lines: Option<String>,
    /// The command that shows whether the change is in force.
    pub check: Option<SettingCheckResponse>,
    /// Why there is no such command, and what to do instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_check: Option<String>,
    /// What the product's own documents say wrongly.
    pub wrong: Vec<WrongDocumentResponse>,
    /// The guides with more about it.
    pub guides: Vec<String>,
    /// How sure the entry is.
    pub confidence: Confidence,
    /// The ids of its sources.
    pub sources: Vec<String>,
    /// The language of its texts: that of the request, or else English.
    #[serde(default = "english")]
    pub language: String,
}

/// A text by which a product is recognised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecognitionResponse {
    /// Where the text is.
    pub part: SessionPart,
    /// The regular expression that a line has to match.
    pub pattern: String,
    /// Lines that match it.
    pub examples: Vec<String>,
    /// Whether other products send the text too.
    pub vague: bool,
    /// How sure it is.
    pub confidence: Confidence,
    /// The id of its source.
    pub source: Option<String>,
}

/// A product in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProductSummaryResponse {
    /// Its name in addresses.
    pub id: String,
    /// The product's name.
    pub name: String,
    /// Who makes it, or made it.
    pub vendor: Option<String>,
    /// What it is.
    pub kind: ProductKind,
    /// The family by which the survey counts it.
    pub family: String,
    /// Since when it is no longer maintained: a year, a month or a day.
    pub ended: Option<String>,
    /// What it is and how it behaves towards strangers.
    pub summary: String,
    /// The language of the summary: that of the request, or else English.
    #[serde(default = "english")]
    pub language: String,
}

/// A product, or a practice that several products share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProductResponse {
    /// Its name, and what it is.
    #[serde(flatten)]
    pub product: ProductSummaryResponse,
    /// Other names under which people search it.
    pub aliases: Vec<String>,
    /// How it is recognised.
    pub recognition: Vec<RecognitionResponse>,
    /// What is wrong with it, the most recent versions first.
    pub entries: Vec<AdviceEntryResponse>,
    /// Where the statements come from.
    pub sources: Vec<SourceDocumentResponse>,
    /// When somebody has last read all of it against its sources: a day.
    pub reviewed: String,
}

/// A piece of general advice in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GuideSummaryResponse {
    /// Its name in addresses.
    pub id: String,
    /// The headline.
    pub title: String,
    /// The advice in one or two sentences.
    pub summary: String,
    /// The language of the whole guide: that of the request, or else English.
    #[serde(default = "english")]
    pub language: String,
}

/// A section of a guide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GuideSectionResponse {
    /// Its heading.
    pub heading: String,
    /// Its paragraphs.
    pub text: Vec<String>,
    /// Points of a list after the text.
    pub points: Vec<String>,
    /// Lines to copy after the points.
    pub changes: Vec<SettingLinesResponse>,
}

/// A piece of general advice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GuideResponse {
    /// Its name, and the advice in short.
    #[serde(flatten)]
    pub guide: GuideSummaryResponse,
    /// Its sections.
    pub sections: Vec<GuideSectionResponse>,
    /// Where the statements come from.
    pub sources: Vec<SourceDocumentResponse>,
    /// When somebody has last read all of it against its sources: a day.
    pub reviewed: String,
}

/// A product that a text of a session shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecognisedProductResponse {
    /// The id of the product.
    pub product: String,
    /// Its name.
    pub name: String,
    /// Its version, if the text has it.
    pub version: Option<String>,
    /// The line that shows it; null for a refusal of a test message, which names a secret address.
    pub text: Option<String>,
    /// Where the line was.
    pub part: SessionPart,
    /// Whether other products send the line too.
    pub vague: bool,
    /// How sure it is.
    pub confidence: Confidence,
    /// Whether this build can be closed, as far as its version shows it.
    pub securable: Option<Securable>,
}

/// An entry that is likely to help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SuggestionResponse {
    /// The id of the product.
    pub product: String,
    /// The product's name.
    pub name: String,
    /// Whether the entry names a test whose message was delivered.
    pub explains: bool,
    /// The entry.
    pub entry: AdviceEntryResponse,
}

/// A question of the general path, for somebody who does not know the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AdviceQuestionResponse {
    /// The question.
    pub question: String,
    /// What to do with the answer.
    pub answer: String,
    /// The id of the guide with more about it; null without one.
    pub guide: Option<String>,
}

/// The advice for a tested host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AdviceResponse {
    /// The products that the session shows, the surest first; empty if none is recognised.
    pub recognised: Vec<RecognisedProductResponse>,
    /// The entries that are likely to help, the likeliest first; at most four.
    pub suggestions: Vec<SuggestionResponse>,
    /// The questions that lead to the mistake, in order; empty if a product is recognised.
    #[serde(default)]
    pub questions: Vec<AdviceQuestionResponse>,
}

/// What a search in the knowledge base has found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AdviceSearchResponse {
    /// The products that a pasted text shows, the surest first.
    pub recognised: Vec<RecognisedProductResponse>,
    /// Products with all words of the text, those with them in a name first.
    pub products: Vec<ProductSummaryResponse>,
    /// Guides with all words of the text.
    pub guides: Vec<GuideSummaryResponse>,
    /// The questions that lead to the mistake, in order, if there is no text or nothing was found.
    #[serde(default)]
    pub questions: Vec<AdviceQuestionResponse>,
}

/// How many entries are suggested for a host.
const MAX_SUGGESTIONS: usize = 4;

/// The language of texts of servers that do not name it.
fn english() -> String {
    "en".into()
}

fn owned(prose: &Prose, language: &str) -> String {
    prose.in_language(language).into()
}

fn owned_all(prose: &[Prose], language: &str) -> Vec<String> {
    prose.iter().map(|p| owned(p, language)).collect()
}

impl SettingLinesResponse {
    /// The response for lines, with its note in a language.
    pub fn new(change: &SettingLines, language: &str) -> SettingLinesResponse {
        SettingLinesResponse {
            file: change.file.clone(),
            replaces: change.replaced_lines().map(Into::into),
            lines: change.plain_lines().into(),
            note: change.note.as_ref().map(|n| owned(n, language)),
        }
    }
}

impl From<&SourceDocument> for SourceDocumentResponse {
    fn from(source: &SourceDocument) -> SourceDocumentResponse {
        SourceDocumentResponse {
            id: source.id.clone(),
            title: source.title.clone(),
            url: source.url.clone(),
            date: source.date.clone(),
        }
    }
}

impl From<&Recognition> for RecognitionResponse {
    fn from(r: &Recognition) -> RecognitionResponse {
        RecognitionResponse {
            part: r.part,
            pattern: r.pattern.clone(),
            examples: r.examples.clone(),
            vague: r.vague,
            confidence: r.confidence,
            source: r.source.clone(),
        }
    }
}

impl AdviceEntryResponse {
    /// The response for an entry, in a language if all of it is translated.
    pub fn new(entry: &AdviceEntry, language: &'static str) -> AdviceEntryResponse {
        let language = entry.language(language);
        let changes = entry.change.iter();
        AdviceEntryResponse {
            id: entry.id.clone(),
            title: owned(&entry.title, language),
            versions: owned(&entry.versions, language),
            since: entry.since.clone(),
            before: entry.before.clone(),
            securable: entry.securable,
            fails: entry.fails.clone(),
            why: owned(&entry.why, language),
            steps: owned_all(&entry.steps, language),
            changes: changes
                .map(|c| SettingLinesResponse::new(c, language))
                .collect(),
            without_lines: entry.without_lines.as_ref().map(|w| owned(w, language)),
            check: entry.check.as_ref().map(|c| SettingCheckResponse {
                command: c.command.trim_matches('\n').into(),
                expect: owned(&c.expect, language),
            }),
            without_check: entry.without_check.as_ref().map(|w| owned(w, language)),
            wrong: entry
                .wrong
                .iter()
                .map(|w| WrongDocumentResponse {
                    claim: owned(&w.claim, language),
                    truth: owned(&w.truth, language),
                    proof: owned(&w.proof, language),
                })
                .collect(),
            guides: entry.guides.clone(),
            confidence: entry.confidence,
            sources: entry.sources.clone(),
            language: language.into(),
        }
    }
}

impl ProductSummaryResponse {
    /// The response for a product in a list, in a language if its summary is translated.
    pub fn new(product: &Product, language: &'static str) -> ProductSummaryResponse {
        let language = product.summary_language(language);
        ProductSummaryResponse {
            id: product.id.clone(),
            name: product.name.clone(),
            vendor: product.vendor.clone(),
            kind: product.kind,
            family: product.family.clone(),
            ended: product.ended.clone(),
            summary: owned(&product.summary, language),
            language: language.into(),
        }
    }
}

impl ProductResponse {
    /// The response for a product in a language.
    pub fn new(product: &Product, language: &'static str) -> ProductResponse {
        let entries = product.entry.iter();
        ProductResponse {
            product: ProductSummaryResponse::new(product, language),
            aliases: product.aliases.clone(),
            recognition: product.recognition.iter().map(Into::into).collect(),
            entries: entries
                .map(|e| AdviceEntryResponse::new(e, language))
                .collect(),
            sources: product.source.iter().map(Into::into).collect(),
            reviewed: product.reviewed.clone(),
        }
    }
}

impl GuideSummaryResponse {
    /// The response for a guide in a list, in a language if all of the guide is translated.
    pub fn new(guide: &Guide, language: &'static str) -> GuideSummaryResponse {
        let language = guide.language(language);
        GuideSummaryResponse {
            id: guide.id.clone(),
            title: owned(&guide.title, language),
            summary: owned(&guide.summary, language),
            language: language.into(),
        }
    }
}

impl GuideResponse {
    /// The response for a guide, in a language if all of it is translated.
    pub fn new(guide: &Guide, language: &'static str) -> GuideResponse {
        let language = guide.language(language);
        let section = |s: &Section| GuideSectionResponse {
            heading: owned(&s.heading, language),
            text: owned_all(&s.text, language),
            points: owned_all(&s.points, language),
            changes: s
                .change
                .iter()
                .map(|c| SettingLinesResponse::new(c, language))
                .collect(),
        };
        GuideResponse {
            guide: GuideSummaryResponse::new(guide, language),
            sections: guide.section.iter().map(section).collect(),
            sources: guide.source.iter().map(Into::into).collect(),
            reviewed: guide.reviewed.clone(),
        }
    }
}

impl From<&Recognised> for RecognisedProductResponse {
    fn from(r: &Recognised) -> RecognisedProductResponse {
        RecognisedProductResponse {
            product: r.product.id.clone(),
            name: r.product.name.clone(),
            version: r.version.clone(),
            text: Some(r.text.clone()),
            part: r.part,
            vague: r.vague,
            confidence: r.confidence,
            securable: securable(r),
        }
    }
}

impl AdviceResponse {
    /// The response for products that a test has recognised, and the entries for them, in a
    /// language; without a product, it has the questions. Refusals are left out, since they repeat
    /// the address of the test message.
    pub fn new(
        recognised: &[Recognised],
        entries: &[Suggestion],
        questions: Vec<AdviceQuestionResponse>,
        language: &'static str,
    ) -> AdviceResponse {
        let product = |r: &Recognised| RecognisedProductResponse {
            text: (r.part != SessionPart::Reply).then(|| r.text.clone()),
            ..r.into()
        };
        let suggestion = |s: &Suggestion| SuggestionResponse {
            product: s.product.id.clone(),
            name: s.product.name.clone(),
            explains: s.explains,
            entry: AdviceEntryResponse::new(s.entry, language),
        };
        AdviceResponse {
            recognised: recognised.iter().map(product).collect(),
            suggestions: entries
                .iter()
                .take(MAX_SUGGESTIONS)
                .map(suggestion)
                .collect(),
            questions: match recognised {
                [] => questions,
                _ => Vec::new(),
            },
        }
    }
}
