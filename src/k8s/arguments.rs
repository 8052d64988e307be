//! Arguments of containers that the kernel or the API server would refuse, later and in other words.

use serde_json::Value;

use super::denial::Denial;
use super::patch::Op;

/// A string of the kernel's argument list, with its final NUL (`MAX_ARG_STRLEN`, execve(2)).
pub(super) const MAX_ARGUMENT: usize = 128 << 10;
/// All arguments that one pod gets: the API server takes objects of about 1.5 MB, with annotations of up to 256 KiB.
const MAX_ARGUMENTS: usize = 1 << 20;

/// Why a pod that gets these cannot start.
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
        // Kubelet makes one dollar of two.
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

/// The arguments in what an operation adds: of a container, of several, or a list of words itself.
fn arguments(value: &Value) -> Vec<&str> {
    let words = |list: &Value| list.as_array().is_some_and(|all| all.iter().all(Value::is_string));
    match value {
        Value::Array(list) if words(value) => list.iter().filter_map(Value::as_str).collect(),
        Value::Array(list) => list.iter().flat_map(arguments).collect(),
        Value::Object(_) => value.get("args").map(arguments).unwrap_or_default(),
        _ => Vec::new(),
    }
}
