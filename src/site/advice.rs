//! The pages of the knowledge base, and its entries on other pages.

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    response::Response,
};

use super::{
    context::PageContext, input::FormOrJson, markup::Markup, state::SiteState, ticket::answer,
};
use crate::{
    advice::{Confidence, Library, Securable, SessionPart, find_entry},
    api::{
        AdviceEntryResponse, AdviceQuery, AdviceQuestionResponse, AdviceResponse,
        AdviceSearchResponse, CorrectionRequest, GuideResponse, GuideSummaryResponse,
        ProblemDetails, ProductResponse, ProductSummaryResponse, RecognisedProductResponse,
        SourceDocumentResponse, SuggestionResponse,
    },
    http,
};

/// What an entry needs to be shown on a page.
pub(super) struct ShownEntry {
    pub entry: AdviceEntryResponse,
    /// Its guides, with their paths.
    pub guides: Vec<(GuideSummaryResponse, String)>,
    /// Its sources.
    pub sources: Vec<SourceDocumentResponse>,
}

impl PageContext {
    /// The questions of somebody who does not know the program.
    pub(super) fn questions(&self) -> Vec<AdviceQuestionResponse> {
        http::advice_questions(self.language)
    }

    /// The path of a guide.
    pub(super) fn guide_path(&self, id: &str) -> String {
        self.href(&format!("/advice/guides/{id}"))
    }

    /// The path of the page that a correction is about.
    pub(super) fn corrected_path(&self, id: &str) -> String {
        match Library::get().guide(id) {
            Some(_) => self.guide_path(id),
            None => self.product_path(id),
        }
    }

    /// The path of a product.
    pub(super) fn product_path(&self, id: &str) -> String {
        self.href(&format!("/advice/{id}"))
    }

    /// The path to which corrections of a product or guide are sent.
    pub(super) fn corrections_path(&self, id: &str) -> String {
        self.href(&format!("/advice/{id}/corrections"))
    }

    /// The path of an entry on the page of its product.
    pub(super) fn entry_path(&self, product: &str, entry: &str) -> String {
        self.href(&format!("/advice/{product}#{entry}"))
    }

    /// The path of a relay test on its page.
    pub(super) fn test_path(&self, name: &str) -> String {
        self.href(&format!("/tests#test-{name}"))
    }

    /// Whether a text of the knowledge base is in another language than the page.
    pub(super) fn is_untranslated(&self, language: &str) -> bool {
        language != self.language.tag()
    }

    /// Whether one of several suggestions is in another language than the page.
    pub(super) fn has_untranslated(&self, suggestions: &[SuggestionResponse]) -> bool {
        let languages = suggestions.iter().map(|s| &s.entry.language);
        languages.into_iter().any(|l| self.is_untranslated(l))
    }

    /// The key of a statement about whether builds can be closed.
    pub(super) fn securable_key(&self, securable: &Securable) -> String {
        let name: &str = securable.into();
        format!("securable-{name}")
    }

    /// Whether a recognised build has to be updated before it can be closed.
    pub(super) fn needs_update(&self, securable: &Option<Securable>) -> bool {
        *securable == Some(Securable::ByUpdate)
    }

    /// Whether a recognised build cannot be closed.
    pub(super) fn is_never(&self, securable: &Option<Securable>) -> bool {
        *securable == Some(Securable::Never)
    }

    /// The key of a statement about how sure something is.
    pub(super) fn confidence_key(&self, confidence: &Confidence) -> String {
        let name: &str = confidence.into();
        format!("confidence-{name}")
    }

    /// The key of a part of a session.
    pub(super) fn part_key(&self, part: &SessionPart) -> String {
        let name: &str = part.into();
        format!("part-{name}")
    }

    /// An entry with the titles of its guides.
    pub(super) fn shown_entry(
        &self,
        entry: AdviceEntryResponse,
        sources: impl AsRef<[SourceDocumentResponse]>,
    ) -> ShownEntry {
        let guides = entry.guides.iter().filter_map(|id| {
            let guide = http::find_guide(id, self.language).ok()?;
            Some((guide.guide, self.guide_path(id)))
        });
        let cited = sources
            .as_ref()
            .iter()
            .filter(|s| entry.sources.contains(&s.id));
        ShownEntry {
            guides: guides.collect(),
            sources: cited.cloned().collect(),
            entry,
        }
    }

    /// The entries that are likely to help, in the language of the page.
    pub(super) fn suggestions(&self, advice: &AdviceResponse) -> Vec<SuggestionResponse> {
        let translated = |s: &SuggestionResponse| {
            let (_, entry) = find_entry(&s.product, &s.entry.id)?;
            Some(SuggestionResponse {
                entry: AdviceEntryResponse::new(entry, self.language.tag()),
                ..s.clone()
            })
        };
        advice.suggestions.iter().filter_map(translated).collect()
    }

