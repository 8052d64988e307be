//! Where files may be mounted in an app's container: not over the kernel's or the system's directories, the pod's
//! tokens or injected mounts.

use std::path::{Component, Path, PathBuf};

use super::names::VOLUME_PATH;

/// The kernel's file systems.
const KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];
/// Where Kubernetes and AWS's webhooks mount tokens (`/var/run` is a link to `/run` in most images).
const TOKENS: [&str; 3] = [
    "/run/secrets/kubernetes.io/serviceaccount",
    "/run/secrets/eks.amazonaws.com",
    "/run/secrets/pods.eks.amazonaws.com",
];
/// A mount over one of these hides what programs need to start. Directories below them are allowed.
const SYSTEM: [&str; 17] = [
    "/bin",
    "/boot",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/run",
    "/sbin",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/local",
    "/usr/sbin",
    "/var",
];
/// Files that the kubelet mounts.
const KUBELET: [&str; 3] = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];

/// The place that a path names, however it is written: a runtime cleans it, and `/var/run` is a link to `/run` in most images.
pub(super) fn place(path: &str) -> PathBuf {
    let mut place = PathBuf::from("/");
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => place.push(name),
            Component::ParentDir => _ = place.pop(),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    match place.strip_prefix("/var/run") {
        Ok(below) => Path::new("/run").join(below),
        Err(_) => place,
    }
}

/// Why nothing may be mounted at the path, as the end of a sentence "PATH is …"; `None` if it is allowed.
pub(super) fn refused(path: &Path) -> Option<String> {
    let real = match path.strip_prefix("/var/run") {
        Ok(below) => Path::new("/run").join(below).components().collect(),
        Err(_) => path.components().collect::<PathBuf>(),
    };
    let below = |all: &[&'static str]| all.iter().copied().find(|taken| real.starts_with(taken));
    // Shared memory: an app may have its own directory in it.
    let is_shared_memory = real.starts_with("/dev/shm") && real != Path::new("/dev/shm");
    if let Some(taken) = below(&KERNEL).filter(|_| !is_shared_memory) {
        return Some(format!("in {taken}, which is the kernel's"));
    }
    if let Some(taken) = TOKENS.iter().find(|taken| real.starts_with(taken)) {
        return Some(format!("in the way of {taken}, where a token of the pod is mounted"));
    }
    // `/run/secret-exec-state` and the like, including names of later versions.
    let is_own = real.as_os_str().to_str().is_some_and(|text| text.starts_with(&format!("{VOLUME_PATH}-")));
    if is_own {
        return Some("where injection mounts what is its own".to_owned());
    }
    if let Some(taken) = below(&KUBELET) {
        return Some(format!("{taken}, which the kubelet mounts"));
    }
    let system = SYSTEM.iter().find(|taken| real == Path::new(taken));
    system.map(|taken| format!("{taken} itself, which programs need to start"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_mounted_over_what_the_kernel_the_system_and_injection_have() {
        for (path, expected) in [
            ("/proc", "in /proc, which is the kernel's"),
            ("/proc/self", "in /proc, which is the kernel's"),
            ("//proc//1/", "in /proc, which is the kernel's"),
            ("/sys/fs/cgroup", "in /sys, which is the kernel's"),
            ("/dev/shm", "in /dev, which is the kernel's"),
            ("/etc", "/etc itself, which programs need to start"),
            ("/etc/", "/etc itself, which programs need to start"),
            ("/etc/hosts", "/etc/hosts, which the kubelet mounts"),
            ("/usr/lib", "/usr/lib itself, which programs need to start"),
            ("/var/run", "/run itself, which programs need to start"),
            ("/run", "/run itself, which programs need to start"),
            ("/run/secret-exec-state/own", "where injection mounts what is its own"),
            ("/run/secret-exec-identity", "where injection mounts what is its own"),
            ("/var/run/secret-exec-bin", "where injection mounts what is its own"),
            ("/run/secret-exec-program", "where injection mounts what is its own"),
            (
                "/var/run/secrets/kubernetes.io/serviceaccount",
                "in the way of /run/secrets/kubernetes.io/serviceaccount, where a token of the pod is mounted",
            ),
            (
                "/run/secrets/kubernetes.io/serviceaccount/x",
                "in the way of /run/secrets/kubernetes.io/serviceaccount, where a token of the pod is mounted",
            ),
            (
                "/run/secrets/eks.amazonaws.com/serviceaccount",
                "in the way of /run/secrets/eks.amazonaws.com, where a token of the pod is mounted",
            ),
        ] {
            assert_eq!(refused(Path::new(path)).as_deref(), Some(expected), "{path}");
        }
        for path in [
            "/run/secret-exec/files",
            "/run/secret-exec/other",
            "/etc/app",
            "/etc/nginx/certs",
            "/var/lib/app",
            "/var/run/app",
            "/run/secrets",
            "/run/secrets/app",
            "/dev/shm/app",
            "/run/secrets.d",
            "/vault/secrets",
            "/mnt/secrets-store",
            "/opt/app/proc",
            "/usr/share/app",
            "/tmp",
            "/developer",
        ] {
            assert_eq!(refused(Path::new(path)), None, "{path}");
        }
    }
}
