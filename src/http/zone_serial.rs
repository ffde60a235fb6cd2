//! A newer serial for a zone.

use axum::{Extension, Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    App,
    access::Caller,
    error::Problem,
    import::find_zone,
    input::{Body, Part},
};
use crate::{
    ledger::SerialRequest,
    model::{
        Serial,
        serial::{SeenMirror, forced_transfers},
    },
};

/// A serial for a zone.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSerial {
    /// The serial. It has to be newer than the zone's own by RFC 1982: at most 2147483647 ahead of
    /// it.
    serial: u32,
    /// Set it although it is not newer for mirrors that were seen in the last 30 days.
    #[serde(default)]
    force: bool,
}

/// A mirror, and the serial that it was last seen to have.
#[derive(Debug, Serialize, ToSchema)]
pub struct SeenMirrorResponse {
    /// Its address; with a port where it is configured.
    address: String,
    /// The name of its TSIG key.
    key: Option<String>,
    /// The serial that it has.
    serial: u32,
    /// When it was seen last.
    seen: String,
}

impl From<&SeenMirror> for SeenMirrorResponse {
    fn from(m: &SeenMirror) -> SeenMirrorResponse {
        SeenMirrorResponse {
            address: m.address.clone(),
            key: m.key.clone(),
            serial: m.serial.0,
            seen: m.seen.to_string(),
        }
    }
}

/// A serial that was set.
#[derive(Debug, Serialize, ToSchema)]
pub struct SerialResponse {
    /// The zone's name.
    zone: String,
    /// Its serial.
    serial: u32,
    /// The number of the commit.
    commit: u64,
    /// The mirrors for which it is not newer: each keeps its old zone until a transfer is forced
    /// there.
    left_behind: Vec<SeenMirrorResponse>,
    /// The commands that force a transfer, by name server software.
    commands: std::collections::BTreeMap<String, String>,
}

/// Sets a newer serial. Where it is not newer for mirrors that were seen in the last 30 days, it is
/// refused with their names, unless `force` is true.
#[utoipa::path(post, path = "/v1/zones/{origin}/serial", tag = "zones", params(("origin" = String, Path, description = "The zone's origin, or its file's name")), request_body = NewSerial, responses((status = 200, body = SerialResponse), Problem))]
pub(super) async fn set_serial(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(origin): Part,
    Body(asked): Body<NewSerial>,
) -> Result<Json<SerialResponse>, Problem> {
    let zone = find_zone(&app.ledger.published.snapshot(), &origin)?
        .name
        .to_string();
    let audit = caller.line(
        "zone.serial",
        &zone,
        format!(
            "{}{}",
            asked.serial,
            if asked.force { " by force" } else { "" }
        ),
        None,
    );
    let request = SerialRequest {
        zone: zone.clone(),
        serial: Serial(asked.serial),
        force: asked.force,
        audit,
    };
    let ledger = app.ledger.clone();
    let done = tokio::task::spawn_blocking(move || ledger.set_serial(request))
        .await
        .map_err(Problem::failed)?;
    let done = done.map_err(|e| Problem::of(&e, &app.ledger.store.dictionary()))?;
    Ok(Json(SerialResponse {
        serial: asked.serial,
        commit: done.receipt.commit,
        left_behind: done.left_behind.iter().map(Into::into).collect(),
        commands: forced_transfers(&zone)
            .map(|(software, command)| (software.to_string(), command))
            .into(),
        zone,
    }))
}
