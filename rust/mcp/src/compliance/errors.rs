//! How it refuses what cannot be.

use super::{Doctor, Outcome, should_refuse, skipped};
use crate::jsonrpc::{INVALID_PARAMS, METHOD_NOT_FOUND, RESOURCE_NOT_FOUND};
use crate::raw::RawJson;

/// What no server has.
const NOWHERE: &str = "backstay-check-no-such-thing";

pub(super) async fn check(doctor: &mut Doctor<'_>) {
    let capabilities = doctor.upstream.info().capabilities.clone();

    let asked = doctor.ask("backstay/no-such-method", None).await;
    doctor.note(
        "errors.method",
        "a method that does not exist is answered with -32601",
        "basic#responses",
        should_refuse(asked, METHOD_NOT_FOUND, true),
        "answer every request; for unknown methods with the code -32601",
    );

    let named = |key: &str, value: &str| RawJson::parse(format!("{{\"{key}\":\"{value}\"}}")).ok();
    let outcome = if capabilities.tools() {
        should_refuse(
            doctor.ask("tools/call", named("name", NOWHERE)).await,
            INVALID_PARAMS,
            false,
        )
    } else {
        skipped("it has no tools")
    };
    doctor.note(
        "errors.tool",
        "a call of a tool that does not exist is answered with -32602",
        "server/tools#error-handling",
        outcome,
        "an unknown tool is an error of the protocol, not a result with `isError`",
    );

    let outcome = if !doctor.expendable {
        // Servers exist that die of it.
        skipped("asked of a throw-away copy only")
    } else if capabilities.tools() {
        should_refuse(
            doctor.ask("tools/call", Some(RawJson::EMPTY_OBJECT)).await,
            INVALID_PARAMS,
            false,
        )
    } else {
        skipped("it has no tools")
    };
    doctor.note(
        "errors.params",
        "a call without a tool's name is answered with -32602",
        "server/tools#error-handling",
        outcome,
        "validate the parameters of a request and answer wrong ones with the code -32602",
    );

    let outcome = if capabilities.prompts() {
        should_refuse(
            doctor.ask("prompts/get", named("name", NOWHERE)).await,
            INVALID_PARAMS,
            false,
        )
    } else {
        skipped("it has no prompts")
    };
    doctor.note(
        "errors.prompt",
        "a prompt that does not exist is answered with -32602",
        "server/prompts#error-handling",
        outcome,
        "answer an unknown prompt with the code -32602",
    );

    let outcome = if capabilities.resources() {
        match doctor
            .ask(
                "resources/read",
                named("uri", "backstay-check://no/such/thing"),
            )
            .await
        {
            // The official SDKs gave the code of 2026-07-28 long before it was in force.
            Ok(Err(error)) if error.code == INVALID_PARAMS => Outcome::Passed,
            asked => should_refuse(asked, RESOURCE_NOT_FOUND, false),
        }
    } else {
        skipped("it has no resources")
    };
    doctor.note(
        "errors.resource",
        "a resource that does not exist is answered with -32002 (or -32602, its later code)",
        "server/resources#error-handling",
        outcome,
        "answer an unknown URI with the code -32002",
    );

    let outcome = if capabilities.tools() {
        should_refuse(
            doctor.ask("tools/list", named("cursor", NOWHERE)).await,
            INVALID_PARAMS,
            false,
        )
    } else {
        skipped("it has no tools")
    };
    doctor.note(
        "errors.cursor",
        "a cursor the server never gave is answered with -32602",
        "server/utilities/pagination#error-handling",
        outcome,
        "answer an unknown cursor with the code -32602; a first page again makes clients go in circles",
    );
}
