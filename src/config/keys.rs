//! Every key of the configuration with its description. There is no other list of keys.

use super::form::Form;
use super::shape::{Choice, Field, Names, Object, Presence, Shape, SingleItem, Tagged, Variant};

mod entries;

use entries::{ENV_FROM, FILE, SECRET, VARIABLE};

/// The root of the configuration.
pub(super) static ROOT: Shape = Shape::Object(&Object {
    fields: &[
        Field::new("vault", Shape::Object(&VAULT), "Vault or OpenBao."),
        Field::new("aws", Shape::Object(&AWS), "AWS Secrets Manager; credentials come from the SDK's default chain."),
        Field::new(
            "volume",
            Shape::Short { form: Form::Directory, into: Some("path"), long: &VOLUME },
            "Where files go: a directory in memory. A string alone is its path.",
        )
        .default("/run/secret-exec/files")
        .flag("DIR"),
        Field::new(
            "secrets",
            Shape::Map { names: Names::Secrets, value: &SECRET },
            "Named secrets: one fetch each, used by name in files, env and templates.",
        ),
        Field::new(
            "files",
            Shape::Map { names: Names::Files, value: &FILE },
            "Files to write, by their name below the volume.",
        ),
        Field::new(
            "env",
            Shape::Map { names: Names::Variables, value: &VARIABLE },
            "Environment variables of the app, by name.",
        ),
        Field::new(
            "envFrom",
            Shape::List { item: &ENV_FROM, single_item: SingleItem::Refused },
            "Secrets whose every key becomes an environment variable; two that clash are an error.",
        ),
        Field::new(
            "passEnv",
            Shape::List { item: &PATTERN, single_item: SingleItem::Refused },
            "Inherited variables (NAME or PREFIX*) that are neither taken from the app nor resolved.",
        ),
        Field::single(
            "inherit",
            Form::Inherit,
            "Which inherited variables are resolved when their whole value is a reference: none, or some of \
             vault,aws-sm,arn, or bank-vaults for its references, which may stand inside a text.",
        )
        .flag("KINDS")
        .default("vault,aws-sm"),
        Field::single("scrubAws", Form::Bool, "Take AWS credentials out of the app's environment.").default("false"),
        Field::single("runAs", Form::RunAs, "The user and group the app runs as, by name or number.")
            .flag("USER[:GROUP]"),
        Field::single(
            "supervise",
            Form::Bool,
            "Stay as the app's parent: rotate, notify or restart, forward signals, reap.",
        )
        .switch()
        .default("false"),
        Field::single("leaveLeases", Form::Bool, "Accept secrets with a lease where no process stays to renew them.")
            .switch()
            .default("false"),
        Field::new(
            "onChange",
            Shape::List { item: &ACTION, single_item: SingleItem::Allowed },
            "What happens after a change: none, signal:HUP, signal:HUP@PROCESS, restart or http:URL.",
        )
        .flag("ACTION")
        .default("none"),
        Field::new(
            "refresh",
            Shape::Short { form: Form::Duration, into: Some("vault"), long: &REFRESH },
            "How often secrets without a lease are read again. A text alone is for Vault and files.",
        ),
        Field::new("renewal", Shape::Object(&RENEWAL), "When leases and the login are renewed and replaced."),
        Field::single(
            "templateLanguage",
            Form::Words(&["jinja", "go"]),
            "The language of templates that name none themselves: jinja, or go, as Vault Agent and consul-template have it.",
        )
        .default("jinja"),
        Field::single(
            "onExpired",
            Form::Words(&["keep", "remove", "stop"]),
            "What happens to the files of a secret that expired; stop ends the app (exit 75).",
        )
        .default("keep"),
        Field::single("timeout", Form::Duration, "From the start until everything has been delivered once.")
            .flag("DURATION")
            .default("60s"),
        Field::single(
            "revokeDelay",
            Form::Duration,
            "How long a sidecar that is asked to end goes on before it revokes what was issued. In a pod the app ends first, and \
             terminationGracePeriodSeconds must be longer than both together.",
        )
        .default_is("not at all"),
        Field::single(
            "state",
            Form::Directory,
            "Private directory for the control socket and a sidecar's state, in memory; without one, secret-exec-state in \
             $RUNTIME_DIRECTORY (systemd) or, outside containers, in $XDG_RUNTIME_DIR, where that is ours, else in /run.",
        )
        .flag("DIR")
        .default("/run/secret-exec-state")
        .never_by_annotation(),
        Field::single("metrics", Form::Listen, "HOST:PORT for health and metrics.").flag("ADDR").default_is("off"),
        Field::single(
            "sandbox",
            Form::Words(&["off", "log", "on"]),
            "Whether a sidecar or supervisor confines itself (seccomp, Landlock); with log the kernel's audit log names what \
             would be refused.",
        )
        .flag("off|log|on")
        .default("on")
        .never_by_annotation(),
        Field::single("logFormat", Form::Words(&["text", "json"]), "Format of the log lines on stderr: text or json.")
            .flag("text|json")
            .default("text"),
        Field::single(
            "logLevel",
            Form::Words(&["error", "warn", "info", "debug", "trace"]),
            "How much is logged: error, warn, info, debug or trace.",
        )
        .flag("LEVEL")
        .default("info"),
    ],
    choice: None,
});

