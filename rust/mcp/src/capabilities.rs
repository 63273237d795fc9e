//! What a server says it can do, kept as it said it.

use serde_json::{Map, Value};

use crate::raw::RawJson;

/// A server's capabilities: the raw object, and the answers the gateway needs of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerCapabilities {
    raw: RawJson,
    tools: Option<Feature>,
    resources: Option<Feature>,
    prompts: Option<Feature>,
    completions: bool,
    logging: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Feature {
    list_changed: bool,
    subscribe: bool,
}

impl ServerCapabilities {
    /// Reads them. What is not understood stays in [`ServerCapabilities::raw`]; a feature that is spelled
    /// wrongly is wrong only for itself.
    pub fn read(raw: RawJson) -> Self {
        let all: Map<String, Value> = raw.read().unwrap_or_default();
        let says =
            |feature: &Value, key| feature.get(key).and_then(Value::as_bool).unwrap_or(false);
        let feature = |key| {
            all.get(key)
                .filter(|value| value.is_object())
                .map(|value| Feature {
                    list_changed: says(value, "listChanged"),
                    subscribe: says(value, "subscribe"),
                })
        };
        let there = |key| all.get(key).is_some_and(Value::is_object);
        Self {
            tools: feature("tools"),
            resources: feature("resources"),
            prompts: feature("prompts"),
            completions: there("completions"),
            logging: there("logging"),
            raw,
        }
    }

    /// As the server sent them.
    pub fn raw(&self) -> &RawJson {
        &self.raw
    }

    /// It has tools.
    pub fn tools(&self) -> bool {
        self.tools.is_some()
    }

    /// It has resources.
    pub fn resources(&self) -> bool {
        self.resources.is_some()
    }

    /// Its resources can be subscribed to.
    pub fn resources_subscribe(&self) -> bool {
        self.resources.is_some_and(|feature| feature.subscribe)
    }

    /// It has prompts.
    pub fn prompts(&self) -> bool {
        self.prompts.is_some()
    }

    /// It says when its tools, resources or prompts change.
    pub fn list_changed(&self) -> bool {
        self.tools_list_changed() || self.resources_list_changed() || self.prompts_list_changed()
    }

    /// It says when its tools change.
    pub fn tools_list_changed(&self) -> bool {
        self.tools.is_some_and(|feature| feature.list_changed)
    }

    /// It says when its resources or their templates change.
    pub fn resources_list_changed(&self) -> bool {
        self.resources.is_some_and(|feature| feature.list_changed)
    }

    /// It says when its prompts change.
    pub fn prompts_list_changed(&self) -> bool {
        self.prompts.is_some_and(|feature| feature.list_changed)
    }

    /// It completes arguments.
    pub fn completions(&self) -> bool {
        self.completions
    }

    /// It logs.
    pub fn logging(&self) -> bool {
        self.logging
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_read_and_the_rest_is_kept() {
        let text = r#"{"tools":{"listChanged":true},"logging":{},"experimental":{"x":1}}"#;
        let it = ServerCapabilities::read(RawJson::parse(text).unwrap());
        assert!(it.tools() && it.logging() && it.list_changed());
        assert!(it.tools_list_changed());
        assert!(!it.prompts_list_changed() && !it.resources_list_changed());
        assert!(!it.resources() && !it.resources_subscribe() && !it.prompts() && !it.completions());
        assert_eq!(it.raw().as_str(), text);
    }

    #[test]
    fn one_misspelled_feature_does_not_hide_the_others() {
        let it = ServerCapabilities::read(
            RawJson::parse(r#"{"tools":{"listChanged":"yes"},"prompts":{}}"#).unwrap(),
        );
        assert!(it.tools() && it.prompts() && !it.list_changed());
    }
}
