//! Where libFuzzer is: `fuzz/run` builds it and says so in FUZZ_ENGINE.

fn main() {
    println!("cargo:rerun-if-env-changed=FUZZ_ENGINE");
    let engine = std::env::var("FUZZ_ENGINE").expect("FUZZ_ENGINE is not set: use fuzz/run");
    println!("cargo:rustc-link-search=native={engine}");
    println!("cargo:rustc-link-lib=static=fuzzer");
    println!("cargo:rustc-link-lib=stdc++");
}
