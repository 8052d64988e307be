//! `sd_notify(3)`: notifies the service manager that started us (`Type=notify`) that everything is delivered.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use tracing::{debug, warn};

use super::caller::ProcessContext;

/// The manager's socket, connected while we still have the rights to.
#[derive(Debug)]
pub(super) struct Readiness(Option<UnixDatagram>);

impl Readiness {
    /// Connects to `NOTIFY_SOCKET`, if there is one. That it cannot is a warning: nothing that is delivered depends on it.
    pub(super) fn connect(caller: &ProcessContext) -> Self {
        let Some(name) = caller.variable("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return Self(None) };
        Self(connect(name).inspect_err(|error| warn!("cannot connect to NOTIFY_SOCKET: {error}")).ok())
    }

    /// Sends `READY=1`.
    pub(super) fn send(&self) {
        let Some(socket) = &self.0 else { return };
        match socket.send(b"READY=1") {
            Ok(_) => debug!("sent READY=1 to NOTIFY_SOCKET"),
            Err(error) => warn!("cannot send READY=1 to NOTIFY_SOCKET: {error}"),
        }
    }
}

/// A name that begins with `@` is in the abstract namespace.
fn connect(name: &[u8]) -> io::Result<UnixDatagram> {
    let address = match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(OsStr::from_bytes(name))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?; // a manager that does not read must not hold us
    socket.connect_addr(&address)?;
    Ok(socket)
}
