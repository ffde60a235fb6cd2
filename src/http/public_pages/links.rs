//! Pages of others, and the lists of other operators, as JSON.

use axum::Json;
use strum::VariantArray;

use crate::{
    advice::{LinkGroup, LinkState, links},
    api::{BlocklistLinkResponse, LinkGroupResponse, LinksResponse},
    bounce::{OtherList, OtherLists},
};

/// Lists pages of others about open relays, and the lists of other operators.
#[utoipa::path(get, path = "/links", tag = "public",
    responses((status = 200, body = LinksResponse, description = "All links")))]
pub async fn list_links() -> Json<LinksResponse> {
    Json(all_links())
}

/// Returns pages of others by what they are about, and the lists of other operators.
pub fn all_links() -> LinksResponse {
    let group = |group: &LinkGroup| LinkGroupResponse {
        group: *group,
        links: links()
            .iter()
            .filter(|l| l.group == *group)
            .map(Into::into)
            .collect(),
    };
    let mut lists: Vec<_> = OtherLists::get().all().iter().map(blocklist).collect();
    // The sort is stable: in each half the lists keep the order of their file.
    lists.sort_by_key(|l| l.state == LinkState::Closed);
    LinksResponse {
        groups: LinkGroup::VARIANTS.iter().map(group).collect(),
        lists,
    }
}

fn blocklist(list: &OtherList) -> BlocklistLinkResponse {
    BlocklistLinkResponse {
        name: list.name.clone(),
        zone: list.zones.first().cloned(),
        lookup_url: list.lookup_form(),
        removal_url: list.removal_form(),
        state: match list.closed {
            Some(_) => LinkState::Closed,
            None => LinkState::Alive,
        },
        since: list.closed.clone(),
        note: list.note.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_lists_come_last_and_no_address_has_a_placeholder() {
        let all = all_links();
        assert!(all.groups.iter().all(|g| !g.links.is_empty()));
        let first_closed = all.lists.iter().position(|l| l.since.is_some()).unwrap();
        assert!(first_closed > 0);
        for (i, list) in all.lists.iter().enumerate() {
            let is_closed = list.state == LinkState::Closed;
            assert_eq!(is_closed, i >= first_closed, "{}", list.name);
            assert_eq!(is_closed, list.since.is_some(), "{}", list.name);
            for url in list.lookup_url.iter().chain(&list.removal_url) {
                assert!(!url.contains('{'), "{url}");
            }
        }
        let spamcop = all.lists.iter().find(|l| l.name == "SpamCop").unwrap();
        assert_eq!(
            spamcop.lookup_url.as_deref(),
            Some("https://www.spamcop.net/w3m?action=checkblock&ip=")
        );
    }
}
