//! Accessibility trees of the main pages, as a screen reader has them. The snapshot is tree.txt;
//! `UPDATE_SNAPSHOTS=1` renews it.

use std::{collections::HashMap, fmt::Write, fs, path::PathBuf};

use serde_json::{Value, json};

use super::{
    driver::{Browser, browse},
    site::examples,
};

/// The examples in the snapshot.
const SHOWN: [&str; 7] = [
    "home",
    "lookup-error",
    "lookup-listed",
    "lookup-never-listed",
    "ticket-needs-proof",
    "ticket-testing",
    "ticket-granted",
];

/// Roles that have no meaning of their own, or whose text is the name of what contains them.
const LEFT_OUT: [&str; 13] = [
    "none",
    "generic",
    "InlineTextBox",
    "StaticText",
    "LineBreak",
    "RootWebArea",
    "ListMarker",
    "paragraph",
    "LayoutTable",
    "Section",
    "LabelText",
    "strong",
    "code",
];

/// The tree of the open page: a line for each node with its role, its name and its states.
async fn tree(browser: &Browser) -> String {
    let reply = browser
        .devtools("Accessibility.getFullAXTree", json!({}))
        .await;
    let all: Vec<&Value> = reply["nodes"].as_array().into_iter().flatten().collect();
    let by_id: HashMap<&str, &Value> = all
        .iter()
        .filter_map(|n| Some((n["nodeId"].as_str()?, *n)))
        .collect();
    let mut out = String::new();
    if let Some(root) = all.first() {
        write_node(root, &by_id, 0, &mut out);
    }
    out
}

fn write_node(node: &Value, by_id: &HashMap<&str, &Value>, depth: usize, out: &mut String) {
    let role = node["role"]["value"].as_str().unwrap_or_default();
    let mut below = depth;
    if node["ignored"] != true && !LEFT_OUT.contains(&role) {
        let name = node["name"]["value"].as_str().unwrap_or_default();
        let _ = write!(out, "{:1$}{role}", "", depth * 2);
        for property in node["properties"].as_array().into_iter().flatten() {
            let value = &property["value"]["value"];
            match property["name"].as_str().unwrap_or_default() {
                "level" => write!(out, " {value}"),
                name @ ("expanded" | "invalid" | "required" | "live") if *value != "false" => {
                    write!(out, " {name}={}", value.as_str().unwrap_or("true"))
                }
                _ => Ok(()),
            }
            .unwrap();
        }
        if !name.is_empty() {
            let _ = write!(out, " {name:?}");
        }
        let description = node["description"]["value"].as_str().unwrap_or_default();
        if !description.is_empty() {
            let _ = write!(out, " ({description})");
        }
        out.push('\n');
        below += 1;
    }
    for id in node["childIds"].as_array().into_iter().flatten() {
        if let Some(child) = id.as_str().and_then(|id| by_id.get(id)) {
            write_node(child, by_id, below, out);
        }
    }
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn accessibility_trees_equal_the_snapshot() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/browser/tree.txt");
    let mut text = String::new();
    browse(&examples(), async |browser| {
        for name in SHOWN {
            browser.open(&format!("/examples/{name}?lang=en")).await;
            let _ = write!(text, "# {name}\n{}\n", tree(browser).await);
        }
    });
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&file, &text).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    let changed = text.lines().zip(expected.lines()).find(|(a, b)| a != b);
    assert!(
        text == expected,
        "the first line that differs, new and old: {changed:?}; run the test with UPDATE_SNAPSHOTS=1 and read the difference"
    );
}
