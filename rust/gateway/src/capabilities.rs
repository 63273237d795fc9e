//! Who may ask what of whom: the one place that decides it.
//!
//! **Upstream** we declare [`declared_upstream`] to every server, because a server starts before any
//! client is there and many show a tool only to a client that can serve it. What a server then asks is
//! decided by [`ASKED`]: it goes to the client whose call it belongs to, if that client declared the
//! capability; what belongs to no call and no single client is answered without one, or refused. An
//! instance that one client has to itself (`session: isolated`) belongs to it outside calls, too.
//!
//! | a server asks | while a call of one session runs | outside a call |
//! | --- | --- | --- |
//! | `roots/list` | that client, if it has roots; else an empty list | an empty list: one client's roots would stay with a server that all share |
//! | `sampling/createMessage` | that client, if it samples; else refused | refused |
//! | `elicitation/create` | that client, if it has the mode asked for; else refused | refused |
//! | `ping` | answered by the gateway | answered by the gateway |
//! | anything else | refused: method not found | refused |
//!
//! **Downstream** a client sees on `/mcp` the union of what the ready servers declare; on
//! `/mcp/<service>` what that server declares, and, until it has been heard, everything.

use backstay_mcp::RawJson;
use backstay_mcp::capabilities::ServerCapabilities;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// What is done with a request of a server that belongs to no call, or whose client cannot serve it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Otherwise {
    /// It is answered with an empty list of roots.
    NoRoots,
    /// It is refused.
    Refuse,
}

/// One kind of request that a server may make.
#[derive(Debug)]
pub(crate) struct Askable {
    pub(crate) method: &'static str,
    /// The capability in a client's words, for messages.
    pub(crate) capability: &'static str,
    /// The same as client capabilities that suffice for this request.
    pub(crate) required: fn(&RawJson) -> Value,
    /// Whether this client can serve this request.
    pub(crate) served_by: fn(&ClientCapabilities, &RawJson) -> bool,
    pub(crate) otherwise: Otherwise,
}

/// Everything that servers may ask of clients.
pub(crate) const ASKED: [Askable; 3] = [
    Askable {
        method: "roots/list",
        capability: "roots",
        required: |_| json!({"roots": {}}),
        served_by: |client, _| client.roots,
        otherwise: Otherwise::NoRoots,
    },
    Askable {
        method: "sampling/createMessage",
        capability: "sampling",
        required: |_| json!({"sampling": {}}),
        served_by: |client, _| client.sampling,
        otherwise: Otherwise::Refuse,
    },
    Askable {
        method: "elicitation/create",
        capability: "elicitation",
        required: |params| {
            let mode = if asks_by_url(params) { "url" } else { "form" };
            json!({"elicitation": {mode: {}}})
        },
        served_by: |client, params| {
            if asks_by_url(params) {
                client.elicitation_url
            } else {
                client.elicitation_form
            }
        },
        otherwise: Otherwise::Refuse,
    },
];

fn asks_by_url(params: &RawJson) -> bool {
    #[derive(Deserialize)]
    struct Mode {
        mode: Option<String>,
    }
    params
        .read::<Mode>()
        .is_ok_and(|params| params.mode.as_deref() == Some("url"))
}

/// `capabilities` of our `initialize` to every server.
pub(crate) fn declared_upstream() -> RawJson {
    let all = json!({
        "roots": {"listChanged": true},
        "sampling": {"tools": {}, "context": {}},
        "elicitation": {"form": {}, "url": {}},
    });
    RawJson::write(&all).unwrap_or(RawJson::EMPTY_OBJECT)
}

/// What a client said it can do.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a capability of the protocol"
)]
pub(crate) struct ClientCapabilities {
    raw: RawJson,
    pub(crate) roots: bool,
    pub(crate) sampling: bool,
    pub(crate) elicitation_form: bool,
    pub(crate) elicitation_url: bool,
}

impl ClientCapabilities {
    pub(crate) fn read(raw: &RawValue) -> Self {
        Self::of(RawJson::parse(raw.get().to_owned()).unwrap_or(RawJson::EMPTY_OBJECT))
    }

    pub(crate) fn of(raw: RawJson) -> Self {
        let elicitation = raw.member("elicitation");
        let has = |key: &str| raw.member(key).is_some_and(|it| it.is_object());
        let mode = |key: &str| {
            let mode = elicitation.as_ref().and_then(|it| it.member(key));
            mode.is_some_and(|it| it.is_object())
        };
        Self {
            roots: has("roots"),
            sampling: has("sampling"),
            // Before 2025-11-25 there was one mode, and `{}` still means it.
            elicitation_form: has("elicitation") && (mode("form") || !mode("url")),
            elicitation_url: mode("url"),
            raw,
        }
    }

