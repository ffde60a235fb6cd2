//! The knowledge base as JSON, and the advice for a tested host.

use axum::{
    Json,
    http::{HeaderMap, header},
};

use super::{
    handler::JsonResult,
    input::{Part, QueryParams},
};
use crate::{
    advice::{Library, Recognised, SearchResult, search, suggest},
    api::{
        AdviceQuery, AdviceQuestionResponse, AdviceResponse, AdviceSearchResponse, GuideResponse,
        GuideSummaryResponse, LanguageQuery, ProblemDetails, ProductResponse,
        ProductSummaryResponse,
    },
    relay::{products::products_of, transcript::TranscriptLine},
    texts::{Language, text},
};

/// The questions of the general path: the keys of question and answer, and the id of the guide
/// with more about it.
const QUESTIONS: [(&str, &str, Option<&str>); 5] = [
    ("advice-question-1", "advice-answer-1", Some("sending-only")),
    ("advice-question-2", "advice-answer-2", None),
    (
        "advice-question-3",
        "advice-answer-3",
        Some("addresses-not-names"),
    ),
    (
        "advice-question-4",
        "advice-answer-4",
        Some("filters-behind"),
    ),
    (
        "advice-question-5",
        "advice-answer-5",
        Some("authentication"),
    ),
];

/// Searches the knowledge base: all products and guides, or those that a text names.
///
/// The text can be a greeting, or a session, that somebody has pasted.
#[utoipa::path(get, path = "/v1/advice", tag = "advice", params(AdviceQuery),
    responses((status = 200, body = AdviceSearchResponse, description = "What was found")))]
pub async fn search_advice(
    QueryParams(query): QueryParams<AdviceQuery>,
    headers: HeaderMap,
) -> Json<AdviceSearchResponse> {
    let language = language_of(query.lang.as_deref(), &headers);
    Json(find_advice(
        query.q.as_deref().unwrap_or_default(),
        language,
    ))
}

/// As `GET /v1/advice`, at the path of the page.
#[utoipa::path(get, path = "/advice", tag = "public", params(AdviceQuery),
    responses((status = 200, body = AdviceSearchResponse, description = "What was found")))]
pub async fn search_advice_publicly(
    query: QueryParams<AdviceQuery>,
    headers: HeaderMap,
) -> Json<AdviceSearchResponse> {
    search_advice(query, headers).await
}

/// Returns a product of the knowledge base.
#[utoipa::path(get, path = "/v1/advice/{product}", tag = "advice",
    params(("product" = String, Path, description = "The id of the product"), LanguageQuery),
    responses((status = 200, body = ProductResponse, description = "The product")))]
pub async fn get_product(
    Part(product): Part,
    QueryParams(query): QueryParams<LanguageQuery>,
    headers: HeaderMap,
) -> JsonResult<ProductResponse> {
    find_product(&product, language_of(query.lang.as_deref(), &headers)).map(Json)
}

/// As `GET /v1/advice/{product}`, at the path of the page.
#[utoipa::path(get, path = "/advice/{product}", tag = "public",
    params(("product" = String, Path, description = "The id of the product"), LanguageQuery),
    responses((status = 200, body = ProductResponse, description = "The product")))]
pub async fn get_product_publicly(
    product: Part,
    query: QueryParams<LanguageQuery>,
    headers: HeaderMap,
) -> JsonResult<ProductResponse> {
    get_product(product, query, headers).await
}

/// Returns a guide: a piece of general advice.
#[utoipa::path(get, path = "/v1/advice/guides/{guide}", tag = "advice",
    params(("guide" = String, Path, description = "The id of the guide"), LanguageQuery),
    responses((status = 200, body = GuideResponse, description = "The guide")))]
pub async fn get_guide(
    Part(guide): Part,
    QueryParams(query): QueryParams<LanguageQuery>,
    headers: HeaderMap,
) -> JsonResult<GuideResponse> {
    find_guide(&guide, language_of(query.lang.as_deref(), &headers)).map(Json)
}

/// As `GET /v1/advice/guides/{guide}`, at the path of the page.
#[utoipa::path(get, path = "/advice/guides/{guide}", tag = "public",
    params(("guide" = String, Path, description = "The id of the guide"), LanguageQuery),
    responses((status = 200, body = GuideResponse, description = "The guide")))]
pub async fn get_guide_publicly(
    guide: Part,
    query: QueryParams<LanguageQuery>,
    headers: HeaderMap,
) -> JsonResult<GuideResponse> {
    get_guide(guide, query, headers).await
}

