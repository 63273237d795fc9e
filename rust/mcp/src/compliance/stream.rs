//! What it sent besides answers.

use super::{Doctor, Outcome, failed, warned};

pub(super) async fn check(doctor: &mut Doctor<'_>) {
    // Whatever the checks before made it say has come by the time this is answered.
    let _ = doctor.ask("ping", None).await;
    let counts = doctor.upstream.counts();
    let printed = doctor.upstream.printed();

    let outcome = match printed.first.first() {
        None => Outcome::Passed,
        Some(first) => failed(format!(
            "{} lines that are no message, first: {first}",
            printed.lines
        )),
    };
    doctor.note(
        "stream.pure",
        "nothing but MCP messages is sent",
        "basic/transports#stdio",
        outcome,
        "log to stderr; look for a print, or a library or wrapper that prints",
    );

    let outcome = match counts.unknown + counts.late {
        0 => Outcome::Passed,
        _ if counts.unknown > 0 => failed(format!(
            "{} answers to requests that nobody made",
            counts.unknown
        )),
        // One that took long and was given up is not its fault for sure.
        late => warned(format!(
            "{late} answers to requests that had been answered or given up"
        )),
    };
    doctor.note(
        "stream.answers",
        "every request is answered once, and nothing else is",
        "basic#responses",
        outcome,
        "answer a request once, with the request's own id",
    );

    let outcome = match doctor.misspelled.take() {
        None => Outcome::Passed,
        Some(id) => failed(format!("a number came back as {id}")),
    };
    doctor.note(
        "stream.ids",
        "ids come back as they were sent",
        "basic#responses",
        outcome,
        "keep the id as the JSON value it is; do not turn numbers into strings",
    );
}
