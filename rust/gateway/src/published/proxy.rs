//! A request's way to a published service and back: bytes pass as they come, nothing is held.

use std::net::IpAddr;
use std::sync::Arc;

use backstay_traffic::Ticket;
use backstay_traffic::pool::{Failed, Reply, Why};
use http::header::{CONNECTION, HOST, UPGRADE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version, uri};
use http_body_util::{Either, Empty};
use hyper::body::{Body as _, Incoming};
use tokio::time::Instant;

use super::headers::{to_service, upgrade};
use super::instance::{Asked, InFlight, Instance};
use super::route::Speaks;
use super::service::{Service, Unavailable};
use super::signals::Measure;
use super::table::Found;
use super::tunnel;
use crate::core::Core;
use crate::http::{Body, Passed, Visit, answer, strip_hop_by_hop};
use crate::traffic::{NO_TOOL, Outcome, now};

/// Instances that a request is sent to at most, where those before could not do it.
const MOST_TRIES: usize = 3;

/// Answers a request by the service that it is for.
pub(crate) async fn serve(
    core: &Arc<Core>,
    found: &Found,
    mut request: Request<Incoming>,
    visit: Visit,
    token_was_ours: bool,
) -> Response<Body> {
    let service = &found.service;
    let mut measure = service.signals.begin();
    let client_key = visit.peer.map_or(0, key_of_client);
    let admitted = service.traffic.admit(client_key, NO_TOOL, now());
    let place = match admitted {
        Ok(()) => service.traffic.enter(service.signals.traffic()).await,
        Err(refusal) => Err(refusal),
    };
    let place = match place {
        Ok(place) => place,
        Err(refusal) => {
            service.signals.traffic().refused(refusal.reason());
            let said = refusal
                .error(&service.route.service, None)
                .message
                .replace("server `", "`");
            return refused(
                (refusal.status(), said, Some(refusal.retry_after())),
                measure,
            );
        }
    };
    let client = hyper::upgrade::on(&mut request);
    let (mut head, body) = request.into_parts();
    let wants = upgrade(&head);
    let prefix = if service.route.strip { found.prefix } else { 0 };
    let named = head.uri.path()[..prefix].to_owned();
    to_service(
        &mut head,
        visit,
        service.route.protocol,
        &named,
        token_was_ours,
    );
    if let Some(what) = &wants {
        head.headers
            .insert(CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.insert(UPGRADE, what.clone());
    }
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let Ok(uri) = rewrite(&head.uri, host, prefix, service.route.protocol) else {
        measure.answered(StatusCode::BAD_REQUEST);
        return answer::text(StatusCode::BAD_REQUEST, "this path cannot be passed on\n");
    };
    head.uri = uri;
    head.version = match service.route.protocol {
        Speaks::Http => Version::HTTP_11,
        Speaks::H2c => Version::HTTP_2,
    };
    if service.route.protocol == Speaks::H2c {
        // It is `:authority` by now.
        head.headers.remove(HOST);
    }
    let sent = send(
        core,
        service,
        client_key,
        Request::from_parts(head, Either::Left(body)),
    )
    .await;
    let (mut reply, busy) = match sent {
        Ok(answered) => answered,
        Err(refusal) => return refused(refusal, measure),
    };
    measure.answered(reply.status());
    if reply.status() == StatusCode::SWITCHING_PROTOCOLS {
        let Some(what) = wants else {
            let message = format!(
                "`{}` switched protocols without being asked to",
                service.route.service
            );
            return refused((StatusCode::BAD_GATEWAY, message, None), measure);
        };
        let server = hyper::upgrade::on(&mut reply);
        if !tunnel::begin(core, service, client, server, (busy, place)) {
            let message = "too many connections speak something else than HTTP already".to_owned();
            return refused((StatusCode::SERVICE_UNAVAILABLE, message, Some(1)), measure);
        }
        return switched(reply, what);
    }
    passed(reply, (measure, busy, place))
}

/// What the client gets instead of an answer: a status, why, and when to come back.
type Refusal = (StatusCode, String, Option<u64>);

fn refused((status, message, retry_after): Refusal, mut measure: Measure) -> Response<Body> {
    measure.answered(status);
    let body = serde_json::json!({"error": message}).to_string();
    let refusal = answer::json(status, body);
    match retry_after {
        Some(seconds) => answer::later(refusal, seconds),
        None => refusal,
    }
}

fn switched(reply: Response<Reply<Asked>>, what: HeaderValue) -> Response<Body> {
    let (mut head, _) = reply.into_parts();
    strip_hop_by_hop(&mut head.headers);
    head.headers
        .insert(CONNECTION, HeaderValue::from_static("upgrade"));
    head.headers.insert(UPGRADE, what);
    Response::from_parts(head, Body::empty())
}

fn passed(
    reply: Response<Reply<Asked>>,
    counted: (Measure, InFlight, Option<Ticket>),
) -> Response<Body> {
    let (mut head, body) = reply.into_parts();
    strip_hop_by_hop(&mut head.headers);
    // Each side has its own version of HTTP.
    head.version = Version::default();
    let passed = Passed::new(body, counted);
    Response::from_parts(head, Body::Passed(Box::new(passed)))
}

/// Sends a request to an instance, and to others where it did not arrive or may be asked twice.
async fn send(
    core: &Core,
    service: &Service,
    client: u64,
    mut request: Request<Asked>,
) -> Result<(Response<Reply<Asked>>, InFlight), Refusal> {
    let copy = may_repeat(&request).then(|| without_body(&request));
    let mut tried: Vec<Arc<Instance>> = Vec::new();
    let end = Instant::now() + service.route.timeout();
    loop {
        let chosen = match service.pick(core, client, &tried) {
            Ok(chosen) => chosen,
            Err(why) => return Err(unavailable(service, why, &tried)),
        };
        let instance = &chosen.instance;
        let busy = instance.begin();
        let Ok(sent) = tokio::time::timeout_at(end, instance.pool.send(request)).await else {
            service.learn(core, &chosen, Outcome::Bad);
            let (name, time) = (&instance.name, service.route.timeout());
            let message = format!("`{name}` did not begin an answer within {time:?}");
            return Err((StatusCode::GATEWAY_TIMEOUT, message, None));
        };
        match sent {
            Ok(answer) => {
                // By these, those behind a service say that it does not work.
                let outcome = match answer.status().as_u16() {
                    502..=504 => Outcome::Bad,
                    _ => Outcome::Good,
                };
                service.learn(core, &chosen, outcome);
                return Ok((answer, busy));
            }
            Err(Failed { why, unsent }) => {
                drop(busy);
                let outcome = match why {
                    // As many connections as may be are ours to have, and say nothing of it.
                    Why::Full(_) => Outcome::Nothing,
                    _ => Outcome::Bad,
                };
                service.learn(core, &chosen, outcome);
                let again = unsent.map(|unsent| *unsent);
                let again = again.or_else(|| copy.as_ref().map(without_body));
                match again {
                    Some(again) if tried.len() + 1 < MOST_TRIES => {
                        request = again;
                        service.signals.tried_again();
                        tried.push(chosen.instance);
                    }
                    _ => {
                        let message = format!("`{}` does not answer: {why}", instance.name);
                        return Err((StatusCode::BAD_GATEWAY, message, Some(1)));
                    }
                }
            }
        }
    }
}

/// Whether it changes nothing to ask twice (RFC 9110 §9.2.1), and there is nothing of it that passes only once.
fn may_repeat(request: &Request<Asked>) -> bool {
    matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    ) && request.body().is_end_stream()
}

