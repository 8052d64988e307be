//! The forms of single values as JSON Schema. Helm validates the chart's values with these patterns too and has no
//! look-ahead, so what must not match is a separate `not`.

use serde_json::{Value, json};

use super::form::Form;

const SOME_TEXT: &str = r"^\S(.*\S)?$";

impl Form {
    /// The form as JSON Schema. It is never stricter than [`Form::check`] (apart from numbers in place of strings), and
    /// more permissive only where a pattern cannot express the rule.
    pub(super) fn schema(self) -> Value {
        let text = |pattern: &str| json!({ "type": "string", "pattern": pattern });
        let but = |pattern: &str, not: &str| json!({ "type": "string", "pattern": pattern, "not": { "pattern": not } });
        match self {
            Self::Bool => json!({ "type": "boolean" }),
            Self::Any | Self::Argument => json!({ "type": "string" }),
            Self::Words(words) => json!({ "enum": words }),
            Self::Certificates => text("-----BEGIN CERTIFICATE-----"),
            Self::RenewalAt => text("^0*([3-7][0-9]|80)%$"),
            Self::RenewalJitter => text("^0*([5-9]|1[0-9]|20)%$"),
            Self::Duration => duration("^0*([4-9][0-9]{3}|[1-9][0-9]{4,})d"),
            Self::HandOver => duration(&not_hand_over()),
            Self::Size => {
                let zero = json!({ "type": "string", "pattern": "^0*(Ki|Mi|Gi)?$" });
                json!({ "type": ["string", "integer"], "minimum": 1, "pattern": "^[0-9]+(Ki|Mi|Gi)?$", "not": zero })
            }
            Self::Mode => but("^0?[0246][0246]0$", "^0*$"),
            Self::Reference => {
                but(r"^\S", "^(vault:([/?#]|v1/|$)|vault:[^?#]*/([?#]|$)|aws-sm:([?#]|$)|file:([^/]|$))|^[^#]*#$")
            }
            Self::RunAs => id(0, r"^[^:\s][^:]*(:[^:]+)?$"),
            Self::Owner => id(0, r"^([^:\s][^:]*(:[^:]+)?|:[^:]+)$"),
            Self::Gid => id(1, "^[0-9]*[1-9][0-9]*$"),
            Self::Amount => json!({ "type": ["string", "number"], "pattern": SOME_TEXT }),
            Self::Directory => but("^/+[^/]", r"/\.\.?(/|$)"),
            Self::Address => {
                let pattern =
                    r"^([hH][tT][tT][pP][sS]?://[^/?#@\s]+(/[-._~A-Za-z0-9]+)*/?|[uU][nN][iI][xX]:///.*[^/])$";
                let path = r"(/(v1|ui)/?$|/\.\.?(/|$))";
                but(pattern, &format!("^[hH][^:]*://(.*{path}|[^/]*{})", not_a_port("(/|$)")))
            }
            Self::Proxy => but("^[hH][tT][tT][pP]://[^/?#@]+/?$", &not_a_port("/?$")),
            Self::Url => but(
                r"^[hH][tT][tT][pP][sS]?://[^/?#@\s]+([/?]|$)",
                &format!("^[^/]*//[^/?]*{}|#", not_a_port("([/?]|$)")),
            ),
            Self::Listen => but(
                "^[^:].*:[0-9]+$",
                ":0*(6553[6-9]|655[4-9][0-9]|65[6-9][0-9]{2}|6[6-9][0-9]{3}|[7-9][0-9]{4}|[1-9][0-9]{5,})$",
            ),
            Self::Mount => but(r"^[^/\s]([^?#%]*[^/\s])?$", "^auth(/|$)|//"),
            Self::Region => text("^[a-z][a-z0-9]*(-[a-z0-9]+)+$"),
            Self::RoleArn => text("^arn:aws[^:]*:iam::[0-9]+:role/."),
            Self::Inherit => text("^(none|(vault|aws-sm|arn|bank-vaults)( *, *(vault|aws-sm|arn|bank-vaults))*)$"),
            Self::Action => but(&action(), &format!("^signal:{UNHANDLED}(@|$)")),
            Self::Signal => signal(),
            Self::Pattern => json!({ "type": "string", "pattern": r"^[^*=\s]*\*?$", "minLength": 1 }),
            Self::Prefix => text(r"^[^=\s]*$"),
            Self::Namespace | Self::Host => text(r"^\S+$"),
            Self::Hosts => text(r"^\S+(\s*,\s*\S+)*$"),
            Self::Plain | Self::Path | Self::Process => text(SOME_TEXT),
        }
    }
}

/// An action in its short form; the URL is on loopback.
fn action() -> String {
    let here = r"([lL][oO][cC][aA][lL][hH][oO][sS][tT]|127\.|\[)";
    format!("^(none|restart|signal:[A-Za-z0-9+-]+(@.+)?|(http:[hH][tT][tT][pP][sS]?|https?)://{here}.*)$")
}

/// A signal by name or number.
fn signal() -> Value {
    let unhandled = json!([{ "enum": [9, 19] }, { "type": "string", "pattern": format!("^{UNHANDLED}$") }]);
    json!({
        "type": ["string", "integer"], "minimum": 1, "maximum": 64, "pattern": "^[A-Za-z0-9+-]+$",
        "not": { "anyOf": unhandled },
    })
}

/// The signals that no app can handle: KILL and STOP.
const UNHANDLED: &str = "(([sS][iI][gG])?([kK][iI][lL][lL]|[sS][tT][oO][pP])|0*(9|19))";

/// A duration other than zero that does not match `not`.
fn duration(not: &str) -> Value {
    let pattern = r"^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$";
    json!({ "type": "string", "minLength": 2, "pattern": pattern, "not": { "pattern": format!("^[0dhms]*$|{not}") } })
}

/// A pattern for durations below 10 s or above 1 h.
fn not_hand_over() -> String {
    let long = [
        "^0*[1-9][0-9]*d",
        "(^|d)0*([2-9]|[1-9][0-9]+)h",
        "(^|d)0*1h.*[1-9]",
        "(^|[dh])0*(6[1-9]|[7-9][0-9]|[1-9][0-9]{2,})m([0-9]|$)",
        "(^|[dh])0*60m.*[1-9]",
        "(^|[dhm])0*(360[1-9]|36[1-9][0-9]|3[7-9][0-9]{2}|[4-9][0-9]{3}|[1-9][0-9]{4,})s",
        "(^|[dhms])0*(3[6-9][0-9]{4}[1-9]|[4-9][0-9]{6}|[1-9][0-9]{7,})ms",
    ];
    let short = ["^(0+[dhm])*0*[0-9]s(0*[0-9]{1,3}ms)?$", "^(0+[dhms])*0*[0-9]{1,4}ms$"];
    format!("{}|{}", long.join("|"), short.join("|"))
}

/// A pattern for an invalid port followed by `end`.
fn not_a_port(end: &str) -> String {
    let above = "6553[6-9]|655[4-9][0-9]|65[6-9][0-9]{2}|6[6-9][0-9]{3}|[7-9][0-9]{4}|[1-9][0-9]{5,}";
    format!(":0*({above}|0){end}")
}

/// A user or group ID, or a string that matches `pattern`.
fn id(least: u32, pattern: &str) -> Value {
    json!({ "type": ["string", "integer"], "minimum": least, "maximum": u32::MAX - 1, "pattern": pattern })
}
