//! Requests of 2026-07-28 over stdin: each says itself what it speaks, and there is no session to keep.
//!
//! A request that its client cancels has its answer closed, which is how the gateway hears of it. What changes
//! nothing is asked again when the daemon restarts, and a subscription is opened again; as nobody says what happened
//! meanwhile, everything it listens to counts as changed then.

use backstay_mcp::modern::meta::{RequestMeta, SUBSCRIPTION_ID};
use backstay_mcp::version::MODERN;
use backstay_mcp::{Edit, Envelope, Kind, RawJson, RpcError, jsonrpc};
use bytes::Bytes;
use http::{Method, Response};
use hyper::body::Incoming;

use super::ask::{Ended, Heard, is_stream};
use super::link::Failure;
use super::session::{LONGEST_PAUSE, PAUSE, Session, TRIES, unreachable};

pub(super) const LISTEN: &str = "subscriptions/listen";
const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";

/// Whether a request is of this era. A server is discovered before anything else is known of it.
pub(super) fn is_modern(request: &Envelope) -> bool {
    request.method() == "server/discover"
        || RequestMeta::read(request).map_or(true, |meta| meta.is_modern())
}

impl Session {
    /// Passes a request, and what is said on the way to its answer.
    pub(super) async fn ask_modern(
        &self,
        request: &Envelope,
        id: &RawJson,
    ) -> Result<(), RpcError> {
        match &*request.method() {
            LISTEN => self.subscribed(request, id).await,
            // A tool may do anything, so it is asked once.
            "tools/call" => self.answered_modern(request, id, 1).await,
            _ => self.answered_modern(request, id, TRIES).await,
        }
    }

    async fn answered_modern(
        &self,
        request: &Envelope,
        id: &RawJson,
        tries: usize,
    ) -> Result<(), RpcError> {
        for left in (0..tries).rev() {
            let response = match self.post_modern(request).await {
                Ok(response) => response,
                Err(Failure::Lost) if left > 0 => continue,
                Err(failure) => return Err(unreachable(failure)),
            };
            if !is_stream(&response) {
                return self.pass_whole(response, id).await;
            }
            let passed = self.pass_stream(response, Some(id), String::new(), |_| Heard::Pass);
            if matches!(passed.await, Ended::Answered) {
                return Ok(());
            }
        }
        Err(unreachable(Failure::Lost))
    }

    /// Keeps a subscription, whatever becomes of the daemon, until its client calls it off or it is refused.
    async fn subscribed(&self, request: &Envelope, id: &RawJson) -> Result<(), RpcError> {
        let mut known = false;
        let mut pause = PAUSE;
        loop {
            match self.post_modern(request).await {
                Ok(response) if is_stream(&response) => {
                    pause = PAUSE;
                    let hear = |message: &Envelope| match (message.kind(), &*message.method()) {
                        (Kind::Notification, ACKNOWLEDGED) if known => {
                            Heard::Instead(everything_changed(message))
                        }
                        (Kind::Notification, ACKNOWLEDGED) => {
                            known = true;
                            Heard::Pass
                        }
                        // The daemon ends in good order; the subscription does not.
                        (Kind::Response, _) => Heard::Skip,
                        _ => Heard::Pass,
                    };
                    self.pass_stream(response, Some(id), String::new(), hear)
                        .await;
                }
                Ok(response) => return self.pass_whole(response, id).await,
                Err(Failure::Lost) => {}
                Err(failure) => return Err(unreachable(failure)),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn post_modern(&self, request: &Envelope) -> Result<Response<Incoming>, Failure> {
        let meta = RequestMeta::read(request).ok();
        let version = meta.and_then(|meta| meta.version());
        let version = version.unwrap_or(MODERN.into());
        let headers = [("mcp-protocol-version", &*version)];
        self.link
            .send(Method::POST, &headers, request.bytes().clone())
            .await
    }
}

/// What a subscription that was opened again may have missed, of what it was acknowledged.
fn everything_changed(acknowledged: &Envelope) -> Vec<Bytes> {
    let Some(params) = acknowledged.params() else {
        return Vec::new();
    };
    let named = params
        .member("_meta")
        .and_then(|meta| meta.member(SUBSCRIPTION_ID));
    let id = named.unwrap_or(RawJson::NULL);
    let meta = RawJson::EMPTY_OBJECT.with_members(&[Edit::Set(SUBSCRIPTION_ID, &id)]);
    let tagged = RawJson::EMPTY_OBJECT.with_members(&[Edit::Set("_meta", &meta)]);
    let honoured = params.member("notifications");
    let honours = |key: &str| {
        let value = honoured.as_ref().and_then(|honoured| honoured.member(key));
        value.is_some_and(|value| value.as_bytes() == b"true")
    };
    let mut messages = Vec::new();
    for (key, method) in [
        ("toolsListChanged", "notifications/tools/list_changed"),
        ("promptsListChanged", "notifications/prompts/list_changed"),
        (
            "resourcesListChanged",
            "notifications/resources/list_changed",
        ),
    ] {
        if honours(key) {
            messages.push(jsonrpc::notification(method, Some(&tagged)).into());
        }
    }
    let resources: Vec<String> = honoured
        .as_ref()
        .and_then(|honoured| honoured.member("resourceSubscriptions")?.read().ok())
        .unwrap_or_default();
    for uri in resources {
        let params = tagged.with_members(&[Edit::Set("uri", &RawJson::string(&uri))]);
        let method = "notifications/resources/updated";
        messages.push(jsonrpc::notification(method, Some(&params)).into());
    }
    messages
}

#[cfg(test)]
mod tests {
    use backstay_mcp::Limits;

    use super::*;

    #[test]
    fn what_was_acknowledged_is_what_may_have_changed() {
        let acknowledged = r#"{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{
            "_meta":{"io.modelcontextprotocol/subscriptionId":"s"},
            "notifications":{"toolsListChanged":true,"promptsListChanged":false,"resourceSubscriptions":["a://b"]}}}"#;
        let acknowledged = Envelope::parse(acknowledged, Limits::default()).unwrap();
        let tag = r#""_meta":{"io.modelcontextprotocol/subscriptionId":"s"}"#;
        assert_eq!(
            everything_changed(&acknowledged),
            [
                format!(
                    r#"{{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{{{tag}}}}}"#
                ),
                format!(
                    r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{{tag},"uri":"a://b"}}}}"#
                ),
            ]
        );
    }
}
