//! The head of a POST with a message of a client that has a session, or is of 2026-07-28 and needs none, as nearly all
//! of them are.
//!
//! One pass over the bytes, and nothing is built. Whatever is not plainly such a request (another method or version
//! of HTTP, a header that changes what it means, one that stands there twice, one that is missing) is
//! [`Posted::Other`]: for a whole HTTP library, which has the last word on what is wrong with it. So this may be
//! strict, and errs only in that direction.

use std::mem::MaybeUninit;

use crate::jsonrpc::RpcError;
use crate::modern::headers::{Headers, METHOD, NAME, PROTOCOL_VERSION};

/// Most headers; those of other clients go the long way.
const MOST_HEADERS: usize = 48;
/// The longest head.
pub const MOST_HEAD: usize = 8 << 10;

/// What stands at the start of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted<'a> {
    /// The head of a POST with a message.
    Head(Head<'a>),
    /// The beginning of one, as far as can be seen.
    Wanting,
    /// Something else.
    Other,
}

/// The head of a POST with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// Its own bytes.
    pub length: usize,
    /// The bytes of the body that follows.
    pub body: usize,
    /// The path, without a query.
    pub path: &'a str,
    /// `Host`.
    pub host: &'a str,
    /// `Authorization`.
    pub authorization: Option<&'a str>,
    /// `Mcp-Session-Id`.
    pub session: Option<&'a str>,
    /// `MCP-Protocol-Version`.
    pub version: Option<&'a str>,
    /// `Mcp-Method`.
    pub method: Option<&'a str>,
    /// `Mcp-Name`.
    pub name: Option<&'a str>,
    /// `Accept-Encoding`.
    pub encodings: Option<&'a str>,
}

/// What a request of 2026-07-28 has to mirror. One with an `Mcp-Param-*` is no [`Head`], so there is none.
impl Headers for Head<'_> {
    fn one(&self, key: &str, _: &str) -> Result<Option<&[u8]>, RpcError> {
        let value = match key {
            PROTOCOL_VERSION => self.version,
            METHOD => self.method,
            NAME => self.name,
            _ => None,
        };
        Ok(value.map(str::as_bytes))
    }
}

/// Reads the head of a request at the start of `bytes`.
pub fn read(bytes: &[u8]) -> Posted<'_> {
    const POST: &[u8] = b"POST /";
    let known = bytes.len().min(POST.len());
    if bytes[..known] != POST[..known] {
        return Posted::Other;
    }
    let mut slots = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, &mut slots) {
        Ok(httparse::Status::Complete(length)) if length <= MOST_HEAD => {
            judge(length, &request).map_or(Posted::Other, Posted::Head)
        }
        Ok(httparse::Status::Partial) if bytes.len() < MOST_HEAD => Posted::Wanting,
        _ => Posted::Other,
    }
}

fn judge<'a>(length: usize, request: &httparse::Request<'_, 'a>) -> Option<Head<'a>> {
    if request.version != Some(1) {
        return None;
    }
    let path = request.path?;
    // What is escaped or queried is compared with care elsewhere.
    if !path
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte))
    {
        return None;
    }
    let mut it = Seen::default();
    for header in request.headers.iter() {
        it.hear(header.name, header.value)?;
    }
    if !it.json || !it.takes_both {
        return None;
    }
    Some(Head {
        length,
        body: it.body?,
        path,
        host: it.host?,
        authorization: it.authorization,
        session: it.session,
        version: it.version,
        method: it.method,
        name: it.name,
        encodings: it.encodings,
    })
}

#[derive(Default)]
struct Seen<'a> {
    body: Option<usize>,
    json: bool,
    takes_both: bool,
    host: Option<&'a str>,
    authorization: Option<&'a str>,
    session: Option<&'a str>,
    version: Option<&'a str>,
    method: Option<&'a str>,
    name: Option<&'a str>,
    encodings: Option<&'a str>,
}

impl<'a> Seen<'a> {
    /// Takes a header in; none where it makes the request another one.
    fn hear(&mut self, name: &str, value: &'a [u8]) -> Option<()> {
        // By length first: most names are compared with one or two.
        match name.len() {
            4 if is(name, "host") => once(&mut self.host, value),
            6 if is(name, "accept") => {
                if self.takes_both {
                    return None;
                }
                self.takes_both = takes_both(text(value)?);
                self.takes_both.then_some(())
            }
            8 if is(name, NAME) => once(&mut self.name, value),
            10 if is(name, METHOD) => once(&mut self.method, value),
            12 if is(name, "content-type") => {
                if self.json {
                    return None;
                }
                self.json = is_json(text(value)?);
                self.json.then_some(())
            }
            13 if is(name, "authorization") => once(&mut self.authorization, value),
            14 if is(name, "content-length") => {
                if self.body.is_some() || value.is_empty() || value.len() > 9 {
                    return None;
                }
                let digits = value.iter().all(u8::is_ascii_digit);
                self.body = digits.then(|| text(value)?.parse().ok()).flatten();
                self.body.map(drop)
            }
            14 if is(name, "mcp-session-id") => once(&mut self.session, value),
            15 if is(name, "accept-encoding") => once(&mut self.encodings, value),
            20 if is(name, PROTOCOL_VERSION) => once(&mut self.version, value),
            10 if is(name, "connection") => value.eq_ignore_ascii_case(b"keep-alive").then_some(()),
            _ => is_harmless(name).then_some(()),
        }
    }
}

