//! Names on `/mcp`, where many servers share one list.
//!
//! A tool or prompt is `<prefix>__<name>`; with an empty prefix it keeps its own name. Names over 64
//! characters (the limit of the best known model APIs) are cut and end in a hash of the whole, so
//! that the same tool has the same name on every machine. A name that two servers want goes to
//! neither: a client that knew it must not reach the other server unawares.
//!
//! A resource keeps its URI where one server has it, and is `backstay://<service>/<uri, escaped>`
//! where several do. That form is understood for every resource.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// Between a prefix and a name. Service names do not contain it.
pub(crate) const SEPARATOR: &str = "__";
/// Longest name of a tool or prompt.
const LONGEST: usize = 64;
/// Hexadecimal digits of the hash that ends a shortened name.
const HASH_DIGITS: usize = 8;
/// Begins the URI of a resource that several servers have.
const RESOURCE_SCHEME: &str = "backstay://";

/// What `name` of a server with this prefix is called on `/mcp`.
pub(crate) fn qualified(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        return shortened(name);
    }
    let mut whole = String::with_capacity(prefix.len() + SEPARATOR.len() + name.len());
    whole.push_str(prefix);
    whole.push_str(SEPARATOR);
    whole.push_str(name);
    if whole.len() <= LONGEST {
        whole
    } else {
        shortened(&whole)
    }
}

/// What it is called when another server wants that name too.
pub(crate) fn lengthened(service: &str, name: &str, taken: impl Fn(&str) -> bool) -> String {
    let longer = qualified(service, name);
    if taken(&longer) {
        with_hash(
            &format!("{service}{SEPARATOR}{name}"),
            &format!("{service}\0{name}"),
        )
    } else {
        longer
    }
}

fn shortened(whole: &str) -> String {
    if whole.len() <= LONGEST {
        whole.to_owned()
    } else {
        with_hash(whole, whole)
    }
}

fn with_hash(shown: &str, hashed: &str) -> String {
    let mut end = shown.len().min(LONGEST - HASH_DIGITS - 1);
    while !shown.is_char_boundary(end) {
        end -= 1;
    }
    let mut name = shown[..end].to_owned();
    name.push('_');
    for byte in Sha256::digest(hashed.as_bytes())
        .iter()
        .take(HASH_DIGITS / 2)
    {
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// The URI of a resource that names its server.
pub(crate) fn resource_uri(service: &str, uri: &str) -> String {
    let mut whole =
        String::with_capacity(RESOURCE_SCHEME.len() + service.len() + 1 + uri.len() * 2);
    whole.push_str(RESOURCE_SCHEME);
    whole.push_str(service);
    whole.push('/');
    for byte in uri.bytes() {
        // RFC 3986 unreserved, and the braces of templates.
        if byte.is_ascii_alphanumeric() || b"-._~{}".contains(&byte) {
            whole.push(char::from(byte));
        } else {
            let _ = write!(whole, "%{byte:02X}");
        }
    }
    whole
}

/// The service and its own URI, if `uri` is of the form that names its server.
pub(crate) fn parse_resource_uri(uri: &str) -> Option<(&str, String)> {
    let (service, escaped) = uri.strip_prefix(RESOURCE_SCHEME)?.split_once('/')?;
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    Some((service, String::from_utf8(bytes).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_tool_is_named_after_its_server() {
        assert_eq!(qualified("files", "read_file"), "files__read_file");
        assert_eq!(qualified("", "read_file"), "read_file");
    }

    #[test]
    fn a_long_name_is_cut_and_keeps_its_hash() {
        let name = qualified("files", &"x".repeat(80));
        assert_eq!(name.len(), 64);
        assert_eq!(
            name,
            qualified("files", &"x".repeat(80)),
            "the same every time"
        );
        assert_ne!(name, qualified("files", &"x".repeat(81)));
        assert!(name.starts_with("files__xxx"));
    }

    #[test]
    fn a_wanted_name_becomes_longer_and_then_hashed() {
        assert_eq!(lengthened("files", "read", |_| false), "files__read");
        let hashed = lengthened("files", "read", |name| name == "files__read");
        assert!(hashed.starts_with("files__read_"), "{hashed}");
        assert_eq!(hashed.len(), "files__read_".len() + HASH_DIGITS);
    }

    proptest! {
        #[test]
        fn no_name_is_longer_than_64(prefix in ".{0,80}", name in ".{0,200}") {
            prop_assert!(qualified(&prefix, &name).len() <= LONGEST);
        }

        #[test]
        fn a_resource_uri_comes_back_as_it_was(service in "[a-z][a-z0-9-]{0,10}", uri in ".{0,60}") {
            let named = resource_uri(&service, &uri);
            prop_assert_eq!(parse_resource_uri(&named), Some((service.as_str(), uri)));
        }
    }
}
