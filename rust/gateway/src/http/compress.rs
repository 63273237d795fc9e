//! Answers in fewer bytes, by what the client takes (RFC 9110 §12.5.3): zstd, brotli or gzip, for bodies worth it.
//!
//! Worth it is text of a known length from a kilobyte on, for a client on another machine: over loopback the bytes
//! are cheaper than what saves them. Event streams pass as they are, and so does what a service has encoded itself.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_compression::Level;
use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder, ZstdEncoder};
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE,
    ETAG, VARY,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use hyper::body::Body as _;
use tokio::io::AsyncRead;
use tokio_util::io::{StreamReader, poll_read_buf};

use super::Visit;
use super::body::Body;

/// Shorter bodies fit into a packet or two anyway.
const LEAST: u64 = 1024;
/// What is read of an encoder at a time.
const CHUNK: usize = 16 << 10;

/// What a client takes and we prefer, the quickest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Coding {
    Gzip,
    Brotli,
    Zstd,
}

impl Coding {
    /// The coding for a request's answer; none where it is not to be encoded.
    pub(super) fn of(visit: Visit, headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(ACCEPT_ENCODING).iter();
        Self::of_list(visit, values.filter_map(|value| value.to_str().ok()))
    }

    /// The same, of the values of `Accept-Encoding`.
    pub(super) fn of_list<'a>(
        visit: Visit,
        values: impl IntoIterator<Item = &'a str>,
    ) -> Option<Self> {
        if visit
            .peer
            .is_none_or(|peer| peer.to_canonical().is_loopback())
        {
            return None;
        }
        let offers = values
            .into_iter()
            .flat_map(|value| value.split(','))
            .filter_map(offer);
        offers
            .max_by(|(a, of_a), (b, of_b)| of_a.total_cmp(of_b).then(a.cmp(b)))
            .map(|(coding, _)| coding)
    }

    fn name(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        })
    }

    fn encoder(self, body: Body) -> Pin<Box<dyn AsyncRead + Send>> {
        let body = StreamReader::new(Frames(body));
        match self {
            Self::Gzip => Box::pin(GzipEncoder::with_quality(body, Level::Precise(5))),
            Self::Brotli => Box::pin(BrotliEncoder::with_quality(body, Level::Precise(4))),
            Self::Zstd => Box::pin(ZstdEncoder::with_quality(body, Level::Precise(3))),
        }
    }
}

/// A coding that a client takes, and how gladly (from 0, exclusive, to 1).
fn offer(text: &str) -> Option<(Coding, f32)> {
    let mut parts = text.split(';').map(str::trim);
    let coding = match parts.next()?.to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => Coding::Gzip,
        "br" => Coding::Brotli,
        "zstd" => Coding::Zstd,
        _ => return None,
    };
    let quality = parts
        .find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")))
        .map_or(Some(1.0), |quality| quality.parse().ok())?;
    (quality > 0.0).then_some((coding, quality))
}

/// Encodes an answer's body if that is worth it.
pub(super) fn compress(coding: Coding, answer: Response<Body>) -> Response<Body> {
    if !is_worth_it(&answer) {
        return answer;
    }
    let (mut head, body) = answer.into_parts();
    let headers = &mut head.headers;
    headers.insert(CONTENT_ENCODING, coding.name());
    headers.append(VARY, HeaderValue::from_name(ACCEPT_ENCODING));
    headers.remove(CONTENT_LENGTH);
    headers.remove(ACCEPT_RANGES);
    // Other bytes cannot have the same strong tag (RFC 9110 §8.8.1).
    if let Some(tag) = headers.get(ETAG).map(HeaderValue::as_bytes)
        && !tag.starts_with(b"W/")
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag].concat())
    {
        headers.insert(ETAG, weak);
    }
    let encoded = Encoded {
        encoder: coding.encoder(body),
        buffer: BytesMut::new(),
    };
    Response::from_parts(head, Body::Encoded(Box::new(encoded)))
}

fn is_worth_it(answer: &Response<Body>) -> bool {
    let headers = answer.headers();
    answer.status() == StatusCode::OK
        && answer
            .body()
            .size_hint()
            .exact()
            .is_some_and(|length| length >= LEAST)
        && !headers.contains_key(CONTENT_ENCODING)
        && headers.get(CONTENT_TYPE).is_some_and(is_text)
        && !headers
            .get(CACHE_CONTROL)
            .and_then(|control| control.to_str().ok())
            .is_some_and(|control| control.contains("no-transform"))
}

/// Kinds of content that become shorter.
fn is_text(kind: &HeaderValue) -> bool {
    let kind = kind.to_str().unwrap_or_default();
    let kind = kind
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    kind.starts_with("text/")
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
        || [
            "json",
            "javascript",
            "xml",
            "wasm",
            "x-ndjson",
            "openmetrics-text",
        ]
        .iter()
        .any(|known| kind.strip_prefix("application/") == Some(known))
}

