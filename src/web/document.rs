//! The OpenAPI document: made once for the process, and kept as bytes, as their gzip form, and with an entity tag for each.

use std::{io::Write, sync::OnceLock};

use axum::{
    body::Bytes,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};
use ring::digest;
use utoipa::openapi::OpenApi;

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
        let hash = data_encoding::HEXLOWER.encode(&digest::digest(&digest::SHA256, &json).as_ref()[..8]);
        let gzip = Encoded { bytes: gzip.finish()?.into(), tag: format!("\"{hash}-gzip\"") };
        Ok(Document { plain: Encoded { bytes: json.into(), tag: format!("\"{hash}\"") }, gzip })
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
    let form = if gzip { &document.gzip } else { &document.plain };
    let fields = [(header::ETAG, form.tag.as_str()), (header::VARY, "accept-encoding"), (header::CACHE_CONTROL, "no-cache")];
    if negotiation::has_current(headers, &form.tag) {
        return Ok((StatusCode::NOT_MODIFIED, fields).into_response());
    }
    let mut response = (fields, [(header::CONTENT_TYPE, "application/json")], form.bytes.clone()).into_response();
    if gzip {
        response.headers_mut().insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

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
            let (first, second) = (ask(header::ACCEPT_ENCODING, encoding), ask(header::ACCEPT_ENCODING, encoding));
            assert_eq!(first.headers()[header::ETAG], second.headers()[header::ETAG]);
            let (first, second) = (body(first).await, body(second).await);
            assert!(first.as_ptr() == second.as_ptr() && first.len() == second.len(), "the same bytes in memory: {encoding}");
        }
        let plain = ask(header::ACCEPT_ENCODING, "gzip;q=0");
        let tag = plain.headers()[header::ETAG].to_str().unwrap().to_string();
        let plain = body(plain).await;
        let mut unpacked = Vec::new();
        let packed = body(ask(header::ACCEPT_ENCODING, "gzip")).await;
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut unpacked).unwrap();
        assert!(unpacked == plain && packed.len() * 3 < plain.len());
        let same = ask(header::IF_NONE_MATCH, &tag);
        assert_eq!(same.status(), StatusCode::NOT_MODIFIED);
        assert!(body(same).await.is_empty());
        assert_eq!(ask(header::IF_NONE_MATCH, "\"other\"").status(), StatusCode::OK);
    }
}
