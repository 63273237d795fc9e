//! Where a server is, checked once.

use http::header::{
    ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue,
    TRANSFER_ENCODING,
};
use http::{Method, Request, Uri};

use crate::modern::headers::{METHOD, NAME, PARAM_PREFIX};
use crate::upstream::Endpoint;

/// An address that was checked, and the headers every request there carries.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) uri: Uri,
    headers: HeaderMap,
}

pub(crate) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
pub(crate) const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
pub(crate) const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");

impl Address {
    pub(crate) fn new(endpoint: &Endpoint) -> Result<Self, String> {
        let uri: Uri = endpoint
            .url
            .parse()
            .map_err(|error| format!("`{}` is not an address: {error}", endpoint.url))?;
        if !matches!(uri.scheme_str(), Some("http" | "https"))
            || uri.host().is_none_or(str::is_empty)
        {
            return Err(format!(
                "`{}` is not an http:// or https:// address",
                endpoint.url
            ));
        }
        if uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            return Err(
                "the address holds a user name or password: put them in a header".to_owned(),
            );
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &endpoint.headers {
            let key = HeaderName::try_from(name)
                .map_err(|_| format!("`{name}` is not a header's name"))?;
            // What it says is not repeated: it may be a secret.
            let mut value = HeaderValue::try_from(value).map_err(|_| {
                format!("the value of the header `{name}` has a forbidden character")
            })?;
            if [
                ACCEPT,
                CONTENT_LENGTH,
                CONTENT_TYPE,
                HOST,
                TRANSFER_ENCODING,
                SESSION,
                VERSION,
                LAST_EVENT,
                HeaderName::from_static(METHOD),
                HeaderName::from_static(NAME),
            ]
            .contains(&key)
                || key.as_str().starts_with(PARAM_PREFIX)
            {
                return Err(format!("the header `{name}` is the protocol's own"));
            }
            value.set_sensitive(true);
            headers.append(key, value);
        }
        Ok(Self { uri, headers })
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// The same headers at another place on the same host, as an `endpoint` event names it.
    pub(crate) fn at(&self, place: &str) -> Result<Self, String> {
        let bad = |why: &str| format!("the server names `{place}` as its endpoint, {why}");
        let uri: Uri = if place.contains("://") {
            place.parse().map_err(|_| bad("which is not an address"))?
        } else {
            let base = self.uri.path();
            let folder = &base[..=base.rfind('/').unwrap_or(0)];
            let path = match place.chars().next() {
                Some('/') => place.to_owned(),
                Some('?') => format!("{base}{place}"),
                _ => format!("{}{place}", if folder.is_empty() { "/" } else { folder }),
            };
            let mut parts = self.uri.clone().into_parts();
            parts.path_and_query = Some(path.parse().map_err(|_| bad("which is not a path"))?);
            Uri::from_parts(parts).map_err(|_| bad("which is not a path"))?
        };
        // Else a server could have our headers sent to anybody.
        if (uri.scheme_str(), uri.authority()) != (self.uri.scheme_str(), self.uri.authority()) {
            return Err(bad("which is on another host"));
        }
        Ok(Self {
            uri,
            headers: self.headers.clone(),
        })
    }

    /// A request that may still be given headers.
    pub(crate) fn request(&self, method: Method) -> Request<()> {
        let mut request = Request::new(());
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        // With room for the protocol's own, `Host` and `Content-Length`.
        headers.reserve(self.headers.len() + 6);
        if !self.headers.is_empty() {
            headers.extend(self.headers.clone());
        }
        match method {
            Method::POST => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                headers.insert(
                    ACCEPT,
                    HeaderValue::from_static("application/json, text/event-stream"),
                );
            }
            Method::GET => {
                headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
            }
            _ => {}
        }
        *request.method_mut() = method;
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Result<Address, String> {
        Address::new(&Endpoint {
            url: url.into(),
            headers: vec![("X-Key".into(), "s".into())],
        })
    }

    #[test]
    fn only_http_addresses_are_addresses() {
        assert!(address("https://example.com/mcp").unwrap().is_tls());
        for bad in [
            "",
            "/mcp",
            "example.com/mcp",
            "ftp://example.com",
            "http://",
            "http://u:p@example.com/",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn headers_of_the_protocol_are_not_for_sale() {
        for name in [
            "Accept",
            "MCP-Session-Id",
            "Mcp-Method",
            "Mcp-Param-Region",
            "Content-Length",
            "bad name",
        ] {
            let endpoint = Endpoint {
                url: "http://h/".into(),
                headers: vec![(name.into(), "x".into())],
            };
            assert!(Address::new(&endpoint).is_err(), "{name}");
        }
    }

    #[test]
    fn an_endpoint_event_is_read_as_a_browser_reads_a_link() {
        let base = address("http://h:1/a/sse?x").unwrap();
        for (place, uri) in [
            ("/m?s=1", "http://h:1/m?s=1"),
            ("m", "http://h:1/a/m"),
            ("?s=1", "http://h:1/a/sse?s=1"),
            ("http://h:1/m", "http://h:1/m"),
        ] {
            assert_eq!(base.at(place).unwrap().uri, uri);
        }
        for bad in [
            "http://other/m",
            "https://h:1/m",
            "//other/\u{7f}",
            "http://h:2/",
        ] {
            assert!(base.at(bad).is_err(), "{bad}");
        }
    }
}
