//! Who may talk to the gateway over TCP: `Host` and `Origin` (DNS rebinding, foreign web pages) and
//! the bearer token. The trusted unix listener skips all of it: its socket file is 0600.

use std::net::IpAddr;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, Uri};
use rand::RngCore as _;

use crate::config::GatewayConfig;
use crate::durable;

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// `Host` is missing, repeated or names someone else.
    Host,
    /// `Origin` is a web page that nobody allowed.
    Origin,
    /// No bearer token, or a wrong one.
    Token,
}

/// The rules of one TCP listener.
#[derive(Debug)]
pub(crate) struct Guard {
    hosts: Vec<String>,
    origins: Vec<String>,
    any_host: bool,
    /// Not on loopback: clients reach us by address, and an address cannot be rebound.
    addresses: bool,
    token: Option<Box<str>>,
}

impl Guard {
    /// The rules for a listener at `ip`. Makes a token where one is needed, or its file is named, and there is none.
    pub(crate) fn new(config: &GatewayConfig, ip: IpAddr) -> std::io::Result<Self> {
        let token = match (&config.token, &config.token_file) {
            (Some(token), _) => Some(token.trim().to_owned()),
            (None, Some(file)) => Some(own_token(file)?),
            (None, None) if ip.is_loopback() => None,
            (None, None) => Some(own_token(&config.run_dir().join("gateway.token"))?),
        };
        if token.as_deref() == Some("") {
            return Err(std::io::Error::other("the gateway's token is empty"));
        }
        let lower = |names: &[String]| {
            names
                .iter()
                .map(|name| name.to_ascii_lowercase())
                .collect::<Vec<_>>()
        };
        Ok(Self {
            any_host: config.allowed_hosts.iter().any(|host| host == "*"),
            hosts: lower(&config.allowed_hosts),
            origins: lower(&config.allowed_origins)
                .iter()
                .map(|o| o.trim_end_matches('/').to_owned())
                .collect(),
            addresses: !ip.is_loopback(),
            token: token.map(Into::into),
        })
    }

    /// Whether a token is asked for.
    pub(crate) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Checks `Host` and `Origin`.
    pub(crate) fn admit(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        self.admit_host(uri, headers, |_| false)?;
        self.admit_origin(headers)
    }

    /// Checks `Host`. `known` says of other hosts than those allowed whether they are right too.
    pub(crate) fn admit_host(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        known: impl Fn(&str) -> bool,
    ) -> Result<(), Refusal> {
        let mut named = headers.get_all(HOST).iter();
        let host = match (uri.authority(), named.next(), named.next()) {
            // HTTP/2 has `:authority`; a `Host` beside it must say the same.
            (Some(authority), None, None) => authority.as_str(),
            (authority, Some(host), None) => {
                let host = host.to_str().map_err(|_| Refusal::Host)?;
                if authority.is_some_and(|authority| !authority.as_str().eq_ignore_ascii_case(host))
                {
                    return Err(Refusal::Host);
                }
                host
            }
            _ => return Err(Refusal::Host),
        };
        if self.host_allowed(host) || known(host) {
            Ok(())
        } else {
            Err(Refusal::Host)
        }
    }

    /// Checks `Origin`.
    pub(crate) fn admit_origin(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let mut origins = headers.get_all(ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => Ok(()),
            (Some(origin), None)
                if origin
                    .to_str()
                    .is_ok_and(|origin| self.origin_allowed(origin)) =>
            {
                Ok(())
            }
            _ => Err(Refusal::Origin),
        }
    }

    /// Checks the bearer token, in a time that does not depend on where it differs.
    pub(crate) fn authenticate(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(token) = &self.token else {
            return Ok(());
        };
        let shown = headers.get(AUTHORIZATION);
        if shows(token, shown.and_then(|value| value.to_str().ok())) {
            Ok(())
        } else {
            Err(Refusal::Token)
        }
    }

    /// Whether a request with this `Authorization` passes the check for the token.
    pub(crate) fn knows(&self, authorization: Option<&str>) -> bool {
        let token = self.token.as_ref();
        token.is_none_or(|token| shows(token, authorization))
    }

    /// Whether a request with this one `Host` passes the check for it.
    pub(crate) fn admits_host(&self, host: &str) -> bool {
        self.host_allowed(host)
    }

    fn host_allowed(&self, host: &str) -> bool {
        let Some(name) = host_name(host) else {
            return false;
        };
        self.any_host
            || is_loopback_name(&name)
            || (self.addresses && name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok())
            || self
                .hosts
                .iter()
                .any(|allowed| *allowed == name || allowed.eq_ignore_ascii_case(host))
    }

    fn origin_allowed(&self, origin: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        if self
            .origins
            .iter()
            .any(|allowed| *allowed == origin || allowed == "*")
        {
            return true;
        }
        let Some((scheme, authority)) = origin.split_once("://") else {
            return false;
        };
        matches!(scheme, "http" | "https")
            && host_name(authority)
                .is_some_and(|name| is_loopback_name(&name) || self.hosts.contains(&name))
    }
}

/// The name in `name`, `name:port`, `[v6]` or `[v6]:port`; `None` where it is none of these.
pub(crate) fn host_name(host: &str) -> Option<String> {
    let (name, port) = if host.starts_with('[') {
        let end = host.find(']')?;
        (&host[..=end], &host[end + 1..])
    } else {
        host.find(':')
            .map_or((host, ""), |colon| host.split_at(colon))
    };
    let port = if port.is_empty() {
        Some(0)
    } else {
        port.strip_prefix(':')?.parse::<u16>().ok()
    };
    let plain = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b));
    (plain && port.is_some()).then(|| name.trim_end_matches('.').to_ascii_lowercase())
}

