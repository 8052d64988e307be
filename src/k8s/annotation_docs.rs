//! Generates the reference of annotations as Markdown from the tables of the code.

use std::fmt::Write;

use crate::config::annotations::PREFIX;
use crate::config::options;
use crate::domain::LIMITS;

/// Annotations that contain a name chosen by the user.
const NAMED: [(&str, &str); 7] = [
    (
        "file.NAME",
        "Write a secret to the file NAME: `vault:secret/data/db#password`, `aws-sm:prod/stripe#key`, or the name of a `secret.NAME`.",
    ),
    ("template.NAME", "Write the file NAME from a template: `user={{ secret('db').username }}`."),
    ("format.NAME", "How `file.NAME` is written: raw, json, yaml, dotenv or properties."),
    ("secret.NAME", "A secret that several files use by name: one fetch, one lease."),
    ("env.NAME", "Set the app's variable NAME to a secret. Modes exec and supervise only."),
    (
        "config",
        "The config file as YAML, for what a key cannot spell: names with `/`, over 63 characters, modes, several actions. A key beside it wins.",
    ),
    ("vault-role", "The Vault role of this pod; short for `vault-auth-role`."),
];

/// Annotations that only the injector reads.
const INJECTOR: [(&str, &str); 5] = [
    ("inject", "`\"false\"` switches injection off. Any other key below the prefix asks for it."),
    (
        "mode",
        "`sidecar` (default): a native sidecar keeps files fresh. `init`: an init container delivers once. `exec`: the app's command is wrapped, and replaced by the app. `supervise`: it is wrapped, and restarted or signalled when secrets change.",
    ),
    (
        "containers",
        "Which containers get the secrets, with commas between. Default: the only one, else `kubectl.kubernetes.io/default-container`, else what has them already.",
    ),
    (
        "command.CONTAINER",
        "What the container's image runs, as a JSON array, where the pod does not say it. Modes exec and supervise only.",
    ),
    (
        "resources",
        "Of the injected container, as JSON or YAML: `{\"limits\":{\"memory\":\"64Mi\"}}`. The limit must hold `volume-size` + 16Mi. It counts instead of the operator's as a whole, so name the memory too.",
    ),
];

/// Options that the injector sets, so that no annotation for them is listed.
const ITS_OWN: [&str; 3] = ["state", "supervise", "vault-auth-token-file"];

/// Options for which an injected pod accepts less than the program: annotation, and what it accepts.
const NARROWER: [(&str, &str); 3] = [
    ("vault-auth-method", "kubernetes, jwt or aws"),
    ("volume-owner", ":GID, a group that the pod gets; where the command is wrapped UID:GID or UID, too"),
    ("run-as", "UID:GID; where the command is wrapped USER[:GROUP]"),
];