/// The section `vault`.
pub(super) static VAULT: Object = Object {
    fields: &[
        Field::single("address", Form::Address, "http:// or https://, host, port; or unix:// and a socket.").default_is("VAULT_ADDR"),
        Field::single("namespace", Form::Namespace, "X-Vault-Namespace.").default_is("VAULT_NAMESPACE"),
        Field::single("ca", Form::Certificates, "The private CA, as PEM text."),
        Field::single("caFile", Form::Path, "The private CA, as a PEM file.")
            .default_is("VAULT_CACERT")
            .never_by_annotation(),
        Field::single("caPath", Form::Path, "Private CAs, as a directory of PEM files.")
            .default_is("VAULT_CAPATH")
            .never_by_annotation(),
        Field::single("tlsServerName", Form::Host, "The name to ask for and verify instead of the address's host.")
            .default_is("VAULT_TLS_SERVER_NAME")
            .never_by_annotation(),
        Field::single(
            "clientCertFile",
            Form::Path,
            "A certificate chain to show in TLS, whatever the auth method, as a PEM file.",
        )
        .default_is("VAULT_CLIENT_CERT")
        .never_by_annotation(),
        Field::single("clientKeyFile", Form::Path, "Its private key, as a PEM file.")
            .default_is("VAULT_CLIENT_KEY")
            .never_by_annotation(),
        Field::single("proxy", Form::Proxy, "An http:// proxy for this backend.")
            .default_is("HTTPS_PROXY and NO_PROXY")
            .never_by_annotation(),
        Field::single(
            "redirectHosts",
            Form::Hosts,
            "HOST[:PORT], with commas between them: where a standby may redirect to, beside the address itself. Default: \
             nowhere else.",
        )
        .never_by_annotation(),
        Field::single(
            "skipVerify",
            Form::Bool,
            "Do not verify the server's certificate; refused unless allowInsecure is true too.",
        )
        .default("false")
        .never_by_annotation(),
        Field::single("allowInsecure", Form::Bool, "Says that skipVerify is meant.")
            .default("false")
            .never_by_annotation(),
        Field::new("auth", Shape::Tagged(&AUTH), "How we prove who we are."),
    ],
    choice: Some(Choice { ways: &[&["ca"], &["caFile"], &["caPath"]], presence: Presence::Optional }),
};

static METHOD: Field = Field::single("method", Form::Words(METHODS), "The auth method.").required();

/// The auth methods, in the order of the documentation.
pub(super) const METHODS: &[&str] = &["kubernetes", "jwt", "approle", "aws", "cert", "token-file"];

const ROLE: Field = Field::single("role", Form::Plain, "The Vault role.");

/// A key `mount`.
const fn mount(doc: &'static str) -> Field {
    Field::single("mount", Form::Mount, doc)
}

