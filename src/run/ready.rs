//! `sd_notify(3)`: notifies the service manager that started us (`Type=notify`) that everything is delivered.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use tracing::{debug, warn};

use super::caller::ProcessContext;

/// The service manager's socket, connected before privileges are dropped.
#[derive(Debug)]
pub(super) struct Readiness(Option<UnixDatagram>);

impl Readiness {
    /// Connects to `NOTIFY_SOCKET`, if it is set. A failure is logged as a warning, because delivery does not depend on
    /// it.
    pub(super) fn connect(caller: &ProcessContext) -> Self {
        let Some(name) = caller.variable("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return Self(None) };
        Self(connect(name).inspect_err(|error| warn!("cannot connect to NOTIFY_SOCKET: {error}")).ok())
    }

    /// Sends `READY=1`. A failure is logged as a warning.
    pub(super) fn send(&self) {
        let Some(socket) = &self.0 else { return };
        match socket.send(b"READY=1") {
            Ok(_) => debug!("sent READY=1 to NOTIFY_SOCKET"),
            Err(error) => warn!("cannot send READY=1 to NOTIFY_SOCKET: {error}"),
        }
    }
}

/// Connects to a path or, for a name that begins with `@`, to the abstract namespace.
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
