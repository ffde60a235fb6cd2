//! Comparisons with other lists: they are made on request, and the last result of each is kept. What
//! the public gets of it is in [`public`].

pub mod overlap;
pub mod public;
mod run;

use std::{fs::File, io};

use axum::{
    Json,
    body::Body,
    extract::{Path, Request, State},
    http::header,
    response::{IntoResponse, Response},
};
use tokio_util::io::ReaderStream;

use super::{
    App,
    handler::{Call, JsonResult, blocking},
    import_body::receive,
    input::{Part, QueryParams},
};
use crate::{
    api::{
        ComparisonFileResponse, ComparisonQuery, ComparisonResponse, CoverageResponse,
        EntryGroupName, Page, ProblemDetails, SampleGroupResponse, ShareResponse,
    },
    comparison::{
        ComparisonFile, ComparisonSettings, Coverage, EntryGroup, SampleGroup, Share,
        StoredComparison, check_name,
    },
};

/// Compares another list with a zone of this server, and keeps the result. No test is started.
///
/// The body is the other list, compressed or not, or a form whose fields `file` are its files. A form
/// can begin with fields `tested`: files with an address and `open` or `closed` on each line.
#[utoipa::path(post, path = "/v1/comparisons", tag = "comparisons", params(ComparisonQuery),
    request_body(content = String, content_type = "application/octet-stream", description = "The other list"),
    responses((status = 200, body = ComparisonResponse, description = "The lists are compared")))]
pub async fn compare_lists(
    Call { app, caller }: Call,
    QueryParams(query): QueryParams<ComparisonQuery>,
    request: Request,
) -> JsonResult<ComparisonResponse> {
    let file = if query.file.is_empty() {
        "-"
    } else {
        &query.file
    };
    let body = receive(request, file.to_string()).await?;
    let plan = run::Plan::new(&app, &query)?;
    caller.allow_whole_source(plan.name(), "compare lists")?;
    let record = caller.audit_record("compare", plan.name(), plan.describe(), None);
    app.note(record).await?;
    blocking(move || {
        let stored = run::run(&app, plan, body)?;
        Ok(Json(response(&app, stored)))
    })
    .await
}

/// Lists the last comparison with each other list.
#[utoipa::path(get, path = "/v1/comparisons", tag = "comparisons",
    responses((status = 200, body = Page<ComparisonResponse>, description = "The last comparisons by name")))]
pub async fn list_comparisons(State(app): State<App>) -> JsonResult<Page<ComparisonResponse>> {
    blocking(move || {
        let all = app.comparisons.folder.all();
        let all = all.map_err(ProblemDetails::internal)?.into_iter();
        Ok(Json(Page::all(all.map(|c| response(&app, c)))))
    })
    .await
}

/// Returns the last comparison with another list.
#[utoipa::path(get, path = "/v1/comparisons/{name}", tag = "comparisons",
    params(("name" = String, Path, description = "The short name of the other list")),
    responses((status = 200, body = ComparisonResponse, description = "The comparison")))]
pub async fn get_comparison(
    State(app): State<App>,
    Part(name): Part,
) -> JsonResult<ComparisonResponse> {
    blocking(move || Ok(Json(response(&app, find(&app, &name)?)))).await
}

/// Deletes the last comparison with another list, with its files.
#[utoipa::path(delete, path = "/v1/comparisons/{name}", tag = "comparisons",
    params(("name" = String, Path, description = "The short name of the other list")),
    responses((status = 200, body = ComparisonResponse, description = "The deleted comparison")))]
pub async fn delete_comparison(
    Call { app, caller }: Call,
    Part(name): Part,
) -> JsonResult<ComparisonResponse> {
    caller.allow_whole_source(&name, "delete comparisons")?;
    let record = caller.audit_record("compare delete", &name, "", None);
    let found = find(&app, &name)?;
    app.note(record).await?;
    blocking(move || {
        let _running = app.comparisons.begin().ok_or_else(busy)?;
        let deleted = app.comparisons.folder.delete(&name);
        deleted.map_err(ProblemDetails::internal)?;
        Ok(Json(response(&app, found)))
    })
    .await
}

/// Returns a list of a comparison, one entry a line: the other list, the entries that only it has, or
/// those of them that tests found closed.
#[utoipa::path(get, path = "/v1/comparisons/{name}/{file}", tag = "comparisons",
    params(("name" = String, Path, description = "The short name of the other list"),
        ("file" = String, Path, description = "The name of the file, as the comparison has it")),
    responses((status = 200, body = String, content_type = "text/plain", description = "The list")))]
pub async fn get_comparison_file(
    State(app): State<App>,
    Path((name, file)): Path<(String, String)>,
) -> Result<Response, ProblemDetails> {
    let opened = blocking(move || {
        let comparison = find(&app, &name)?;
        open(&app, &comparison, &OPERATORS_FILES, &file)
    });
    Ok(text(opened.await?))
}

/// The lists that operators get.
const OPERATORS_FILES: [ComparisonFile; 3] = [
    ComparisonFile::List,
    ComparisonFile::OnlyTheirs,
    ComparisonFile::Closed,
];

