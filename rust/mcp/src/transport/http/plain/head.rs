//! The heads of a request and of its answer, as bytes.

use std::mem::MaybeUninit;

use http::header::{HeaderMap, HeaderName};
use http::{Method, Request, StatusCode};
use thiserror::Error;

use super::framing::Framing;

/// Most headers of an answer.
const MOST_HEADERS: usize = 100;

/// What came is no HTTP/1 answer.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("it answered with something that is no HTTP: {0}")]
pub(super) struct Malformed(pub(super) &'static str);

/// What the head of an answer says that decides how its rest is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Its own bytes.
    pub(super) length: usize,
    pub(super) status: StatusCode,
    pub(super) framing: Framing,
    /// Whether another request may follow on the connection.
    pub(super) reusable: bool,
}

/// Reads the head of an answer at the start of `bytes`; none while it is not all there.
pub(super) fn read(bytes: &[u8]) -> Result<Option<Head>, Malformed> {
    let mut slots = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut answer = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut answer, bytes, &mut slots)
        .map_err(|error| {
            Malformed(match error {
                httparse::Error::TooManyHeaders => "too many headers",
                httparse::Error::Status | httparse::Error::Version => "its first line",
                _ => "its headers",
            })
        })?;
    let httparse::Status::Complete(length) = parsed else {
        return Ok(None);
    };
    let status =
        StatusCode::from_u16(answer.code.unwrap_or(0)).map_err(|_| Malformed("its status"))?;
    let current = answer.version == Some(1);
    let mut said = Said::default();
    for header in answer.headers.iter() {
        said.hear(header.name, header.value)?;
    }
    let framing = match said {
        _ if status.is_informational() || matches!(status.as_u16(), 204 | 304) => {
            Framing::Length(0)
        }
        Said {
            chunked: Some(true),
            ..
        } => Framing::Chunked,
        Said {
            chunked: None,
            length: Some(length),
            ..
        } => Framing::Length(length),
        _ => Framing::UntilClose,
    };
    let kept = if current {
        !said.close
    } else {
        said.keep_alive
    };
    Ok(Some(Head {
        length,
        status,
        framing,
        // Both is a mistake at the least, so nothing that follows is believed (RFC 9112 §6.3).
        reusable: kept
            && framing != Framing::UntilClose
            && !(said.chunked.is_some() && said.length.is_some()),
    }))
}

/// What an answer's headers say of its own end and of the connection's.
#[derive(Clone, Copy, Default)]
struct Said {
    length: Option<u64>,
    /// Whether the last of its transfer codings is the one that ends a body, where it has any.
    chunked: Option<bool>,
    close: bool,
    keep_alive: bool,
}

impl Said {
    fn hear(&mut self, name: &str, value: &[u8]) -> Result<(), Malformed> {
        if name.eq_ignore_ascii_case("content-length") {
            let text = value.trim_ascii();
            let digits =
                !text.is_empty() && text.len() <= 18 && text.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.parse().ok());
            let length = length
                .filter(|_| digits)
                .ok_or(Malformed("its Content-Length"))?;
            if self.length.is_some_and(|before| before != length) {
                return Err(Malformed("two lengths"));
            }
            self.length = Some(length);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            let last = tokens(value).last().unwrap_or_default();
            self.chunked = Some(last.eq_ignore_ascii_case(b"chunked"));
        } else if name.eq_ignore_ascii_case("connection") {
            for token in tokens(value) {
                self.close |= token.eq_ignore_ascii_case(b"close");
                self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
            }
        }
        Ok(())
    }
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// The headers of an answer: of ours as they came, as hardly anybody asks for one.
#[derive(Debug)]
pub(crate) enum Headers {
    Map(HeaderMap),
    /// A head that [`read`] has read.
    Raw(bytes::Bytes),
}

impl Headers {
    /// Whether there is a header of a name, text or not.
    pub(crate) fn has(&self, name: &HeaderName) -> bool {
        match self {
            Self::Map(map) => map.contains_key(name),
            Self::Raw(head) => find(head, name).is_some(),
        }
    }

    /// The first header of a name, if it is text.
    pub(crate) fn get(&self, name: &HeaderName) -> Option<&str> {
        match self {
            Self::Map(map) => map.get(name)?.to_str().ok(),
            Self::Raw(head) => {
                let value = std::str::from_utf8(find(head, name)?).ok()?;
                // What `HeaderValue::to_str` takes for text.
                value
                    .bytes()
                    .all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte))
                    .then_some(value)
            }
        }
    }
}

