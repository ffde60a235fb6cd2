//! The files of the site: its style sheet, its script and its icon. Their names have a hash of the
//! content, so that clients may keep them for a year.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};

use crate::api::ProblemDetails;

/// A file of the site.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static str,
}

const ASSETS: [Asset; 3] = [
    Asset {
        name: "site.css",
        content_type: "text/css; charset=utf-8",
        content: include_str!("assets/site.css"),
    },
    Asset {
        name: "site.js",
        content_type: "text/javascript; charset=utf-8",
        content: include_str!("assets/site.js"),
    },
    Asset {
        name: "icon.svg",
        content_type: "image/svg+xml",
        content: include_str!("assets/icon.svg"),
    },
];

/// The paths of the assets, in their order.
static PATHS: LazyLock<Vec<String>> = LazyLock::new(|| ASSETS.iter().map(path_of).collect());

fn path_of(asset: &Asset) -> String {
    let hash = crc32fast::hash(asset.content.as_bytes());
    let (stem, extension) = asset.name.split_once('.').unwrap_or((asset.name, ""));
    format!("/assets/{stem}.{hash:08x}.{extension}")
}

/// The path of an asset by its name, or an empty text.
pub(super) fn path(name: &str) -> &'static str {
    let at = ASSETS.iter().position(|a| a.name == name);
    at.and_then(|i| PATHS.get(i)).map_or("", String::as_str)
}

/// `GET /assets/{file}`.
pub(super) async fn get_asset(Path(file): Path<String>) -> Result<Response, ProblemDetails> {
    let at = PATHS
        .iter()
        .position(|p| p.strip_prefix("/assets/") == Some(&file));
    let asset = at.and_then(|i| ASSETS.get(i)).ok_or_else(|| {
        ProblemDetails::not_found("this file does not exist, or is of an earlier version")
    })?;
    let mut headers = HeaderMap::new();
    let kind = HeaderValue::from_static(asset.content_type);
    headers.insert(header::CONTENT_TYPE, kind);
    let keep = HeaderValue::from_static("public, max-age=31536000, immutable");
    headers.insert(header::CACHE_CONTROL, keep);
    Ok((headers, asset.content).into_response())
}

/// `GET /favicon.ico`: the icon, for clients that do not read the page.
pub(super) async fn get_icon() -> Result<Response, ProblemDetails> {
    let path = path("icon.svg").strip_prefix("/assets/");
    get_asset(Path(path.unwrap_or_default().into())).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn asset_is_served_under_the_hash_of_its_content_alone() {
        for asset in &ASSETS {
            let path = path(asset.name);
            let file = path.strip_prefix("/assets/").unwrap();
            assert!(get_asset(Path(file.into())).await.is_ok(), "{path}");
            assert!(get_asset(Path(asset.name.into())).await.is_err());
        }
        assert!(get_asset(Path("../mod.rs".into())).await.is_err());
    }

    #[test]
    fn assets_load_nothing_from_other_hosts() {
        for asset in &ASSETS {
            let without_namespace = asset.content.replace("http://www.w3.org/2000/svg", "");
            assert!(!without_namespace.contains("//www"), "{}", asset.name);
            assert!(!without_namespace.contains("http"), "{}", asset.name);
            assert!(!without_namespace.contains("@import"), "{}", asset.name);
        }
    }
}
