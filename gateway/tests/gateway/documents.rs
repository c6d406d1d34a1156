//! The examples in the documents, as files that can be loaded.

use crate::client_certificates::Authority;
use crate::harness::{pair, write};
use std::path::{Path, PathBuf};
use std::process::Command;

macro_rules! backend {
    ($name:literal) => {
        concat!(
            "[[backend]]\nname = \"",
            $name,
            "\"\n",
            "server = [{ name = \"s1\", address = \"192.0.2.1:80\" }]\n"
        )
    };
}

/// A fenced example of a document.
pub(crate) struct Example {
    /// The document and the line, for messages.
    pub(crate) place: String,
    text: String,
}

impl Example {
    /// As a whole configuration: what it stands in, before it, and what it refers to, behind it.
    /// Files that it names are in `folder`.
    pub(crate) fn completed(&self, folder: &Path) -> String {
        let mut whole = String::new();
        for (head, part, parent) in PARENTS {
            let first = |heads: &[&str]| {
                self.text.lines().position(|line| heads.iter().any(|head| line.starts_with(head)))
            };
            if first(part).is_some_and(|part| first(&[head]).is_none_or(|head| part < head)) {
                whole += parent;
            }
        }
        whole += &self.text;
        whole = with_servers(&whole);
        for (name, part) in REFERRED_TO {
            if !self.text.contains(&format!("name = \"{name}\"")) {
                whole += part;
            }
        }
        if !whole.contains("[[frontend]]") {
            whole += FRONTEND;
        }
        whole.replace("/etc/headgate", &folder.display().to_string())
    }
}

/// What `name` in the folder of documents says.
pub(crate) fn document(name: &str) -> String {
    // Cargo runs a test in its package's folder; a path built in could be that of an older checkout.
    let path = Path::new("../docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every example of TOML in a document.
pub(crate) fn examples(name: &str) -> Vec<Example> {
    let document = document(name);
    let mut lines = document.lines().enumerate();
    let mut examples = Vec::new();
    while let Some((number, line)) = lines.next() {
        if line.trim() == "```toml" {
            let text = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```");
            let text = text.fold(String::new(), |text, line| text + line + "\n");
            examples.push(Example { place: format!("docs/{name}:{}", number + 2), text });
        }
    }
    examples
}

/// Has each example checked by `headgate check`, certificates and all, and says what is wrong with which.
pub(crate) fn check(examples: &[Example]) {
    let folder = folder();
    let mut wrong = Vec::new();
    for example in examples {
        let file = write(folder.path(), "gateway.toml", &example.completed(folder.path()));
        let output = Command::new(env!("CARGO_BIN_EXE_headgate")).arg("check").arg(file).output();
        let output = output.expect("headgate runs");
        if !output.status.success() {
            wrong.push(format!("{}: {}", example.place, String::from_utf8_lossy(&output.stderr)));
        }
    }
    assert!(wrong.is_empty(), "examples that do not load:\n{}", wrong.join("\n"));
}

/// With a server in each backend that shows none.
fn with_servers(text: &str) -> String {
    let mut parts = text.split("[[backend]]\n");
    let before = parts.next().unwrap_or_default().to_owned();
    parts.fold(before, |whole, part| {
        let server = if ["\nserver = ", "[backend.server"].iter().any(|server| part.contains(server)) {
            ""
        } else {
            SERVER
        };
        format!("{whole}[[backend]]\n{part}{server}")
    })
}

/// A folder with every file that examples name below `/etc/headgate`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = pair(folder.path(), "public");
    let both: Vec<u8> = [cert.clone(), key].iter().flat_map(read).collect();
    std::fs::copy(&cert, folder.path().join("ca.pem")).expect("a file");
    std::fs::create_dir(folder.path().join("tls")).expect("a folder");
    std::fs::write(folder.path().join("tls/public.pem"), both).expect("a file");
    std::fs::create_dir(folder.path().join("errors")).expect("a folder");
    write(folder.path(), "errors/later.json", "{}\n");
    write(folder.path(), "blocked.acl", "198.51.100.0/24\n");
    write(folder.path(), "tools.acl", "^(curl|python-requests)/\n");
    Authority::new(folder.path(), "clients-ca.pem").revoke(folder.path(), &[]);
    write(folder.path(), "ticket-keys", &format!("{}\n", "A".repeat(64)).repeat(3));
    write(folder.path(), "api-keys.map", "k3y acme gold\n");
    let jwk = format!("{{\"keys\":[{{\"kty\":\"oct\",\"k\":\"{}\"}}]}}", "A".repeat(43));
    write(folder.path(), "jwks.json", &jwk);
    write(folder.path(), "hosts.map", "volume.infra.example volume\n");
    folder
}

fn read(path: &PathBuf) -> Vec<u8> {
    std::fs::read(path).expect("it was just written")
}

/// Heads that parts of a file stand under: the head, how its parts begin, what is put before them.
const PARENTS: [(&str, &[&str], &str); 2] = [
    ("[[frontend]]", &["[[frontend.", "[frontend."], FRONTEND),
    ("[[backend]]", &["[[backend.", "[backend."], "[[backend]]\nname = \"of_the_example\"\n"),
];

const FRONTEND: &str =
    "[[frontend]]\nname = \"of_the_example\"\nbind = [\"127.0.0.1:1\"]\ndefault_backend = \"compute\"\n";

const SERVER: &str = "[[backend.server]]\nname = \"s1\"\naddress = \"192.0.2.1:80\"\n";

/// What examples refer to.
const REFERRED_TO: [(&str, &str); 5] = [
    ("clients", "[[stick_table]]\nname = \"clients\"\n"),
    ("compute", backend!("compute")),
    ("volume", backend!("volume")),
    ("network", backend!("network")),
    ("galera", backend!("galera")),
];
