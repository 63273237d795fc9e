//! What a stream is asked for: `notifications` of `subscriptions/listen` and of its acknowledgement.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::capabilities::ServerCapabilities;
use crate::envelope::Edit;
use crate::jsonrpc;
use crate::raw::RawJson;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Filter {
    #[serde(skip_serializing_if = "is_false")]
    tools_list_changed: bool,
    #[serde(skip_serializing_if = "is_false")]
    prompts_list_changed: bool,
    #[serde(skip_serializing_if = "is_false")]
    resources_list_changed: bool,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) resource_subscriptions: BTreeSet<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Filter {
    /// What a server offers to tell, and the resources that somebody wants to hear of.
    pub(super) fn of(offered: &ServerCapabilities, resources: &BTreeSet<String>) -> Self {
        Self {
            tools_list_changed: offered.tools_list_changed(),
            prompts_list_changed: offered.prompts_list_changed(),
            resources_list_changed: offered.resources_list_changed(),
            resource_subscriptions: resources.clone(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The parameters of the request.
    pub(super) fn params(&self) -> Option<RawJson> {
        let filter = RawJson::write(self).ok()?;
        Some(RawJson::EMPTY_OBJECT.with_members(&[Edit::Set("notifications", &filter)]))
    }

    /// The notifications that say of everything in it that it changed.
    pub(super) fn all_changed(&self) -> impl Iterator<Item = Vec<u8>> {
        let lists = [
            (self.tools_list_changed, "notifications/tools/list_changed"),
            (
                self.prompts_list_changed,
                "notifications/prompts/list_changed",
            ),
            (
                self.resources_list_changed,
                "notifications/resources/list_changed",
            ),
        ];
        let lists = lists
            .into_iter()
            .filter(|(asked, _)| *asked)
            .map(|(_, method)| jsonrpc::notification(method, None));
        let resources = self.resource_subscriptions.iter().map(|uri| {
            let uri = RawJson::string(uri);
            let params = RawJson::EMPTY_OBJECT.with_members(&[Edit::Set("uri", &uri)]);
            jsonrpc::notification("notifications/resources/updated", Some(&params))
        });
        lists.chain(resources)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(capabilities: &str, resources: &[&str]) -> Filter {
        let offered = ServerCapabilities::read(RawJson::parse(capabilities.to_owned()).unwrap());
        Filter::of(
            &offered,
            &resources.iter().map(|&uri| uri.to_owned()).collect(),
        )
    }

    #[test]
    fn only_what_a_server_offers_is_asked_for() {
        let some = filter(
            r#"{"tools":{"listChanged":true},"prompts":{},"resources":{"subscribe":true}}"#,
            &["b:1", "a:1"],
        );
        assert_eq!(
            some.params().unwrap().as_str(),
            r#"{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["a:1","b:1"]}}"#
        );
        assert!(filter(r#"{"tools":{}}"#, &[]).is_empty());
    }

    #[test]
    fn everything_asked_for_can_be_said_to_have_changed() {
        let told: Vec<_> = filter(r#"{"prompts":{"listChanged":true}}"#, &["a:\""])
            .all_changed()
            .map(|message| String::from_utf8(message).unwrap())
            .collect();
        assert_eq!(
            told,
            [
                r#"{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}"#,
                r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:\""}}"#
            ]
        );
    }
}
