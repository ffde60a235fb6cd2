//! Setting a newer serial of a zone.

use axum::Json;

use super::{
    error::of_ledger,
    handler::{Call, JsonResult, blocking},
    import::find_zone,
    input::{JsonBody, Part},
};
use crate::{
    api::{SerialRequestBody, SerialResponse},
    ledger::SerialRequest,
    model::{Serial, serial::forced_transfers},
};

/// Sets a newer serial. Where it is not newer for mirrors that were seen in the last 30 days, it is
/// refused with their names, unless `force` is true.
#[utoipa::path(post, path = "/v1/zones/{zone}/serial", tag = "zones", request_body = SerialRequestBody,
    params(("zone" = String, Path, description = "The name of the zone, or of its file without the ending")),
    responses((status = 200, body = SerialResponse, description = "The serial is set")))]
pub async fn set_serial(
    Call { app, caller }: Call,
    Part(zone): Part,
    JsonBody(body): JsonBody<SerialRequestBody>,
) -> JsonResult<SerialResponse> {
    let zone = find_zone(&app.ledger.published.snapshot(), &zone)?
        .name
        .to_string();
    let by_force = if body.force { " by force" } else { "" };
    let detail = format!("{}{by_force}", body.serial);
    let audit = caller.audit_record("zone.serial", &zone, detail, None);
    let request = SerialRequest {
        zone: zone.clone(),
        serial: Serial(body.serial),
        force: body.force,
        audit,
    };
    let ledger = app.ledger;
    let change = blocking(move || ledger.set_serial(request).map_err(of_ledger(&ledger))).await?;
    Ok(Json(SerialResponse {
        serial: body.serial,
        commit: change.receipt.commit,
        left_behind: change.left_behind.iter().map(Into::into).collect(),
        commands: forced_transfers(&zone)
            .map(|(software, command)| (software.to_string(), command))
            .into(),
        zone,
    }))
}
