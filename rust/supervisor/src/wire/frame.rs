//! Frames as bytes: encoding, and decoding from however the bytes arrive.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

/// Length of a frame's header.
pub const HEADER: usize = 12;
/// Longest JSON in a frame: a spec with a large environment fits many times over.
pub const JSON_MAX: usize = 1 << 20;
/// Longest raw part of a frame: a note's cap.
pub const RAW_MAX: usize = 64 << 10;
/// Most descriptors in a frame.
pub const FDS_MAX: usize = 8;

/// One frame without its descriptors, which the socket keeps apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The message.
    pub json: Bytes,
    /// Raw bytes that belong to it.
    pub raw: Bytes,
    /// How many descriptors belong to it.
    pub fds: usize,
}

/// Why bytes are no frame. The connection is of no use after any of these.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    /// The message is over its cap.
    #[error("a message of {length} bytes is over the limit of {JSON_MAX}")]
    JsonTooLong {
        /// What the header says.
        length: usize,
    },
    /// The raw part is over its cap.
    #[error("a note of {length} bytes is over the limit of {RAW_MAX}")]
    RawTooLong {
        /// What the header says.
        length: usize,
    },
    /// More descriptors than any message has.
    #[error("{count} descriptors are over the limit of {FDS_MAX}")]
    TooManyFds {
        /// What the header says.
        count: usize,
    },
}

fn check(json: usize, raw: usize, fds: usize) -> Result<(), FrameError> {
    if json > JSON_MAX {
        return Err(FrameError::JsonTooLong { length: json });
    }
    if raw > RAW_MAX {
        return Err(FrameError::RawTooLong { length: raw });
    }
    if fds > FDS_MAX {
        return Err(FrameError::TooManyFds { count: fds });
    }
    Ok(())
}

/// Appends a frame's bytes to `out`.
pub fn encode(frame: &Frame, out: &mut BytesMut) -> Result<(), FrameError> {
    let (json, raw) = (frame.json.len(), frame.raw.len());
    check(json, raw, frame.fds)?;
    out.reserve(HEADER + json + raw);
    for length in [json, raw, frame.fds] {
        // Lossless: `check` holds every length far below u32's range.
        #[allow(clippy::cast_possible_truncation)]
        out.put_u32(length as u32);
    }
    out.put_slice(&frame.json);
    out.put_slice(&frame.raw);
    Ok(())
}

/// Takes the first whole frame out of `buffer`, or nothing if it is not all there yet.
pub fn decode(buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
    let Some(mut header) = buffer.get(..HEADER) else {
        return Ok(None);
    };
    let [json, raw, fds] = [
        header.get_u32() as usize,
        header.get_u32() as usize,
        header.get_u32() as usize,
    ];
    check(json, raw, fds)?;
    let whole = HEADER + json + raw;
    if buffer.len() < whole {
        buffer.reserve(whole - buffer.len());
        return Ok(None);
    }
    buffer.advance(HEADER);
    let json = buffer.split_to(json).freeze();
    let raw = buffer.split_to(raw).freeze();
    Ok(Some(Frame { json, raw, fds }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn frames() -> impl Strategy<Value = Vec<Frame>> {
        let frame = (
            vec(any::<u8>(), 0..300),
            vec(any::<u8>(), 0..300),
            0..=FDS_MAX,
        )
            .prop_map(|(json, raw, fds)| Frame {
                json: json.into(),
                raw: raw.into(),
                fds,
            });
        vec(frame, 0..8)
    }

    proptest! {
        #[test]
        fn frames_arrive_whole_however_the_bytes_are_cut(sent in frames(), step in 1_usize..64) {
            let mut bytes = BytesMut::new();
            for frame in &sent {
                encode(frame, &mut bytes).unwrap();
            }
            let (mut buffer, mut arrived) = (BytesMut::new(), Vec::new());
            for piece in bytes.chunks(step) {
                buffer.extend_from_slice(piece);
                while let Some(frame) = decode(&mut buffer).unwrap() {
                    arrived.push(frame);
                }
            }
            prop_assert_eq!(arrived, sent);
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn no_bytes_at_all_make_the_decoder_allocate_more_than_a_frame(bytes in vec(any::<u8>(), 0..64)) {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = decode(&mut buffer) {}
            prop_assert!(buffer.capacity() <= 2 * (HEADER + JSON_MAX + RAW_MAX));
        }
    }

    #[test]
    fn an_oversized_length_is_refused_before_its_bytes_come() {
        let mut buffer = BytesMut::new();
        buffer.put_u32(u32::MAX);
        buffer.put_u64(0);
        assert_eq!(
            decode(&mut buffer),
            Err(FrameError::JsonTooLong {
                length: u32::MAX as usize
            })
        );
        let long = Frame {
            raw: vec![0; RAW_MAX + 1].into(),
            ..Frame::default()
        };
        assert_eq!(
            encode(&long, &mut BytesMut::new()),
            Err(FrameError::RawTooLong {
                length: RAW_MAX + 1
            })
        );
    }
}
