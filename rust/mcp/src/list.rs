//! Every page of a list: tools, resources, resource templates, prompts.

use std::collections::HashSet;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::jsonrpc::RpcError;
use crate::modern::result::TTL_MS;
use crate::raw::RawJson;
use crate::upstream::{Call, CallError, Upstream};

/// What can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum List {
    /// `tools/list`.
    Tools,
    /// `resources/list`.
    Resources,
    /// `resources/templates/list`.
    ResourceTemplates,
    /// `prompts/list`.
    Prompts,
}

impl List {
    /// The request's method.
    pub const fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Resources => "resources/list",
            Self::ResourceTemplates => "resources/templates/list",
            Self::Prompts => "prompts/list",
        }
    }

    /// The key of the result that holds the items.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Resources => "resources",
            Self::ResourceTemplates => "resourceTemplates",
            Self::Prompts => "prompts",
        }
    }
}

/// How long a list may get.
#[derive(Clone, Copy, Debug)]
pub struct ListLimits {
    /// The most pages.
    pub max_pages: usize,
    /// The most items of all pages.
    pub max_items: usize,
    /// How long each page may take; none means the upstream's own time.
    pub timeout: Option<Duration>,
}

impl Default for ListLimits {
    fn default() -> Self {
        Self {
            max_pages: 1000,
            max_items: 100_000,
            timeout: None,
        }
    }
}

/// Why a list could not be read to its end.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ListError {
    /// A page could not be had.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The server answered with an error.
    #[error("{method}: {error}")]
    Refused {
        /// The list's method.
        method: &'static str,
        /// The error.
        error: RpcError,
    },
    /// A page is no page.
    #[error("{method}: {reason}")]
    BadPage {
        /// The list's method.
        method: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A cursor came back that was followed before: the list has no end.
    #[error("{method}: the cursor {cursor:?} leads in a circle")]
    Loop {
        /// The list's method.
        method: &'static str,
        /// The cursor.
        cursor: String,
    },
    /// It does not end where it should.
    #[error("{method}: more than {limit} {what}")]
    TooLong {
        /// The list's method.
        method: &'static str,
        /// The limit.
        limit: usize,
        /// Pages or items.
        what: &'static str,
    },
}

/// A whole list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Each item as the server spelled it.
    pub items: Vec<RawJson>,
    /// How long the server says that it is fresh: of its pages, the shortest time. None where it says nothing.
    pub fresh_for: Option<Duration>,
}

/// Reads a list to its end; each item is as the server spelled it.
pub async fn all(
    upstream: &Upstream,
    list: List,
    limits: ListLimits,
) -> Result<Vec<RawJson>, ListError> {
    read(upstream, list, limits)
        .await
        .map(|listed| listed.items)
}

/// Reads a list to its end, and how long it is fresh.
pub async fn read(
    upstream: &Upstream,
    list: List,
    limits: ListLimits,
) -> Result<Listed, ListError> {
    let method = list.method();
    let mut items = Vec::new();
    let mut fresh_for = None;
    let mut seen = HashSet::new();
    let mut cursor: Option<String> = None;
    for _ in 0..limits.max_pages {
        let params = cursor.as_ref().map(|cursor| cursor_params(cursor));
        let call = Call {
            timeout: limits.timeout,
            ..Call::new(method, params)
        };
        let reply = upstream.call(call).await?;
        let result = reply.outcome().map_err(|error| ListError::Refused {
            method,
            error: RpcError::read(&error),
        })?;
        let next = read_page(list, &result, &mut items)?;
        fresh_for = match (fresh_for, ttl(&result)) {
            (Some(one), Some(other)) => Some(Duration::min(one, other)),
            (one, other) => one.or(other),
        };
        if items.len() > limits.max_items {
            return Err(ListError::TooLong {
                method,
                limit: limits.max_items,
                what: "items",
            });
        }
        let Some(next) = next else {
            if list == List::Tools {
                upstream.learn(&mut items);
            }
            return Ok(Listed { items, fresh_for });
        };
        if !seen.insert(next.clone()) {
            return Err(ListError::Loop {
                method,
                cursor: next,
            });
        }
        cursor = Some(next);
    }
    Err(ListError::TooLong {
        method,
        limit: limits.max_pages,
        what: "pages",
    })
}

