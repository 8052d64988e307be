//! Handles an AdmissionReview: request bytes in, response bytes out, without other I/O.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::config::Injector;
use crate::domain::printable;

use super::inject::planned;
use super::review;

const VERSION: &str = "admission.k8s.io/v1";
/// The API server silently cuts longer texts. Bytes.
/// Longer texts are cut by the API server without a word.
const MAX_MESSAGE: usize = 4096;
const MAX_WARNING: usize = 250;
const TOO_LARGE: &str = "the pod is too large for injection: it has more than 150,000 fields and list items, or its containers, volumes \
                         and annotations would take more than 8 MiB of memory; use fewer, or leave the secret-exec.dev \
                         annotations out";

/// The decision about a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The pod is patched.
    Injected,
    /// The pod is admitted unchanged.
    Unchanged,
    /// The pod is refused, with a message.
    Denied,
}

/// The response to a review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The decision.
    pub verdict: Verdict,
    /// The pod as `namespace/name`, for the log.
    pub pod: String,
    /// The reasons of a denial; else empty.
    pub message: String,
    /// The response body, an AdmissionReview.
    pub body: Vec<u8>,
}

/// Why a body is not an AdmissionReview that can be answered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadReview {
    /// Not JSON. Names the position only, never the text.
    #[error("not JSON at line {line}, column {column}")]
    Syntax {
        /// One-based.
        line: usize,
        /// One-based.
        column: usize,
    },
    /// JSON, but not an AdmissionReview.
    #[error("expected an AdmissionReview of {VERSION}")]
    NotAReview,
    /// An AdmissionReview of another version.
    #[error("this AdmissionReview is of another version; expected {VERSION} (admissionReviewVersions: [v1])")]
    OtherVersion,
    /// No `request`, or without its `uid`.
    #[error("the AdmissionReview has no request with a uid")]
    NoRequest,
}

/// Decides about the pod of a review and builds the response.
pub fn admission(body: &[u8], injector: &Injector) -> Result<Answer, BadReview> {
    let read = review::read(body).map_err(|error| BadReview::Syntax { line: error.line(), column: error.column() })?;
    let review = read.value;
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    match (text(&review, "kind").as_str(), text(&review, "apiVersion").as_str()) {
        ("AdmissionReview", VERSION) => {}
        ("AdmissionReview", version) if version.starts_with("admission.k8s.io/") => {
            return Err(BadReview::OtherVersion);
        }
        _ => return Err(BadReview::NotAReview),
    }
    let request = review.get("request").filter(|request| request.is_object()).ok_or(BadReview::NoRequest)?;
    let uid = text(request, "uid");
    if uid.is_empty() {
        return Err(BadReview::NoRequest);
    }
    let mut response = json!({ "uid": uid, "allowed": true });
    let mut answer =
        Answer { verdict: Verdict::Unchanged, pod: called(request), message: String::new(), body: Vec::new() };
    match decide(request, read.is_cut, injector) {
        Decision::Leave => {}
        Decision::Warn(warning) => response["warnings"] = json!([warning]),
        Decision::Patch { patch, warnings } => {
            response["patchType"] = json!("JSONPatch");
            response["patch"] = json!(STANDARD.encode(patch.to_string()));
            with_warnings(&mut response, &warnings);
            answer.verdict = Verdict::Injected;
        }
        Decision::Deny { sentences, warnings } => {
            with_warnings(&mut response, &warnings);
            answer.message = cut(printable(&sentences.join("; ")).into_owned(), MAX_MESSAGE);
            response["allowed"] = json!(false);
            response["status"] =
                json!({ "status": "Failure", "code": 422, "reason": "Invalid", "message": answer.message });
            answer.verdict = Verdict::Denied;
        }
    }
    let review = json!({ "apiVersion": VERSION, "kind": "AdmissionReview", "response": response });
    answer.body = review.to_string().into_bytes();
    Ok(answer)
}

/// Adds the warnings to a response.
fn with_warnings(response: &mut Value, warnings: &[String]) {
    if !warnings.is_empty() {
        let short: Vec<String> = warnings.iter().map(|text| shown(text)).collect();
        response["warnings"] = json!(short);
    }
}

/// The decision, with what the response needs.
enum Decision {
    Leave,
    Warn(String),
    Patch { patch: Value, warnings: Vec<String> },
    Deny { sentences: Vec<String>, warnings: Vec<String> },
}

impl Decision {
    /// A denial without warnings.
    fn deny(sentence: &str) -> Self {
        Self::Deny { sentences: vec![sentence.to_owned()], warnings: Vec::new() }
    }
}