/// Whether a header that is not looked at changes nothing of what a request means to us.
fn is_harmless(name: &str) -> bool {
    const TELLING: [&str; 11] = [
        "content-encoding",
        "expect",
        "http2-settings",
        "keep-alive",
        "origin",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-http-method-override",
    ];
    let own = name.get(..4).is_some_and(|start| is(start, "mcp-"));
    !own && !TELLING.iter().any(|telling| is(name, telling))
}

fn is(name: &str, known: &str) -> bool {
    name.eq_ignore_ascii_case(known)
}

fn once<'a>(place: &mut Option<&'a str>, value: &'a [u8]) -> Option<()> {
    match place.replace(text(value)?) {
        None => Some(()),
        Some(_) => None,
    }
}

/// A header's value, if all of it is visible.
fn text(value: &[u8]) -> Option<&str> {
    let visible = value.iter().all(|byte| (b' '..=b'~').contains(byte));
    visible.then(|| std::str::from_utf8(value).ok()).flatten()
}

fn is_json(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default();
    is(kind.trim_ascii(), "application/json")
}

/// Whether `Accept` takes JSON and event streams alike, as the protocol asks.
fn takes_both(accept: &str) -> bool {
    if accept == "application/json, text/event-stream" {
        return true;
    }
    let takes = |wanted| {
        let mut kinds = accept
            .split(',')
            .map(|kind| kind.split(';').next().unwrap_or_default());
        kinds.any(|kind| is(kind.trim_ascii(), wanted))
    };
    takes("application/json") && takes("text/event-stream")
}

#[doc(hidden)]
pub mod fuzz {
    //! What must hold for any bytes whatever; the property tests and the fuzzer both call it.

    use super::{METHOD, MOST_HEAD, NAME, PROTOCOL_VERSION, Posted, read};