    /// "This is Postfix, version 3.7".
    pub(super) fn recognised(&self, key: &str, r: &RecognisedProductResponse) -> Markup {
        match &r.version {
            Some(version) => {
                let key = format!("{key}-version");
                self.t2(&key, "product", &r.name, "version", version)
            }
            None => self.t1(key, "product", &r.name),
        }
    }
}

/// The search page of the knowledge base.
#[derive(Template)]
#[template(path = "advice.html")]
pub(super) struct AdvicePage<'a> {
    pub page: &'a PageContext,
    pub r: &'a AdviceSearchResponse,
    /// The text that was searched for; empty for the whole knowledge base.
    pub text: &'a str,
}

impl AdvicePage<'_> {
    fn found_nothing(&self) -> bool {
        self.r.recognised.is_empty() && self.r.products.is_empty() && self.r.guides.is_empty()
    }

    /// Whether a guide is in another language than the page.
    fn has_untranslated_guides(&self) -> bool {
        let mut guides = self.r.guides.iter();
        guides.any(|g| self.page.is_untranslated(&g.language))
    }

    /// The products by kind, in the order of the kinds' first product.
    fn groups(&self) -> Vec<(String, Vec<&ProductSummaryResponse>)> {
        let mut groups: Vec<(String, Vec<&ProductSummaryResponse>)> = Vec::new();
        for product in &self.r.products {
            let kind: &str = product.kind.into();
            let key = format!("kind-{kind}");
            match groups.iter_mut().find(|(k, _)| *k == key) {
                Some((_, products)) => products.push(product),
                None => groups.push((key, vec![product])),
            }
        }
        groups.sort_by_key(|(_, products)| std::cmp::Reverse(products.len()));
        groups
    }
}

/// `GET /advice`.
pub(super) async fn get_advice(page: PageContext, Query(query): Query<AdviceQuery>) -> Response {
    let text = query.q.unwrap_or_default();
    let found = http::find_advice(&text, page.language);
    let template = || AdvicePage {
        page: &page,
        r: &found,
        text: text.trim(),
    };
    match text.trim().is_empty() {
        true => page.respond_indexed(&found, template),
        false => page.respond(&found, template),
    }
}

/// The page of a product.
#[derive(Template)]
#[template(path = "product.html")]
pub(super) struct ProductPage<'a> {
    pub page: &'a PageContext,
    pub r: &'a ProductResponse,
}

impl ProductPage<'_> {
    /// Whether a part of the page is in another language than the rest of it.
    fn has_untranslated(&self) -> bool {
        let entries = self.r.entries.iter().map(|e| &e.language);
        let mut all = entries.chain([&self.r.product.language]);
        all.any(|language| self.page.is_untranslated(language))
    }

    fn entries(&self) -> Vec<ShownEntry> {
        let entries = self.r.entries.iter().cloned();
        entries
            .map(|e| self.page.shown_entry(e, &self.r.sources))
            .collect()
    }
}

/// `GET /advice/{product}`.
pub(super) async fn get_product(
    page: PageContext,
    Path(id): Path<String>,
) -> Result<Response, ProblemDetails> {
    let product = http::find_product(&id, page.language)?;
    Ok(page.respond_indexed(&product, || ProductPage {
        page: &page,
        r: &product,
    }))
}

/// `POST /advice/{product}/corrections`, for a product or a guide.
pub(super) async fn post_correction(
    page: PageContext,
    State(state): State<SiteState>,
    Path(id): Path<String>,
    FormOrJson(request): FormOrJson<CorrectionRequest>,
) -> Result<Response, ProblemDetails> {
    let language = page.language.tag();
    let opened = http::tickets::corrections::open_correction(
        &state.app,
        &id,
        request,
        page.client,
        language,
    )
    .await?;
    Ok(answer(&page, &opened, true))
}

/// The page of a guide.
#[derive(Template)]
#[template(path = "guide.html")]
pub(super) struct GuidePage<'a> {
    pub page: &'a PageContext,
    pub r: &'a GuideResponse,
}

impl GuidePage<'_> {
    /// The entries that a correction can name: a guide has none.
    fn entries(&self) -> &'static [AdviceEntryResponse] {
        &[]
    }
}

/// `GET /advice/guides/{guide}`.
pub(super) async fn get_guide(
    page: PageContext,
    Path(id): Path<String>,
) -> Result<Response, ProblemDetails> {
    let guide = http::find_guide(&id, page.language)?;
    Ok(page.respond_indexed(&guide, || GuidePage {
        page: &page,
        r: &guide,
    }))
}