/// Decides about a request. `is_cut`: the review has more elements than are read.
fn decide(request: &Value, is_cut: bool, injector: &Injector) -> Decision {
    // Containers cannot be added to a running pod, and a pod being deleted needs none.
    match request.get("operation").and_then(Value::as_str) {
        Some("CREATE") => {}
        // The missing part may contain the creation of a pod.
        None if is_cut => return Decision::deny(TOO_LARGE),
        _ => return Decision::Leave,
    }
    if request.pointer("/kind/kind").and_then(Value::as_str) != Some("Pod")
        || request.get("subResource").is_some_and(is_said)
    {
        return Decision::Warn("secret-inject is asked about pods only; check the rules of its webhook".to_owned());
    }
    if is_cut {
        return Decision::deny(TOO_LARGE);
    }
    let Some(pod) = request.get("object").filter(|object| object.is_object()) else {
        return Decision::deny("the review has no pod");
    };
    let namespace = request.get("namespace").and_then(Value::as_str);
    let mut warnings = Vec::new();
    match planned(pod, namespace, injector, &mut warnings) {
        Ok(ops) if ops.is_empty() => match warnings.into_iter().next() {
            Some(warning) => Decision::Warn(shown(&warning)),
            None => Decision::Leave,
        },
        Ok(ops) => Decision::Patch { patch: ops.iter().map(super::patch::Op::to_json).collect(), warnings },
        Err(sentences) => Decision::Deny { sentences, warnings },
    }
}

/// Whether the value is a string that is not empty.
fn is_said(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

/// The pod as `namespace/name`, escaped; a workload's pod has only `generateName` yet.
fn called(request: &Value) -> String {
    let of = |path: &str| request.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty());
    let name = of("/name").or(of("/object/metadata/name")).or(of("/object/metadata/generateName"));
    let text = format!("{}/{}", of("/namespace").unwrap_or("?"), name.unwrap_or("?"));
    cut(text.escape_default().to_string(), 400)
}

/// A warning as it is answered: escaped and cut.
fn shown(warning: &str) -> String {
    cut(printable(warning).into_owned(), MAX_WARNING)
}

