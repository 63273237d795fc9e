//! Plain HTTP services behind the gateway: paths, hosts, addresses of their own, instances that come and go.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use backstay_gateway::{Event, GatewayConfig, Routes};
use backstay_traffic::tls::CertificateFiles;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::support::House;

/// A service that says who it is and what it was asked, and counts its requests.
struct Web {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Web {
    async fn new(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, asked) = (
            listener.local_addr().unwrap(),
            Arc::new(AtomicUsize::new(0)),
        );
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let count = Arc::clone(&count);
                let service = service_fn(move |request| {
                    count.fetch_add(1, Ordering::SeqCst);
                    answer(name, request)
                });
                tokio::spawn(async move {
                    let builder = auto::Builder::new(TokioExecutor::new());
                    let served =
                        builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
                    let _ = served.await;
                });
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn answer(
    name: &str,
    mut request: Request<Incoming>,
) -> Result<Response<http_body_util::combinators::BoxBody<Bytes, Infallible>>, Infallible> {
    if request.headers().contains_key("upgrade") {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut both = TokioIo::new(upgrade.await.unwrap());
            let mut heard = [0; 4];
            while both.read_exact(&mut heard).await.is_ok() {
                heard.reverse();
                both.write_all(&heard).await.unwrap();
            }
        });
        let switched = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header("connection", "upgrade")
            .header("upgrade", "reversed")
            .body(Full::default().boxed());
        return Ok(switched.unwrap());
    }
    if request.uri().path() == "/trailers" {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let frames = [
            Ok(Frame::data(Bytes::from("data"))),
            Ok(Frame::trailers(trailers)),
        ];
        let body = StreamBody::new(futures_util::stream::iter(frames));
        return Ok(Response::new(body.boxed()));
    }
    let headers = request.headers();
    let shown = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let said = json!({
        "name": name,
        "target": request.uri().path_and_query().map(ToString::to_string),
        "host": shown("host"),
        "from": shown("x-forwarded-for"),
        "scheme": shown("x-forwarded-proto"),
        "prefix": shown("x-forwarded-prefix"),
        "authorization": shown("authorization"),
    });
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut said = said;
    said["body"] = String::from_utf8(body.to_vec()).unwrap().into();
    Ok(Response::new(Full::from(said.to_string()).boxed()))
}

fn publish(house: &House, routes: Value) {
    let routes: Routes =
        serde_json::from_value(json!({"servers": [], "published": routes})).unwrap();
    house.gateway.set_routes(routes);
}

/// A request over a connection of its own.
async fn ask(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> (StatusCode, HeaderMap, String) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (
        head.status,
        head.headers,
        String::from_utf8(body.to_vec()).unwrap(),
    )
}

fn get(path: &str, host: &str) -> Request<Full<Bytes>> {
    Request::get(path)
        .header("host", host)
        .body(Full::default())
        .unwrap()
}

async fn said(address: SocketAddr, path: &str, host: &str) -> Value {
    let (status, _, body) = ask(address, get(path, host)).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[tokio::test]
async fn a_service_is_reached_beneath_its_path_and_sees_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (house, web) = (House::new(dir.path()), Web::new("shop").await);
    publish(
        &house,
        json!([{"service": "shop", "path": "/shop", "strip": true,
                "instances": [{"name": "shop.1", "address": web.address}]}]),
    );
    house.gateway.instance_well("shop.1", true);
    let seen = said(house.address, "/shop/cart?id=1", "localhost").await;
    assert_eq!(seen["target"], "/cart?id=1");
    assert_eq!(seen["host"], "localhost");
    assert_eq!(seen["from"], "127.0.0.1");
    assert_eq!(seen["scheme"], "http");
    assert_eq!(seen["prefix"], "/shop");
    let (status, _, _) = ask(house.address, get("/shopping", "localhost")).await;
    assert_eq!(status, 404);
    let posted = Request::post("/shop").header("host", "localhost");
    let posted = posted.body(Full::from("a body")).unwrap();
    let (_, _, body) = ask(house.address, posted).await;
    assert_eq!(
        serde_json::from_str::<Value>(&body).unwrap()["body"],
        "a body"
    );
    assert!(
        house
            .metrics()
            .contains(r#"backstay_http_requests_total{service="shop",code="2xx"} 2"#)
    );
}

#[tokio::test]
async fn a_host_of_its_own_leads_to_it_and_a_foreign_one_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let (house, web) = (House::new(dir.path()), Web::new("shop").await);
    publish(
        &house,
        json!([{"service": "shop", "path": "/", "hosts": ["shop.example"],
                "instances": [{"name": "shop.1", "address": web.address}]}]),
    );
    house.gateway.instance_well("shop.1", true);
    let seen = said(house.address, "/mcp", "shop.example:80").await;
    assert_eq!(
        (&seen["name"], &seen["target"]),
        (&json!("shop"), &json!("/mcp"))
    );
    let (status, ..) = ask(house.address, get("/mcp", "other.example")).await;
    assert_eq!(status, 403);
    let (status, ..) = ask(house.address, get("/healthz", "localhost")).await;
    assert_eq!(status, 200, "the gateway's own address has its own paths");
}

