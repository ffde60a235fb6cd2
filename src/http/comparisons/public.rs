//! What the public gets of comparisons: figures, and the entries that our own tests found closed. The
//! other entries of another list are published only if its operator permits it.

use axum::{
    Json,
    extract::{Path, State},
    response::Response,
};

use super::{OPERATORS_FILES, files, find, open, response, settings, text};
use crate::{
    api::{ComparisonResponse, Page, ProblemDetails},
    comparison::{ComparisonFile, StoredComparison},
    http::{
        App,
        handler::{JsonResult, blocking},
    },
};

/// Lists the last comparison with each other list: the figures, and the files that are published.
#[utoipa::path(get, path = "/compare", tag = "public",
    responses((status = 200, body = Page<ComparisonResponse>, description = "The last comparisons by name")))]
pub async fn list_public_comparisons(
    State(app): State<App>,
) -> JsonResult<Page<ComparisonResponse>> {
    Ok(Json(Page::all(public_comparisons(&app).await?)))
}

/// Returns a published list of a comparison, one entry a line.
#[utoipa::path(get, path = "/compare/{name}/{file}", tag = "public",
    params(("name" = String, Path, description = "The short name of the other list"),
        ("file" = String, Path, description = "The name of the file, as the comparison has it")),
    responses((status = 200, body = String, content_type = "text/plain", description = "The list")))]
pub async fn get_public_comparison_file(
    State(app): State<App>,
    Path((name, file)): Path<(String, String)>,
) -> Result<Response, ProblemDetails> {
    let opened = blocking(move || {
        let comparison = find(&app, &name)?;
        open(&app, &comparison, public_files(&app, &comparison), &file)
    });
    Ok(text(opened.await?))
}

/// The last comparison with each other list, as everybody may see it.
///
/// # Errors
///
/// A result cannot be read.
pub async fn public_comparisons(app: &App) -> Result<Vec<ComparisonResponse>, ProblemDetails> {
    let app = app.clone();
    blocking(move || {
        let all = app.comparisons.folder.all();
        let all = all.map_err(ProblemDetails::internal)?.into_iter();
        Ok(all.map(|c| public_response(&app, c)).collect())
    })
    .await
}

/// The lists of a comparison that are published.
fn public_files(app: &App, comparison: &StoredComparison) -> &'static [ComparisonFile] {
    match settings(app, &comparison.name).republish {
        true => &OPERATORS_FILES,
        false => &[ComparisonFile::ClosedByUs],
    }
}

fn public_response(app: &App, comparison: StoredComparison) -> ComparisonResponse {
    let published = files(&comparison, public_files(app, &comparison));
    let all = response(app, comparison);
    let is_free = all.republish;
    ComparisonResponse {
        files: published,
        with: all.with.filter(|_| is_free),
        // A problem quotes a line of the other list.
        problems: Vec::new(),
        samples: match is_free {
            true => all.samples,
            false => Vec::new(),
        },
        ..all
    }
}