    /// Panics if reading these bytes breaks a promise of this module.
    ///
    /// # Panics
    /// That is what it is for.
    pub fn check(bytes: &[u8]) {
        let whole = read(bytes);
        for end in 0..bytes.len() {
            match (read(&bytes[..end]), whole) {
                (Posted::Wanting, _) => assert!(end < MOST_HEAD, "waits for ever"),
                (part, whole) => assert_eq!(part, whole, "more bytes change what was read"),
            }
        }
        let Posted::Head(head) = whole else { return };
        // Headers that nobody here looks at need not be text.
        let text = String::from_utf8_lossy(&bytes[..head.length]);
        assert!(text.starts_with("POST /") && text.contains(" HTTP/1.1"));
        assert!(text.contains("\r\n\r\n") || text.contains("\n\n") || text.contains("\n\r\n"));
        // A plainer reading: every header that is used stands there once and as it is.
        for (name, value) in [
            ("host", Some(head.host)),
            ("content-length", Some(&*head.body.to_string())),
            ("authorization", head.authorization),
            ("mcp-session-id", head.session),
            (PROTOCOL_VERSION, head.version),
            (METHOD, head.method),
            (NAME, head.name),
        ] {
            let lines = text.lines().filter_map(|line| line.split_once(':'));
            let named: Vec<_> = lines
                .filter(|(key, _)| key.eq_ignore_ascii_case(name))
                .collect();
            assert_eq!(named.len(), usize::from(value.is_some()), "{name}");
            if let (Some((_, said)), Some(value)) = (named.first(), value) {
                let said = said.trim();
                let number = name == "content-length"
                    && said.trim_start_matches('0') == value.trim_start_matches('0');
                assert!(said == value || number, "{name}: {said:?} {value:?}");
            }
        }
        assert!(!text.to_ascii_lowercase().contains("\ntransfer-encoding:"));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINES: [&str; 4] = [
        "Host: localhost:7077",
        "Content-Type: application/json; charset=utf-8",
        "Accept: text/event-stream;q=0.5, application/json",
        "Content-Length: 7",
    ];

    fn with(lines: &[&str]) -> String {
        let all: Vec<_> = LINES.iter().chain(lines).copied().collect();
        format!(
            "POST /mcp HTTP/1.1\r\n{}\r\n\r\n{{\"a\":1}}",
            all.join("\r\n")
        )
    }

    fn is_other(text: &str) -> bool {
        read(text.as_bytes()) == Posted::Other
    }

    #[test]
    fn what_clients_send_is_read() {
        let text = with(&[
            "Mcp-Session-Id: abc",
            "MCP-Protocol-Version: 2025-11-25",
            "Authorization: Bearer t",
            "User-Agent: node",
            "Accept-Encoding: gzip, br",
            "Connection: keep-alive",
            "Sec-Fetch-Mode: cors",
        ]);
        let Posted::Head(head) = read(text.as_bytes()) else {
            panic!("{text}")
        };
        assert_eq!(&text[head.length..], "{\"a\":1}");
        assert_eq!(
            (head.path, head.host, head.body),
            ("/mcp", "localhost:7077", 7)
        );
        assert_eq!(head.session, Some("abc"));
        assert_eq!(head.version, Some("2025-11-25"));
        assert_eq!(head.authorization, Some("Bearer t"));
        assert_eq!(head.encodings, Some("gzip, br"));
        for end in 0..head.length {
            assert_eq!(read(&text.as_bytes()[..end]), Posted::Wanting, "{end}");
        }
    }

    #[test]
    fn what_a_request_without_a_session_mirrors_is_read() {
        let text = with(&[
            "MCP-Protocol-Version: 2026-07-28",
            "Mcp-Method: tools/call",
            "Mcp-Name: =?base64?Z3LDtsOfZQ==?=",
        ]);
        let Posted::Head(head) = read(text.as_bytes()) else {
            panic!("{text}")
        };
        for (key, value) in [
            (PROTOCOL_VERSION, "2026-07-28"),
            (METHOD, "tools/call"),
            (NAME, "=?base64?Z3LDtsOfZQ==?="),
        ] {
            assert_eq!(head.one(key, ""), Ok(Some(value.as_bytes())));
        }
        assert_eq!(head.one("mcp-param-a", ""), Ok(None));
    }

    #[test]
    fn whatever_changes_its_meaning_makes_it_another_request() {
        for line in [
            "Transfer-Encoding: chunked",
            "transfer-encoding: identity",
            "Content-Length: 7",
            "Host: other",
            "Accept: */*",
            "Content-Type: application/json",
            "Expect: 100-continue",
            "Upgrade: websocket",
            "Connection: close",
            "Connection: keep-alive, upgrade",
            "Origin: http://localhost",
            "mcp-param-region: x",
            "Content-Encoding: gzip",
            "Mcp-Session-Id: a\u{e9}",
            "Mcp-Name: a\u{e9}",
        ] {
            assert!(is_other(&with(&[line])), "{line}");
        }
        for twice in ["Mcp-Session-Id", "Mcp-Method", "Mcp-Name"] {
            let (one, other) = (
                format!("{twice}: a"),
                format!("{}: a", twice.to_lowercase()),
            );
            assert!(is_other(&with(&[&one, &other])), "{twice}");
        }
        for missing in 0..LINES.len() {
            let lines: Vec<_> = (0..LINES.len())
                .filter(|at| *at != missing)
                .map(|at| LINES[at])
                .collect();
            let text = format!("POST /mcp HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n"));
            assert!(is_other(&text), "{text}");
        }
        for (from, to) in [
            ("POST", "PUT"),
            ("/mcp", "/mcp?x"),
            ("/mcp", "/%6dcp"),
            ("/mcp", "http://h/mcp"),
            ("HTTP/1.1", "HTTP/1.0"),
            ("Length: 7", "Length: +7"),
            ("Length: 7", "Length: 0x7"),
            ("Length: 7", "Length: 7 7"),
            ("Length: 7", "Length: 1234567890"),
            ("Length: 7", "Length : 7"),
            ("application/json; charset=utf-8", "text/plain"),
            ("text/event-stream;q=0.5, ", ""),
        ] {
            assert!(is_other(&with(&[]).replacen(from, to, 1)), "{to}");
        }
        assert!(is_other("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
        assert!(is_other(&with(&["X: x"; MOST_HEADERS])));
        assert!(is_other(&format!("POST /{}", "a".repeat(MOST_HEAD))));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_a_head_comes(
            lines in prop::sample::subsequence(LINES.to_vec(), 0..=4),
            more in prop::collection::vec("(mcp-session-id|mcp-method|Mcp-Name|host|Content-Length|te|x|transfer-encoding|ACCEPT)( )?: ?[a-z0-9,;/]{0,6}", 0..4),
            end in "(\r\n){0,2}",
        ) {
            let lines: Vec<&str> = lines.into_iter().chain(more.iter().map(String::as_str)).collect();
            fuzz::check(format!("POST /mcp HTTP/1.1\r\n{}{end}", lines.join("\r\n")).as_bytes());
        }
    }
}
