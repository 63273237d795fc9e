//! TLS for those who call: a certificate and its key from files, read again when they change.
//!
//! A renewed certificate serves the next handshake; connections that are open stay. Files that cannot be used (a
//! key that does not fit, half of a renewal) leave the last good certificate in place, and whoever watches hears why.

mod files;
mod watch;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use thiserror::Error;

pub use files::CertificateFiles;
pub use watch::watch;

/// Why a certificate cannot be used.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file has nothing of the kind in it.
    #[error("there is no {what} in {}", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
    },
    /// The two do not go together, or are of a kind that is not supported.
    #[error("the certificate in {} cannot be used: {source}", path.display())]
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// A certificate chain and its key, as they are now.
pub struct Certificate {
    files: CertificateFiles,
    provider: Arc<CryptoProvider>,
    /// Held to copy or to replace a pointer.
    current: RwLock<Arc<CertifiedKey>>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "certificate of {}", self.files.certificate.display())
    }
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn load(files: CertificateFiles) -> Result<Arc<Self>, CertificateError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let current = RwLock::new(Arc::new(files.read(&provider)?));
        Ok(Arc::new(Self {
            files,
            provider,
            current,
        }))
    }

    /// Where it comes from.
    pub fn files(&self) -> &CertificateFiles {
        &self.files
    }

    /// Reads the files again. True: it is another certificate than before.
    ///
    /// # Errors
    /// [`CertificateError`]; the former one stays.
    pub fn reload(&self) -> Result<bool, CertificateError> {
        let fresh = self.files.read(&self.provider)?;
        let mut current = self.current.write();
        let other = fresh.cert != current.cert;
        *current = Arc::new(fresh);
        Ok(other)
    }

    /// What a listener that serves HTTP/2 and HTTP/1.1 needs.
    ///
    /// # Errors
    /// The provider has no version of TLS: never with ours.
    pub fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read()))
    }
}

#[cfg(test)]
mod tests;