/// A body's data, one frame after the other.
struct Frames(Body);

impl Stream for Frames {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let frame = ready!(Pin::new(&mut self.0).poll_frame(cx));
            return Poll::Ready(match frame {
                None => None,
                Some(Err(error)) => Some(Err(io::Error::other(error))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => Some(Ok(data)),
                    // Trailers belong to the bytes as they were.
                    Err(_) => continue,
                },
            });
        }
    }
}

/// An encoded body.
pub(crate) struct Encoded {
    encoder: Pin<Box<dyn AsyncRead + Send>>,
    buffer: BytesMut,
}

impl Encoded {
    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        self.buffer.reserve(CHUNK);
        let read = ready!(poll_read_buf(self.encoder.as_mut(), cx, &mut self.buffer));
        Poll::Ready(match read {
            Ok(0) => None,
            Ok(_) => Some(Ok(self.buffer.split().freeze())),
            Err(error) => Some(Err(error)),
        })
    }
}

#[cfg(test)]
mod tests {
    use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZstdDecoder};
    use http_body_util::BodyExt as _;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    const FAR: Visit = Visit {
        peer: Some(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1))),
        secure: false,
    };

    fn coding(accept: &str) -> Option<Coding> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, accept.parse().unwrap());
        Coding::of(FAR, &headers)
    }

    #[test]
    fn the_client_chooses_and_we_do_where_it_does_not_mind() {
        assert_eq!(coding("gzip, deflate, br, zstd"), Some(Coding::Zstd));
        assert_eq!(coding("gzip, deflate, br"), Some(Coding::Brotli));
        assert_eq!(coding("zstd;q=0.5, gzip;q=0.8"), Some(Coding::Gzip));
        assert_eq!(coding("gzip;q=0, identity"), None);
        assert_eq!(coding("deflate, *"), None);
        assert_eq!(coding("gzip;q=much"), None);
    }

    #[test]
    fn over_loopback_nothing_is_encoded() {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        assert_eq!(Coding::of(Visit::default(), &headers), None);
        let here = Visit {
            peer: Some("::ffff:127.0.0.1".parse().unwrap()),
            secure: true,
        };
        assert_eq!(Coding::of(here, &headers), None);
    }

    fn answer(kind: &'static str, body: Vec<u8>) -> Response<Body> {
        let mut answer = Response::new(Body::whole(body));
        answer
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        answer
            .headers_mut()
            .insert(ETAG, HeaderValue::from_static("\"1\""));
        answer
    }

    async fn decode(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match coding {
            Coding::Gzip => GzipDecoder::new(bytes).read_to_end(&mut out).await,
            Coding::Brotli => BrotliDecoder::new(bytes).read_to_end(&mut out).await,
            Coding::Zstd => ZstdDecoder::new(bytes).read_to_end(&mut out).await,
        }
        .unwrap();
        out
    }

    #[tokio::test]
    async fn what_was_encoded_is_read_back_byte_for_byte() {
        let body: Vec<u8> = (0..50_000_u32)
            .flat_map(|i| format!("{{\"n\":{i}}},").into_bytes())
            .collect();
        for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
            let encoded = compress(coding, answer("application/json", body.clone()));
            assert_eq!(encoded.headers()[CONTENT_ENCODING], coding.name());
            assert_eq!(encoded.headers()[VARY], "accept-encoding");
            assert_eq!(encoded.headers()[ETAG], "W/\"1\"");
            let bytes = encoded.into_body().collect().await.unwrap().to_bytes();
            assert!(bytes.len() < body.len() / 3, "{coding:?}: {}", bytes.len());
            assert_eq!(decode(coding, &bytes).await, body);
        }
    }

    #[tokio::test]
    async fn what_is_short_encoded_already_or_no_text_stays_as_it_is() {
        let plain = |answer| !compress(Coding::Zstd, answer).headers().contains_key(VARY);
        assert!(plain(answer("application/json", vec![b' '; 1000])));
        assert!(plain(answer("image/png", vec![0; 5000])));
        let mut encoded = answer("text/html; charset=utf-8", vec![b' '; 5000]);
        encoded
            .headers_mut()
            .insert(CONTENT_ENCODING, HeaderValue::from_static("br"));
        assert!(plain(encoded));
        let mut kept = answer("text/html", vec![b' '; 5000]);
        kept.headers_mut()
            .insert(CACHE_CONTROL, HeaderValue::from_static("no-transform"));
        assert!(plain(kept));
        assert!(!plain(answer("text/html; charset=utf-8", vec![b' '; 5000])));
    }
}
