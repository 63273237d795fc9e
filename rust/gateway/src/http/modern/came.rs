//! What came with a request besides its body, whichever way it was read.

use backstay_mcp::modern::headers::PARAM_PREFIX;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::super::listener::Peer;

/// See the module.
pub(in super::super) struct Came<'a, H> {
    pub(in super::super) headers: &'a H,
    /// Its `Mcp-Param-*` headers, which a server of its era is to see.
    pub(in super::super) params: Vec<(HeaderName, HeaderValue)>,
    /// Where it comes from, if that tells clients apart.
    pub(in super::super) peer: Option<Peer>,
    /// Whether its headers must say what its body says.
    pub(in super::super) compared: bool,
}

impl<'a> Came<'a, HeaderMap> {
    /// What a request has that hyper read.
    pub(in super::super) fn with(head: &'a Parts, compared: bool) -> Self {
        let params = head.headers.iter();
        let params = params.filter(|(name, _)| name.as_str().starts_with(PARAM_PREFIX));
        Self {
            headers: &head.headers,
            params: params
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            peer: head.extensions.get().copied(),
            compared,
        }
    }
}
