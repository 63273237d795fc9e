//! The sockets the keeper holds so that clients wait, not fail, while a daemon is replaced.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use backstay_supervisor::address::with_short_path;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use tokio::net::UnixListener;

use crate::command_line::{Listener, Place};
use crate::port_holder::port_holder;
use crate::start::StartError;
use crate::vanished::FileId;

/// Connections that wait to be accepted; the kernel caps it at `somaxconn`.
const BACKLOG: i32 = 4096;

/// One listener, at the descriptor number it will have in the daemon.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) name: String,
    /// Where it listens: an address, or an absolute path.
    pub(crate) address: String,
    /// Held open only: the daemon accepts from it.
    _socket: OwnedFd,
    _file: Option<SocketFile>,
}

/// A unix socket's file, removed with the listener.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// What has its name later may be another keeper's.
    id: Option<FileId>,
}

impl SocketFile {
    fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            id: FileId::at(path),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if FileId::at(&self.path) == self.id {
            let _gone_already = std::fs::remove_file(&self.path);
        }
    }
}

/// Binds all listeners and puts each in the place of its reserved descriptor.
pub(crate) fn bind(
    listeners: &[Listener],
    state_dir: &Path,
    reserved: Vec<OwnedFd>,
) -> Result<Vec<Listening>, StartError> {
    let mut listening = Vec::new();
    for (Listener { name, place }, mut number) in listeners.iter().zip(reserved) {
        let (socket, address, file) = match place {
            Place::Tcp(address) => {
                let (socket, bound) = bind_tcp(name, *address)?;
                (socket, bound.to_string(), None)
            }
            Place::Unix(path) => {
                let path = state_dir.join(path);
                let (socket, file) = bind_unix(&path)?;
                (socket, path.display().to_string(), Some(file))
            }
        };
        rustix::io::dup3(socket.as_fd(), &mut number, rustix::io::DupFlags::CLOEXEC).map_err(
            |error| StartError::System {
                source: error.into(),
            },
        )?;
        listening.push(Listening {
            name: name.clone(),
            address,
            _socket: number,
            _file: file,
        });
    }
    Ok(listening)
}

/// Binds the socket that the daemon connects to.
pub(crate) fn bind_own(path: &Path) -> Result<(UnixListener, SocketFile), StartError> {
    let (socket, file) = bind_unix(path)?;
    let listener = std::os::unix::net::UnixListener::from(socket);
    listener
        .set_nonblocking(true)
        .and_then(|()| Ok((UnixListener::from_std(listener)?, file)))
        .map_err(|source| StartError::System { source })
}

/// A socket that listens at `address`, and where that is: a port of 0 is the system's choice.
pub(crate) fn listen_tcp(address: SocketAddr) -> io::Result<(OwnedFd, SocketAddr)> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Connections of a former fleet may linger; they are no reason to refuse.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    let bound = SocketAddr::try_from(rustix::net::getsockname(&socket)?)?;
    Ok((socket, bound))
}

fn bind_tcp(name: &str, address: SocketAddr) -> Result<(OwnedFd, SocketAddr), StartError> {
    listen_tcp(address).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => StartError::PortTaken {
            name: name.to_owned(),
            address,
            holder: port_holder(address.port()),
        },
        _ => StartError::Listen {
            place: address.to_string(),
            source,
        },
    })
}

/// Binds in the private state directory, with the keeper's own file mode mask: mode 0600.
fn bind_unix(path: &Path) -> Result<(OwnedFd, SocketFile), StartError> {
    let bound = || -> io::Result<(OwnedFd, SocketFile)> {
        // We hold the lock, so a socket that is there belongs to nobody any more.
        if path
            .symlink_metadata()
            .is_ok_and(|data| data.file_type().is_socket())
        {
            std::fs::remove_file(path)?;
        }
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        with_short_path(path, |short| {
            Ok(rustix::net::bind(&socket, &SocketAddrUnix::new(short)?)?)
        })?;
        let file = SocketFile::new(path);
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        rustix::net::listen(&socket, BACKLOG)?;
        Ok((socket, file))
    };
    bound().map_err(|source| StartError::Listen {
        place: path.display().to_string(),
        source,
    })
}
