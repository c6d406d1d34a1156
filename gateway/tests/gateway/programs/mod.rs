//! Real programs on both sides of the gateway: what they can do with each other, they can do through it.

mod bodies;
mod curl;
mod grpc;
mod h2load;
mod nghttp;
mod python;
mod websocket;

use std::process::{Command, Output};

/// Whether a program, or a file by its whole path, is there; says so if a test is skipped for it.
pub(crate) fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(Into::into));
    let found = folders.map(|folder| folder.join(program)).any(|file| file.is_file());
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// What a program wrote, all of it, once it has ended well.
pub(crate) fn output(command: &mut Command) -> String {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    assert!(status.success(), "{command:?}: {status}\n{said}");
    said
}
