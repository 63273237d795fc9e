//! `InputRequiredResult`: a server asks the client for something before a call can go on.
//!
//! The call ends with what is asked for and with a state only the server understands; the client makes it
//! again with its answers and that state.

use serde_json::value::RawValue;
use thiserror::Error;

use super::result::{RESULT_TYPE, ResultKind};
use crate::envelope::{Edit, layout, scan::Scanner};
use crate::raw::{RawJson, write_string};

/// What is asked for, in a result.
pub const INPUT_REQUESTS: &str = "inputRequests";
/// The client's answers, in a retry's `params`.
pub const INPUT_RESPONSES: &str = "inputResponses";
/// The server's state, in a result and in a retry's `params`.
pub const REQUEST_STATE: &str = "requestState";

/// Whether results of this method may ask for input.
pub fn may_ask(method: &str) -> bool {
    matches!(method, "tools/call" | "prompts/get" | "resources/read")
}

/// What a server asks a client for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputRequest {
    /// The server's name for it, unique in its result.
    pub key: String,
    /// `elicitation/create`, `sampling/createMessage` or `roots/list`.
    pub method: String,
    /// Its parameters, if it has any.
    pub params: Option<RawJson>,
}

/// A result that asks for input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputRequired {
    /// What is asked for, in the server's order.
    pub requests: Vec<InputRequest>,
    /// What a retry gives back, a JSON string as it was spelled.
    pub state: Option<RawJson>,
}

/// Why a result that asks for input does not say what for.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InputFault {
    /// It is of another kind.
    #[error("the result does not ask for input")]
    NotAsking,
    /// It has neither requests nor a state.
    #[error(
        "a result of type `input_required` has no request in `inputRequests` and no `requestState`"
    )]
    Empty,
    /// `inputRequests` is no object of requests.
    #[error("`inputRequests` is not an object of requests: {0}")]
    Requests(String),
    /// `requestState` is no string.
    #[error("`requestState` is not a string")]
    State,
    /// It asks for more than one client should be asked at a time.
    #[error("a result asks for more than {limit} inputs at a time")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

/// More inputs than this in one result are refused.
pub const MOST_INPUTS: usize = 64;

impl InputRequired {
    /// Reads a result that asks for input.
    pub fn read(result: &RawJson) -> Result<Self, InputFault> {
        if ResultKind::of(result.as_bytes()) != ResultKind::InputRequired {
            return Err(InputFault::NotAsking);
        }
        let state = result.member(REQUEST_STATE);
        if state
            .as_ref()
            .is_some_and(|state| state.as_bytes().first() != Some(&b'"'))
        {
            return Err(InputFault::State);
        }
        let requests = match result.member(INPUT_REQUESTS) {
            Some(requests) => read_requests(&requests)?,
            None => Vec::new(),
        };
        // An empty object asks as little as none: a retry would only be told the same again.
        if requests.is_empty() && state.is_none() {
            return Err(InputFault::Empty);
        }
        Ok(Self { requests, state })
    }

    /// Writes the result.
    pub fn write(&self) -> RawJson {
        let mut out = b"{\"".to_vec();
        out.extend_from_slice(RESULT_TYPE.as_bytes());
        out.extend_from_slice(b"\":\"input_required\"");
        for (at, request) in self.requests.iter().enumerate() {
            out.extend_from_slice(if at == 0 {
                b",\"inputRequests\":{"
            } else {
                b","
            });
            write_string(&mut out, &request.key);
            out.extend_from_slice(b":{\"method\":");
            write_string(&mut out, &request.method);
            if let Some(params) = &request.params {
                out.extend_from_slice(b",\"params\":");
                out.extend_from_slice(params.as_bytes());
            }
            out.push(b'}');
        }
        if !self.requests.is_empty() {
            out.push(b'}');
        }
        if let Some(state) = &self.state {
            out.extend_from_slice(b",\"requestState\":");
            out.extend_from_slice(state.as_bytes());
        }
        out.push(b'}');
        RawJson::trusted(out.into())
    }
}

fn read_requests(requests: &RawJson) -> Result<Vec<InputRequest>, InputFault> {
    #[derive(serde::Deserialize)]
    struct Request {
        method: String,
        params: Option<Box<RawValue>>,
    }
    members(requests)
        .ok_or_else(|| InputFault::Requests("it is not an object".to_owned()))?
        .into_iter()
        .map(|(key, value)| {
            let request: Request = value
                .read()
                .map_err(|error| InputFault::Requests(format!("`{key}`: {error}")))?;
            let params = request
                .params
                .map(|raw| RawJson::trusted(String::from(Box::<str>::from(raw)).into()));
            Ok(InputRequest {
                key,
                method: request.method,
                params,
            })
        })
        .collect::<Result<Vec<_>, _>>()
        .and_then(|requests| {
            if requests.len() > MOST_INPUTS {
                return Err(InputFault::TooMany { limit: MOST_INPUTS });
            }
            Ok(requests)
        })
}

