use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// A server that answers with the body it got, and counts its connections.
async fn echo() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, count) = (
        listener.local_addr().unwrap(),
        Arc::new(AtomicUsize::new(0)),
    );
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let service = service_fn(|request: Request<hyper::body::Incoming>| async {
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    Ok::<_, Infallible>(Response::new(Full::new(body)))
                });
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    (address, count)
}

fn request(body: &'static str) -> Request<Full<Bytes>> {
    Request::post("/").body(Full::from(body)).unwrap()
}

async fn text(answer: Response<Reply<Full<Bytes>>>) -> String {
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn a_warm_call_sets_no_connection_up() {
    let (address, connections) = echo().await;
    let pool = Pool::new(address, PoolConfig::default());
    for _ in 0..10 {
        assert_eq!(text(pool.send(request("a")).await.unwrap()).await, "a");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    assert_eq!(pool.open(), 1);
}

#[tokio::test]
async fn http2_shares_one_connection_among_all_that_call_at_once() {
    let (address, connections) = echo().await;
    let pool = Pool::new(
        address,
        PoolConfig {
            protocol: Protocol::Http2,
            ..PoolConfig::default()
        },
    );
    let calls = (0..32).map(|_| {
        let pool = Arc::clone(&pool);
        tokio::spawn(async move { text(pool.send(request("b")).await.unwrap()).await })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), "b");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn over_the_cap_a_request_comes_back_unsent() {
    let (address, _) = echo().await;
    let pool = Pool::new(
        address,
        PoolConfig {
            most: 1,
            ..PoolConfig::default()
        },
    );
    let held = pool.send(request("a")).await.unwrap();
    let failed = pool.send(request("kept")).await.unwrap_err();
    assert!(matches!(failed.why, Why::Full(1)), "{failed:?}");
    let request = failed.unsent.expect("it was not sent");
    assert_eq!(text(held).await, "a");
    assert_eq!(text(pool.send(*request).await.unwrap()).await, "kept");
}

#[tokio::test]
async fn where_nobody_listens_a_request_comes_back_unsent() {
    let address = {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        gone.local_addr().unwrap()
    };
    let pool = Pool::new(address, PoolConfig::default());
    let failed = pool.send(request("a")).await.unwrap_err();
    assert!(matches!(failed.why, Why::Connect(..)) && failed.unsent.is_some());
    assert_eq!(pool.open(), 0);
}

#[tokio::test]
async fn a_connection_that_the_peer_closed_while_idle_is_no_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pool = Pool::new(listener.local_addr().unwrap(), PoolConfig::default());
    let serve = async {
        // Each connection answers once and is closed, without having said that it will be.
        for _ in 0..3 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 1024];
            let _ = stream.read(&mut bytes).await.unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await
                .unwrap();
        }
    };
    let call = async {
        for _ in 0..3 {
            assert_eq!(text(pool.send(request("a")).await.unwrap()).await, "ok");
        }
    };
    tokio::join!(serve, call);
}

#[tokio::test]
async fn an_answer_that_breaks_off_before_it_began_does_not_send_the_request_twice() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pool = Pool::new(listener.local_addr().unwrap(), PoolConfig::default());
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = [0; 1024];
        assert!(stream.read(&mut bytes).await.unwrap() > 0);
    };
    let (failed, ()) = tokio::join!(pool.send(request("a")), serve);
    let failed = failed.unwrap_err();
    assert!(failed.unsent.is_none() && matches!(failed.why, Why::Broken(_)));
}

#[tokio::test]
async fn an_answer_that_is_left_half_read_takes_its_connection_with_it() {
    let (address, connections) = echo().await;
    let pool = Pool::new(address, PoolConfig::default());
    drop(pool.send(request("unread")).await.unwrap());
    assert_eq!(text(pool.send(request("a")).await.unwrap()).await, "a");
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn no_more_idle_connections_are_kept_than_may_be() {
    let (address, _) = echo().await;
    let pool = Pool::new(
        address,
        PoolConfig {
            most_idle: 2,
            ..PoolConfig::default()
        },
    );
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(pool.send(request("a")).await.unwrap());
    }
    for answer in answers {
        text(answer).await;
    }
    assert_eq!(pool.idle.lock().len(), 2);
}
