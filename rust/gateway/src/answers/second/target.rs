//! Where a second level is, and what is shown to it: `redis://`, `rediss://` (over TLS) or `memcached://`.

/// See the module.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Target {
    Redis {
        address: String,
        /// The name that its certificate must have; none without TLS.
        secure: Option<String>,
        user: Option<String>,
        password: Option<String>,
        database: u32,
    },
    Memcached {
        address: String,
    },
}

impl std::fmt::Debug for Target {
    /// Without its password.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.address())
    }
}

impl Target {
    /// Reads `redis[s]://[user:password@]host[:port][/database]` or `memcached://host[:port]`; user and password are
    /// percent-encoded.
    pub(super) fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, host) = match authority.rsplit_once('@') {
            Some((login, host)) => (Some(login), host),
            None => (None, authority),
        };
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, Some(port.parse::<u16>().ok()?)),
            _ => (host, None),
        };
        if name.is_empty() {
            return None;
        }
        let address = |usual: u16| format!("{name}:{}", port.unwrap_or(usual));
        match scheme {
            "redis" | "rediss" => {
                let login = login.map(|login| login.split_once(':').unwrap_or((login, "")));
                let (user, password) = match login {
                    None => (None, None),
                    Some((user, password)) => (
                        Some(decode(user)?).filter(|user| !user.is_empty()),
                        Some(decode(password)?),
                    ),
                };
                let bare = name.trim_start_matches('[').trim_end_matches(']');
                Some(Self::Redis {
                    address: address(6379),
                    secure: (scheme == "rediss").then(|| bare.to_owned()),
                    user,
                    password,
                    database: match path {
                        "" => 0,
                        path => path.parse().ok()?,
                    },
                })
            }
            "memcached" if login.is_none() && path.is_empty() => Some(Self::Memcached {
                address: address(11211),
            }),
            _ => None,
        }
    }

    pub(super) fn address(&self) -> &str {
        let (Self::Redis { address, .. } | Self::Memcached { address }) = self;
        address
    }

    /// The name that its certificate must have, where it is spoken to over TLS.
    pub(super) fn secure(&self) -> Option<&str> {
        match self {
            Self::Redis { secure, .. } => secure.as_deref(),
            Self::Memcached { .. } => None,
        }
    }
}

/// Reads what is percent-encoded; none where that makes no sense.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high << 4 | low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redis(url: &str) -> (String, Option<String>, Option<String>, Option<String>, u32) {
        match Target::parse(url) {
            Some(Target::Redis {
                address,
                secure,
                user,
                password,
                database,
            }) => (address, secure, user, password, database),
            other => panic!("{url}: {other:?}"),
        }
    }

    #[test]
    fn addresses_are_read() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(redis("redis://h"), ("h:6379".into(), None, None, None, 0));
        assert_eq!(
            redis("redis://u:p@@h:1/3"),
            ("h:1".into(), None, some("u"), some("p@"), 3)
        );
        assert_eq!(redis("redis://:p@h").3, some("p"));
        assert_eq!(
            redis("rediss://:%2F%3A%40%C3%BC@h"),
            ("h:6379".into(), some("h"), None, some("/:@ü"), 0)
        );
        let ip = redis("rediss://[::1]:7/0");
        assert_eq!((ip.0, ip.1), ("[::1]:7".into(), some("::1")));
        assert_eq!(
            Target::parse("memcached://h"),
            Some(Target::Memcached {
                address: "h:11211".into()
            })
        );
        for bad in [
            "h",
            "redis://",
            "redis://h/x",
            "redis://h:port",
            "redis://:%zz@h",
            "memcached://u@h",
            "memcacheds://h",
        ] {
            assert_eq!(Target::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let target = Target::parse("rediss://u:secret@h").unwrap();
        assert_eq!(format!("{target:?}"), "h:6379");
    }
}
