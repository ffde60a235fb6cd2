//! Setting a newer serial of a zone.

use axum::{Extension, Json, extract::State};

use super::{
    App,
    caller::Caller,
    error::of_ledger,
    import::find_zone,
    input::{JsonBody, Part},
};
use crate::{
    api::{ProblemDetails, SerialRequestBody, SerialResponse},
    ledger::SerialRequest,
    model::{Serial, serial::forced_transfers},
};

/// Sets a newer serial. Where it is not newer for mirrors that were seen in the last 30 days, it is
/// refused with their names, unless `force` is true.
#[utoipa::path(post, path = "/v1/zones/{zone}/serial", tag = "zones", request_body = SerialRequestBody,
    params(("zone" = String, Path, description = "The name of the zone, or of its file without the ending")),
    responses((status = 200, body = SerialResponse, description = "The serial is set")))]
pub(super) async fn set_serial(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(zone): Part,
    JsonBody(body): JsonBody<SerialRequestBody>,
) -> Result<Json<SerialResponse>, ProblemDetails> {
    let zone = find_zone(&app.ledger.published.snapshot(), &zone)?
        .name
        .to_string();
    let audit = caller.audit_record(
        "zone.serial",
        &zone,
        format!(
            "{}{}",
            body.serial,
            if body.force { " by force" } else { "" }
        ),
        None,
    );
    let request = SerialRequest {
        zone: zone.clone(),
        serial: Serial(body.serial),
        force: body.force,
        audit,
    };
    let ledger = app.ledger.clone();
    let done = tokio::task::spawn_blocking(move || ledger.set_serial(request))
        .await
        .map_err(ProblemDetails::failed)?;
    let done = done.map_err(of_ledger(&app.ledger))?;
    Ok(Json(SerialResponse {
        serial: body.serial,
        commit: done.receipt.commit,
        left_behind: done.left_behind.iter().map(Into::into).collect(),
        commands: forced_transfers(&zone)
            .map(|(software, command)| (software.to_string(), command))
            .into(),
        zone,
    }))
}
