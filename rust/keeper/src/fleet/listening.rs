//! Listening sockets that come and go with what the fleet publishes. Held here like the gateway's own, so that
//! connections wait, not fail, while a daemon is replaced.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use backstay_supervisor::wire::message::Refusal;

use crate::listeners::listen_tcp;
use crate::port_holder::port_holder;

/// Most sockets held.
const LISTENERS_MAX: usize = 256;

/// The sockets, by what they are for.
#[derive(Debug, Default)]
pub(super) struct Listeners(BTreeMap<String, Held>);

#[derive(Debug)]
struct Held {
    asked: SocketAddr,
    bound: SocketAddr,
    socket: Arc<OwnedFd>,
}

impl Listeners {
    /// The socket of this name at this address; bound now unless it is held already.
    pub(super) fn listen(
        &mut self,
        name: String,
        address: SocketAddr,
    ) -> Result<(Arc<OwnedFd>, SocketAddr), Refusal> {
        if let Some(held) = self.0.get(&name)
            && held.asked == address
        {
            return Ok((Arc::clone(&held.socket), held.bound));
        }
        if self.0.len() >= LISTENERS_MAX && !self.0.contains_key(&name) {
            return Err(Refusal::Listen {
                address,
                reason: format!("the keeper holds {LISTENERS_MAX} sockets, its limit"),
            });
        }
        let (socket, bound) = listen_tcp(address).map_err(|error| refusal(address, &error))?;
        let socket = Arc::new(socket);
        let held = Held {
            asked: address,
            bound,
            socket: Arc::clone(&socket),
        };
        self.0.insert(name, held);
        Ok((socket, bound))
    }

    /// Closes all but those of these names.
    pub(super) fn close_others(&mut self, names: &[String]) {
        self.0.retain(|name, _| names.contains(name));
    }
}

fn refusal(address: SocketAddr, error: &io::Error) -> Refusal {
    if error.kind() == io::ErrorKind::AddrInUse {
        return Refusal::PortTaken {
            address,
            holder: port_holder(address.port()),
        };
    }
    Refusal::Listen {
        address,
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    #[test]
    fn who_asks_again_gets_the_same_socket_and_what_waits_in_it() {
        let mut listeners = Listeners::default();
        let (first, address) = listeners.listen("web".into(), ANY).unwrap();
        let _waits = TcpStream::connect(address).unwrap();
        drop(first);
        let (again, same) = listeners.listen("web".into(), ANY).unwrap();
        assert_eq!(same, address);
        let listener = std::net::TcpListener::from(again.try_clone().unwrap());
        listener.accept().unwrap();
    }

    #[test]
    fn a_port_that_is_taken_is_refused_and_what_was_held_stays() {
        let mut listeners = Listeners::default();
        let taken = std::net::TcpListener::bind(ANY).unwrap();
        let (_, address) = listeners.listen("web".into(), ANY).unwrap();
        let refused = listeners
            .listen("web".into(), taken.local_addr().unwrap())
            .unwrap_err();
        assert!(matches!(refused, Refusal::PortTaken { .. }), "{refused}");
        TcpStream::connect(address).unwrap();
    }

    #[test]
    fn what_nobody_names_is_closed() {
        let mut listeners = Listeners::default();
        let (kept, at) = listeners.listen("a".into(), ANY).unwrap();
        let (gone, closed) = listeners.listen("b".into(), ANY).unwrap();
        drop((kept, gone));
        listeners.close_others(&["a".into()]);
        TcpStream::connect(at).unwrap();
        TcpStream::connect(closed).unwrap_err();
    }
}