fn is_loopback_name(name: &str) -> bool {
    name == "localhost"
        || name.ends_with(".localhost")
        || name
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

/// Whether an `Authorization` shows the token.
fn shows(token: &str, authorization: Option<&str>) -> bool {
    let shown = authorization
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map_or("", |(_, token)| token.trim());
    same(token.as_bytes(), shown.as_bytes())
}

fn same(a: &[u8], b: &[u8]) -> bool {
    let mut different = usize::from(a.len() != b.len());
    for (i, byte) in a.iter().enumerate() {
        different |= usize::from(byte ^ b.get(i).copied().unwrap_or(0));
    }
    std::hint::black_box(different) == 0
}

/// Reads the fleet's own token, or makes it: 32 random bytes in a file that only its owner reads.
fn own_token(path: &Path) -> std::io::Result<String> {
    match std::fs::read_to_string(path) {
        Ok(token) if !token.trim().is_empty() => Ok(token.trim().to_owned()),
        Ok(_) => make_token(path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => make_token(path),
        Err(error) => Err(error),
    }
}

fn make_token(path: &Path) -> std::io::Result<String> {
    let mut secret = [0; 32];
    rand::rng().fill_bytes(&mut secret);
    let token = URL_SAFE_NO_PAD.encode(secret);
    durable::replace(path, format!("{token}\n").as_bytes())?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn guard(config: &GatewayConfig, ip: &str) -> Guard {
        Guard::new(config, ip.parse().unwrap()).unwrap()
    }

    fn with(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("localhost:7077"));
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        headers
    }

    #[test]
    fn only_loopback_names_reach_a_loopback_listener() {
        let guard = guard(&GatewayConfig::default(), "127.0.0.1");
        let uri = Uri::from_static("/mcp");
        for host in [
            "localhost",
            "localhost:7077",
            "127.0.0.1:7077",
            "[::1]:7077",
            "LOCALHOST.",
            "127.0.0.2",
            "a.localhost",
        ] {
            assert_eq!(guard.admit(&uri, &with("host", host)), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "",
            "localhost:http",
            "a@localhost",
            "localhost:7077:1",
        ] {
            assert_eq!(
                guard.admit(&uri, &with("host", host)),
                Err(Refusal::Host),
                "{host}"
            );
        }
        assert_eq!(guard.admit(&uri, &HeaderMap::new()), Err(Refusal::Host));
    }

    #[test]
    fn two_host_headers_or_two_that_disagree_are_refused() {
        let guard = guard(&GatewayConfig::default(), "127.0.0.1");
        let mut headers = with("host", "localhost");
        headers.append(HOST, HeaderValue::from_static("localhost"));
        assert_eq!(
            guard.admit(&Uri::from_static("/mcp"), &headers),
            Err(Refusal::Host)
        );
        let absolute = Uri::from_static("http://evil.example/mcp");
        assert_eq!(
            guard.admit(&absolute, &with("host", "localhost")),
            Err(Refusal::Host)
        );
    }

    #[test]
    fn a_foreign_page_is_refused_and_a_configured_one_is_not() {
        let config = GatewayConfig {
            allowed_origins: vec!["https://app.example/".into()],
            ..GatewayConfig::default()
        };
        let guard = guard(&config, "127.0.0.1");
        let uri = Uri::from_static("/mcp");
        for origin in [
            "http://localhost:6274",
            "https://app.example",
            "http://127.0.0.1",
        ] {
            assert_eq!(
                guard.admit(&uri, &with("origin", origin)),
                Ok(()),
                "{origin}"
            );
        }
        for origin in [
            "null",
            "https://evil.example",
            "http://localhost.evil.example",
            "file://localhost",
            "https://app.example.evil",
        ] {
            assert_eq!(
                guard.admit(&uri, &with("origin", origin)),
                Err(Refusal::Origin),
                "{origin}"
            );
        }
    }

    #[test]
    fn a_token_file_that_is_not_there_is_made_and_one_that_is_stays() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        let config = GatewayConfig {
            token_file: Some(file.clone()),
            ..GatewayConfig::default()
        };
        assert!(guard(&config, "127.0.0.1").has_token());
        let made = std::fs::read_to_string(&file).unwrap();
        let headers = with("authorization", &format!("Bearer {}", made.trim()));
        assert_eq!(guard(&config, "0.0.0.0").authenticate(&headers), Ok(()));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), made);
    }

    #[test]
    fn a_public_listener_makes_a_token_that_only_its_owner_reads() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let config = GatewayConfig {
            state_dir: dir.path().into(),
            ..GatewayConfig::default()
        };
        let first = guard(&config, "0.0.0.0");
        let file = config.run_dir().join("gateway.token");
        assert_eq!(
            std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let token = std::fs::read_to_string(&file).unwrap();
        assert_eq!(first.authenticate(&HeaderMap::new()), Err(Refusal::Token));
        let headers = with("authorization", &format!("bearer {}", token.trim()));
        assert_eq!(first.authenticate(&headers), Ok(()));
        assert_eq!(
            guard(&config, "0.0.0.0").authenticate(&headers),
            Ok(()),
            "the token survives a restart"
        );
        assert_eq!(
            first.authenticate(&with("authorization", "Bearer x")),
            Err(Refusal::Token)
        );
        assert_eq!(
            first.admit(&Uri::from_static("/mcp"), &with("host", "192.168.1.7:7077")),
            Ok(())
        );
        assert_eq!(
            first.admit(&Uri::from_static("/mcp"), &with("host", "evil.example")),
            Err(Refusal::Host)
        );
    }
}
