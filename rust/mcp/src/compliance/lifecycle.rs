//! The handshake, `ping`, and messages that must be ignored.

use serde_json::Value;

use super::{Doctor, Outcome, failed, skipped, warned};
use crate::raw::RawJson;
use crate::upstream::ServerInfo;
use crate::version::{Era, Version};

pub(super) async fn check(doctor: &mut Doctor<'_>) {
    let info = doctor.upstream.info();
    greeting(doctor, &info);

    let outcome = match info.version {
        _ if doctor.offered < Version::LATEST => skipped("an older version was offered on purpose"),
        None | Some(Version::V2025_11_25 | Version::V2025_06_18) => Outcome::Passed,
        Some(old) => warned(format!("it speaks {old}, offered {}", Version::LATEST)),
    };
    doctor.note(
        "lifecycle.version",
        "the server speaks a version of the last year",
        "basic/lifecycle#version-negotiation",
        outcome,
        "update the server's SDK: newer versions have structured results, elicitation and better HTTP",
    );

    // To a server of 2026-07-28, which has no `ping`, this is `server/discover`.
    let outcome = match doctor.ask("ping", None).await {
        Ok(Ok(result))
            if result
                .read::<serde_json::Map<String, Value>>()
                .is_ok_and(|result| result.keys().all(|key| key == "_meta")) =>
        {
            Outcome::Passed
        }
        Ok(Ok(result)) => warned(format!(
            "the result is not empty: {}",
            crate::envelope::excerpt(result.as_bytes())
        )),
        Ok(Err(error)) => failed(format!("it answered with an error: {error}")),
        Err(error) => failed(error.to_string()),
    };
    doctor.note(
        "lifecycle.ping",
        "`ping` is answered at once with `{}`",
        "basic/utilities/ping#behavior-requirements",
        outcome,
        "answer `ping` whatever else is going on; SDKs do it by themselves",
    );

    doctor
        .upstream
        .notify("notifications/backstay/unknown", None);
    doctor.upstream.notify(
        "notifications/cancelled",
        RawJson::parse(r#"{"requestId":"never-sent","reason":"a check"}"#)
            .ok()
            .as_ref(),
    );
    let outcome = match doctor.ask("ping", None).await {
        Ok(_) => Outcome::Passed,
        Err(error) => failed(format!(
            "after an unknown notification and a cancellation of nothing: {error}"
        )),
    };
    doctor.note(
        "lifecycle.notifications",
        "unknown notifications and cancellations of unknown requests are ignored",
        "basic/utilities/cancellation#error-handling",
        outcome,
        "ignore a notification whose method or request is not known; answer nothing to it",
    );
}

fn greeting(doctor: &mut Doctor<'_>, info: &ServerInfo) {
    let result: Value = info.result.read().unwrap_or_default();
    let server: Value = info.server.read().unwrap_or_default();
    let lacking: Vec<&str> = ["name", "version"]
        .into_iter()
        .filter(|key| !server[key].is_string())
        .collect();
    let lacking = lacking.join(" and ");
    let modern = info.era() == Era::Modern;
    let asked = if modern {
        "server/discover"
    } else {
        "initialize"
    };
    let outcome = match (lacking.is_empty(), result["capabilities"].is_object()) {
        (true, true) => Outcome::Passed,
        (_, false) => failed(format!(
            "the result of `{asked}` has no `capabilities` object"
        )),
        (false, _) if modern => warned(format!("it does not say its {lacking} in `_meta`")),
        (false, _) => failed(format!(
            "the result of `initialize` lacks {lacking} in `serverInfo`"
        )),
    };
    doctor.note(
        "lifecycle.initialize",
        if modern {
            "the server answers `server/discover` with its capabilities, name and version"
        } else {
            "the server answers `initialize` with its capabilities, name and version"
        },
        if modern {
            "server/discover#response"
        } else {
            "basic/lifecycle#initialization"
        },
        outcome,
        "build the result with an SDK, or add the fields that the schema requires of it",
    );
}
