//! Offline injection as a function of text.

use proptest::prelude::*;

use super::*;

const CONFIG: &str = "image: i:1\nvault: { address: \"https://v:8200\" }\n";

fn run(text: &str) -> Result<Output, Vec<String>> {
    let injector = Injector::parse(Text { name: "injector.yaml", text: CONFIG }).unwrap();
    manifest(&[Text { name: "in.yaml", text }], &injector)
}

fn ok(text: &str) -> Output {
    run(text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
}

/// Found again by the same reader.
fn json(text: &str) -> serde_json::Value {
    let docs = segments(text).into_iter().filter_map(|s| read::read(s.body).unwrap()).map(|(doc, _)| doc.to_json());
    serde_json::Value::Array(docs.collect())
}

const TEMPLATE: &str = "  template:
    metadata:
      labels: {app: web}
      annotations:
        secret-exec.dev/vault-role: web
        secret-exec.dev/file.db: vault:secret/data/db#password
    spec:
      containers:
      - name: web
        image: web:1
";

fn deployment() -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  namespace: team\nspec:\n  replicas: 2\n{TEMPLATE}"
    )
}

#[test]
fn what_is_not_injected_is_copied_byte_for_byte() {
    for text in [
        "",
        "\n",
        "# only this\n",
        "---\n---\n",
        "a:   1 # comment\nb: 'x'\r\n---\r\n{c: [yes, 0400]}",
        "--- # a comment\nkind: Service\n...\n---\tx\n",
        "{\"a\": 1.0}\n{\"b\":\n2}  ",
        "kind: ConfigMap\ndata:\n  x: |\n    --- not a separator\n    secret-exec.dev/file.a: text\n",
        "kind: Pod\nmetadata: {annotations: {secret-exec.dev/inject: \"false\"}}\nspec: {containers: [{name: a}]}\n",
        "\u{feff}a: 1\n",
    ] {
        let output = ok(text);
        assert_eq!(output.text, text);
        assert!(output.changed.is_empty());
    }
}

#[test]
fn only_the_document_that_asks_changes() {
    let text = format!("# Source: chart/a.yaml\na:   1\n---\n# Source: chart/web.yaml\n{}---\nb:    2\n", deployment());
    let output = ok(&text);
    assert!(
        output.text.starts_with("# Source: chart/a.yaml\na:   1\n---\n# Source: chart/web.yaml\napiVersion: apps/v1\n")
    );
    assert!(output.text.ends_with("\n---\nb:    2\n"), "{}", output.text);
    assert_eq!(output.changed, ["in.yaml: document at line 4 (Deployment team/web), spec.template"]);
    assert!(output.text.contains("      initContainers:\n      - name: secret-exec\n"), "{}", output.text);
    assert_eq!(ok(&text), output, "the same bytes every time");
    let again = ok(&output.text);
    assert_eq!((again.text, again.changed.len()), (output.text, 0), "injecting twice changes nothing");
}

