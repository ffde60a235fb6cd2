//! Corrections of the knowledge base, which open tickets.

use std::net::IpAddr;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};

use super::{
    super::{
        App,
        caller::ClientAddress,
        handler::StatusResult,
        input::{JsonBody, Part},
    },
    call_tickets, requester_language, ticket_response,
};
use crate::{
    advice::{Library, Product},
    api::{CorrectionRequest, ProblemDetails, TicketResponse},
    tickets::{corrections::NewCorrection, limits::LimitedRequest},
};

/// Sends a correction of a page of the knowledge base: it opens a ticket, about which a person
/// decides. The path of the response is the only key to the ticket.
#[utoipa::path(post, path = "/advice/{product}/corrections", tag = "public",
    params(("product" = String, Path, description = "The id of the product or guide")),
    request_body = CorrectionRequest,
    responses((status = 201, body = TicketResponse, description = "The ticket")))]
pub async fn post_correction(
    State(app): State<App>,
    ClientAddress(client): ClientAddress,
    headers: HeaderMap,
    Part(product): Part,
    JsonBody(request): JsonBody<CorrectionRequest>,
) -> StatusResult<TicketResponse> {
    let language = requester_language(&headers);
    let ticket = open_correction(&app, &product, request, client, language).await?;
    Ok((StatusCode::CREATED, Json(ticket)))
}

/// Opens the ticket of a correction. `language` is the tag of the requester's language.
///
/// # Errors
///
/// There is no such product, guide or entry, a field is missing or too long, or a limit is reached.
pub async fn open_correction(
    app: &App,
    product: &str,
    request: CorrectionRequest,
    client: Option<IpAddr>,
    language: &str,
) -> Result<TicketResponse, ProblemDetails> {
    let library = Library::get();
    let title = library.page_title(product).ok_or_else(|| {
        ProblemDetails::not_found(format!(
            "the knowledge base has no product or guide `{product}`; search it at /advice"
        ))
    })?;
    let entry = request.entry.trim();
    let has_entry = |p: &Product| p.entry.iter().any(|e| e.id == entry);
    // Only pages of products have entries.
    if !entry.is_empty() && !library.product(product).is_some_and(has_entry) {
        return Err(ProblemDetails::invalid(format!(
            "entry: the page of {title} has no entry `{entry}`; leave it empty for the whole page"
        )));
    }
    let new = NewCorrection {
        product: product.into(),
        entry: entry.into(),
        version: request.version,
        text: request.text,
        source: request.source,
        language: language.into(),
    };
    call_tickets(app, move |tickets| {
        tickets.count_request(LimitedRequest::Open, client)?;
        let ticket = tickets.open_correction(&new, tickets.now())?;
        ticket_response(tickets, &ticket)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::Subject, tickets::corrections::subject_of_product};

    #[test]
    fn the_id_of_every_page_is_a_domain_name_of_one_label() {
        let library = Library::get();
        let products = library.products().iter().map(|p| &p.id);
        for id in products.chain(library.guides().iter().map(|g| &g.id)) {
            let subject = subject_of_product(id);
            assert!(
                matches!(&subject, Ok(s @ Subject::Domain(_)) if s.to_string() == *id),
                "{id}: {subject:?}"
            );
        }
        for other in ["192.0.2.1", "mail.example", "postfix.", "*.postfix", ""] {
            assert!(subject_of_product(other).is_err(), "{other}");
        }
    }
}