/// The text of `docs/annotations.md`.
pub fn markdown() -> String {
    let mut out = String::from(
        "# Annotations\n\n\
         Written by the code (`src/k8s/annotation_docs.rs`); a test compares.\n\n\
         Annotations stand on the **pod** (of a Deployment: on `spec.template.metadata`). Each key begins with \
         `secret-exec.dev/`, and any of them asks for injection. An unknown one is refused with the name that was probably \
         meant, and so is what the mode cannot do, and a template with a mistake, with its line and column. They are read \
         once, when the pod is admitted: what they said then stands in the arguments of the injected container, which nobody \
         can edit in a running pod (`kubectl get pod -o yaml` shows them). Changing or removing an annotation later changes \
         nothing.\n\n",
    );
    let mut table = |title: &str, text: &str, rows: &mut dyn Iterator<Item = (String, String)>| {
        let _ = writeln!(out, "## {title}\n\n{text}\n\n| annotation | meaning |\n|---|---|");
        for (key, doc) in rows {
            let _ = writeln!(out, "| `{PREFIX}{key}` | {} |", doc.replace('|', "\\|"));
        }
        out.push('\n');
    };
    let fixed = |rows: &'static [(&'static str, &'static str)]| {
        rows.iter().map(|(key, doc)| ((*key).to_owned(), (*doc).to_owned()))
    };
    table("Secrets", "NAME is a file, a variable or a name of your own.", &mut fixed(&NAMED));
    table("How they get into the pod", "Read by the injector.", &mut fixed(&INJECTOR));
    let mut rows = options().into_iter().filter_map(|option| {
        let key = option.annotation.clone().filter(|key| !ITS_OWN.contains(&key.as_str()))?;
        let narrower = NARROWER.iter().find(|(known, _)| *known == key).map(|(_, text)| *text);
        let expected = narrower.unwrap_or(&option.expected).to_owned();
        Some((key, format!("{} Takes {expected}.", option.doc_with_default())))
    });
    table(
        "Options",
        "Every single option of the config under its own name. What the operator says in the injector's config (addresses, \
         CA, mounts, audience) cannot be said otherwise here; `vault-address` takes what `allowAddresses` lists.",
        &mut rows,
    );
    out.push_str("## What a mode cannot do\n\n| option | not in mode | because, and what works |\n|---|---|---|\n");
    for limit in LIMITS {
        let modes: Vec<_> = limit.modes.iter().map(|mode| format!("`{mode}`")).collect();
        let text = limit.pod.replace("{mode}", "`mode`").replace("{file}", "`file.NAME`");
        let text = text.replace(" in mode {name}", " there");
        let _ = writeln!(out, "| `{}` | {} | {text} |", limit.option, modes.join(", "));
    }
    out.push('\n');
    out.push_str(
        "## What a pod gets\n\n\
         | mode | container `secret-exec` | in the named containers |\n|---|---|---|\n\
         | `sidecar` | a native sidecar; stays, rotates, revokes at the end. With `restartPolicy: Never` an init container \
         `secret-exec-init` before it | `/run/secret-exec` (files in `files/`), read-only |\n\
         | `init` | an init container; delivers once | the same |\n\
         | `exec`, `supervise` | an init container that copies the program | the command begins with the program; files are written by it |\n\n\
         With `volume` the files stand at that path instead (`subPath: files`). A path is denied in `/proc`, `/sys` and `/dev`, over \
         a token of the pod, over what injection mounts (`/run/secret-exec-…`), and where programs need the directory itself (`/etc`, \
         not `/etc/app`). The files belong to a group that the pod gets \
         (`supplementalGroups`), readable by it (0440) whatever user the app is; with `run-as: \"UID:GID\"` they are that \
         user's own (0400). An app whose `runAsUser` is another is refused. With `metrics` on an address that others reach, the \
         sidecar's port is named `secret-exec`; [podmonitor.yaml](../deploy/monitoring/podmonitor.yaml) scrapes it.\n\n\
         The container's arguments are the configuration: `--file NAME=REF` and `--env NAME=REF`, and `--set KEY=VALUE` for \
         everything else, `vault.*` and `aws.*` from the operator among them. `$` is written `$$` there, because kubelet \
         replaces `$(NAME)`. One argument holds less than 128 KiB, so a template does too; all arguments of a pod together hold \
         1 MiB. `--pinned` stands before them: no variable of the container says anything about the backends, proxies, CAs or \
         config files (`VAULT_*`, `BAO_*`, `HTTPS_PROXY` and its like, `SSL_CERT_FILE`, `AWS_ENDPOINT_URL`, `AWS_PROFILE`, \
         `AWS_CONFIG_FILE`, …); what AWS says about a container's identity stays, a credentials endpoint only \
         where it is AWS's own. In modes `exec` and `supervise` such a variable in the app's `env` is refused.\n\n\
         In mode `supervise` there is no state directory: whatever is in the app's container, the app could read, and \
         the state holds the token. So `secret-exec status` and `refresh` do not work there; `metrics` does, and logs \
         say the rest.\n\n\
         ## Jobs\n\n\
         A Job whose secret or role is wrong must fail. Kubelet restarts a native sidecar whatever the pod's \
         `restartPolicy` says, so in a pod with `restartPolicy: Never` an ordinary init container, `secret-exec-init`, \
         fetches and delivers first: when it fails the pod fails, and the Job's `backoffLimit` counts. The native \
         sidecar takes over its login and its leases (one login, one lease), renews, lets the Job complete and revokes \
         at the end. A secret without a lease needs nobody who stays: `mode: init`. \
         [examples/kubernetes/job.yaml](../examples/kubernetes/job.yaml) shows both. `activeDeadlineSeconds` ends a pod \
         that hangs for another reason, such as a sidecar that is killed before the app has started: it is restarted for \
         ever. So the injector warns of a pod with `Never` and a sidecar that has none; it does not see the one of a Job.\n\n\
         With `restartPolicy: OnFailure` there is the sidecar only, and its pod never fails: kubelet starts the sidecar \
         again after 10, 20, 40 seconds and so on. The Job controller adds up the restarts of all containers of the \
         running pods, native sidecars among them. When the sum reaches `backoffLimit` (with 0: at the first restart) it \
         fails the Job and deletes the pod, and the reason with it; with the default of 6 that takes ten minutes and \
         more. Restarts after which the sidecar went on count, too. So prefer `Never`, or set a small `backoffLimit`. \
         Outside of a Job nobody counts, and such a pod is tried again for ever. The injector warns of such a \
         pod, unless it has `activeDeadlineSeconds`.\n\n\
         ## A pod that was not injected\n\n\
         The policy in `deploy/base/policy.yaml` (Kubernetes 1.30 and later) refuses a pod that has annotations below \
         `secret-exec.dev/`, does not say `inject: \"false\"` and has no container of ours. It runs after every \
         webhook, so it catches annotations that another webhook added too late (the API server calls again only \
         webhooks that matched before) and an injector that was not called. It looks at the containers' names only, and \
         not at pods with more than 1,000 annotations, which always reach the injector. For older clusters the \
         component `deploy/before-1.30` takes it away.\n\n\
         ## Who can log in\n\n\
         With `sidecar` and `init` the identity token is mounted in the injected container only. With `exec` and `supervise` \
         the login happens in the app's own container: the token is mounted there, and **the app can log in as itself** and \
         read all that its Vault role may read, not only what the annotations name. Where that is too much, take `sidecar` or \
         `init`.\n\n\
         ## Quotas, limits and quality of service\n\n\
         The injected container asks for 5m CPU and 24Mi, and is limited to 32Mi of memory, unless the operator's \
         `resources` or the annotation `resources` say otherwise. In a pod whose quality of service is Guaranteed it has \
         limits and requests that are the same, so that the pod stays Guaranteed; where nobody names a limit or requests more, \
         these are 50m CPU, and 32Mi or `volume-size` + 16Mi. A \
         namespace with a quota on `limits.cpu` refuses a pod with a container that has no such limit, and a LimitRange may \
         refuse less than its minimum or more than its ratio. The refusal is Kubernetes' own and names neither; what helps is \
         `secret-exec.dev/resources: '{\"requests\":{\"cpu\":\"50m\",\"memory\":\"32Mi\"},\"limits\":{\"cpu\":\"50m\",\"memory\":\"32Mi\"}}'`, \
         or the same in the operator's config.\n",
    );
    out
}
