//! Benchmarks and guards; see `micro/` (how long each stage of the data path takes) and `compare/` (the
//! gateway beside HAProxy and nginx), both by `cargo xtask bench`, `speaker/` and `peers/` by that with their name, and `guards/` (what a stage must never cost, in `cargo xtask test`).