#[test]
fn the_order_of_keys_stays_and_values_are_kubectls() {
    let text = "\
spec:
  containers:
  - image: a
    name: web
    stdin: yes
  volumes:
  - secret: {defaultMode: 0400, secretName: s}
    name: v
metadata:
  annotations: {secret-exec.dev/vault-role: web, secret-exec.dev/file.a: 'vault:x#y', version: \"1.10\"}
  name: p
kind: Pod
apiVersion: v1
";
    let out = ok(text).text;
    assert!(
        out.starts_with("spec:\n  containers:\n  - image: a\n    name: web\n    stdin: yes\n    volumeMounts:\n"),
        "{out}"
    );
    assert!(out.contains("defaultMode: 0400,") && out.contains("version: \"1.10\"}\n"), "{out}");
    // Where anchors are followed all is written anew, in a spelling that every reader takes for the same.
    let out = ok(&text.replace("  volumes:", "  volumes: &v")).text;
    assert!(out.contains("stdin: true\n") && out.contains("defaultMode: 256\n"), "{out}");
    assert!(out.contains("version: \"1.10\"\n"), "{out}");
    assert!(out.ends_with("kind: Pod\napiVersion: v1\n"), "{out}");
}

#[test]
fn comments_and_line_ends_of_a_changed_document_stay() {
    let text = deployment()
        .replace("kind: Deployment", "kind: Deployment # the web")
        .replace("    spec:", "    # the pod\n    spec:");
    let out = ok(&text).text;
    assert!(out.starts_with(&text[..text.find("    spec:").unwrap()]), "{out}");
    let crlf = ok(&text.replace('\n', "\r\n")).text;
    assert_eq!(crlf, out.replace('\n', "\r\n"));
}

#[test]
fn pod_templates_are_found_by_their_shape() {
    let pod = TEMPLATE.replace("  template:\n", "").replace("\n    ", "\n").replacen("    ", "", 1);
    let deeper = |text: &str| text.lines().map(|line| format!("  {line}\n")).collect::<String>();
    for (text, path) in [
        (format!("kind: Pod\n{pod}"), ""),
        (format!("kind: Rollout\nspec:\n{TEMPLATE}"), ", spec.template"),
        (
            format!("kind: CronJob\nspec:\n  jobTemplate:\n    spec:\n{}", deeper(&deeper(TEMPLATE))),
            ", spec.jobTemplate.spec.template",
        ),
        (format!("kind: PodTemplate\n{}", TEMPLATE.replace("\n  ", "\n").replacen("  ", "", 1)), ", template"),
    ] {
        let output = ok(&text);
        assert_eq!(output.changed.len(), 1, "{text}");
        assert!(output.changed[0].ends_with(&format!("){path}")), "{:?}", output.changed);
    }
    let item = deeper(&deeper(&deployment())).replacen("    apiVersion", "  - apiVersion", 1);
    let list = ok(&format!("apiVersion: v1\nkind: List\nitems:\n{item}"));
    assert_eq!(list.changed, ["in.yaml: document at line 1 (List), items[0].spec.template"]);
}

#[test]
fn json_stays_json() {
    let pod = r#"{"kind":"Pod","metadata":{"annotations":{"secret-exec.dev\/vault-role":"w","secret-exec.dev\/file.a":"vault:x#y"}},"spec":{"containers":[{"name":"a"}]}}"#;
    let output = ok(&format!("{{\"a\":1}}\n{pod}\n{{\"b\":2}}\n"));
    assert!(output.text.starts_with("{\"a\":1}\n{\n  \"kind\": \"Pod\",") && output.text.ends_with("}\n{\"b\":2}\n"));
    let found = json(&output.text);
    assert_eq!(found[1]["spec"]["initContainers"][0]["name"], "secret-exec");
}

#[test]
fn a_resource_list_is_a_function_of_itself() {
    let deeper = |text: &str| text.lines().map(|line| format!("  {line}\n")).collect::<String>();
    let item = deeper(&deployment()).replacen("  apiVersion", "- apiVersion", 1);
    let text = format!(
        "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nfunctionConfig:\n  kind: X\n  spec:\n    image: j:2\nitems:\n{item}"
    );
    let config = function_config(&text).unwrap();
    let injector = Injector::parse(Text { name: "functionConfig.spec", text: &config });
    assert_eq!(injector.unwrap().image, "j:2");
    assert_eq!(json(&ok(&text).text)[0]["items"][0]["spec"]["template"]["spec"]["initContainers"][0]["image"], "i:1");
    assert_eq!(function_config("kind: ResourceList\n"), None);
}

#[test]
fn mistakes_name_document_and_path() {
    let bad = deployment().replace("file.db: vault:secret/data/db#password", "fiel.db: x");
    let mistakes = run(&format!("a: 1\n---\n{bad}---\nb: [\n")).unwrap_err();
    assert_eq!(mistakes.len(), 2, "{mistakes:#?}");
    assert_eq!(
        mistakes[0],
        "in.yaml: document at line 3 (Deployment team/web), spec.template: annotation secret-exec.dev/fiel.db: unknown \
         annotation; did you mean secret-exec.dev/file.db?"
    );
    assert!(mistakes[1].starts_with("in.yaml:2"), "{mistakes:?}");
    let twice = deployment().replace("  replicas: 2\n", "  replicas: 2\n  replicas: 3\n");
    assert_eq!(run(&twice).unwrap_err(), ["in.yaml:8: duplicate key `replicas`"]);
    let unquoted = deployment().replace("vault-role: web", "inject: yes");
    assert!(run(&unquoted).unwrap_err()[0].contains("expected a text; put it in quotes"));
}

#[test]
fn annotations_on_the_workload_itself_are_pointed_out() {
    let text = "kind: Deployment\nmetadata: {annotations: {secret-exec.dev/vault-role: w}}\nspec: {template: {spec: {containers: [{name: a}]}}}\n";
    let output = ok(text);
    assert_eq!(output.text, text);
    assert!(output.warnings[0].contains("its pod template only"), "{:?}", output.warnings);
    let helm = "kind: Service\nmetadata: {annotations: {secret-exec.dev/vault-role: w}}\nspec: {ports: []}\n";
    assert!(ok(helm).warnings.is_empty(), "what a common annotation hits is nobody's mistake");
}

#[test]
fn a_template_whose_containers_are_not_found_is_pointed_out() {
    let asks = "metadata: {annotations: {secret-exec.dev/vault-role: w}}";
    let text = format!("kind: List\nitems:\n- kind: Job\n  spec: {{template: {{{asks}, spec: {{container: []}}}}}}\n");
    let output = ok(&text);
    assert_eq!(output.text, text);
    let warning = "in.yaml: document at line 1 (List), items[0].spec.template: has annotations, but no spec.containers";
    assert!(output.warnings[0].starts_with(warning), "{:?}", output.warnings);
    let common = format!("kind: List\nitems:\n- kind: Service\n  {asks}\n  spec: {{ports: []}}\n");
    assert!(ok(&common).warnings.is_empty());
}

/// What is said of a document, without the name of the file.
#[track_caller]
fn said_of(text: &str, dialects: &str) -> Vec<String> {
    let injector = Injector::parse(Text { name: "c", text: &format!("image: i:1\n{dialects}") }).unwrap();
    let output = manifest(&[Text { name: "in.yaml", text }], &injector).unwrap();
    assert_eq!(output.text, text);
    output.warnings.iter().map(|text| text.trim_start_matches("in.yaml: document at line 1 ").to_owned()).collect()
}

#[test]
fn annotations_that_reach_no_pod_are_pointed_out_where_they_stand() {
    let ours = "annotations: {secret-exec.dev/vault-role: w}";
    let pod = "{spec: {containers: [{name: a}]}}";
    for (text, expected) in [
        (
            format!("kind: CronJob\nmetadata: {{{ours}}}\nspec: {{jobTemplate: {{spec: {{template: {pod}}}}}}}\n"),
            "(CronJob): has annotations of its own (secret-exec.dev/vault-role), which count on its pod template only \
             (spec.jobTemplate.spec.template.metadata.annotations)",
        ),
        (
            format!("kind: CronJob\nspec: {{jobTemplate: {{metadata: {{{ours}}}, spec: {{template: {pod}}}}}}}\n"),
            "(CronJob), spec.jobTemplate: has annotations of its own (secret-exec.dev/vault-role), which count on its pod \
             template only (spec.jobTemplate.spec.template.metadata.annotations)",
        ),
        (
            format!("kind: Deployment\nspec: {{template: {{{ours}, spec: {{containers: [{{name: a}}]}}}}}}\n"),
            "(Deployment), spec.template: has annotations of its own (secret-exec.dev/vault-role), which count on its pod \
             template only (spec.template.metadata.annotations)",
        ),
        (
            format!(
                "kind: Workflow\nmetadata: {{{ours}}}\nspec: {{entrypoint: m, templates: [{{name: m, container: {{}}}}]}}\n"
            ),
            "(Workflow): has annotations of its own (secret-exec.dev/vault-role), which do not reach its pods; say them in \
             spec.podMetadata.annotations",
        ),
        (
            format!("kind: Namespace\nmetadata: {{name: shop, {ours}}}\n"),
            "(Namespace shop): has annotations of its own (secret-exec.dev/vault-role), which no pod inherits; say them in each \
             pod template",
        ),
        (
            format!("kind: CronWorkflow\nmetadata: {{{ours}}}\nspec: {{workflowSpec: {{entrypoint: m}}}}\n"),
            "(CronWorkflow): has annotations of its own (secret-exec.dev/vault-role), which do not reach its pods; say them \
             in spec.workflowSpec.podMetadata.annotations",
        ),
        (
            format!("kind: Workflow\nspec: {{podMetadata: {{{ours}}}, templates: []}}\n"),
            "(Workflow), spec.podMetadata: has annotations, but no spec.containers beside them: nothing is injected there; of \
             pods that a controller makes with these annotations the webhook injects each when it is created",
        ),
        (
            format!("kind: Workflow\nspec: {{templates: [{{name: m, metadata: {{{ours}}}, container: {{}}}}]}}\n"),
            "(Workflow), spec.templates[0]: has annotations, but no spec.containers beside them: nothing is injected there; of \
             pods that a controller makes with these annotations the webhook injects each when it is created",
        ),
        (
            "kind: Prometheus\nspec: {podMetadata: {annotations: {secret-exec.dev/file.a: vault:x}}}\n".to_owned(),
            "(Prometheus), spec.podMetadata: has annotations, but no spec.containers beside them: nothing is injected there; of \
             pods that a controller makes with these annotations the webhook injects each when it is created",
        ),
        (
            "kind: Pod\nmetadata: {labels: {secret-exec.dev/vault-role: w}}\nspec: {containers: [{name: a}]}\n"
                .to_owned(),
            "(Pod): has labels that count as annotations only: secret-exec.dev/vault-role",
        ),
        (
            "kind: Pod\nmetadata: {labels: {secret-exec.dev/inject: 'true'}}\nspec: {containers: [{name: a}]}\n"
                .to_owned(),
            "(Pod): has labels that count as annotations only: secret-exec.dev/inject",
        ),
    ] {
        assert_eq!(said_of(&text, ""), [expected], "{text}");
    }
    for text in [
        format!("kind: Service\nmetadata: {{{ours}}}\nspec: {{ports: []}}\n"),
        "kind: Kustomization\ncommonAnnotations: {secret-exec.dev/vault-role: w}\n".to_owned(),
        "kind: Pod\nmetadata: {labels: {secret-exec.dev/secrets: 'true'}}\nspec: {containers: [{name: a}]}\n"
            .to_owned(),
        format!("kind: Secret\nmetadata: {{{ours}}}\ndata: {{}}\n"),
    ] {
        assert_eq!(said_of(&text, ""), [""; 0], "{text}");
    }
    // What stands on the template as well is a rule for all objects; what stands on the object only is a mistake.
    let common =
        deployment().replace("  name: web\n", "  name: web\n  annotations: {secret-exec.dev/vault-role: web}\n");
    assert_eq!(ok(&common).warnings, [""; 0]);
    let half = deployment().replace("  name: web\n", "  name: web\n  annotations: {secret-exec.dev/run-as: '1:1'}\n");
    assert!(ok(&half).warnings[0].contains("of its own (secret-exec.dev/run-as)"), "{:?}", ok(&half).warnings);
}

#[test]
fn another_injectors_annotations_are_pointed_out() {
    let text = |place: &str| place.replace("ANNOTATIONS", "annotations: {vault.hashicorp.com/agent-inject: 'true'}");
    let pod = text("kind: Pod\nmetadata: {ANNOTATIONS}\nspec: {containers: [{name: a}]}\n");
    let not_read = "has annotations below vault.hashicorp.com/, which are another injector's and not read here; to have them \
                    read, list its dialect in the injector's config (dialects: [vault] or [openbao])";
    assert_eq!(said_of(&pod, ""), [format!("(Pod): {not_read}")]);
    let workflow = text("kind: Workflow\nspec: {podMetadata: {ANNOTATIONS}}\n");
    assert_eq!(said_of(&workflow, ""), [format!("(Workflow), spec.podMetadata: {not_read}")]);
    // Where they are read, they are read on pods only.
    let deployment =
        text("kind: Deployment\nmetadata: {ANNOTATIONS}\nspec: {template: {spec: {containers: [{name: a}]}}}\n");
    let said = said_of(&deployment, "dialects: [vault]\n");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("of its own (vault.hashicorp.com/agent-inject), which count on its pod template only"));
    assert!(
        said_of(&workflow, "dialects: [vault]\n")[0].contains("(Workflow), spec.podMetadata: has annotations, but no")
    );
    // A document that only others can read is theirs.
    let odd = "kind: Pod\nmetadata: {annotations: {vault.hashicorp.com/role: !Ref c}}\n";
    assert_eq!(ok(odd).text, odd);
}

