//! Which headers a service gets: `X-Forwarded-*` by common use, nothing that belongs to the connection.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, CONNECTION, HOST, HeaderName, TE, UPGRADE};
use http::{HeaderValue, Method, Version, request};

use super::route::Speaks;
use crate::http::{Visit, strip_hop_by_hop, tokens};

const FORWARDED: [HeaderName; 5] = [
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-prefix"),
];

/// What a client wants the connection to become, such as `websocket`.
pub(super) fn upgrade(head: &request::Parts) -> Option<HeaderValue> {
    let asks = head.version == Version::HTTP_11
        && head.method == Method::GET
        && tokens(&head.headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"));
    head.headers.get(UPGRADE).filter(|_| asks).cloned()
}

/// Makes a request's headers those that a service gets. What the client says of where it comes from is replaced:
/// anybody can say that.
pub(super) fn to_service(
    head: &mut request::Parts,
    visit: Visit,
    speaks: Speaks,
    prefix: &str,
    token_was_ours: bool,
) {
    let trailers = speaks == Speaks::H2c
        && tokens(&head.headers, &TE).any(|token| token.eq_ignore_ascii_case("trailers"));
    let headers = &mut head.headers;
    strip_hop_by_hop(headers);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    for name in &FORWARDED {
        headers.remove(name);
    }
    if token_was_ours {
        headers.remove(AUTHORIZATION);
    }
    if !headers.contains_key(HOST)
        && let Some(host) = head.uri.authority()
        && let Ok(host) = HeaderValue::from_str(host.as_str())
    {
        headers.insert(HOST, host);
    }
    let [_, from, scheme, host, beneath] = FORWARDED;
    if let Some(value) = visit.peer.and_then(|peer| address(peer).ok()) {
        headers.insert(from, value);
    }
    let protocol = if visit.secure { "https" } else { "http" };
    headers.insert(scheme, HeaderValue::from_static(protocol));
    if let Some(named) = headers.get(HOST).cloned() {
        headers.insert(host, named);
    }
    if !prefix.is_empty()
        && let Ok(prefix) = HeaderValue::from_str(prefix)
    {
        headers.insert(beneath, prefix);
    }
}

fn address(peer: IpAddr) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    HeaderValue::from_str(&peer.to_canonical().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(headers: &[(&'static str, &'static str)]) -> request::Parts {
        let mut request = http::Request::get("http://shop.example/a");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    const HERE: Visit = Visit {
        peer: Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)),
        secure: true,
    };

    #[test]
    fn what_belongs_to_the_connection_stays_with_it() {
        let mut head = head(&[
            ("connection", "close, x-private"),
            ("x-private", "1"),
            ("te", "trailers"),
            ("x-kept", "2"),
        ]);
        to_service(&mut head, HERE, Speaks::Http, "", false);
        assert!(!head.headers.contains_key("x-private") && !head.headers.contains_key("te"));
        assert_eq!(head.headers["x-kept"], "2");
    }

    #[test]
    fn nobody_says_of_himself_where_he_comes_from() {
        let mut head = head(&[
            ("x-forwarded-for", "10.0.0.1"),
            ("forwarded", "for=10.0.0.1"),
            ("x-forwarded-prefix", "/evil"),
        ]);
        to_service(&mut head, HERE, Speaks::Http, "", false);
        assert_eq!(head.headers["x-forwarded-for"], "127.0.0.1");
        assert_eq!(head.headers["x-forwarded-proto"], "https");
        assert_eq!(head.headers["x-forwarded-host"], "shop.example");
        assert!(!head.headers.contains_key("forwarded"));
        assert!(!head.headers.contains_key("x-forwarded-prefix"));
    }

    #[test]
    fn the_gateways_token_is_not_for_services() {
        for (ours, kept) in [(true, false), (false, true)] {
            let mut head = head(&[("authorization", "Bearer x")]);
            to_service(&mut head, HERE, Speaks::H2c, "", ours);
            assert_eq!(head.headers.contains_key("authorization"), kept);
        }
    }

    #[test]
    fn only_a_get_over_http_1_1_upgrades() {
        let asks = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
        ];
        assert_eq!(upgrade(&head(&asks)).unwrap(), "websocket");
        assert_eq!(upgrade(&head(&asks[1..])), None);
        let mut old = head(&asks);
        old.version = Version::HTTP_10;
        assert_eq!(upgrade(&old), None);
    }
}
