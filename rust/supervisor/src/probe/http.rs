//! Does `GET path` on a loopback port answer well?
//!
//! One request of fixed form whose status line is all that is read: an HTTP
//! client would be the larger part of the keeper.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::tcp;

/// Longest status line.
const LINE_MAX: usize = 512;

/// Asks once; 200 to 399 is well.
pub async fn get(port: u16, path: &str) -> Result<(), String> {
    let mut stream = tcp::connect(port).await?;
    let slash = if path.starts_with('/') { "" } else { "/" };
    let request = format!(
        "GET {slash}{path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: backstay-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(|error| format!("port {port}: {error}"))?;
    let mut line = Vec::with_capacity(LINE_MAX);
    while !line.contains(&b'\n') && line.len() < LINE_MAX {
        match stream.read_buf(&mut line).await {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => return Err(format!("port {port}: {error}")),
        }
    }
    match status(&line) {
        Some(200..=399) => Ok(()),
        Some(status) => Err(format!("GET {slash}{path} answered {status}")),
        None => Err(format!("port {port} does not answer in HTTP")),
    }
}

fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let code = rest.get(2..5)?;
    std::str::from_utf8(code).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn answered(answer: &'static [u8]) -> (Result<(), String>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut request).await.unwrap();
            }
            stream.write_all(answer).await.unwrap();
            String::from_utf8(request).unwrap()
        };
        tokio::join!(get(port, "/health?deep=1"), serve)
    }

    #[tokio::test]
    async fn the_status_decides() {
        let (well, request) = answered(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(well, Ok(()));
        assert!(
            request.starts_with("GET /health?deep=1 HTTP/1.1\r\nHost: 127.0.0.1:"),
            "{request}"
        );
        let (moved, _) = answered(b"HTTP/1.0 302 Found\r\n").await;
        assert_eq!(moved, Ok(()));
        let (badly, _) = answered(b"HTTP/1.1 503 Starting\r\n\r\n").await;
        assert_eq!(badly, Err("GET /health?deep=1 answered 503".to_owned()));
    }

    #[tokio::test]
    async fn something_else_than_http_is_no_health() {
        let (badly, _) = answered(b"SSH-2.0-OpenSSH_9.2\r\n").await;
        assert!(badly.unwrap_err().contains("does not answer in HTTP"));
        let (silent, _) = answered(b"").await;
        assert!(silent.is_err());
    }
}
