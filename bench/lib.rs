//! Benchmarks and guards; see `micro/` (how long each stage of the data path takes, `cargo xtask
//! bench`) and `guards/` (what a stage must never cost, in `cargo xtask test`).
