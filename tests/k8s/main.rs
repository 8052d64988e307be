//! Kubernetes as its users meet it: the program `secret-inject`, what lies in `deploy/` and `examples/`, and the docs.

#![allow(clippy::disallowed_methods, reason = "the suite is the outside world: it has a clock, processes, files")]
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, missing_debug_implementations, reason = "this is a test")]
#![allow(clippy::print_stderr, reason = "skips are said on stderr, by name")]

mod shapes; // pods that could make an admission expensive
mod support; // processes, a TLS client, Python

mod cel; // the expressions that the API server evaluates: who is called, who is refused
mod cluster; // what `tests/cluster/run` would do, without a cluster
mod cost; // what an admission costs as a pod grows
mod deploy; // every manifest is valid, loads, and says what the contract says
mod dialects; // the policy about other injectors' annotations, evaluated
mod docs; // the reference is what the code knows
mod helm; // the chart: the same objects as kustomize makes, and certificates that serve
mod kustomize; // `deploy/` as it is applied: base and overlays, put together
mod monitoring; // rules and dashboard name metrics that the webhook serves
mod migrate; // manifests for other injectors, rewritten
mod offline; // `manifest`: pipes, files, exit codes, what other YAML readers make of the output
mod pages; // links, the book, and what the compliance page names
mod peers; // every key of other injectors is answered
mod policies; // admission policies about secrets in pods, evaluated
mod release; // workflows, archives, packages, provenance
mod setup; // the commands of `examples/kubernetes/vault-setup` run against a real server
mod versions; // every supported version of Kubernetes takes what is applied and injected
mod webhook; // the server: TLS, reload, limits, slow clients, drain