#[tokio::test]
async fn requests_go_to_instances_that_are_well_and_wait_for_none() {
    let dir = tempfile::tempdir().unwrap();
    let (house, one, two) = (
        House::new(dir.path()),
        Web::new("1").await,
        Web::new("2").await,
    );
    publish(
        &house,
        json!([{"service": "web", "path": "/web", "instances": [
            {"name": "web.1", "address": one.address}, {"name": "web.2", "address": two.address}]}]),
    );
    let (status, headers, body) = ask(house.address, get("/web", "localhost")).await;
    assert_eq!(
        (status, &headers["retry-after"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"1".parse().unwrap())
    );
    assert!(body.contains("`web` is starting"), "{body}");
    house.gateway.instance_well("web.1", true);
    for _ in 0..4 {
        assert_eq!(said(house.address, "/web", "localhost").await["name"], "1");
    }
    house.gateway.instance_well("web.2", true);
    house.gateway.instance_down("web.1", "it ended", None);
    for _ in 0..4 {
        assert_eq!(said(house.address, "/web", "localhost").await["name"], "2");
    }
    assert_eq!((one.asked(), two.asked()), (4, 4));
}

#[tokio::test]
async fn an_instance_that_is_not_reached_costs_no_request() {
    let dir = tempfile::tempdir().unwrap();
    let (house, web) = (House::new(dir.path()), Web::new("web").await);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    publish(
        &house,
        json!([{"service": "web", "path": "/web", "instances": [
            {"name": "web.1", "address": web.address}, {"name": "web.2", "address": nobody}]}]),
    );
    house.gateway.instance_well("web.1", true);
    house.gateway.instance_well("web.2", true);
    for _ in 0..20 {
        said(house.address, "/web", "localhost").await;
    }
    assert_eq!(web.asked(), 20);
    let metrics = house.metrics();
    let again = metrics
        .lines()
        .find_map(|line| line.strip_prefix(r#"backstay_call_retries_total{service="web"} "#));
    // Its breaker opens after some, and it is not tried any more.
    let again: f64 = again.unwrap().parse().unwrap();
    assert!((1.0..=10.0).contains(&again), "{again}");
}

#[tokio::test]
async fn what_becomes_a_websocket_passes_both_ways() {
    let dir = tempfile::tempdir().unwrap();
    let (house, web) = (House::new(dir.path()), Web::new("web").await);
    publish(
        &house,
        json!([{"service": "web", "path": "/web",
                "instances": [{"name": "web.1", "address": web.address}]}]),
    );
    house.gateway.instance_well("web.1", true);
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    let asked = "GET /web HTTP/1.1\r\nhost: localhost\r\nconnection: keep-alive, Upgrade\r\nupgrade: reversed\r\n\r\n";
    stream.write_all(asked.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(
        head.starts_with("HTTP/1.1 101 ") && head.contains("upgrade: reversed"),
        "{head}"
    );
    let mut heard = [0; 4];
    for (said, reversed) in [(b"1234", b"4321"), (b"abcd", b"dcba")] {
        stream.write_all(said).await.unwrap();
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, reversed);
    }
    assert!(
        house
            .metrics()
            .contains(r#"backstay_http_upgraded_connections{service="web"} 1"#)
    );
}

#[tokio::test]
async fn a_service_over_http2_keeps_its_trailers() {
    let dir = tempfile::tempdir().unwrap();
    let (house, web) = (House::new(dir.path()), Web::new("grpc").await);
    publish(
        &house,
        json!([{"service": "grpc", "path": "/grpc", "strip": true, "protocol": "h2c",
                "instances": [{"name": "grpc.1", "address": web.address}]}]),
    );
    house.gateway.instance_well("grpc.1", true);
    let stream = TcpStream::connect(house.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://localhost/grpc/trailers").header("te", "trailers");
    let answer = sender.send_request(request.body(Full::<Bytes>::default()).unwrap());
    let body = answer.await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
}

#[tokio::test]
async fn a_page_of_another_origin_is_let_in_only_where_the_service_is_public() {
    let dir = tempfile::tempdir().unwrap();
    let (web, house) = (
        Web::new("web").await,
        House::with(GatewayConfig {
            state_dir: dir.path().into(),
            token: Some("secret".into()),
            ..GatewayConfig::default()
        }),
    );
    let asked = |public: bool, token: bool| {
        publish(
            &house,
            json!([{"service": "web", "path": "/web", "public": public,
                    "instances": [{"name": "web.1", "address": web.address}]}]),
        );
        house.gateway.instance_well("web.1", true);
        let mut request = get("/web", "localhost");
        request
            .headers_mut()
            .insert("origin", "https://page.example".parse().unwrap());
        if token {
            request
                .headers_mut()
                .insert("authorization", "Bearer secret".parse().unwrap());
        }
        ask(house.address, request)
    };
    assert_eq!(asked(false, true).await.0, 403);
    let (status, _, body) = asked(true, true).await;
    assert_eq!(status, 200);
    assert!(
        body.contains("Bearer secret"),
        "a public service has tokens of its own: {body}"
    );
    let unnamed = ask(house.address, get("/web", "evil.example")).await;
    assert_eq!(unnamed.0, 403, "the host still has to be ours");
    publish(
        &house,
        json!([{"service": "web", "path": "/web",
                "instances": [{"name": "web.1", "address": web.address}]}]),
    );
    let (status, headers, _) = ask(house.address, get("/web", "localhost")).await;
    assert_eq!(
        (status, headers.contains_key("www-authenticate")),
        (StatusCode::UNAUTHORIZED, true)
    );
}

fn certificate(dir: &std::path::Path, name: &str) -> CertificateFiles {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".into(), name.to_owned()]).unwrap();
    let files = CertificateFiles {
        certificate: dir.join("cert.pem"),
        key: dir.join("key.pem"),
    };
    let text = params.self_signed(&key).unwrap().pem();
    for (path, text) in [
        (&files.certificate, text),
        (&files.key, key.serialize_pem()),
    ] {
        std::fs::write(path.with_extension("new"), text).unwrap();
        std::fs::rename(path.with_extension("new"), path).unwrap();
    }
    files
}

/// The answer over TLS, trusting the certificate that the file has now.
async fn securely(address: SocketAddr, files: &CertificateFiles) -> Result<String, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(&files.certificate).unwrap())
        .unwrap();
    let config = rustls::ClientConfig::builder_with_provider(
        rustls::crypto::ring::default_provider().into(),
    )
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_root_certificates(roots)
    .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect("localhost".try_into().unwrap(), stream)
        .await
        .map_err(|error| error.to_string())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let answer = sender.send_request(get("/", "localhost")).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn an_address_of_its_own_speaks_tls_and_takes_a_renewed_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let (house, web) = (House::new(dir.path()), Web::new("web").await);
    let files = certificate(dir.path(), "a.example");
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let routes: Routes = serde_json::from_value(json!({"servers": [], "published": [{
        "service": "web", "listen": address,
        "tls": {"certificate": files.certificate, "key": files.key},
        "instances": [{"name": "web.1", "address": web.address}]}]}))
    .unwrap();
    let own: Vec<_> = routes
        .published
        .iter()
        .flatten()
        .filter_map(backstay_gateway::PublishedRoute::own_address)
        .collect();
    house.gateway.set_routes(routes);
    assert_eq!(house.gateway.keep_addresses(&own), own);
    house
        .gateway
        .listen_published(&own[0], OwnedFd::from(socket))
        .unwrap();
    assert!(house.gateway.keep_addresses(&own).is_empty());
    house.gateway.instance_well("web.1", true);
    let said = securely(address, &files).await.unwrap();
    assert!(said.contains(r#""scheme":"https""#), "{said}");

    let mut plain = TcpStream::connect(address).await.unwrap();
    plain
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut told = String::new();
    plain.read_to_string(&mut told).await.unwrap();
    assert!(told.contains("this is an https:// address"), "{told}");

    let renewed = certificate(dir.path(), "b.example");
    let changed = |event: &Event| matches!(event, Event::CertificateChanged { reason: None, .. });
    house.wait(changed).await;
    securely(address, &renewed).await.unwrap();

    house.gateway.keep_addresses(&[]);
    // The listener ends with its task; nobody is told when, so connections are tried until one is refused.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_service_that_is_asked_too_often_says_when_to_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let (house, web) = (House::new(dir.path()), Web::new("web").await);
    let limit =
        json!({"calls": 2, "period_ms": 60_000, "burst": 2, "per": "client", "shown": "2/min"});
    publish(
        &house,
        json!([{"service": "web", "path": "/web", "traffic": {"limits": [limit]},
                "instances": [{"name": "web.1", "address": web.address}]}]),
    );
    house.gateway.instance_well("web.1", true);
    said(house.address, "/web", "localhost").await;
    said(house.address, "/web", "localhost").await;
    let (status, headers, body) = ask(house.address, get("/web", "localhost")).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{body}");
    assert!(
        headers["retry-after"]
            .to_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            >= 1
    );
    assert!(body.contains("`web` takes 2/min per client"), "{body}");
    assert_eq!(web.asked(), 2);
}

#[tokio::test]
async fn an_instance_that_only_breaks_off_rests_and_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let (house, web) = (House::new(dir.path()), Web::new("web").await);
    let breaks = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = breaks.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = breaks.accept().await {
            // Read first: what is closed unread is reset, and might count as never sent.
            let mut asked = [0; 1024];
            let _ = stream.read(&mut asked).await;
        }
    });
    publish(
        &house,
        json!([{"service": "web", "path": "/web", "instances": [
            {"name": "web.1", "address": web.address}, {"name": "web.2", "address": address}]}]),
    );
    house.gateway.instance_well("web.1", true);
    house.gateway.instance_well("web.2", true);
    let mut failed = 0;
    // Reading is asked again elsewhere; what rests for its failures may be tried anew by then.
    for _ in 0..60 {
        said(house.address, "/web", "localhost").await;
    }
    house.gateway.instance_well("web.2", true);
    for _ in 0..60 {
        let posted = Request::post("/web").header("host", "localhost");
        let (status, ..) = ask(house.address, posted.body(Full::from("x")).unwrap()).await;
        failed += usize::from(status == StatusCode::BAD_GATEWAY);
    }
    assert_eq!(
        web.asked() + failed,
        120,
        "nothing that changes something is asked twice"
    );
    // What was sent is not sent again, so each of these was one request's end; five of them were enough.
    assert!(failed <= 8, "{failed}");
    house
        .wait(|event| matches!(event, Event::InstanceEjected { instance, .. } | Event::BreakerOpened { instance, .. } if instance == "web.2"))
        .await;
}

/// A service of two instances, of which `web.2` fails and then rests for so long.
async fn with_one_that_fails(dir: &Path, rest_ms: u64) -> (House, Web) {
    let (house, web) = (House::new(dir), Web::new("web").await);
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let traffic = json!({"balance": "round-robin", "breaker": null,
        "ejection": {"failures": 1, "rest_ms": rest_ms, "rest_at_most_ms": rest_ms}});
    publish(
        &house,
        json!([{"service": "web", "path": "/web", "traffic": traffic, "instances": [
            {"name": "web.1", "address": web.address}, {"name": "web.2", "address": address}]}]),
    );
    house.gateway.instance_well("web.1", true);
    house.gateway.instance_well("web.2", true);
    (house, web)
}

#[tokio::test]
async fn an_instance_that_rested_gets_requests_again_and_that_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (house, _web) = with_one_that_fails(dir.path(), 20).await;
    let returned = house.wait(
        |event| matches!(event, Event::InstanceReturned { instance, .. } if instance == "web.2"),
    );
    tokio::pin!(returned);
    loop {
        tokio::select! {
            _ = &mut returned => break,
            _ = said(house.address, "/web", "localhost") => {}
        }
    }
}

#[tokio::test]
async fn an_instance_that_begins_anew_while_it_rests_has_returned_and_that_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (house, _web) = with_one_that_fails(dir.path(), 3_600_000).await;
    let ejected = house.wait(
        |event| matches!(event, Event::InstanceEjected { instance, .. } if instance == "web.2"),
    );
    tokio::pin!(ejected);
    loop {
        tokio::select! {
            _ = &mut ejected => break,
            _ = said(house.address, "/web", "localhost") => {}
        }
    }
    house.gateway.instance_well("web.2", false);
    house.gateway.instance_well("web.2", true);
    house
        .wait(|event| matches!(event, Event::InstanceReturned { instance, .. } if instance == "web.2"))
        .await;
}
