use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;

fn write(folder: &Path, name: &str) -> CertificateFiles {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let files = CertificateFiles {
        certificate: folder.join("cert.pem"),
        key: folder.join("key.pem"),
    };
    // As renewals do it: the new file takes the name of the old one.
    for (path, text) in [
        (&files.certificate, certificate.pem()),
        (&files.key, key.serialize_pem()),
    ] {
        let fresh = path.with_extension("fresh");
        fs::write(&fresh, text).unwrap();
        fs::rename(&fresh, path).unwrap();
    }
    files
}

fn served(certificate: &Certificate) -> Vec<u8> {
    certificate.current.read().cert[0].to_vec()
}

#[tokio::test]
async fn a_renewed_certificate_is_served_without_being_asked_for() {
    let folder = TempDir::new().unwrap();
    let certificate = Certificate::load(write(folder.path(), "a.example")).unwrap();
    let before = served(&certificate);
    let (tell, mut told) = mpsc::unbounded_channel();
    let watching = Arc::downgrade(&certificate);
    let watcher = tokio::spawn(watch(watching, move |outcome| {
        let _ = tell.send(outcome.map_err(|error| error.to_string()));
    }));
    tokio::task::yield_now().await;
    write(folder.path(), "b.example");
    assert_eq!(told.recv().await, Some(Ok(())));
    assert_ne!(served(&certificate), before);
    watcher.abort();
}

#[tokio::test]
async fn files_that_do_not_go_together_leave_the_last_good_certificate() {
    let (folder, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let certificate = Certificate::load(write(folder.path(), "a.example")).unwrap();
    let before = served(&certificate);
    let stranger = write(other.path(), "c.example");
    let (tell, mut told) = mpsc::unbounded_channel();
    let watching = Arc::downgrade(&certificate);
    let watcher = tokio::spawn(watch(watching, move |outcome| {
        let _ = tell.send(outcome.map_err(|error| error.to_string()));
    }));
    tokio::task::yield_now().await;
    fs::rename(stranger.key, folder.path().join("key.pem")).unwrap();
    let why = told.recv().await.unwrap().unwrap_err();
    assert!(why.contains("cert.pem cannot be used"), "{why}");
    assert_eq!(served(&certificate), before);
    watcher.abort();
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let folder = TempDir::new().unwrap();
    let files = write(folder.path(), "a.example");
    fs::write(&files.key, "nothing of the kind").unwrap();
    let error = Certificate::load(files.clone()).unwrap_err().to_string();
    assert!(error.starts_with("there is no private key in "), "{error}");
    fs::remove_file(&files.certificate).unwrap();
    let error = Certificate::load(files).unwrap_err().to_string();
    assert!(error.contains("cert.pem cannot be read: "), "{error}");
}
