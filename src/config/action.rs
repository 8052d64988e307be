//! Parses actions of `onChange` in their short form, and signals by name or number.

use super::model::Action;
use super::net;
use super::value::Expected;

/// The syntax of the short form, for messages.
pub(super) const EXPECTED: &str = "expected none, restart, signal:NAME, signal:NAME@PROCESS or http:URL";

/// Parses `none`, `restart`, `signal:HUP`, `signal:HUP@nginx` or `http:URL`; `none` results in `Ok(None)`.
pub(super) fn action(text: &str) -> Result<Option<Action>, Expected> {
    if let Some(rest) = text.strip_prefix("signal:") {
        let (name, process) = match rest.split_once('@') {
            Some((name, process)) => (name, Some(self::process(process)?)),
            None => (rest, None),
        };
        return Ok(Some(Action::Signal { number: signal(name)?, process }));
    }
    if let Some(rest) = text.strip_prefix("http:") {
        // Accepts `http:http://…`, and a plain URL, which cannot mean anything else.
        let url = if rest.starts_with("//") { text } else { rest };
        return http(url, Reach::Loopback).map(Some);
    }
    if text.starts_with("https://") {
        return http(text, Reach::Loopback).map(Some);
    }
    match text {
        "none" => Ok(None),
        "restart" => Ok(Some(Action::Restart)),
        _ => Err(EXPECTED.to_owned()),
    }
}

/// Which hosts a notification may be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Loopback only, which is this machine or pod.
    Loopback,
    /// Any host: `remote: true`.
    Anywhere,
}

/// The action of posting to a URL; an error if `reach` does not permit its host.
pub(super) fn http(url: &str, reach: Reach) -> Result<Action, Expected> {
    let url = net::notify(url)?;
    if reach == Reach::Loopback && !net::is_loopback(&url) {
        return Err("the URL is not on loopback; say { http: URL, remote: true } in the config file if that is meant"
            .to_owned());
    }
    Ok(Action::Http { url, remote: reach == Reach::Anywhere })
}

/// Checks a process name as in /proc/PID/comm (at most 15 bytes, proc(5)).
pub(super) fn process(text: &str) -> Result<String, Expected> {
    if (1..=15).contains(&text.len()) && !text.contains(|c: char| c == '/' || c.is_control()) {
        Ok(text.to_owned())
    } else {
        Err("expected the name of a process, 1 to 15 bytes as /proc/PID/comm has it".to_owned())
    }
}

/// Parses a signal that an app can handle: `HUP`, `SIGHUP`, `1`, `RTMIN+3` (signal(7)). `KILL` and `STOP` cannot be
/// handled: instead of announcing a change they would end or stop the app.
pub(super) fn signal(text: &str) -> Result<i32, Expected> {
    let (name, what) = match number(text)? {
        libc::SIGKILL => ("KILL", "ends the app at once"),
        libc::SIGSTOP => ("STOP", "stops the app for good"),
        number => return Ok(number),
    };
    Err(format!(
        "{name} {what}, because no app can handle it; name a signal that the app handles, such as HUP, or say restart"
    ))
}

/// The number of a signal by name or number.
fn number(text: &str) -> Result<i32, Expected> {
    const EXPECTED: &str = "expected a signal, such as HUP, SIGUSR1, RTMIN+3 or a number from 1 to 64";
    const FIRST_REAL_TIME: i32 = 34; // glibc keeps 32 and 33 for itself (signal(7))
    const LAST: i32 = 64;
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return match text.parse() {
            Ok(number @ 1..=LAST) if !matches!(number, 32 | 33) => Ok(number),
            _ => Err(EXPECTED.to_owned()),
        };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(place) = NAMES.iter().position(|known| *known == name) {
        return Ok(i32::try_from(place).expect("a short table") + 1);
    }
    let offset = |text: &str, sign: char| match text.strip_prefix(sign) {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse::<u8>().ok(),
        None if text.is_empty() => Some(0),
        _ => None,
    };
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => offset(rest, '+').map(|up| FIRST_REAL_TIME + i32::from(up)),
        (_, Some(rest)) => offset(rest, '-').map(|down| LAST - i32::from(down)),
        _ => None,
    };
    number.filter(|number| (FIRST_REAL_TIME..=LAST).contains(number)).ok_or_else(|| EXPECTED.to_owned())
}

/// Signals 1 to 31 of Linux on x86 and ARM, in order.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_name_and_number() {
        for (text, number) in [
            ("HUP", 1),
            ("SIGHUP", 1),
            ("hup", 1),
            ("1", 1),
            ("USR1", 10),
            ("SIGUSR2", 12),
            ("TERM", 15),
            ("SYS", 31),
            ("WINCH", 28),
            ("RTMIN", 34),
            ("RTMIN+3", 37),
            ("SIGRTMAX-1", 63),
            ("RTMAX", 64),
            ("64", 64),
        ] {
            assert_eq!(signal(text), Ok(number), "{text}");
        }
        for bad in
            ["", "0", "65", "32", "+1", "-1", "SIG", "RTMIN-1", "RTMIN+31", "RTMIN+", "RTMIN+300", "RTMAX-40", "HUPP"]
        {
            assert!(signal(bad).is_err(), "{bad}");
        }
        for (text, why) in [
            ("KILL", "KILL ends the app at once"),
            ("sigkill", "KILL ends the app at once"),
            ("9", "KILL ends the app at once"),
            ("STOP", "STOP stops the app for good"),
            ("SIGSTOP", "STOP stops the app for good"),
            ("19", "STOP stops the app for good"),
        ] {
            assert!(signal(text).unwrap_err().starts_with(why), "{text}");
        }
    }

    #[test]
    fn the_forms_of_flags_and_annotations() {
        assert_eq!(action("none"), Ok(None));
        assert_eq!(action("restart"), Ok(Some(Action::Restart)));
        assert_eq!(action("signal:HUP"), Ok(Some(Action::Signal { number: 1, process: None })));
        assert_eq!(action("signal:HUP@nginx"), Ok(Some(Action::Signal { number: 1, process: Some("nginx".into()) })));
        let local = |url: &str| Ok(Some(Action::Http { url: url.into(), remote: false }));
        assert_eq!(action("http:http://127.0.0.1:9/r"), local("http://127.0.0.1:9/r"));
        assert_eq!(action("http://127.0.0.1:9/r"), local("http://127.0.0.1:9/r"));
        for bad in [
            "",
            "signal",
            "signal:",
            "signal:KILL",
            "signal:KILL@nginx",
            "signal:HUP@",
            "signal:HUP@a/b",
            "run:x",
            "http:",
            "http:x",
            "restart:x",
        ] {
            assert!(action(bad).is_err(), "{bad}");
        }
        assert!(action("http:http://example.com/").unwrap_err().contains("remote: true"));
    }
}
