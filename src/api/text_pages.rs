//! Public pages that consist of texts.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// How the texts of a section belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TextForm {
    /// Paragraphs.
    Paragraphs,
    /// The items of a list.
    List,
    /// Steps, in order.
    Steps,
}

/// A part of a text that is a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TextLinkResponse {
    /// The part of the text.
    pub label: String,
    /// A path of the site, or a URL.
    pub target: String,
}

/// A paragraph, an item or a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TextResponse {
    /// The text.
    pub text: String,
    /// The part of the text that is a link; null if none is.
    pub link: Option<TextLinkResponse>,
}

/// A section of a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TextSectionResponse {
    /// The name of the section in the URL of the page, after `#`.
    pub id: String,
    /// The title.
    pub title: String,
    /// How the texts belong together.
    pub form: TextForm,
    /// The texts, in order.
    pub texts: Vec<TextResponse>,
}

/// A page that consists of texts, in the language that `Accept-Language` or `?lang=` chooses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TextPageResponse {
    /// The language tag of the page (BCP 47). A text that is not translated is in English.
    pub language: String,
    /// The title.
    pub title: String,
    /// The first sentences.
    pub lead: String,
    /// The sections, in order.
    pub sections: Vec<TextSectionResponse>,
}

/// The language of a page.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct LanguageQuery {
    /// The language tag: `en`, `de` or `ja`. Without it, `Accept-Language` chooses.
    pub lang: Option<String>,
}
