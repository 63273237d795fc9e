//! `x-mcp-header`: arguments that a tool wants mirrored in `Mcp-Param-*` headers over HTTP.
//!
//! A tool's schema marks them ([`mirrors`]); a client to an HTTP server writes them ([`Mirror::value`]), and
//! whoever serves one compares them with the body ([`Mirror::check`]).

use serde_json::{Map, Value};
use thiserror::Error;

use super::headers::{PARAM_PREFIX, decode};
use crate::envelope::{layout, member};
use crate::raw::RawJson;

/// The key that marks an argument.
pub const ANNOTATION: &str = "x-mcp-header";
/// Schemas deeper than this are not searched: serde's own reader ends at 128.
const DEEPEST: usize = 128;
/// The largest integer that every reader of numbers holds exactly, 2^53 − 1.
const LARGEST: f64 = 9_007_199_254_740_991.0;
/// Keywords whose values are data and no schemas.
const DATA: [&str; 4] = ["default", "examples", "const", "enum"];

/// One argument that is mirrored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The header's whole name, in lower case.
    pub header: String,
    /// The keys from the arguments to the value.
    pub path: Vec<String>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
    Boolean,
}

/// Why a tool's annotations are not what the specification allows; a client leaves such a tool out.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MirrorFault {
    /// The schema is no JSON object.
    #[error("the input schema is not an object")]
    NoSchema,
    /// The name is empty or no header's.
    #[error("`{name}` is not a name a header may have")]
    Name {
        /// What stands there.
        name: String,
    },
    /// Two annotations name one header.
    #[error("two parameters are mirrored in `{header}`")]
    Twice {
        /// The header.
        header: String,
    },
    /// The parameter is neither a string nor an integer nor a boolean.
    #[error("`{at}` is mirrored and is neither a string nor an integer nor a boolean")]
    Type {
        /// The parameter.
        at: String,
    },
    /// The annotation stands where no chain of `properties` leads.
    #[error("`x-mcp-header` stands at `{at}`, where no chain of `properties` leads")]
    Unreachable {
        /// The place.
        at: String,
    },
}

/// The arguments that a tool's `inputSchema` wants mirrored; almost always none.
pub fn mirrors(schema: &RawJson) -> Result<Vec<Mirror>, MirrorFault> {
    if memchr::memmem::find(schema.as_bytes(), ANNOTATION.as_bytes()).is_none() {
        return Ok(Vec::new());
    }
    let schema: Map<String, Value> = schema.read().map_err(|_| MirrorFault::NoSchema)?;
    let mut search = Search::default();
    search.schema(&schema, true)?;
    Ok(search.found)
}

#[derive(Default)]
struct Search {
    found: Vec<Mirror>,
    /// Keys to where the search is, schema keywords among them.
    place: Vec<String>,
    /// Property names to where the search is.
    path: Vec<String>,
}

impl Search {
    /// `reachable`: only `properties` led here.
    fn schema(&mut self, schema: &Map<String, Value>, reachable: bool) -> Result<(), MirrorFault> {
        if self.place.len() > DEEPEST {
            return Ok(());
        }
        if let Some(name) = schema.get(ANNOTATION) {
            self.annotated(name, schema, reachable)?;
        }
        for (key, value) in schema {
            if key == "properties" {
                let Value::Object(properties) = value else {
                    continue;
                };
                for (name, property) in properties {
                    self.path.push(name.clone());
                    self.within(name, property, reachable)?;
                    self.path.pop();
                }
            } else if key != ANNOTATION && !DATA.contains(&key.as_str()) {
                self.within(key, value, false)?;
            }
        }
        Ok(())
    }

    fn within(&mut self, key: &str, value: &Value, reachable: bool) -> Result<(), MirrorFault> {
        self.place.push(key.to_owned());
        match value {
            Value::Object(schema) => self.schema(schema, reachable)?,
            Value::Array(several) => {
                for one in several.iter().filter_map(Value::as_object) {
                    self.schema(one, false)?;
                }
            }
            _ => {}
        }
        self.place.pop();
        Ok(())
    }

    fn annotated(
        &mut self,
        name: &Value,
        schema: &Map<String, Value>,
        reachable: bool,
    ) -> Result<(), MirrorFault> {
        let at = || self.place.join(".");
        if !reachable || self.path.is_empty() {
            return Err(MirrorFault::Unreachable { at: at() });
        }
        let name = name.as_str().unwrap_or_default();
        if !is_token(name) {
            return Err(MirrorFault::Name {
                name: name.to_owned(),
            });
        }
        let kind = match schema.get("type").and_then(Value::as_str) {
            Some("string") => Kind::Text,
            Some("integer") => Kind::Integer,
            Some("boolean") => Kind::Boolean,
            _ => return Err(MirrorFault::Type { at: at() }),
        };
        let header = format!("{PARAM_PREFIX}{}", name.to_ascii_lowercase());
        if self.found.iter().any(|mirror| mirror.header == header) {
            return Err(MirrorFault::Twice { header });
        }
        self.found.push(Mirror {
            header,
            path: self.path.clone(),
            kind,
        });
        Ok(())
    }
}

/// Whether a text is a header's name (RFC 9110, `token`).
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

impl Mirror {
    /// What the header says for these arguments, not yet [encoded](super::headers::encode); none where it is left out.
    pub fn value(&self, arguments: &RawJson) -> Option<String> {
        let mut at = arguments.as_bytes();
        for key in &self.path {
            at = member(at, key)?;
        }
        match (self.kind, at.first()?) {
            (Kind::Text, b'"') => layout::text(at).map(std::borrow::Cow::into_owned),
            (Kind::Boolean, b't' | b'f') => std::str::from_utf8(at).ok().map(str::to_owned),
            (Kind::Integer, b'-' | b'0'..=b'9') => integer(std::str::from_utf8(at).ok()?),
            _ => None,
        }
    }