/// The parameters that ask for the page behind a cursor.
fn cursor_params(cursor: &str) -> RawJson {
    let mut out = b"{\"cursor\":".to_vec();
    out.extend_from_slice(RawJson::string(cursor).as_bytes());
    out.push(b'}');
    RawJson::trusted(out.into())
}

/// How long a page is fresh (2026-07-28): "if `ttlMs` is negative, clients SHOULD ignore it and treat it as `0`".
fn ttl(page: &RawJson) -> Option<Duration> {
    let ms: f64 = page.member(TTL_MS)?.read().ok()?;
    Some(Duration::try_from_secs_f64((ms / 1000.0).max(0.0)).unwrap_or(Duration::MAX))
}

/// Takes the items of one page and returns the next one's cursor.
fn read_page(
    list: List,
    result: &RawJson,
    items: &mut Vec<RawJson>,
) -> Result<Option<String>, ListError> {
    #[derive(Deserialize)]
    struct Page<'a> {
        #[serde(borrow, default)]
        tools: Option<Vec<&'a RawValue>>,
        #[serde(borrow, default)]
        resources: Option<Vec<&'a RawValue>>,
        #[serde(borrow, default, rename = "resourceTemplates")]
        resource_templates: Option<Vec<&'a RawValue>>,
        #[serde(borrow, default)]
        prompts: Option<Vec<&'a RawValue>>,
        #[serde(default, rename = "nextCursor")]
        next_cursor: Option<String>,
    }
    let method = list.method();
    let bad = |reason: String| ListError::BadPage { method, reason };
    let page: Page<'_> =
        serde_json::from_slice(result.as_bytes()).map_err(|error| bad(error.to_string()))?;
    let found = match list {
        List::Tools => page.tools,
        List::Resources => page.resources,
        List::ResourceTemplates => page.resource_templates,
        List::Prompts => page.prompts,
    };
    let found = found.ok_or_else(|| bad(format!("the result has no `{}`", list.key())))?;
    let whole = result.bytes();
    items.extend(
        found
            .into_iter()
            .map(|item| RawJson::trusted(whole.slice_ref(item.get().as_bytes()))),
    );
    // An empty cursor is what some servers send for none.
    Ok(page.next_cursor.filter(|cursor| !cursor.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &'static str) -> Result<(Vec<String>, Option<String>), ListError> {
        let mut items = Vec::new();
        let next = read_page(List::Tools, &RawJson::parse(text).unwrap(), &mut items)?;
        Ok((
            items.iter().map(|item| item.as_str().to_owned()).collect(),
            next,
        ))
    }

    #[test]
    fn items_keep_their_spelling() {
        let (items, next) =
            page(r#"{"tools":[{"name":"a", "x":1.0},{"name":"b"}],"nextCursor":"n"}"#).unwrap();
        assert_eq!(items, [r#"{"name":"a", "x":1.0}"#, r#"{"name":"b"}"#]);
        assert_eq!(next.as_deref(), Some("n"));
    }

    #[test]
    fn a_page_says_how_long_it_is_fresh() {
        for (page, fresh) in [
            (r#"{"ttlMs":1500}"#, Some(Duration::from_millis(1500))),
            (r#"{"ttlMs":1e3}"#, Some(Duration::from_secs(1))),
            (r#"{"ttlMs":-1}"#, Some(Duration::ZERO)),
            (r#"{"ttlMs":1e300}"#, Some(Duration::MAX)),
            (r#"{"ttlMs":"1"}"#, None),
            ("{}", None),
        ] {
            assert_eq!(ttl(&RawJson::parse(page).unwrap()), fresh, "{page}");
        }
    }

    #[test]
    fn null_and_empty_cursors_end_a_list() {
        assert_eq!(page(r#"{"tools":[],"nextCursor":null}"#).unwrap().1, None);
        assert_eq!(page(r#"{"tools":[],"nextCursor":""}"#).unwrap().1, None);
    }

    #[test]
    fn a_page_without_the_list_is_an_error() {
        assert!(matches!(page("{}"), Err(ListError::BadPage { .. })));
        assert!(matches!(
            page(r#"{"tools":{}}"#),
            Err(ListError::BadPage { .. })
        ));
    }
}
