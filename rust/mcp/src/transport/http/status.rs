//! What a status that is no answer means.

use http::StatusCode;
use http::header::{LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};

use super::Headers;

/// One sentence: what the status means here, and what the server said to it.
pub(crate) fn explain(status: StatusCode, headers: &Headers, body: &[u8]) -> String {
    let header = |name| headers.get(&name);
    let mut text = match status {
        status if status.is_redirection() => match header(LOCATION) {
            Some(to) => format!(
                "it sends us to {to}; give that address if you trust it, redirects are not followed"
            ),
            None => "it sends us elsewhere without saying where".to_owned(),
        },
        StatusCode::UNAUTHORIZED => match header(WWW_AUTHENTICATE) {
            Some(how) => format!("it wants credentials ({how})"),
            None => "it wants credentials".to_owned(),
        },
        StatusCode::FORBIDDEN => {
            "it refuses us: the credentials, the Host or the Origin".to_owned()
        }
        StatusCode::NOT_FOUND => "there is nothing at this path".to_owned(),
        StatusCode::METHOD_NOT_ALLOWED => "no messages are taken at this path".to_owned(),
        StatusCode::NOT_ACCEPTABLE | StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            "it does not speak JSON and event streams here".to_owned()
        }
        StatusCode::TOO_MANY_REQUESTS => match header(RETRY_AFTER) {
            Some(when) => format!("it has too much to do; it asks to come back after {when}"),
            None => "it has too much to do".to_owned(),
        },
        status if status.is_server_error() => "it failed".to_owned(),
        status if status.is_success() => "not the answer that was expected".to_owned(),
        _ => "it refuses the request".to_owned(),
    };
    let said = said(body);
    if !said.is_empty() {
        text.push_str(", and said: ");
        text.push_str(&said);
    }
    text
}

/// The message of a JSON-RPC error, or the start of the text.
fn said(body: &[u8]) -> String {
    let message = serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|value| {
            value
                .pointer("/error/message")
                .and_then(|message| message.as_str().map(str::to_owned))
        });
    crate::envelope::excerpt(message.as_ref().map_or(body, |message| message.as_bytes()))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn what_the_server_said_is_passed_on() {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, "https://h/mcp".parse().unwrap());
        assert!(explain(StatusCode::FOUND, &Headers::Map(headers), b"").contains("https://h/mcp"));
        let json = br#"{"jsonrpc":"2.0","error":{"code":-1,"message":"who are you?"}}"#;
        assert_eq!(
            explain(
                StatusCode::UNAUTHORIZED,
                &Headers::Map(HeaderMap::new()),
                json
            ),
            "it wants credentials, and said: who are you?"
        );
        assert_eq!(
            explain(
                StatusCode::BAD_GATEWAY,
                &Headers::Map(HeaderMap::new()),
                b"<h1>\n"
            ),
            "it failed, and said: <h1>"
        );
    }
}
