//! TLS at a listener: the handshake, and a certificate that is read again when its files change.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use backstay_traffic::tls::{Certificate, watch};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::core::Core;
use crate::event::Event;
use crate::published::TlsFiles;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The first byte of every TLS connection (RFC 8446 §5.1: a handshake record).
const HANDSHAKE_RECORD: u8 = 22;
const PLAIN: &str = "this is an https:// address\n";

/// The certificate of one listener, watched as long as this lives.
pub(crate) struct Secured {
    acceptor: TlsAcceptor,
    watcher: JoinHandle<()>,
}

impl Drop for Secured {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl Secured {
    /// Loads a certificate and begins to watch it.
    pub(crate) fn load(core: &Arc<Core>, files: TlsFiles) -> io::Result<Self> {
        let file = files.certificate.display().to_string();
        let certificate = Certificate::load(files.into()).map_err(io::Error::other)?;
        let config = certificate.server_config().map_err(io::Error::other)?;
        let (weak, gateway) = (Arc::downgrade(&certificate), Arc::downgrade(core));
        let watcher = core.runtime.spawn(async move {
            let tell = |reason: Option<String>| {
                if let Some(core) = gateway.upgrade() {
                    core.emit(Event::CertificateChanged {
                        file: file.clone(),
                        reason,
                    });
                }
            };
            let watched = watch(weak, |loaded| tell(loaded.err().map(|why| why.to_string())));
            if let Err(error) = watched.await {
                tell(Some(format!("its folder cannot be watched: {error}")));
            }
        });
        Ok(Self {
            acceptor: TlsAcceptor::from(config),
            watcher,
        })
    }

    /// Shakes hands; none where the client does not, in time and with TLS.
    pub(super) async fn accept(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let shaking = async {
            let mut first = [0];
            if stream.peek(&mut first).await.ok()? == 0 {
                return None;
            }
            if first[0] != HANDSHAKE_RECORD {
                // Whatever comes of it, the connection ends.
                let _told = say_that_it_is_tls(stream).await;
                return None;
            }
            self.acceptor.accept(stream).await.ok()
        };
        tokio::time::timeout(HANDSHAKE, shaking).await.ok()?
    }
}

/// Answers who speaks plain HTTP, so that nobody has to guess.
async fn say_that_it_is_tls(mut stream: TcpStream) -> io::Result<()> {
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{PLAIN}",
        PLAIN.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    // What is closed with bytes unread is reset, and a reset overtakes the answer.
    let mut rest = [0; 4096];
    for _ in 0..16 {
        if stream.read(&mut rest).await? == 0 {
            break;
        }
    }
    Ok(())
}
