//! The control socket: one line in, an answer out, over a UNIX socket (HAProxy management guide,
//! "Unix Socket commands": the non-interactive form). Both daemons listen with it, both command line
//! tools ask with it.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixSocket, UnixStream};

/// Longest command line that is read, in bytes.
pub const MAX_COMMAND: u64 = 16 * 1024;
/// How long a client may take to send its command, and to take its answer.
pub const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer that [`ask`] takes, in bytes.
pub const MAX_ANSWER: u64 = 16 * 1024 * 1024;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 128;

/// Why a daemon could not be asked.
#[derive(Debug, Error)]
pub enum AskError {
    /// Nobody answers there.
    #[error("nothing listens on {path}: {source}. Is the daemon running, and is this its control socket?")]
    Unreachable {
        /// The socket that was tried.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It stopped answering.
    #[error("no whole answer from {path}: {source}")]
    NoAnswer {
        /// The socket that was asked.
        path: PathBuf,
        /// What the system said, or a time-out.
        source: io::Error,
    },
}

/// Opens the control socket at `path`, readable and writable by its owner and group. A socket that a
/// dead process left there is replaced; one that answers is an error.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process answers on this socket"));
    }
    bind(path, 0o660)
}

/// Opens a socket at `path` in the place of whatever was there, for those whom `mode` lets: at no moment can
/// anybody else connect to it, and at no moment is there none.
pub fn bind(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    std::fs::create_dir_all(folder)?;
    let fresh = folder.join(format!(".{}", std::process::id()));
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixSocket::new_stream()?;
    socket.bind(&fresh)?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(mode))?;
    let listener = socket.listen(BACKLOG)?;
    std::fs::rename(&fresh, path)?;
    Ok(listener)
}

/// Serves commands for ever: `answer` gets each line without its line end and returns what to write
/// back. At most one command per connection; a client that is slow or sends too much is cut off.
pub async fn serve<F, A>(listener: UnixListener, answer: F)
where
    F: Fn(String) -> A + Clone + Send + 'static,
    A: Future<Output = String> + Send + 'static,
{
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let answer = answer.clone();
                tokio::spawn(async move {
                    // A client that goes away in the middle is its own affair.
                    let _ = tokio::time::timeout(CLIENT_TIMEOUT, serve_one(stream, answer)).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the control socket does not accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve_one<F, A>(stream: UnixStream, answer: F) -> io::Result<()>
where
    F: Fn(String) -> A,
    A: Future<Output = String>,
{
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(MAX_COMMAND)).read_line(&mut line).await?;
    let mut text = answer(line.trim_end().to_owned()).await;
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push('\n');
    write.write_all(text.as_bytes()).await?;
    write.shutdown().await
}

/// Asks the daemon behind `path` one command, and returns its answer without the empty line that
/// ends it. Takes at most [`CLIENT_TIMEOUT`].
pub async fn ask(path: &Path, command: &str) -> Result<String, AskError> {
    let exchange = async {
        let mut stream = UnixStream::connect(path)
            .await
            .map_err(|source| AskError::Unreachable { path: path.to_owned(), source })?;
        let no_answer = |source| AskError::NoAnswer { path: path.to_owned(), source };
        stream.write_all(format!("{command}\n").as_bytes()).await.map_err(no_answer)?;
        let mut text = String::new();
        stream.take(MAX_ANSWER).read_to_string(&mut text).await.map_err(no_answer)?;
        Ok(text.trim_end_matches('\n').to_owned())
    };
    match tokio::time::timeout(CLIENT_TIMEOUT, exchange).await {
        Ok(answer) => answer,
        Err(_) => Err(AskError::NoAnswer { path: path.to_owned(), source: io::ErrorKind::TimedOut.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_gets_its_answer_and_a_second_daemon_is_refused() {
        let folder = tempfile::tempdir().expect("a folder for the socket");
        let path = folder.path().join("run/control.sock");
        let listener = listen(&path).expect("a fresh path");
        let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        let server = tokio::spawn(serve(listener, |line: String| async move { format!("you said {line}") }));
        assert_eq!(ask(&path, "show info").await.expect("an answer"), "you said show info");
        assert_eq!(listen(&path).expect_err("it is taken").kind(), io::ErrorKind::AddrInUse);
        server.abort();
        let _ = server.await;
        assert!(matches!(ask(&path, "x").await, Err(AskError::Unreachable { .. })));
        listen(&path).expect("what a dead process left is replaced");
    }
}
