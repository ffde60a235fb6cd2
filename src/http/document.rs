//! The OpenAPI document: made once for the process, and kept as plain and as gzip bytes, each with
//! an entity tag.

use std::{io::Write, sync::OnceLock};

use axum::{
    body::Bytes,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use data_encoding::HEXLOWER;
use flate2::{Compression, write::GzEncoder};
use ring::digest;
use utoipa::openapi::{
    Content, OpenApi, RefOr, Schema,
    schema::{Object, Type},
};

use super::negotiation;
use crate::api::ProblemDetails;

/// The document that every router serves.
static DOCUMENT: OnceLock<Document> = OnceLock::new();

/// A document and its gzip form.
struct Document {
    plain: EncodedDocument,
    gzip: EncodedDocument,
}

/// Bytes and their entity tag.
struct EncodedDocument {
    bytes: Bytes,
    tag: String,
}

impl Document {
    fn new(api: &OpenApi) -> Result<Document, std::io::Error> {
        let json = serialise(api)?.into_bytes();
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&json)?;
        let hash = HEXLOWER.encode(&digest::digest(&digest::SHA256, &json).as_ref()[..8]);
        let encoded = |bytes: Vec<u8>, suffix: &str| EncodedDocument {
            bytes: bytes.into(),
            tag: format!("\"{hash}{suffix}\""),
        };
        Ok(Document {
            gzip: encoded(gzip.finish()?, "-gzip"),
            plain: encoded(json, ""),
        })
    }
}

/// Returns the document as JSON, with the names of integer formats that the OpenAPI format registry
/// has: utoipa writes `u-int64` for `uint64`.
fn serialise(api: &OpenApi) -> serde_json::Result<String> {
    let json = serde_json::to_string(api)?;
    Ok(json.replace(r#""format":"u-int"#, r#""format":"uint"#))
}

/// Adds to the route that proves control that a client which does not accept JSON gets a line of
/// plain text, also about problems.
fn describe_plain_answers(api: &mut OpenApi) {
    let proof = api.paths.paths.get_mut("/prove/{code}");
    let operation = proof.and_then(|item| item.post.as_mut());
    for response in operation
        .into_iter()
        .flat_map(|o| o.responses.responses.values_mut())
    {
        if let RefOr::T(response) = response {
            let text = RefOr::T(Content::new(Some(Object::with_type(Type::String))));
            response.content.insert("text/plain".into(), text);
        }
    }
}

/// Completes what the handlers leave out: joins the lines of each summary, which comes from the
/// first paragraph of a handler's doc comment, and moves the description of an optional property
/// to the property itself.
pub fn complete(api: &mut OpenApi) {
    describe_plain_answers(api);
    let components = api.components.iter_mut();
    components
        .flat_map(|c| c.schemas.values_mut())
        .for_each(describe_optional_properties);
    for item in api.paths.paths.values_mut() {
        let all = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.patch,
            &mut item.delete,
        ];
        for operation in all.into_iter().flatten() {
            if let Some(summary) = &mut operation.summary {
                *summary = summary.replace('\n', " ");
            }
        }
    }
}

/// Moves the description of a nullable reference to the property itself, where generators of
/// clients look for it. utoipa writes it beside the `$ref`, within `oneOf`.
fn describe_optional_properties(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) => {
            for property in object.properties.values_mut() {
                let RefOr::T(Schema::OneOf(one_of)) = property else {
                    continue;
                };
                for item in &mut one_of.items {
                    if let RefOr::Ref(reference) = item
                        && !reference.description.is_empty()
                    {
                        one_of.description = Some(std::mem::take(&mut reference.description));
                    }
                }
            }
        }
        RefOr::T(Schema::AllOf(all_of)) => {
            all_of
                .items
                .iter_mut()
                .for_each(describe_optional_properties);
        }
        _ => {}
    }
}

