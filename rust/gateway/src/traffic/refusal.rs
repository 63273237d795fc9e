//! Why a call was not let go, as its client is told: an error that says what was in the way and when to come
//! back, with the HTTP status that says the same to whoever reads no JSON-RPC.

use std::time::Duration;

use backstay_mcp::{RawJson, RpcError, jsonrpc};
use backstay_traffic::Shed;
use http::StatusCode;
use serde::Serialize;

use super::RateRoute;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal<'a> {
    /// Calls come faster than a limit allows.
    Limited {
        limit: &'a RateRoute,
        retry_after: Duration,
    },
    /// As many calls are under way as may be.
    Shed {
        shed: Shed,
        most: usize,
        retry_after: Duration,
    },
    /// It failed too often lately, wherever it could go.
    Failing { retry_after: Duration },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    service: &'a str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per: Option<&'static str>,
    reason: &'a str,
    retry_after: u64,
}

impl Refusal<'_> {
    /// One word for the metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Limited { .. } => "limit",
            Self::Shed {
                shed: Shed::Full, ..
            } => "full",
            Self::Shed {
                shed: Shed::Late, ..
            } => "late",
            Self::Failing { .. } => "breaker",
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Limited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Shed { .. } | Self::Failing { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Whole seconds, one at the least: what `Retry-After` can say.
    pub(crate) fn retry_after(&self) -> u64 {
        let (Self::Limited { retry_after, .. }
        | Self::Shed { retry_after, .. }
        | Self::Failing { retry_after }) = self;
        (retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0)).max(1)
    }

    /// As JSON-RPC carries it. `what` was called: a tool's name, or none.
    pub(crate) fn error(&self, service: &str, what: Option<&str>) -> RpcError {
        let of = what.map_or_else(String::new, |tool| format!(" for `{tool}`"));
        let (code, state, said) = match self {
            Self::Limited { limit, .. } => (
                jsonrpc::LIMIT_EXCEEDED,
                "limited",
                format!(
                    "server `{service}` takes {} per {}{of}",
                    limit.shown,
                    limit.per.as_str()
                ),
            ),
            Self::Shed { shed, most, .. } => (
                jsonrpc::CONNECTION_CLOSED,
                "overloaded",
                match shed {
                    Shed::Full => format!(
                        "server `{service}` has {most} calls under way and as many waiting as may"
                    ),
                    Shed::Late => format!(
                        "server `{service}` has {most} calls under way, and none ended in time"
                    ),
                },
            ),
            Self::Failing { .. } => (
                jsonrpc::CONNECTION_CLOSED,
                "failing",
                match what {
                    Some(tool) => {
                        format!("tool `{tool}` of server `{service}` failed too often and rests")
                    }
                    None => format!("server `{service}` failed too often and rests"),
                },
            ),
        };
        let (limit, per) = match self {
            Self::Limited { limit, .. } => (Some(limit.shown.as_str()), Some(limit.per.as_str())),
            _ => (None, None),
        };
        let retry_after = self.retry_after();
        RpcError {
            code,
            message: format!("{said}; come back in {retry_after} s"),
            data: RawJson::write(&Data {
                service,
                state,
                limit,
                per,
                reason: self.reason(),
                retry_after,
            })
            .ok(),
        }
    }
}