    /// Whether a request's header says what its arguments say; if not, how not.
    pub fn check(&self, header: Option<&[u8]>, arguments: Option<&RawJson>) -> Result<(), String> {
        let body = arguments.and_then(|arguments| self.value(arguments));
        let name = &self.header;
        match (header, body) {
            (None, None) => Ok(()),
            (None, Some(body)) => Err(format!("`{name}` is missing; the body says `{body}`")),
            (Some(header), body) => {
                let said = decode(header).ok_or_else(|| {
                    format!(
                        "`{name}` has characters that no header may have, or Base64 that is none"
                    )
                })?;
                let same = |body: &String| {
                    *body == said
                        || (self.kind == Kind::Integer && integer(&said).as_ref() == Some(body))
                };
                match body {
                    Some(body) if same(&body) => Ok(()),
                    Some(body) => Err(format!("`{name}` is `{said}` and the body says `{body}`")),
                    None => Err(format!(
                        "`{name}` is `{said}` and the body has no such value"
                    )),
                }
            }
        }
    }
}

/// An integer however it was spelled, in plain decimals; none if it is no integer or too large to be exact.
fn integer(spelled: &str) -> Option<String> {
    let number: f64 = spelled.parse().ok()?;
    if number.fract() != 0.0 || number.abs() > LARGEST {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is whole and within 2^53"
    )]
    Some((number as i64).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(schema: &str) -> Result<Vec<Mirror>, MirrorFault> {
        mirrors(&RawJson::parse(schema.to_owned()).unwrap())
    }

    fn one(kind: &str) -> Mirror {
        let schema = format!(
            r#"{{"properties":{{"a":{{"properties":{{"b":{{"type":"{kind}","x-mcp-header":"Region"}}}}}}}}}}"#
        );
        read(&schema).unwrap().remove(0)
    }

    #[test]
    fn annotations_are_found_along_properties() {
        let mirror = one("string");
        assert_eq!(mirror.header, "mcp-param-region");
        assert_eq!(mirror.path, ["a", "b"]);
        assert_eq!(
            read(r#"{"properties":{"x-mcp-header":{"type":"string"}}}"#),
            Ok(vec![])
        );
        assert_eq!(
            read(r#"{"properties":{"a":{"default":{"x-mcp-header":"A"}}}}"#),
            Ok(vec![])
        );
    }

    #[test]
    fn annotations_that_are_not_allowed_are_named() {
        let region = r#"{"type":"string","x-mcp-header":"Region"}"#;
        for (schema, part) in [
            (
                format!(r#"{{"properties":{{"a":{{"items":{region}}}}}}}"#),
                "a.items",
            ),
            (format!(r#"{{"anyOf":[{region}]}}"#), "anyOf"),
            (
                format!(r#"{{"$defs":{{"x":{{"properties":{{"y":{region}}}}}}}}}"#),
                "$defs.x.y",
            ),
            (region.to_owned(), "``"),
            (
                format!(
                    r#"{{"properties":{{"a":{region},"b":{}}}}}"#,
                    region.replace("Reg", "REG")
                ),
                "two parameters",
            ),
            (
                r#"{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}"#.into(),
                "neither",
            ),
            (
                r#"{"properties":{"a":{"type":"string","x-mcp-header":""}}}"#.into(),
                "name",
            ),
            (
                r#"{"properties":{"a":{"type":"string","x-mcp-header":"a b"}}}"#.into(),
                "`a b`",
            ),
            (
                r#"{"properties":{"a":{"type":"string","x-mcp-header":1}}}"#.into(),
                "name",
            ),
        ] {
            let fault = read(&schema).unwrap_err().to_string();
            assert!(fault.contains(part), "{schema}: {fault}");
        }
    }

    #[test]
    fn values_are_those_of_the_arguments() {
        let value = |kind, body: &str| {
            let arguments = format!(r#"{{"a":{{"b":{body}}}}}"#);
            one(kind).value(&RawJson::parse(arguments).unwrap())
        };
        assert_eq!(value("string", r#""caf\u00e9""#).as_deref(), Some("café"));
        assert_eq!(value("integer", "4.2e1").as_deref(), Some("42"));
        assert_eq!(value("integer", "-7").as_deref(), Some("-7"));
        assert_eq!(value("integer", "9007199254740993"), None);
        assert_eq!(value("boolean", "true").as_deref(), Some("true"));
        assert_eq!(value("string", "null"), None);
        assert_eq!(one("string").value(&RawJson::EMPTY_OBJECT), None);
    }

    #[test]
    fn a_header_is_compared_with_the_argument() {
        let arguments = RawJson::parse(r#"{"a":{"b":42}}"#).unwrap();
        let number = one("integer");
        for (header, fits) in [
            (Some(&b"42"[..]), true),
            (Some(b"42.0"), true),
            (Some(b"=?base64?NDI=?="), true),
            (Some(b"43"), false),
            (Some(b"\xff"), false),
            (None, false),
        ] {
            assert_eq!(
                number.check(header, Some(&arguments)).is_ok(),
                fits,
                "{header:?}"
            );
        }
        assert!(number.check(None, None).is_ok());
        assert!(number.check(Some(b"42"), None).is_err());
    }
}
