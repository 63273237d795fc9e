//! Asking the machine whether a stranger holds a port.

use std::net::{Ipv4Addr, TcpListener};

/// Whether a server could listen on `port` of the loopback interface now.
///
/// It binds and lets go at once: what it finds can change the moment after. Costs a few microseconds.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
