//! Nothing: what is wanted of this build is `libfuzzer.a`.
