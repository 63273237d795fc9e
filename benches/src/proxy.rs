//! A reverse proxy as hyper's own example has it, with a connection pool: what knowing nothing of MCP costs.

use std::convert::Infallible;
use std::net::SocketAddr;

use http_body_util::{Either, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

/// Passes everything on to `upstream`, for ever.
pub async fn serve(upstream: SocketAddr, listener: std::net::TcpListener) {
    if listener.set_nonblocking(true).is_err() {
        return;
    }
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(connector);
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let client = client.clone();
        let service = service_fn(move |request| passed(client.clone(), upstream, request));
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .pipeline_flush(true)
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}

async fn passed(
    client: Client<HttpConnector, Incoming>,
    upstream: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Response<Either<Incoming, Empty<Bytes>>>, Infallible> {
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    if let Ok(uri) = Uri::try_from(format!("http://{upstream}{path}")) {
        *request.uri_mut() = uri;
    }
    if let Ok(answer) = client.request(request).await {
        return Ok(answer.map(Either::Left));
    }
    let mut failed = Response::new(Either::Right(Empty::new()));
    *failed.status_mut() = StatusCode::BAD_GATEWAY;
    Ok(failed)
}
