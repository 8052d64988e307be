//! **Identity** proves who the workload is to a **provider** (Vault/OpenBao or AWS Secrets Manager), which yields
//! **secrets**; they are **rendered**, **delivered** to memory only, the process **drops privileges**, **execs** or
//! **supervises** the app, and the secrets are **rotated** until it ends.
//!
//! Arrows mean "depends on" (what is below, transitively); they never point up.
//!
//! ```text
//! 6  bin/secret-exec · bin/secret-inject ─► cli ─► run k8s
//! 5  run        ─► start rotation process serve            k8s ─► render serve
//! 4  start      ─► backend checkpoint plan                 rotation ─► backend checkpoint plan schedule serve
//! 3  backend    ─► schedule plan sys                     checkpoint ─► provider sys
//! 2  schedule   ─► provider                               plan ─► deliver identity
//! 2  provider   ─► identity      deliver ─► render sys     process ─► sys      serve ─► sys config
//! 1  identity   ─► config sys    render ─► config          config ─► domain
//! 0  domain  (words; no I/O)                               sys  (system calls; the only unsafe)
//! ```
//!
//! The modules, in the order data flows:

pub mod domain;
pub mod config;
pub mod identity;
pub mod provider;
pub mod render;
pub mod deliver;
mod plan;
pub mod schedule;
mod backend;
mod checkpoint;
mod start;
mod rotation;
pub mod process;
pub mod serve;
pub mod run;
pub mod k8s;
pub mod cli;
pub mod sys;

/// Every block that is freed is wiped first: bodies, buffers and parsed values of foreign crates too.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> = zeroizing_alloc::ZeroAlloc(std::alloc::System);