fn without_body(request: &Request<Asked>) -> Request<Asked> {
    let mut copy = Request::new(Either::Right(Empty::new()));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    copy
}

fn unavailable(service: &Service, why: Unavailable, tried: &[Arc<Instance>]) -> Refusal {
    let name = &service.route.service;
    if let Some(last) = tried.last() {
        let message = format!(
            "no instance of `{name}` can be reached, `{}` last",
            last.name
        );
        return (StatusCode::BAD_GATEWAY, message, Some(1));
    }
    let (message, seconds) = match why {
        Unavailable::Stopped => (format!("`{name}` is stopped"), None),
        Unavailable::Starting => (format!("`{name}` is starting"), Some(1)),
        Unavailable::Down => (format!("no instance of `{name}` is well"), Some(1)),
        Unavailable::Resting(rest) => (
            format!("every instance of `{name}` keeps failing and rests"),
            Some(rest.as_secs() + u64::from(rest.subsec_nanos() > 0)),
        ),
    };
    (StatusCode::SERVICE_UNAVAILABLE, message, seconds)
}

/// What keeps a client at an instance, and apart from others in a limit: its address.
fn key_of_client(peer: IpAddr) -> u64 {
    let bits = match peer.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    };
    #[expect(clippy::cast_possible_truncation, reason = "both halves are in it")]
    let folded = (bits >> 64) as u64 ^ bits as u64;
    folded
}

/// What a service is asked for: the path without what named it, and the host where HTTP/2 wants it.
fn rewrite(
    uri: &Uri,
    host: Option<&str>,
    prefix: usize,
    speaks: Speaks,
) -> Result<Uri, http::Error> {
    let path = uri.path_and_query().map_or("/", uri::PathAndQuery::as_str);
    let rest = &path[prefix.min(path.len())..];
    let rest = if rest.starts_with('/') || path == "*" {
        rest.to_owned()
    } else {
        format!("/{rest}")
    };
    match speaks {
        Speaks::Http => Ok(rest.parse()?),
        Speaks::H2c => Uri::builder()
            .scheme("http")
            .authority(host.unwrap_or("backstay"))
            .path_and_query(rest)
            .build(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_sees_its_own_paths() {
        let at = |uri: &str, prefix| {
            rewrite(&uri.parse().unwrap(), None, prefix, Speaks::Http)
                .unwrap()
                .to_string()
        };
        assert_eq!(at("/shop/cart?a=/b", 5), "/cart?a=/b");
        assert_eq!(at("/shop", 5), "/");
        assert_eq!(at("/shop?a", 5), "/?a");
        assert_eq!(at("http://x.example/shop/%2e%2e/a", 0), "/shop/%2e%2e/a");
        let h2 = rewrite(&"/a".parse().unwrap(), Some("x.example"), 0, Speaks::H2c).unwrap();
        assert_eq!(h2.to_string(), "http://x.example/a");
    }
}
