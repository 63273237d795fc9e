//! What a message, or what is none, is shown as in an error.

const SHOWN_LENGTH: usize = 160;

/// The start of something, on one line and without control characters.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_LENGTH * 4)]);
    let text = text.trim_end();
    let mut shown: String = text
        .chars()
        .take(SHOWN_LENGTH)
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    if text.chars().nth(SHOWN_LENGTH).is_some() || bytes.len() > SHOWN_LENGTH * 4 {
        shown.push('…');
    }
    shown
}
