//! A certificate's two files, in PEM.

use std::fs;
use std::path::{Path, PathBuf};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::CertificateError;

/// Where a certificate chain and its key are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl CertificateFiles {
    pub(super) fn read(&self, provider: &CryptoProvider) -> Result<CertifiedKey, CertificateError> {
        let text = read(&self.certificate)?;
        let chain: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
        let chain = chain.unwrap_or_default();
        if chain.is_empty() {
            return Err(CertificateError::Empty {
                path: self.certificate.clone(),
                what: "certificate",
            });
        }
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?).map_err(|_| {
            CertificateError::Empty {
                path: self.key.clone(),
                what: "private key",
            }
        })?;
        CertifiedKey::from_der(chain, key, provider).map_err(|source| CertificateError::Unusable {
            path: self.certificate.clone(),
            source,
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(path).map_err(|source| CertificateError::Read {
        path: path.to_owned(),
        source,
    })
}
