//! The app does not get the session keyring of whoever started us.

use std::path::Path;

use support::*;

const PYTHON: &str = "/usr/bin/python3";

/// Joins a new session keyring, puts a key into it and executes the rest; the key's number is in `KEY`.
const STARTER: &str = "import ctypes, os, platform, sys
libc = ctypes.CDLL(None, use_errno=True)
add_key, keyctl = {'x86_64': (248, 250), 'aarch64': (217, 219)}[platform.machine()]
if libc.syscall(keyctl, 1, None) < 0: sys.exit(99)
key = libc.syscall(add_key, b'user', b'starter', b'canary', ctypes.c_size_t(6), -3)
if key < 0: sys.exit(99)
os.environ['KEY'] = str(key)
os.execv(sys.argv[1], sys.argv[1:])
";

/// Looks for the key by its name in the session keyring, and reads it by its number.
const APP_LOOKS: &str = "import ctypes, os, platform
libc = ctypes.CDLL(None, use_errno=True)
keyctl = {'x86_64': 250, 'aarch64': 219}[platform.machine()]
found = libc.syscall(keyctl, 10, -3, b'user', b'starter', 0)
value = ctypes.create_string_buffer(16)
read = libc.syscall(keyctl, 11, int(os.environ['KEY']), value, ctypes.c_size_t(16))
print(found > 0, value.value.decode() if read > 0 else 'unreadable')
";

#[test]
fn a_key_of_the_starters_session_is_not_the_apps() {
    if !Path::new(PYTHON).exists() {
        return skip("needs /usr/bin/python3, which every user may run");
    }
    let case = Case::new();
    let app = [PYTHON, "-c", APP_LOOKS];
    let starter = [PYTHON, "-c", STARTER];
    // env(1) in our place: the test sees a key that is passed on.
    let passed_on = Run::new("/usr/bin/env".as_ref()).args(&app).within(&starter).user(APP, APP).output();
    if passed_on.code() == Some(99) {
        return skip("needs keys (add_key, keyctl), which a container's seccomp profile may forbid");
    }
    assert_eq!(passed_on.ok().trim(), "True canary");
    for mode in [&[][..], &["--supervise"]] {
        let start = || case.run().args(mode).app(&app).within(&starter);
        assert_eq!(start().user(APP, APP).output().ok().trim(), "False unreadable", "{mode:?}");
        if is_root() {
            let run =
                case.run().args(mode).args(&["--run-as", &format!("{APP}:{APP}")]).app(&app).within(&starter).root();
            assert_eq!(run.output().ok().trim(), "False unreadable", "{mode:?}, started as root");
        }
    }
}