/// The language of a response: that of the query, or else that of `Accept-Language`.
fn language_of(tag: Option<&str>, headers: &HeaderMap) -> Language {
    let header = headers.get(header::ACCEPT_LANGUAGE);
    let header = header.and_then(|v| v.to_str().ok()).unwrap_or_default();
    let chosen = tag.and_then(|t| t.parse().ok());
    chosen.unwrap_or_else(|| Language::negotiate(header))
}

/// Searches the knowledge base; an empty text finds everything.
pub fn find_advice(text: &str, language: Language) -> AdviceSearchResponse {
    let library = Library::get();
    let found = match text.trim().is_empty() {
        true => SearchResult {
            products: library.products().iter().collect(),
            guides: library.guides().iter().collect(),
            ..SearchResult::default()
        },
        false => search(text),
    };
    let tag = language.tag();
    let product = |p| ProductSummaryResponse::new(p, tag);
    let guide = |g| GuideSummaryResponse::new(g, tag);
    let found_nothing =
        found.recognised.is_empty() && found.products.is_empty() && found.guides.is_empty();
    let questions = match text.trim().is_empty() || found_nothing {
        true => advice_questions(language),
        false => Vec::new(),
    };
    AdviceSearchResponse {
        questions,
        recognised: found.recognised.iter().map(Into::into).collect(),
        products: found.products.into_iter().map(product).collect(),
        guides: found.guides.into_iter().map(guide).collect(),
    }
}

/// Returns a product by its id.
///
/// # Errors
///
/// There is no such product.
pub fn find_product(id: &str, language: Language) -> Result<ProductResponse, ProblemDetails> {
    let product = Library::get().product(id);
    let product = product.map(|p| ProductResponse::new(p, language.tag()));
    product.ok_or_else(|| {
        ProblemDetails::not_found(format!(
            "the knowledge base has no product `{id}`; search it at /advice"
        ))
    })
}

/// Returns a guide by its id.
///
/// # Errors
///
/// There is no such guide.
pub fn find_guide(id: &str, language: Language) -> Result<GuideResponse, ProblemDetails> {
    let guide = Library::get().guide(id);
    let guide = guide.map(|g| GuideResponse::new(g, language.tag()));
    guide.ok_or_else(|| {
        ProblemDetails::not_found(format!(
            "the knowledge base has no guide `{id}`; all are listed at /advice"
        ))
    })
}

/// The questions that lead to the mistake of a server whose program is not known.
pub fn advice_questions(language: Language) -> Vec<AdviceQuestionResponse> {
    let question = |(question, answer, guide): (&str, &str, Option<&str>)| AdviceQuestionResponse {
        question: text(language, question, &[]),
        answer: text(language, answer, &[]),
        guide: guide.map(Into::into),
    };
    QUESTIONS.into_iter().map(question).collect()
}

/// The advice in English for recognised products, and for the names of the tests whose messages
/// were delivered. Without a product, it has the questions.
pub fn advice_of(recognised: &[Recognised], delivered: &[&str]) -> AdviceResponse {
    let entries = suggest(recognised, delivered);
    let questions = advice_questions(Language::En);
    AdviceResponse::new(recognised, &entries, questions, Language::En.tag())
}

/// The advice for a host, from the transcripts of its tests and the names of the tests whose
/// messages were delivered.
pub(super) fn advice_for<'t>(
    transcripts: impl IntoIterator<Item = &'t [TranscriptLine]>,
    delivered: &[&str],
) -> AdviceResponse {
    let recognised = transcripts
        .into_iter()
        .map(products_of)
        .find(|found| !found.is_empty())
        .unwrap_or_default();
    // A variant of a test is named after it: `null-sender+plain-sender`.
    let base = |test: &&str| test.split('+').next().unwrap_or_default().to_string();
    let names: Vec<String> = delivered.iter().map(base).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    advice_of(&recognised, &names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guides_of_the_questions_exist() {
        for question in advice_questions(Language::En) {
            let guide = question.guide.as_deref();
            assert!(guide.is_none_or(|id| Library::get().guide(id).is_some()));
            assert!(question.question.ends_with('?') && question.answer.ends_with('.'));
        }
    }

    #[test]
    fn questions_are_asked_only_if_no_product_is_recognised() {
        let postfix = crate::advice::recognise_pasted("220 mail.example.com ESMTP Postfix");
        assert_eq!(advice_of(&postfix, &["plain"]).questions, []);
        assert_eq!(advice_of(&[], &["plain"]).questions.len(), 5);
        let questions = |text| find_advice(text, Language::De).questions;
        assert_eq!(questions("postfix"), []);
        assert_eq!(questions("220 mail.example.com ESMTP Postfix"), []);
        for text in ["", "zzzz-no-such-word"] {
            assert_eq!(questions(text), advice_questions(Language::De), "{text}");
        }
        assert_ne!(questions(""), advice_questions(Language::En));
    }
}
