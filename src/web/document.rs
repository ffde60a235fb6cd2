//! The OpenAPI document: made once for the process, and kept as bytes, as their gzip form, and with
//! an entity tag for each.

use std::{io::Write, sync::OnceLock};

use axum::{
    body::Bytes,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};
use ring::digest;
use utoipa::openapi::{OpenApi, RefOr};

use super::{Problem, negotiation};

/// The one form of the document that every router serves.
static DOCUMENT: OnceLock<Document> = OnceLock::new();

/// A document and its gzip form.
struct Document {
    plain: Encoded,
    gzip: Encoded,
}

/// Bytes and the entity tag that stands for them.
struct Encoded {
    bytes: Bytes,
    tag: String,
}

impl Document {
    fn new(api: &OpenApi) -> Result<Document, std::io::Error> {
        let json = serde_json::to_vec(api)?;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&json)?;
        let hash =
            data_encoding::HEXLOWER.encode(&digest::digest(&digest::SHA256, &json).as_ref()[..8]);
        let gzip = Encoded {
            bytes: gzip.finish()?.into(),
            tag: format!("\"{hash}-gzip\""),
        };
        Ok(Document {
            plain: Encoded {
                bytes: json.into(),
                tag: format!("\"{hash}\""),
            },
            gzip,
        })
    }
}

/// Completes what the handlers leave out and OpenAPI requires: an `operationId` that no other
/// operation has (its tag and the handler's name), and a description for each response.
pub(super) fn complete(api: &mut OpenApi) {
    for item in api.paths.paths.values_mut() {
        let all = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.patch,
            &mut item.delete,
        ];
        for operation in all.into_iter().flatten() {
            if let (Some(tag), Some(id)) = (
                operation.tags.iter().flatten().next(),
                &operation.operation_id,
            ) {
                operation.operation_id = Some(format!("{tag}_{id}"));
            }
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response
                    && response.description.is_empty()
                {
                    let reason = status
                        .parse()
                        .ok()
                        .and_then(|s: StatusCode| s.canonical_reason());
                    response.description = reason.unwrap_or("Response").into();
                }
            }
        }
    }
}

/// Responds with the document, or with 304 to a client that has it.
pub(super) fn respond(api: &OpenApi, headers: &HeaderMap) -> Result<Response, Problem> {
    let document = match DOCUMENT.get() {
        Some(document) => document,
        None => {
            let made = Document::new(api).map_err(Problem::failed)?;
            DOCUMENT.get_or_init(|| made)
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
    let mut response = (
        fields,
        [(header::CONTENT_TYPE, "application/json")],
        form.bytes.clone(),
    )
        .into_response();
    if gzip {
        response.headers_mut().insert(
            header::CONTENT_ENCODING,
            header::HeaderValue::from_static("gzip"),
        );
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    /// Generators of clients refuse a document without them (OpenAPI 3.1 sections 4.8.10 and
    /// 4.8.17).
    #[test]
    fn every_operation_has_its_own_id_and_every_response_a_description() {
        let (_, api) = super::super::routes::described();
        let document = serde_json::to_value(&api).unwrap();
        let mut ids = std::collections::BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let id = operation["operationId"]
                    .as_str()
                    .unwrap_or_else(|| panic!("{method} {path}"));
                assert!(
                    ids.insert(id.to_string()),
                    "{method} {path}: another operation is called {id}"
                );
                for (status, response) in operation["responses"].as_object().unwrap() {
                    let described = response["description"]
                        .as_str()
                        .is_some_and(|d| !d.is_empty());
                    assert!(
                        described || response["$ref"].is_string(),
                        "{method} {path}: {status}"
                    );
                }
            }
        }
        assert!(ids.len() > 60, "{ids:?}");
    }

    #[tokio::test]
    async fn the_openapi_document_is_made_once() {
        let (_, api) = super::super::routes::described();
        let ask = |name: header::HeaderName, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            respond(&api, &headers).unwrap_or_else(|p| panic!("{p:?}"))
        };
        async fn body(response: Response) -> Bytes {
            response.into_body().collect().await.unwrap().to_bytes()
        }
        for encoding in ["identity", "gzip"] {
            let (first, second) = (
                ask(header::ACCEPT_ENCODING, encoding),
                ask(header::ACCEPT_ENCODING, encoding),
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
        let plain = ask(header::ACCEPT_ENCODING, "gzip;q=0");
        let tag = plain.headers()[header::ETAG].to_str().unwrap().to_string();
        let plain = body(plain).await;
        let mut unpacked = Vec::new();
        let packed = body(ask(header::ACCEPT_ENCODING, "gzip")).await;
        std::io::Read::read_to_end(
            &mut flate2::read::GzDecoder::new(&packed[..]),
            &mut unpacked,
        )
        .unwrap();
        assert!(unpacked == plain && packed.len() * 3 < plain.len());
        let same = ask(header::IF_NONE_MATCH, &tag);
        assert_eq!(same.status(), StatusCode::NOT_MODIFIED);
        assert!(body(same).await.is_empty());
        assert_eq!(
            ask(header::IF_NONE_MATCH, "\"other\"").status(),
            StatusCode::OK
        );
    }
}
