//! The product as its users meet it: its programs, real servers, real users, real mounts. `./tests/run` sets all of it up.
//!
//! What the tests stand on (places, processes, real servers, a proxy that misbehaves) is the crate `tests/support`.
//!
//! Table of contents, in the order data flows:

#![allow(
    clippy::disallowed_methods,
    reason = "the suite is the outside world: it has an environment, a clock, processes"
)]
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, missing_debug_implementations, reason = "this is a test")]
#![allow(clippy::print_stderr, reason = "skips are said on stderr, by name")]

mod parts; // those servers start, answer and misbehave as a test says

// The house
mod architecture; // the arrows point down, `unsafe` stays in one place, the diagram is true

// What is asked for
mod bad_input; // every kind of bad input: code, place, what to do, and the app did not run
mod config; // layers, all mistakes at once, schema, check

// Who asks, and what comes
mod auth_page; // the methods of docs/auth.md
mod aws;
mod aws_messages; // Secrets Manager: spellings, batches, versions, regions, roles
mod fetch; // Vault: each secret once, every engine, leases, retries, failures
mod hostile; // backends that turn hostile: answers without end, within the memory of a pod
mod namespace; // rootless: ids that are not there
mod local; // a file that answers instead of any server
mod messages; // each cause of a failure by its own name
mod login; // every method of Vault's, TLS, proxy, namespaces
mod expiring; // what ends by itself without a lease: refused or accepted where nobody stays
mod start; // one that ends early: in time, and nothing issued is left

// What the app gets
mod environment; // variables: added, scrubbed, resolved, refused
mod render; // formats and templates as they are delivered
mod go_templates; // Go's language: the bytes of `bao agent`, mistakes, bounds
mod volume; // files on memory: layout, owners, readers, refusals
mod tampered; // an app that puts something else in the place of our names does not block the next start

// How it runs
mod born; // nobody of its uid looks into it while it starts; nobody traces it
mod command; // looked up as the app; nothing stays when it cannot be executed
mod exec; // the process is replaced, nothing is lost, codes and signals as they are
mod install; // the program copies itself
mod elf; // how the programs are linked: static, position-independent, read-only relocations
mod terminal; // colour, JSON, standard input, a status that is shown again
mod shell; // completions and manual pages
mod limits; // what the environment limits is never a bug
mod keyring; // the starter's keys are not the app's
mod log; // what the levels say of DNS, TLS, proxies, tries and schedules
mod leak; // a canary is nowhere but where it belongs
mod privilege; // root becomes the app, provably and for good
mod root_only; // what only root may read is read before the drop
mod protected; // no reference reaches our identity, state, volume or /proc
mod pinned; // no variable moves a pinned login
mod sandbox; // what stays confines itself, and the app does not inherit it
mod shared_terminal; // a terminal that others use too: the app gets each signal once
mod supervise;
mod systemd; // as a parent: forward, reap, terminal, status

// What users copy
mod examples; // examples run as they stand; manifests and configs are valid