/// A client's answers by the server's keys, in the client's order; none if they are no object.
pub fn responses(responses: &RawJson) -> Option<Vec<(String, RawJson)>> {
    members(responses)
}

/// A retry's `inputResponses`.
pub fn write_responses<'a>(answers: impl IntoIterator<Item = (&'a str, &'a RawJson)>) -> RawJson {
    let mut out = vec![b'{'];
    for (at, (key, answer)) in answers.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_string(&mut out, key);
        out.push(b':');
        out.extend_from_slice(answer.as_bytes());
    }
    out.push(b'}');
    RawJson::trusted(out.into())
}

/// For [`Rewrite::params`](crate::Rewrite::params): takes a retry's answers out, for a server that knows none.
pub const REMOVED_FOR_LEGACY: [Edit<'static>; 2] =
    [Edit::Remove(INPUT_RESPONSES), Edit::Remove(REQUEST_STATE)];

fn members(object: &RawJson) -> Option<Vec<(String, RawJson)>> {
    if !object.is_object() {
        return None;
    }
    let mut found = Vec::new();
    let mut readable = true;
    let bytes = object.bytes();
    let walked = Scanner::again(bytes).object(0, |scanner, key| {
        let value = scanner.value(1)?;
        match layout::text(key) {
            Some(key) => found.push((
                key.into_owned(),
                RawJson::trusted(bytes.slice(value.range())),
            )),
            None => readable = false,
        }
        Ok(())
    });
    (readable && walked.is_ok()).then_some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_server_asks_for_is_read_in_its_order() {
        let result = RawJson::parse(
            r#"{"inputRequests":{"b":{"method":"elicitation/create","params":{"n":1.0}},"a":{"method":"roots/list"}},
                "requestState":"s\u00e9","resultType":"input_required"}"#,
        )
        .unwrap();
        let read = InputRequired::read(&result).unwrap();
        assert_eq!(read.requests[0].key, "b");
        assert_eq!(
            read.requests[0].params.as_ref().unwrap().as_str(),
            r#"{"n":1.0}"#
        );
        assert_eq!(read.requests[1].params, None);
        assert_eq!(read.state.unwrap().as_str(), r#""s\u00e9""#);
    }

    #[test]
    fn a_result_that_does_not_say_what_it_asks_for_is_refused() {
        for (result, fault) in [
            (r#"{"content":[]}"#, InputFault::NotAsking),
            (r#"{"resultType":"input_required"}"#, InputFault::Empty),
            (
                r#"{"resultType":"input_required","inputRequests":{ }}"#,
                InputFault::Empty,
            ),
            (
                r#"{"resultType":"input_required","requestState":1}"#,
                InputFault::State,
            ),
        ] {
            let result = RawJson::parse(result).unwrap();
            assert_eq!(InputRequired::read(&result), Err(fault));
        }
        for wrong in ["[]", r#"{"a":{}}"#, r#"{"a":{"method":1}}"#] {
            let result = format!(r#"{{"resultType":"input_required","inputRequests":{wrong}}}"#);
            let read = InputRequired::read(&RawJson::parse(result).unwrap());
            assert!(matches!(read, Err(InputFault::Requests(_))), "{wrong}");
        }
    }

    #[test]
    fn a_result_that_asks_for_too_much_is_refused() {
        let requests: Vec<_> = (0..=MOST_INPUTS)
            .map(|at| format!(r#""{at}":{{"method":"roots/list"}}"#))
            .collect();
        let result = format!(
            r#"{{"resultType":"input_required","inputRequests":{{{}}}}}"#,
            requests.join(",")
        );
        assert_eq!(
            InputRequired::read(&RawJson::parse(result).unwrap()),
            Err(InputFault::TooMany { limit: MOST_INPUTS })
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(
            keys in prop::collection::btree_set(".{0,5}", 0..5),
            state in prop::option::of(".{0,9}"),
        ) {
            prop_assume!(!keys.is_empty() || state.is_some());
            let asked = InputRequired {
                requests: keys.into_iter().enumerate().map(|(at, key)| InputRequest {
                    key,
                    method: "sampling/createMessage".to_owned(),
                    params: (at % 2 == 0).then(|| RawJson::parse(r#"{"messages":[ ]}"#).unwrap()),
                }).collect(),
                state: state.as_deref().map(RawJson::string),
            };
            prop_assert_eq!(InputRequired::read(&asked.write()), Ok(asked));
        }

        #[test]
        fn answers_come_back_by_their_keys(keys in prop::collection::btree_set(".{0,5}", 0..5)) {
            let one = RawJson::number(1);
            let written = write_responses(keys.iter().map(|key| (key.as_str(), &one)));
            let read = responses(&written).unwrap();
            prop_assert!(read.iter().map(|(key, _)| key).eq(keys.iter()));
        }
    }
}
