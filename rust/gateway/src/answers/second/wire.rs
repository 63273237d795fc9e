//! Redis' protocol (RESP 2) and Memcached's (text), as far as three commands need them: read several values, set one,
//! and set one that is not there. Replies are bounded, and whatever else is said ends the connection.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use super::stream::{Stream, Trust, connect};
use super::target::Target;

/// Longest value that is read.
const MOST_BYTES: usize = 64 << 20;
/// Memcached takes more seconds than these for a date.
const MONTH: u64 = 30 * 24 * 3600;

/// What is asked of a second level.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ask<'a> {
    Values([&'a str; 4]),
    Set {
        key: &'a str,
        value: &'a [u8],
        ttl_ms: Option<u64>,
    },
    Remove(&'a str),
    /// Set it, if it is not there.
    Add {
        key: &'a str,
        value: &'a [u8],
        ttl_ms: Option<u64>,
    },
}

/// What it answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Values([Option<Bytes>; 4]),
    /// Whether it was set.
    Done(bool),
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: BufReader<Box<dyn Stream>>,
    redis: bool,
}

fn odd(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

impl Connection {
    pub(super) async fn open(target: &Target, trust: Option<&Trust>) -> io::Result<Self> {
        let mut connection = Self {
            stream: BufReader::new(connect(target, trust).await?),
            redis: matches!(target, Target::Redis { .. }),
        };
        if let Target::Redis {
            user,
            password,
            database,
            ..
        } = target
        {
            if let Some(password) = password {
                let mut login = vec![b"AUTH".as_slice()];
                login.extend(user.as_ref().map(String::as_bytes));
                login.push(password.as_bytes());
                connection.command(&login).await?;
                connection.okay().await?;
            }
            if *database > 0 {
                let database = database.to_string();
                connection
                    .command(&[b"SELECT", database.as_bytes()])
                    .await?;
                connection.okay().await?;
            }
        }
        Ok(connection)
    }

    pub(super) async fn ask(&mut self, ask: Ask<'_>) -> io::Result<Said> {
        if self.redis {
            self.ask_redis(ask).await
        } else {
            self.ask_memcached(ask).await
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes).await?;
        // What is encrypted waits for it.
        stream.flush().await
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        let mut limited = (&mut self.stream).take(1024);
        limited.read_until(b'\n', &mut line).await?;
        if line.pop() != Some(b'\n') || line.pop() != Some(b'\r') {
            return Err(odd("no line"));
        }
        String::from_utf8(line).map_err(|_| odd("no text"))
    }

    /// A value and the line's end behind it.
    async fn value(&mut self, length: usize) -> io::Result<Bytes> {
        if length > MOST_BYTES {
            return Err(odd("too long"));
        }
        let mut value = vec![0; length + 2];
        self.stream.read_exact(&mut value).await?;
        value.truncate(length);
        Ok(value.into())
    }

    // Redis.

    async fn command(&mut self, words: &[&[u8]]) -> io::Result<()> {
        let mut out = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            out.extend_from_slice(word);
            out.extend_from_slice(b"\r\n");
        }
        self.send(&out).await
    }

    /// Whether it was done; an error ends the connection.
    async fn okay(&mut self) -> io::Result<bool> {
        let line = self.line().await?;
        match line.as_bytes().first() {
            Some(b'+' | b':') => Ok(true),
            Some(b'$') => Ok(false),
            _ => Err(odd(&line)),
        }
    }

    async fn set(&mut self, mut words: Vec<&[u8]>, ttl_ms: Option<u64>) -> io::Result<Said> {
        let ttl = ttl_ms.map(|ttl| ttl.max(1).to_string());
        if let Some(ttl) = &ttl {
            words.extend([b"PX".as_slice(), ttl.as_bytes()]);
        }
        self.command(&words).await?;
        self.okay().await.map(Said::Done)
    }

    async fn ask_redis(&mut self, ask: Ask<'_>) -> io::Result<Said> {
        match ask {
            Ask::Values(keys) => {
                let mut words = vec![b"MGET".as_slice()];
                words.extend(keys.iter().map(|key| key.as_bytes()));
                self.command(&words).await?;
                if self.line().await? != "*4" {
                    return Err(odd("not four values"));
                }
                let mut values = [const { None }; 4];
                for value in &mut values {
                    let line = self.line().await?;
                    let length: i64 = line
                        .strip_prefix('$')
                        .and_then(|length| length.parse().ok())
                        .ok_or_else(|| odd(&line))?;
                    if let Ok(length) = usize::try_from(length) {
                        *value = Some(self.value(length).await?);
                    }
                }
                Ok(Said::Values(values))
            }
            Ask::Set { key, value, ttl_ms } => {
                self.set(vec![b"SET", key.as_bytes(), value], ttl_ms).await
            }
            Ask::Add { key, value, ttl_ms } => {
                self.set(vec![b"SET", key.as_bytes(), value, b"NX"], ttl_ms)
                    .await
            }
            Ask::Remove(key) => {
                self.command(&[b"DEL", key.as_bytes()]).await?;
                self.okay().await.map(Said::Done)
            }
        }
    }

    // Memcached.

    async fn stored(&mut self) -> io::Result<bool> {
        let line = self.line().await?;
        match line.as_str() {
            "STORED" => Ok(true),
            "NOT_STORED" => Ok(false),
            // A value over the server's limit is not kept, and that is all.
            other if other.starts_with("SERVER_ERROR object too large") => Ok(false),
            other => Err(odd(other)),
        }
    }

    async fn store(
        &mut self,
        verb: &str,
        key: &str,
        value: &[u8],
        seconds: u64,
    ) -> io::Result<bool> {
        let seconds = seconds.min(MONTH);
        let mut out = format!("{verb} {key} 0 {seconds} {}\r\n", value.len()).into_bytes();
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
        self.send(&out).await?;
        self.stored().await
    }

    async fn ask_memcached(&mut self, ask: Ask<'_>) -> io::Result<Said> {
        match ask {
            Ask::Values(keys) => {
                let line = format!("get {}\r\n", keys.join(" "));
                self.send(line.as_bytes()).await?;
                let mut values = [const { None }; 4];
                loop {
                    let line = self.line().await?;
                    if line == "END" {
                        return Ok(Said::Values(values));
                    }
                    let mut words = line.split(' ');
                    let (Some("VALUE"), Some(key), Some(_), Some(length)) =
                        (words.next(), words.next(), words.next(), words.next())
                    else {
                        return Err(odd(&line));
                    };
                    let length = length.parse().map_err(|_| odd(&line))?;
                    let value = self.value(length).await?;
                    for (slot, _) in values
                        .iter_mut()
                        .zip(keys)
                        .filter(|(_, asked)| *asked == key)
                    {
                        *slot = Some(value.clone());
                    }
                }
            }
            Ask::Set { key, value, ttl_ms } => {
                let seconds = ttl_ms.map_or(0, |ttl| ttl.div_ceil(1000));
                self.store("set", key, value, seconds).await.map(Said::Done)
            }
            Ask::Add { key, value, ttl_ms } => {
                let seconds = ttl_ms.map_or(0, |ttl| ttl.div_ceil(1000));
                self.store("add", key, value, seconds).await.map(Said::Done)
            }
            Ask::Remove(key) => {
                let line = format!("delete {key}\r\n");
                self.send(line.as_bytes()).await?;
                Ok(Said::Done(self.line().await? == "DELETED"))
            }
        }
    }
}