#[test]
fn a_key_counts_however_it_is_escaped() {
    let plain = ok(&deployment()).text;
    let hidden = deployment()
        .replace("secret-exec.dev/", "\"secret-exec.dev\\x2F")
        .replace("\\x2Fvault-role:", "\\x2Fvault-role\":");
    let hidden = hidden.replace("\\x2Ffile.db:", "\\x2Ffile.db\":");
    assert!(!hidden.contains("secret-exec.dev/"));
    assert_eq!(json(&ok(&hidden).text), json(&plain));
    let json_text = serde_json::to_string(&json(&deployment())[0]).unwrap();
    let hidden = json_text.replace("secret-exec.dev/", "secret\\u002dexec.dev\\u002f");
    assert_eq!(json(&ok(&hidden).text), json(&plain));
    // What a backslash hides nothing in may be anything that YAML is.
    let foreign = "a: \"\\x41\"\nb: !Ref c\na: 2\n";
    assert_eq!(ok(foreign).text, foreign);
}

#[test]
fn directives_stand_before_their_document() {
    let text = "%YAML 1.1\n---\na: 1\n";
    assert_eq!(ok(text).text, text);
    let injected = ok(&format!("%YAML 1.1\n# head\n---\n{}", deployment()));
    assert_eq!(injected.changed.len(), 1);
    assert!(injected.text.starts_with("%YAML 1.1\n# head\n---\n"));
}

#[test]
fn aliases_and_merge_keys_are_followed() {
    let text = deployment().replace("labels: {app: web}", "labels: &l {app: web}")
        + "  selector: {matchLabels: *l}\n  extra:\n    <<: *l\n    app: other\n    <<: [{x: z}]\n";
    let found = json(&ok(&text).text);
    assert_eq!(found[0]["spec"]["selector"]["matchLabels"]["app"], "web");
    assert_eq!(found[0]["spec"]["extra"], serde_json::json!({ "app": "other", "x": "z" }));
}

#[test]
fn files_are_kept_apart() {
    let injector = Injector::unconfigured();
    let file = |name, text| Text { name, text };
    let output = manifest(&[file("a", "a: 1"), file("b", "---\nb: 2\n"), file("c", "c: 3\n")], &injector).unwrap();
    assert_eq!(output.text, "a: 1\n---\nb: 2\n---\nc: 3\n");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(\\PC|[\\n:{}\\[\\]&*!|>'\"#-]|secret-exec.dev/file.a: |---\\n|spec:|containers:|  ){0,40}") {
        if let Ok(output) = run(&text) {
            prop_assert!(!output.changed.is_empty() || output.text == text);
        }
    }
}