/// Responds with the document, or with 304 to a client that has it. `api` makes it for the first
/// client: few daemons are ever asked for it, and it takes some megabytes.
pub fn respond(
    api: impl FnOnce() -> OpenApi,
    headers: &HeaderMap,
) -> Result<Response, ProblemDetails> {
    let document = match DOCUMENT.get() {
        Some(document) => document,
        None => {
            let new = Document::new(&api()).map_err(ProblemDetails::internal)?;
            DOCUMENT.get_or_init(|| new)
        }
    };
    let gzip = negotiation::accepts_gzip(headers);
    let form = if gzip {
        &document.gzip
    } else {
        &document.plain
    };
    let fields = [
        (header::ETAG, form.tag.as_str()),
        (header::VARY, "accept-encoding"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    if negotiation::has_current(headers, &form.tag) {
        return Ok((StatusCode::NOT_MODIFIED, fields).into_response());
    }
    let kind = [(header::CONTENT_TYPE, "application/json")];
    let encoding = gzip.then_some([(header::CONTENT_ENCODING, "gzip")]);
    Ok((fields, kind, encoding, form.bytes.clone()).into_response())
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    const SNAPSHOT: &str = "tests/openapi.json";

    #[test]
    fn openapi_document_is_that_of_the_snapshot() {
        let (_, api, _) = super::super::routes::described();
        // A `Value` sorts the keys of each object.
        let document: serde_json::Value = serde_json::from_str(&serialise(&api).unwrap()).unwrap();
        let found = serde_json::to_string_pretty(&document).unwrap() + "\n";
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::write(SNAPSHOT, &found).unwrap();
        }
        let expected = std::fs::read_to_string(SNAPSHOT).unwrap_or_default();
        let first = found.lines().zip(expected.lines()).find(|(f, e)| f != e);
        assert!(
            found == expected,
            "the OpenAPI document differs from {SNAPSHOT} ({first:?}); `make snapshots` renews the file"
        );
    }

    /// Client generators refuse a document without descriptions (OpenAPI 3.1 sections 4.8.10 and
    /// 4.8.17).
    #[test]
    fn every_operation_parameter_response_and_property_is_described() {
        let (_, api, _) = super::super::routes::described();
        let document = serde_json::to_value(&api).unwrap();
        let mut ids = std::collections::BTreeSet::new();
        let mut missing = Vec::new();
        let text = |v: &serde_json::Value| v.as_str().is_some_and(|d| !d.trim().is_empty());
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let at = format!("{method} {path}");
                let id = operation["operationId"]
                    .as_str()
                    .unwrap_or_else(|| panic!("{at}"));
                assert!(
                    ids.insert(id.to_string()),
                    "{at}: another operation has the ID {id}"
                );
                missing.extend((!text(&operation["summary"])).then(|| at.clone()));
                for (status, response) in operation["responses"].as_object().unwrap() {
                    missing.extend(
                        (!text(&response["description"])).then(|| format!("{at} {status}")),
                    );
                }
                for p in operation["parameters"].as_array().into_iter().flatten() {
                    missing
                        .extend((!text(&p["description"])).then(|| format!("{at} {}", p["name"])));
                }
            }
        }
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            let parts =
                std::iter::once(schema).chain(schema["allOf"].as_array().into_iter().flatten());
            for part in parts {
                for (field, property) in part["properties"].as_object().into_iter().flatten() {
                    missing.extend(
                        (!text(&property["description"])).then(|| format!("{name}.{field}")),
                    );
                }
            }
        }
        assert!(missing.is_empty(), "without a description: {missing:#?}");
        assert!(ids.len() > 60, "{ids:?}");
    }

    #[tokio::test]
    async fn openapi_document_is_serialised_once() {
        let (_, api, _) = super::super::routes::described();
        let request = |name: header::HeaderName, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            respond(|| api.clone(), &headers).unwrap_or_else(|p| panic!("{p:?}"))
        };
        async fn body(response: Response) -> Bytes {
            response.into_body().collect().await.unwrap().to_bytes()
        }
        for encoding in ["identity", "gzip"] {
            let (first, second) = (
                request(header::ACCEPT_ENCODING, encoding),
                request(header::ACCEPT_ENCODING, encoding),
            );
            assert_eq!(
                first.headers()[header::ETAG],
                second.headers()[header::ETAG]
            );
            let (first, second) = (body(first).await, body(second).await);
            assert!(
                first.as_ptr() == second.as_ptr() && first.len() == second.len(),
                "the same bytes in memory: {encoding}"
            );
        }
        let plain = request(header::ACCEPT_ENCODING, "gzip;q=0.0");
        let tag = plain.headers()[header::ETAG].to_str().unwrap().to_string();
        let plain = body(plain).await;
        let mut unpacked = Vec::new();
        let packed = body(request(header::ACCEPT_ENCODING, "gzip")).await;
        std::io::Read::read_to_end(
            &mut flate2::read::GzDecoder::new(&packed[..]),
            &mut unpacked,
        )
        .unwrap();
        assert!(unpacked == plain && packed.len() * 3 < plain.len());
        let same = request(header::IF_NONE_MATCH, &tag);
        assert_eq!(same.status(), StatusCode::NOT_MODIFIED);
        assert!(body(same).await.is_empty());
        assert_eq!(
            request(header::IF_NONE_MATCH, "\"other\"").status(),
            StatusCode::OK
        );
    }
}
