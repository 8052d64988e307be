//! Confines the webhook once its config is read: it may only serve its ports and read its certificate again.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::Path;

use crate::config::Sandbox;
use crate::k8s::tls;
use crate::sys::sandbox::{self, Enforcement, Files, LineFormat, Plan, Profile};

/// The limit of heap and stacks together, in bytes: twice what the largest reviews need, and below the limit of the
/// Deployment.
const MOST_MEMORY: u64 = 128 << 20;

/// Confines this process. Called before the runtime and its first thread start. A part that cannot be confined is
/// logged.
pub(super) fn confine(sandbox: Sandbox, tls: &tls::Files, lines: LineFormat) {
    sandbox::limit_memory(MOST_MEMORY);
    let enforcement = match sandbox {
        Sandbox::Off => return,
        Sandbox::Log => Enforcement::Log,
        Sandbox::On => Enforcement::On,
    };
    // Directories, because kubelet and cert-manager replace the files in them.
    let parent = |path: &Path| match path.parent() {
        None => path.to_owned(),
        Some(parent) if parent.as_os_str().is_empty() => ".".into(),
        Some(parent) => parent.to_owned(),
    };
    let mut read = vec!["/proc/self".into(), "/proc/sys/vm/overcommit_memory".into(), "/sys/devices/system/cpu".into()];
    for path in [&tls.cert, &tls.key] {
        read.push(parent(path));
        read.extend(path.canonicalize().ok().map(|target| parent(&target)));
    }
    let files = Files { read, write: Vec::new() };
    let applied = sandbox::apply(&Plan { profile: Profile::Webhook, files, enforcement, lines });
    match (&applied.system_calls, enforcement) {
        (Ok(()), Enforcement::On) => {}
        (Ok(()), Enforcement::Log) => tracing::info!(
            "--sandbox log: nothing is refused; the kernel's audit log (type=1326, comm=\"secret-inject\") names what would be"
        ),
        (Err(why), _) => tracing::warn!("system calls are not confined: {why}"),
    }
    if let Some(Err(why)) = &applied.files {
        tracing::info!("files are not confined: {why}");
    }
}

/// The first address of `HOST:PORT` that can be bound, with a numeric host: names are resolved before the process
/// is confined. An address that cannot be resolved or bound is returned unchanged, for the server to report.
pub(super) fn in_numbers(address: &str) -> String {
    let can_listen = |address: &SocketAddr| TcpListener::bind(address).is_ok();
    let found: io::Result<Option<SocketAddr>> =
        address.to_socket_addrs().map(|mut addresses| addresses.find(can_listen));
    match found {
        Ok(Some(found)) if address.parse::<SocketAddr>().is_err() => found.to_string(),
        _ => address.to_owned(),
    }
}