/// Cuts a text to at most `most` bytes, at a character boundary; `…` marks the cut.
fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Text;

    fn injector() -> Injector {
        Injector::parse(Text { name: "i", text: "image: i:1\nvault: { address: \"https://v\" }\n" }).unwrap()
    }

    fn review(operation: &str, pod: Value) -> Value {
        json!({
            "apiVersion": VERSION,
            "kind": "AdmissionReview",
            "request": {
                "uid": "u-1", "operation": operation, "namespace": "team", "kind": { "group": "", "version": "v1", "kind": "Pod" },
                "object": pod,
            },
        })
    }

    fn pod(annotations: Value) -> Value {
        json!({
            "metadata": { "generateName": "web-", "annotations": annotations },
            "spec": { "containers": [{ "name": "app" }] },
        })
    }

    fn good() -> Value {
        pod(json!({ "secret-exec.dev/vault-role": "w", "secret-exec.dev/file.a": "vault:x#y" }))
    }

    fn answer(review: &Value) -> (Answer, Value) {
        let answer = admission(review.to_string().as_bytes(), &injector()).unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["response"]["uid"], "u-1");
        (answer, body["response"].clone())
    }

    #[test]
    fn a_pod_that_asks_gets_a_patch() {
        let (answer, response) = answer(&review("CREATE", good()));
        assert_eq!((answer.verdict, answer.pod.as_str()), (Verdict::Injected, "team/web-"));
        assert_eq!((&response["allowed"], &response["patchType"]), (&json!(true), &json!("JSONPatch")));
        let patch = STANDARD.decode(response["patch"].as_str().unwrap()).unwrap();
        let patch: Value = serde_json::from_slice(&patch).unwrap();
        assert!(
            patch
                .as_array()
                .unwrap()
                .iter()
                .all(|op| op["op"] == "add" && op["path"].as_str().unwrap().starts_with("/spec/"))
        );
    }

    #[test]
    fn a_mirror_of_a_static_pod_is_left_alone_with_a_warning() {
        let mut mirror = good();
        mirror["metadata"]["annotations"]["kubernetes.io/config.mirror"] = json!("hash");
        mirror["metadata"]["ownerReferences"] =
            json!([{ "apiVersion": "v1", "kind": "Node", "name": "n", "controller": true }]);
        let (answer, response) = answer(&review("CREATE", mirror));
        assert_eq!((answer.verdict, &response["allowed"]), (Verdict::Unchanged, &json!(true)));
        assert!(response["warnings"][0].as_str().unwrap().contains("a mirror of a static pod"), "{response}");
    }

    #[test]
    fn the_annotation_of_a_mirror_switches_nothing_off_where_no_node_owns_the_pod() {
        for owners in [
            json!(null),
            json!([]),
            json!([{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "Node" }]),
            json!("Node"),
        ] {
            let mut pod = good();
            pod["metadata"]["annotations"]["kubernetes.io/config.mirror"] = json!("hash");
            pod["metadata"]["ownerReferences"] = owners;
            let (denied, response) = answer(&review("CREATE", pod.clone()));
            assert_eq!(denied.verdict, Verdict::Denied, "{response}");
            let message = response["status"]["message"].as_str().unwrap();
            assert!(message.contains("kubernetes.io/config.mirror") && message.contains("remove it"), "{message}");
            pod["metadata"]["annotations"]["secret-exec.dev/inject"] = json!("false");
            assert_eq!(answer(&review("CREATE", pod)).0.verdict, Verdict::Unchanged);
        }
    }

    #[test]
    fn a_denial_is_a_sentence() {
        let (answer, response) = answer(&review("CREATE", pod(json!({ "secret-exec.dev/fiel.a": "x" }))));
        assert_eq!(answer.verdict, Verdict::Denied);
        let message = response["status"]["message"].as_str().unwrap();
        assert!(message.contains("did you mean secret-exec.dev/file.a?"), "{message}");
        assert_eq!((&response["allowed"], &response["status"]["code"]), (&json!(false), &json!(422)));
        assert_eq!(response.get("warnings"), None);
    }

    #[test]
    fn a_denial_has_the_warnings_of_the_pod() {
        let asks = json!({ "secret-exec.dev/fiel.a": "x", "secret-exec.dev/containers": "app,late" });
        let (answer, response) = answer(&review("CREATE", pod(asks)));
        assert_eq!(answer.verdict, Verdict::Denied);
        let warning = response["warnings"][0].as_str().unwrap_or_default();
        assert!(warning.ends_with("no container late here yet"), "{response}");
    }

    #[test]
    fn a_name_with_marks_that_nobody_sees_or_without_end_hides_no_reason() {
        for (key, expected) in [
            ("fi\u{200b}le.a".to_owned(), "fi\\u{200b}le.a: unknown annotation; did you mean secret-exec.dev/file.a?"),
            (format!("file.{}", "a".repeat(10_000)), "aaaa…: Kubernetes has no such key"),
        ] {
            let (answer, response) =
                answer(&review("CREATE", pod(json!({ format!("secret-exec.dev/{key}"): "vault:x#y" }))));
            assert_eq!(answer.verdict, Verdict::Denied);
            let message = response["status"]["message"].as_str().unwrap();
            assert!(message.contains(expected) && message.len() < 1000, "{message}");
        }
    }

    #[test]
    fn what_is_not_a_new_pod_is_let_through() {
        for operation in ["UPDATE", "DELETE", "CONNECT", ""] {
            assert_eq!(answer(&review(operation, good())).0.verdict, Verdict::Unchanged);
        }
        let mut other = review("CREATE", good());
        other["request"]["kind"]["kind"] = json!("Deployment");
        let (answer, response) = answer(&other);
        assert_eq!(answer.verdict, Verdict::Unchanged);
        assert!(response["warnings"][0].as_str().unwrap().contains("pods only"));
    }

    #[test]
    fn what_cannot_be_answered_is_a_bad_request() {
        let of = |text: &str| admission(text.as_bytes(), &injector()).unwrap_err();
        assert!(matches!(of(""), BadReview::Syntax { .. }));
        assert!(matches!(of(&"[".repeat(10_000)), BadReview::Syntax { .. }));
        assert_eq!(of("[]"), BadReview::NotAReview);
        assert_eq!(
            of(r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1"}"#),
            BadReview::OtherVersion
        );
        assert_eq!(of(r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}"#), BadReview::NoRequest);
        assert!(matches!(admission(b"\xff{}", &injector()), Err(BadReview::Syntax { .. })));
    }

    #[test]
    fn a_review_of_too_many_elements_is_denied_with_a_sentence() {
        let many = format!("{{\"spec\":{{\"tolerations\":[{}1]}}}}", "[],".repeat(150_000));
        let head = r#""uid":"u-1","kind":{"kind":"Pod"},"namespace":"team""#;
        let of = |request: String| {
            let text =
                format!("{{\"kind\":\"AdmissionReview\",\"apiVersion\":\"{VERSION}\",\"request\":{{{request}}}}}");
            admission(text.as_bytes(), &injector())
        };
        let denied = of(format!("{head},\"operation\":\"CREATE\",\"object\":{many}")).unwrap();
        assert_eq!((denied.verdict, denied.pod.as_str()), (Verdict::Denied, "team/?"));
        assert!(denied.message.contains("more than 150,000 fields and list items"), "{}", denied.message);
        // Nothing is let through unread because what says that it is a new pod stands behind the pod.
        let denied = of(format!("{head},\"object\":{many},\"operation\":\"CREATE\"")).unwrap();
        assert_eq!(denied.verdict, Verdict::Denied);
        assert_eq!(of(format!("\"object\":{many},{head}")).unwrap_err(), BadReview::NoRequest);
        let other = of(format!("{head},\"operation\":\"UPDATE\",\"object\":{many}")).unwrap();
        assert_eq!(other.verdict, Verdict::Unchanged);
    }

    #[test]
    fn ten_thousand_annotations_are_answered() {
        let many: Value = (0..10_000)
            .map(|n| (format!("secret-exec.dev/file.f{n}"), json!("vault:x#y")))
            .collect::<serde_json::Map<_, _>>()
            .into();
        assert_eq!(answer(&review("CREATE", pod(many))).0.verdict, Verdict::Denied);
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = admission(&bytes, &injector());
        }

        #[test]
        fn any_object_is_answered(text in "\\PC{0,60}", key in "\\PC{0,8}") {
            let object = json!({ "metadata": { "annotations": { format!("secret-exec.dev/{key}"): text } }, "spec": { "containers": [{ "name": text }] } });
            let _ = answer(&review("CREATE", object));
        }
    }
}