static AUTH: Tagged = Tagged {
    tag: &METHOD,
    variants: &[
        Variant {
            name: "kubernetes",
            doc: "A service account token, reviewed by the cluster.",
            object: Object {
                fields: &[
                    ROLE.required(),
                    mount("Where the method is mounted, without auth/.").default("kubernetes"),
                    Field::single("tokenFile", Form::Path, "The file that holds the token.")
                        .default("/var/run/secrets/kubernetes.io/serviceaccount/token")
                        .never_by_annotation(),
                    Field::single("audience", Form::Plain, "Of the token the injector projects.").default("vault"),
                ],
                choice: None,
            },
        },
        Variant {
            name: "jwt",
            doc: "A JWT, verified by its issuer's keys.",
            object: Object {
                fields: &[
                    ROLE.required(),
                    mount("Where the method is mounted, without auth/.").default("jwt"),
                    Field::single("tokenFile", Form::Path, "The file that holds the token.")
                        .required()
                        .never_by_annotation(),
                    Field::single("audience", Form::Plain, "Of the token the injector projects."),
                ],
                choice: None,
            },
        },
        Variant {
            name: "approle",
            doc: "Role id and secret id.",
            object: Object {
                fields: &[
                    mount("Where the method is mounted, without auth/.").default("approle"),
                    Field::single("roleId", Form::Plain, "The role id, which is not a secret."),
                    Field::single("roleIdFile", Form::Path, "The file that holds the role id.").never_by_annotation(),
                    Field::single("secretIdFile", Form::Path, "The file that holds the secret id.")
                        .never_by_annotation(),
                    Field::single("secretIdWrapped", Form::Bool, "The file holds a response-wrapping token instead.")
                        .default("false"),
                ],
                choice: Some(Choice { ways: &[&["roleId"], &["roleIdFile"]], presence: Presence::Required }),
            },
        },
        Variant {
            name: "aws",
            doc: "A signed GetCallerIdentity.",
            object: Object {
                fields: &[
                    ROLE.required(),
                    mount("Where the method is mounted, without auth/.").default("aws"),
                    Field::single("serverId", Form::Plain, "X-Vault-AWS-IAM-Server-ID."),
                    Field::single("region", Form::Region, "Of the STS endpoint signed for."),
                ],
                choice: None,
            },
        },
        Variant {
            name: "cert",
            doc: "A TLS client certificate.",
            object: Object {
                fields: &[
                    mount("Where the method is mounted, without auth/.").default("cert"),
                    ROLE,
                    Field::single("certFile", Form::Path, "The PEM file with the certificate chain.")
                        .required()
                        .never_by_annotation(),
                    Field::single("keyFile", Form::Path, "The PEM file with the private key.")
                        .required()
                        .never_by_annotation(),
                ],
                choice: None,
            },
        },
        Variant {
            name: "token-file",
            doc: "A token that something else renews; it is never revoked.",
            object: Object {
                fields: &[Field::single(
                    "path",
                    Form::Path,
                    "The file that holds the token; read again when it changes.",
                )
                .required()
                .never_by_annotation()],
                choice: None,
            },
        },
    ],
};

/// The section `aws`.
pub(super) static AWS: Object = Object {
    fields: &[
        Field::single("region", Form::Region, "Where an ARN does not say.")
            .default_is("AWS_REGION, then AWS_DEFAULT_REGION"),
        Field::new(
            "assumeRole",
            Shape::Short { form: Form::RoleArn, into: Some("arn"), long: &ASSUME_ROLE },
            "A role to assume for every reference that names none itself. A text alone is its ARN.",
        ),
    ],
    choice: None,
};

static ASSUME_ROLE: Object = Object {
    fields: &[
        Field::single("arn", Form::RoleArn, "The role's ARN.").required(),
        Field::single("externalId", Form::Plain, "ExternalId."),
    ],
    choice: None,
};

static VOLUME: Object = Object {
    fields: &[
        Field::single("path", Form::Directory, "An absolute path.").default("/run/secret-exec/files"),
        Field::single("owner", Form::Owner, "UID:GID, UID or :GID.").default_is("runAs, else the current user"),
        Field::single("size", Form::Size, "Of a tmpfs that we mount.").default("8Mi"),
        Field::single(
            "links",
            Form::Directory,
            "A directory beside it, with a folder of links for each folder of files, for mounts of their own.",
        )
        .default_is("none")
        .never_by_annotation(),
    ],
    choice: None,
};

static REFRESH: Object = Object {
    fields: &[
        Field::single("vault", Form::Duration, "Vault and files.").default("5m"),
        Field::single("aws", Form::Duration, "Secrets Manager.").default("1h"),
    ],
    choice: None,
};

static RENEWAL: Object = Object {
    fields: &[
        Field::single("at", Form::RenewalAt, "Percent of its life after which something is renewed.")
            .default_is("two thirds"),
        Field::single(
            "jitter",
            Form::RenewalJitter,
            "Percent of its life or interval that chance takes off, so that replicas go apart.",
        )
        .default("10%"),
        Field::single(
            "handOver",
            Form::HandOver,
            "The longest that a credential and its successor live side by side (a tenth of its life, if that is less).",
        )
        .default("5m"),
    ],
    choice: None,
};

static PATTERN: Shape = Shape::Single(Form::Pattern);

static ACTION: Shape = Shape::Short {
    form: Form::Action,
    into: None,
    long: &Object {
        fields: &[
            Field::single("signal", Form::Signal, "A signal to the app."),
            Field::single("process", Form::Process, "Instead to the oldest process of that name (sidecar)."),
            Field::new(
                "run",
                Shape::List { item: &ARGUMENT, single_item: SingleItem::Refused },
                "A command with its arguments.",
            )
            .never_by_annotation(),
            Field::single("http", Form::Url, "POST to this URL."),
            Field::single("remote", Form::Bool, "The URL need not be on loopback.")
                .default("false")
                .never_by_annotation(),
        ],
        choice: Some(Choice {
            ways: &[&["signal", "process"], &["run"], &["http", "remote"]],
            presence: Presence::Required,
        }),
    },
};

static ARGUMENT: Shape = Shape::Single(Form::Argument);