    /// As the client sent them.
    pub(crate) fn raw(&self) -> &RawJson {
        &self.raw
    }
}

/// `capabilities` of our answer to a client on `/mcp`.
pub(crate) fn declared_on_fleet<'a>(
    servers: impl Iterator<Item = &'a ServerCapabilities>,
) -> Value {
    let mut union = Map::new();
    let mut any = false;
    for server in servers {
        any = true;
        if server.tools() {
            union.insert("tools".into(), json!({"listChanged": true}));
        }
        if server.prompts() {
            union.insert("prompts".into(), json!({"listChanged": true}));
        }
        if server.resources() {
            union.insert(
                "resources".into(),
                json!({"listChanged": true, "subscribe": true}),
            );
        }
        if server.completions() {
            union.insert("completions".into(), json!({}));
        }
        if server.logging() {
            union.insert("logging".into(), json!({}));
        }
    }
    if !any {
        return everything();
    }
    // Servers come and go during a session, and a client that was told of no tools never looks for them.
    for key in ["tools", "prompts", "resources"] {
        union
            .entry(key)
            .or_insert_with(|| json!({"listChanged": true}));
    }
    Value::Object(union)
}

/// `capabilities` of our answer to a client on `/mcp/<service>`.
pub(crate) fn declared_on_service(server: Option<&ServerCapabilities>) -> Value {
    let Some(server) = server else {
        return everything();
    };
    let Ok(mut declared) = server.raw().read::<Map<String, Value>>() else {
        return everything();
    };
    // Tasks need the gateway to follow them from call to call.
    declared.remove("tasks");
    // The server may come back with other lists after a restart, whether or not it announces changes itself.
    for key in ["tools", "prompts", "resources"] {
        if let Some(Value::Object(feature)) = declared.get_mut(key) {
            feature.insert("listChanged".into(), Value::Bool(true));
        }
    }
    Value::Object(declared)
}

fn everything() -> Value {
    json!({
        "tools": {"listChanged": true},
        "prompts": {"listChanged": true},
        "resources": {"listChanged": true, "subscribe": true},
        "completions": {},
        "logging": {},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> ClientCapabilities {
        ClientCapabilities::read(&RawValue::from_string(text.into()).unwrap())
    }

    #[test]
    fn elicitation_by_url_needs_a_client_that_said_so() {
        let elicitation = &ASKED[2];
        let form = RawJson::parse(r#"{"message":"?"}"#).unwrap();
        let url = RawJson::parse(r#"{"mode":"url","url":"https://x"}"#).unwrap();
        for (declared, takes_form, takes_url) in [
            (r#"{"elicitation":{}}"#, true, false),
            (r#"{"elicitation":{"form":{},"url":{}}}"#, true, true),
            (r#"{"elicitation":{"url":{}}}"#, false, true),
            ("{}", false, false),
            ("null", false, false),
        ] {
            let client = client(declared);
            assert_eq!(
                (elicitation.served_by)(&client, &form),
                takes_form,
                "{declared}"
            );
            assert_eq!(
                (elicitation.served_by)(&client, &url),
                takes_url,
                "{declared}"
            );
        }
    }

    #[test]
    fn the_fleet_declares_what_any_server_declares() {
        let one = ServerCapabilities::read(RawJson::parse(r#"{"logging":{}}"#).unwrap());
        let two =
            ServerCapabilities::read(RawJson::parse(r#"{"tools":{},"completions":{}}"#).unwrap());
        let declared = declared_on_fleet([&one, &two].into_iter());
        assert_eq!(declared["logging"], json!({}));
        assert_eq!(declared["completions"], json!({}));
        assert_eq!(declared["tools"], json!({"listChanged": true}));
        assert_eq!(declared_on_fleet(std::iter::empty()), everything());
    }

    #[test]
    fn one_server_s_own_words_pass_but_for_what_we_add() {
        let text = r#"{"tools":{},"experimental":{"x":{"y":1}},"tasks":{"list":{}}}"#;
        let declared = declared_on_service(Some(&ServerCapabilities::read(
            RawJson::parse(text).unwrap(),
        )));
        assert_eq!(
            declared,
            json!({"tools": {"listChanged": true}, "experimental": {"x": {"y": 1}}})
        );
    }
}