fn find<'a>(head: &'a [u8], name: &HeaderName) -> Option<&'a [u8]> {
    let wanted = name.as_str().as_bytes();
    let lines = head.split(|byte| *byte == b'\n').skip(1);
    let mut pairs = lines.filter_map(|line| line.split_at_checked(wanted.len()));
    let named =
        |key: &[u8], rest: &[u8]| rest.first() == Some(&b':') && key.eq_ignore_ascii_case(wanted);
    let (_, rest) = pairs.find(|(key, rest)| named(key, rest))?;
    Some(rest[1..].trim_ascii())
}

/// Writes the head of a request, up to where its body's length follows: to where its address says, with its own
/// headers.
pub(in super::super) fn write(request: &Request<()>, out: &mut Vec<u8>) {
    let uri = request.uri();
    out.extend_from_slice(request.method().as_str().as_bytes());
    out.push(b' ');
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    out.extend_from_slice(path.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if let Some(authority) = uri.authority() {
        let authority = authority.as_str();
        let host = authority.strip_suffix(":80").unwrap_or(authority);
        line(b"host", host.as_bytes(), out);
    }
    for (name, value) in request.headers() {
        line(name.as_str().as_bytes(), value.as_bytes(), out);
    }
}

/// Ends the head of a request, whose body has this length.
pub(super) fn finish(method: &Method, body: usize, out: &mut Vec<u8>) {
    if *method == Method::POST || body > 0 {
        line(
            b"content-length",
            itoa::Buffer::new().format(body).as_bytes(),
            out,
        );
    }
    out.extend_from_slice(b"\r\n");
}

fn line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn framing(headers: &str) -> Option<(Framing, bool)> {
        let head = read(format!("HTTP/1.1 200 OK\r\n{headers}\r\n").as_bytes());
        head.ok()
            .flatten()
            .map(|head| (head.framing, head.reusable))
    }

    #[test]
    fn the_end_of_an_answer_is_where_its_head_says() {
        for (headers, expected) in [
            ("Content-Length: 12\r\n", (Framing::Length(12), true)),
            (
                "content-length: 5\r\ncontent-length: 5\r\n",
                (Framing::Length(5), true),
            ),
            (
                "Content-Length: 5\r\nConnection: x, Close\r\n",
                (Framing::Length(5), false),
            ),
            (
                "Transfer-Encoding: gzip, Chunked\r\n",
                (Framing::Chunked, true),
            ),
            (
                "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
                (Framing::Chunked, false),
            ),
            (
                "Transfer-Encoding: chunked, gzip\r\n",
                (Framing::UntilClose, false),
            ),
            ("", (Framing::UntilClose, false)),
        ] {
            assert_eq!(framing(headers), Some(expected), "{headers}");
        }
        for bad in ["5 5", "-1", "+5", "0x5", "", "9999999999999999999"] {
            assert_eq!(
                framing(&format!("Content-Length: {bad}\r\n")),
                None,
                "{bad}"
            );
        }
        assert_eq!(framing("Content-Length: 5\r\nContent-Length: 6\r\n"), None);
        let old = read(b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n")
            .unwrap()
            .unwrap();
        assert!(!old.reusable);
        let empty = read(b"HTTP/1.1 204 \r\ncontent-length: 7\r\n\r\n")
            .unwrap()
            .unwrap();
        assert_eq!(empty.framing, Framing::Length(0));
    }

    #[test]
    fn headers_are_found_whatever_their_case() {
        let raw = Bytes::from_static(
            b"HTTP/1.1 200 OK\r\nX: content-type: a\r\nContent-TYPE:  b \r\nbad: \xff\r\n\r\n",
        );
        let headers = Headers::Raw(raw);
        assert_eq!(headers.get(&http::header::CONTENT_TYPE), Some("b"));
        assert_eq!(headers.get(&HeaderName::from_static("bad")), None);
        assert_eq!(headers.get(&http::header::LOCATION), None);
    }

    #[test]
    fn a_request_names_its_host_and_its_length() {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = "http://localhost:80/mcp?x=1".parse().unwrap();
        request.headers_mut().insert("a", "b".parse().unwrap());
        let mut out = Vec::new();
        write(&request, &mut out);
        finish(request.method(), 2, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "POST /mcp?x=1 HTTP/1.1\r\nhost: localhost\r\na: b\r\ncontent-length: 2\r\n\r\n"
        );
    }
}
