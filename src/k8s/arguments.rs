//! Checks container arguments that the kernel or the API server would refuse later, with less clear messages.

use serde_json::Value;

use super::denial::Denial;
use super::patch::Op;

/// The kernel's limit for one argument with its final NUL, in bytes (`MAX_ARG_STRLEN`, execve(2)).
pub(super) const MAX_ARGUMENT: usize = 128 << 10;
/// The limit for all arguments added to one pod, in bytes: the API server accepts objects of about 1.5 MB, with
/// annotations of up to 256 KiB.
const MAX_ARGUMENTS: usize = 1 << 20;

/// The reasons why a pod with these operations could not start; empty if there are none.
pub(super) fn refused(ops: &[Op]) -> Denial {
    let mut denial = Denial::new();
    let mut all = 0_usize;
    for argument in ops.iter().flat_map(|op| arguments(&op.value)) {
        all = all.saturating_add(argument.len());
        let name = || argument.chars().take_while(|c| *c != '=' && !c.is_control()).take(100).collect::<String>();
        if argument.contains('\0') {
            denial
                .push(format!("{} has a NUL character, which no argument of a process can have; leave it out", name()));
        }
        // Kubelet replaces `$$` with `$`.
        let length = argument.replace("$$", "$").len();
        if length >= MAX_ARGUMENT {
            denial.push(format!(
                "{} has {length} bytes, and one argument of a container holds less than {MAX_ARGUMENT}; say it in several \
                 files, or mount a file of the image's own",
                name()
            ));
        }
    }
    if all > MAX_ARGUMENTS {
        denial.push(format!(
            "the configuration has {all} bytes in the arguments of this pod's containers; expected at most \
             {MAX_ARGUMENTS}: an object of Kubernetes holds no more; name fewer containers, or smaller templates"
        ));
    }
    denial
}

/// The arguments that an operation's value adds: of one container, of several, or a list of strings itself.
fn arguments(value: &Value) -> Vec<&str> {
    let words = |list: &Value| list.as_array().is_some_and(|all| all.iter().all(Value::is_string));
    match value {
        Value::Array(list) if words(value) => list.iter().filter_map(Value::as_str).collect(),
        Value::Array(list) => list.iter().flat_map(arguments).collect(),
        Value::Object(_) => value.get("args").map(arguments).unwrap_or_default(),
        _ => Vec::new(),
    }
}
