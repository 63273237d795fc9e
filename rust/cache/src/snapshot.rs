//! A cache's entries in a file: written whole or not at all, read whole or not at all.
//!
//! Keys and values are bytes here; what makes bytes of them is the caller's. The file ends with a SHA-256 of all
//! before it, so a damaged one is refused before anything of it is used. This guards against accidents, not against
//! whoever can write the file.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::expiry::Lifetime;

const MAGIC: &[u8] = b"backstay cache 1\n";
const DIGEST: usize = 32;
const NONE: u64 = u64::MAX;

/// Why a snapshot could not be written or read.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// The file system says no.
    #[error("{path}: {source}")]
    Io {
        /// The snapshot.
        path: PathBuf,
        /// What it says.
        source: std::io::Error,
    },
    /// The file is not a snapshot, or not of this version.
    #[error("{path} is not a cache snapshot of this version; nothing was loaded")]
    NotOne {
        /// The file.
        path: PathBuf,
    },
    /// The file was cut short or changed.
    #[error(
        "{path} is damaged ({what}); nothing was loaded: delete it, the cache fills again by itself"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// One entry of a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The key, as bytes.
    pub key: Vec<u8>,
    /// The value, as bytes.
    pub value: Vec<u8>,
    /// What it costs.
    pub cost: u64,
    /// What is left of its lifetime.
    pub lifetime: Lifetime,
    /// Its tags.
    pub tags: Vec<String>,
}

/// Write a snapshot: to a temporary file beside it, synced, then renamed.
pub fn write(path: &Path, records: &[Record]) -> Result<(), SnapshotError> {
    let bytes = encode(records, wall_ms());
    replace(path, &bytes).map_err(|source| SnapshotError::Io {
        path: path.into(),
        source,
    })
}

/// Read a snapshot. Entries whose time ran out since are left out; those that follow live as much shorter as the
/// snapshot is old.
pub fn read(path: &Path) -> Result<Vec<Record>, SnapshotError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(|source| SnapshotError::Io {
            path: path.into(),
            source,
        })?;
    decode(path, &bytes, wall_ms())
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    // The rename itself is durable once the folder is.
    File::open(folder)?.sync_all()
}

/// The bytes of a snapshot; the time is in milliseconds since 1970.
pub fn encode(records: &[Record], saved_at: u64) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    let number = |out: &mut Vec<u8>, number: u64| out.extend(number.to_le_bytes());
    let bytes = |out: &mut Vec<u8>, bytes: &[u8]| {
        number(out, bytes.len() as u64);
        out.extend(bytes);
    };
    number(&mut out, saved_at);
    number(&mut out, records.len() as u64);
    for record in records {
        bytes(&mut out, &record.key);
        bytes(&mut out, &record.value);
        number(&mut out, record.cost);
        number(&mut out, record.lifetime.ttl_ms.unwrap_or(NONE));
        number(&mut out, record.lifetime.idle_ms.unwrap_or(NONE));
        number(&mut out, record.tags.len() as u64);
        for tag in &record.tags {
            bytes(&mut out, tag.as_bytes());
        }
    }
    let digest = Sha256::digest(&out);
    out.extend(digest);
    out
}

/// Read the bytes of a snapshot, at this time; `path` is for what is said of them.
pub fn decode(path: &Path, bytes: &[u8], now: u64) -> Result<Vec<Record>, SnapshotError> {
    let damaged = |what| SnapshotError::Damaged {
        path: path.into(),
        what,
    };
    if !bytes.starts_with(MAGIC) {
        return Err(SnapshotError::NotOne { path: path.into() });
    }
    let Some((body, digest)) = bytes.split_last_chunk::<DIGEST>() else {
        return Err(damaged("it is cut short"));
    };
    if Sha256::digest(body)[..] != digest[..] {
        return Err(damaged("its checksum is wrong"));
    }
    // From here on only a writer that is not ours can have made it wrong; it is still not trusted.
    records(&body[MAGIC.len()..], now).ok_or_else(|| damaged("its records do not add up"))
}

fn records(mut body: &[u8], now: u64) -> Option<Vec<Record>> {
    let body = &mut body;
    let age = now.saturating_sub(number(body)?);
    let count = number(body)?;
    let mut records = Vec::new();
    for _ in 0..count {
        let key = bytes(body)?.to_vec();
        let value = bytes(body)?.to_vec();
        let cost = number(body)?;
        let limit = |number| (number != NONE).then_some(number);
        let ttl_ms = limit(number(body)?);
        let idle_ms = limit(number(body)?);
        let mut tags = Vec::new();
        for _ in 0..number(body)? {
            tags.push(String::from_utf8(bytes(body)?.to_vec()).ok()?);
        }
        let over = ttl_ms.or(idle_ms).is_some_and(|ttl| ttl <= age);
        let lifetime = Lifetime {
            ttl_ms: ttl_ms.map(|ttl| ttl.saturating_sub(age)),
            idle_ms,
        };
        if !over {
            records.push(Record {
                key,
                value,
                cost,
                lifetime,
                tags,
            });
        }
    }
    body.is_empty().then_some(records)
}

fn number(body: &mut &[u8]) -> Option<u64> {
    let (number, rest) = body.split_first_chunk()?;
    *body = rest;
    Some(u64::from_le_bytes(*number))
}

fn bytes<'a>(body: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(number(body)?).ok()?;
    let (bytes, rest) = body.split_at_checked(length)?;
    *body = rest;
    Some(bytes)
}

fn wall_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> impl Strategy<Value = Record> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..40);
        let tags = prop::collection::vec("[a-z]{0,5}", 0..3);
        let ttl = prop::option::of(1..u64::MAX / 2);
        (bytes(), bytes(), any::<u64>(), ttl, tags).prop_map(|(key, value, cost, ttl_ms, tags)| {
            Record {
                key,
                value,
                cost,
                lifetime: Lifetime {
                    ttl_ms,
                    idle_ms: None,
                },
                tags,
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(records in prop::collection::vec(record(), 0..8)) {
            let bytes = encode(&records, 1000);
            prop_assert_eq!(decode(Path::new("x"), &bytes, 1000).unwrap(), records);
        }

        #[test]
        fn any_damage_is_refused(
            records in prop::collection::vec(record(), 0..4),
            at in any::<prop::sample::Index>(),
            flip in 1..=255_u8,
            cut in any::<bool>(),
        ) {
            let mut bytes = encode(&records, 1000);
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] ^= flip }
            prop_assert!(decode(Path::new("x"), &bytes, 1000).is_err());
        }

        #[test]
        fn bytes_with_a_right_checksum_are_not_trusted_either(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = MAGIC.to_vec();
            bytes.extend(body);
            let digest = Sha256::digest(&bytes);
            bytes.extend(digest);
            let _ = decode(Path::new("x"), &bytes, 1000);
        }
    }

    #[test]
    fn time_goes_on_while_it_lies_on_disk() {
        let with = |ttl_ms| Record {
            lifetime: Lifetime {
                ttl_ms: Some(ttl_ms),
                idle_ms: None,
            },
            ..Record::default()
        };
        let bytes = encode(&[with(100), with(1000)], 5000);
        let read = decode(Path::new("x"), &bytes, 5100).unwrap();
        assert_eq!(read, [with(900)]);
    }
}