fn busy() -> ProblemDetails {
    ProblemDetails::conflict("another comparison is running; try again when it has ended")
}

/// Finds the comparison with a list.
fn find(app: &App, name: &str) -> Result<StoredComparison, ProblemDetails> {
    let found = match check_name(name) {
        Ok(()) => app.comparisons.folder.get(name),
        Err(_) => Ok(None),
    };
    found.map_err(ProblemDetails::internal)?.ok_or_else(|| {
        ProblemDetails::not_found(format!("there is no comparison with a list `{name}`"))
    })
}

/// Opens one of some lists of a comparison by its public name.
fn open(
    app: &App,
    comparison: &StoredComparison,
    files: &[ComparisonFile],
    name: &str,
) -> Result<File, ProblemDetails> {
    let StoredComparison { name: list, us, .. } = comparison;
    let found = files.iter().find(|f| f.published_name(list, us) == name);
    let found = found.ok_or_else(|| {
        ProblemDetails::not_found(format!("the comparison with `{list}` has no file `{name}`"))
    })?;
    let opened = app.comparisons.folder.open(list, *found);
    opened.map_err(ProblemDetails::internal)
}

/// The response with a text file.
fn text(file: File) -> Response {
    let stream = ReaderStream::new(tokio::fs::File::from_std(file));
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (kind, Body::from_stream(stream)).into_response()
}

/// The settings of a list; those of a list without a table if there is none.
fn settings(app: &App, name: &str) -> ComparisonSettings {
    app.comparisons.settings_of(name).unwrap_or_default()
}

/// The number of entries of a list of a comparison.
fn entries(comparison: &StoredComparison, file: ComparisonFile) -> u64 {
    let total = comparison.figures.total();
    match file {
        ComparisonFile::List => total.theirs,
        ComparisonFile::OnlyTheirs => total.only_theirs,
        ComparisonFile::Closed => total.tested_closed,
        ComparisonFile::ClosedByUs => comparison.closed_by_us,
    }
}

fn files(comparison: &StoredComparison, files: &[ComparisonFile]) -> Vec<ComparisonFileResponse> {
    let file = |file: &ComparisonFile| ComparisonFileResponse {
        file: file.published_name(&comparison.name, &comparison.us),
        entries: entries(comparison, *file),
    };
    files.iter().map(file).collect()
}

/// A comparison as operators get it.
fn response(app: &App, comparison: StoredComparison) -> ComparisonResponse {
    let settings = settings(app, &comparison.name);
    let figures = &comparison.figures;
    ComparisonResponse {
        title: match settings.title.is_empty() {
            true => comparison.name.clone(),
            false => settings.title,
        },
        url: Some(settings.url).filter(|url| !url.is_empty()),
        compared_at: comparison.compared_at.into(),
        read_at: comparison.read_at.into(),
        republish: settings.republish,
        errors: comparison.errors,
        left_out: comparison.left_out,
        total: figures.total(),
        ipv4: figures.ipv4,
        ipv6: figures.ipv6,
        names: figures.names,
        ipv4_addresses: coverage(figures.ipv4_addresses),
        ipv6_addresses: coverage(figures.ipv6_addresses),
        shares: figures.shares().into_iter().map(share).collect(),
        files: files(&comparison, &OPERATORS_FILES),
        samples: comparison.samples.into_iter().map(sample_group).collect(),
        with: Some(comparison.with),
        problems: comparison.problems,
        name: comparison.name,
        zone: comparison.zone,
    }
}

fn coverage(c: Coverage) -> CoverageResponse {
    CoverageResponse {
        theirs: c.theirs.to_string(),
        ours: c.ours.to_string(),
        both: c.both.to_string(),
        only_theirs: c.only_theirs().to_string(),
        only_ours: c.only_ours().to_string(),
    }
}

fn share(s: Share) -> ShareResponse {
    ShareResponse {
        part: group_name(s.part),
        whole: group_name(s.whole),
        part_entries: s.part_entries,
        whole_entries: s.whole_entries,
        percent: s.percent(),
    }
}

fn group_name(group: EntryGroup) -> EntryGroupName {
    match group {
        EntryGroup::Theirs => EntryGroupName::Theirs,
        EntryGroup::Ours => EntryGroupName::Ours,
        EntryGroup::Both => EntryGroupName::Both,
        EntryGroup::OnlyTheirs => EntryGroupName::OnlyTheirs,
        EntryGroup::OnlyOurs => EntryGroupName::OnlyOurs,
        EntryGroup::Tested => EntryGroupName::Tested,
        EntryGroup::TestedOpen => EntryGroupName::TestedOpen,
        EntryGroup::TestedClosed => EntryGroupName::TestedClosed,
    }
}

fn sample_group(group: SampleGroup) -> SampleGroupResponse {
    SampleGroupResponse {
        group: group.group,
        entries: group.entries,
        samples: group.samples,
    }
}

/// The problem of a result that cannot be written.
#[allow(clippy::needless_pass_by_value)] // it is a function of `map_err`
fn unwritable(e: io::Error) -> ProblemDetails {
    ProblemDetails::conflict(format!("the result cannot be stored: {e}"))
}
