//! Does a loopback port accept a connection?

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpStream;

/// Connects to a loopback port, IPv4 first.
pub async fn connect(port: u16) -> Result<TcpStream, String> {
    let four = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let error = match TcpStream::connect(four).await {
        Ok(stream) => return genuine(stream, port),
        Err(error) => error,
    };
    match TcpStream::connect(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).await {
        Ok(stream) => genuine(stream, port),
        Err(_) => Err(format!("port {port}: {error}")),
    }
}

/// A connection to a free port of the ephemeral range can meet itself: the kernel may
/// choose the same port to come from. Nobody listens there then.
fn genuine(stream: TcpStream, port: u16) -> Result<TcpStream, String> {
    match (stream.local_addr(), stream.peer_addr()) {
        (Ok(here), Ok(there)) if here != there => Ok(stream),
        _ => Err(format!("port {port}: nobody listens")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_listening_port_answers_and_a_closed_one_does_not() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        connect(port).await.unwrap();
        drop(listener);
        let refused = connect(port).await.unwrap_err();
        assert!(refused.contains(&port.to_string()), "{refused}");
    }

    #[tokio::test]
    async fn a_server_on_ipv6_only_answers() {
        let Ok(listener) = std::net::TcpListener::bind("[::1]:0") else {
            return;
        };
        connect(listener.local_addr().unwrap().port())
            .await
            .unwrap();
    }
}
