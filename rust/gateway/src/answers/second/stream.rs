//! The stream to a second level: plain, or over TLS. Whom to trust is read once: this machine's authorities, or those
//! of a file.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::target::Target;

/// What is read from and written to.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin + fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin + fmt::Debug> Stream for T {}

/// Whose certificates are good.
#[derive(Clone)]
pub(super) struct Trust(TlsConnector);

impl Trust {
    /// Reads files: not to be done where calls are.
    pub(super) fn read(authorities: Option<&Path>) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = authorities {
            let certificates = CertificateDer::pem_file_iter(path).map_err(io::Error::other)?;
            for certificate in certificates {
                let certificate = certificate.map_err(io::Error::other)?;
                roots.add(certificate).map_err(io::Error::other)?;
            }
        } else {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }
}

/// Connects to it.
pub(super) async fn connect(target: &Target, trust: Option<&Trust>) -> io::Result<Box<dyn Stream>> {
    let plain = TcpStream::connect(target.address()).await?;
    plain.set_nodelay(true)?;
    let Some(name) = target.secure() else {
        return Ok(Box::new(plain));
    };
    let trust = trust.ok_or_else(|| io::Error::other("its authorities cannot be read"))?;
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    Ok(Box::new(trust.0.connect(name, plain).await?))
}
