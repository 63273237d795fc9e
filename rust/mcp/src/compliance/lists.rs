//! What it lists: whole, sane, and the same when asked again.

use std::collections::HashSet;

use serde_json::Value;

use super::{Doctor, Outcome, failed, skipped, warned};
use crate::list::{List, ListLimits, all};
use crate::raw::RawJson;

pub(super) async fn check(doctor: &mut Doctor<'_>) {
    let capabilities = doctor.upstream.info().capabilities.clone();
    let tools = list(
        doctor,
        "tools.list",
        "every page of `tools/list` can be had",
        "server/tools#listing-tools",
        List::Tools,
        capabilities.tools(),
    )
    .await;
    list(
        doctor,
        "resources.list",
        "every page of `resources/list` can be had",
        "server/resources#listing-resources",
        List::Resources,
        capabilities.resources(),
    )
    .await;
    list(
        doctor,
        "prompts.list",
        "every page of `prompts/list` can be had",
        "server/prompts#listing-prompts",
        List::Prompts,
        capabilities.prompts(),
    )
    .await;

    let read: Option<Vec<Value>> = tools.as_ref().map(|tools| {
        tools
            .iter()
            .map(|tool| tool.read().unwrap_or_default())
            .collect()
    });
    let judge = |judge: fn(&[Value]) -> Outcome| {
        read.as_ref().map_or_else(
            || skipped("there is no list of tools"),
            |tools| judge(tools),
        )
    };
    doctor.note(
        "tools.names",
        "tools have different names of 1 to 128 letters, digits, `_`, `-` and `.`",
        "server/tools#tool-names",
        judge(names),
        "rename the tool; hosts refuse, or silently drop, tools with other names",
    );
    doctor.note(
        "tools.schema",
        "every tool has an `inputSchema` of the type `object`",
        "server/tools#tool",
        judge(schemas),
        "give the tool a JSON Schema; one without parameters has {\"type\": \"object\", \"additionalProperties\": false}",
    );
    doctor.note(
        "tools.description",
        "every tool says what it does",
        "server/tools#tool",
        judge(descriptions),
        "a model picks a tool by its description: write one",
    );

    let outcome = match &tools {
        None => skipped("there is no list of tools"),
        Some(before) => match all(doctor.upstream, List::Tools, limits(doctor)).await {
            Ok(again) if again == *before => Outcome::Passed,
            Ok(again) if sorted(&again) == sorted(before) => {
                warned("the same tools came in another order")
            }
            Ok(again) => failed(format!(
                "{} tools, and then {}, or others",
                before.len(),
                again.len()
            )),
            Err(error) => failed(error.to_string()),
        },
    };
    doctor.note(
        "tools.stable",
        "the list of tools is the same when asked again at once",
        "server/tools#list-changed-notification",
        outcome,
        "keep the order of tools, and send `notifications/tools/list_changed` when they change",
    );
}

fn limits(doctor: &Doctor<'_>) -> ListLimits {
    ListLimits {
        timeout: Some(doctor.patience),
        ..ListLimits::default()
    }
}

async fn list(
    doctor: &mut Doctor<'_>,
    id: &'static str,
    rule: &'static str,
    section: &'static str,
    list: List,
    declared: bool,
) -> Option<Vec<RawJson>> {
    let (items, outcome) = if declared {
        match all(doctor.upstream, list, limits(doctor)).await {
            Ok(items) => (Some(items), Outcome::Passed),
            Err(error) => (None, failed(error.to_string())),
        }
    } else {
        (None, skipped("it does not declare them"))
    };
    doctor.note(
        id,
        rule,
        section,
        outcome,
        "declare only the capabilities the server has, and answer their lists",
    );
    items
}

fn sorted(items: &[RawJson]) -> Vec<&[u8]> {
    let mut items: Vec<_> = items.iter().map(RawJson::as_bytes).collect();
    items.sort_unstable();
    items
}

fn name(tool: &Value) -> &str {
    tool["name"].as_str().unwrap_or_default()
}

/// The tools that are not as they should be, named.
fn those(tools: &[Value], wrong: impl Fn(&Value) -> bool) -> Option<String> {
    let names: Vec<_> = tools
        .iter()
        .filter(|tool| wrong(tool))
        .map(|tool| format!("`{}`", name(tool)))
        .collect();
    match names.len() {
        0 => None,
        1..=5 => Some(names.join(", ")),
        more => Some(format!("{} and {} more", names[..5].join(", "), more - 5)),
    }
}

fn names(tools: &[Value]) -> Outcome {
    let mut seen = HashSet::new();
    if let Some(twice) = tools.iter().map(name).find(|name| !seen.insert(*name)) {
        return failed(format!("`{twice}` stands there twice"));
    }
    let good = |name: &str| {
        (1..=128).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
    };
    match those(tools, |tool| !good(name(tool))) {
        Some(bad) if tools.iter().any(|tool| name(tool).is_empty()) => {
            failed(format!("{bad}: not a name"))
        }
        Some(bad) => warned(bad),
        None => Outcome::Passed,
    }
}

fn schemas(tools: &[Value]) -> Outcome {
    those(tools, |tool| tool["inputSchema"]["type"] != "object").map_or(Outcome::Passed, failed)
}

fn descriptions(tools: &[Value]) -> Outcome {
    those(tools, |tool| {
        tool["description"]
            .as_str()
            .unwrap_or_default()
            .trim()
            .is_empty()
    })
    .map_or(Outcome::Passed, warned)
}
