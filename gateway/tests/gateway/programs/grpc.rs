//! A gRPC client and server, Python's `grpcio`: over TLS and HTTP/2 to the gateway, over HTTP/2 to the server.

use super::python::Script;
use crate::harness::{Gateway, pair};

#[test]
fn grpc_calls_of_all_kinds_pass_with_their_trailers() {
    let needs = "/usr/lib/python3/dist-packages/grpc/__init__.py";
    let Some(mut script) = Script::new(include_str!("grpc.py"), needs) else { return };
    let server = script.serve(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = pair(folder.path(), "localhost");
    let gateway = Gateway::start(&format!(
        "workers = 4\n[admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n[log]\nto = \"FOLDER/access.log\"\n\
         [[frontend]]\nname = \"fe\"\nbind = [\"FRONT\"]\ntls = {{ cert = \"{}\", key = \"{}\" }}\n\
         default_backend = \"be\"\n\
         [[backend]]\nname = \"be\"\nserver = [{{ name = \"s1\", address = \"{server}\", proto = \"h2\" }}]\n",
        cert.display(),
        key.display(),
    ));
    let target = format!("localhost:{}", gateway.front.port());
    assert_eq!(script.ask(&[&target, &cert.display().to_string()]), "ok\n");
    let lines = gateway.log_lines(7);
    assert!(lines.iter().all(|line| line.contains(" 200 ") && line.contains(" ---- ")), "{lines:#?}");
}
