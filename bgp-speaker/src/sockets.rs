//! What is listened on: the control socket, the metrics, the port of BGP; of this process, or of the one before it.

use crate::handover::take::Inherited;
use crate::listener::{self, Door};
use crate::metrics::{self, Metrics};
use crate::run::StartError;
use crate::text_api;
use base::control;
use base_core::diagnose::Source;
use bgp_core::config::Config;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use toml::Spanned;

pub(crate) struct Sockets {
    control: (String, UnixListener),
    text_api: Option<(String, UnixListener)>,
    metrics: Option<(String, TcpListener)>,
    bgp: Vec<(String, TcpListener)>,
}

/// What serves.
pub(crate) struct Servers {
    pub(crate) tasks: JoinSet<()>,
    /// Ends when the tasks have been ended, and nobody waits for an answer of the control socket any more.
    pub(crate) answers: mpsc::Receiver<Infallible>,
}

impl Sockets {
    /// Opens what `config` asks for and is not inherited; what cannot be opened is said with its place in `source`.
    pub(crate) fn open(
        config: &Config,
        source: &Source,
        inherited: &mut Inherited,
    ) -> Result<Self, StartError> {
        let wrong = |span: Range<usize>, message: String, help: &str| {
            StartError::Config(Box::new(source.at(span, message).help(help)))
        };
        let mut unix = |path: &Spanned<PathBuf>| {
            open_unix(path.get_ref(), inherited).map_err(|error| {
                let message = format!("the socket {} cannot be opened: {error}", path.get_ref().display());
                let help = "a path in a folder that this user may write to, and no other speaker on it";
                wrong(path.span(), message, help)
            })
        };
        let control = unix(&config.bgp.socket)?;
        let text_api = config.text_api.socket.as_ref().map(&mut unix).transpose()?;
        let open = |(at, span): &(SocketAddr, Range<usize>)| {
            let name = format!("metrics {at}");
            let listener = open_tcp(*at, inherited.take(&name)).map_err(|error| {
                let message = format!("{at} cannot be listened on: {error}");
                wrong(span.clone(), message, "an address of this node and a port that is free")
            })?;
            Ok((name, listener))
        };
        let metrics = config.bgp.metrics.as_ref().map(|at| (*at.get_ref(), at.span()));
        let metrics = metrics.as_ref().map(open).transpose()?;
        let mut bgp = Vec::new();
        for (at, span) in listener::places(config) {
            let name = format!("bgp {at}");
            let listener = listener::open(at, config, inherited.take(&name)).map_err(|error| {
                let help =
                    "an address of this node and a port that is free; below 1024 it takes CAP_NET_BIND_SERVICE";
                wrong(span, format!("neighbors cannot connect to {at}: {error}"), help)
            })?;
            bgp.push((name, listener));
        }
        Ok(Self { control, text_api, metrics, bgp })
    }

    /// For another process, by name.
    pub(crate) fn copies(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        let copy = |name: &String, socket: &dyn AsFd| -> io::Result<(String, OwnedFd)> {
            Ok((name.clone(), socket.as_fd().try_clone_to_owned()?))
        };
        let mut all = vec![copy(&self.control.0, &self.control.1)?];
        if let Some((name, socket)) = &self.text_api {
            all.push(copy(name, socket)?);
        }
        for (name, socket) in self.metrics.iter().chain(&self.bgp) {
            all.push(copy(name, socket)?);
        }
        Ok(all)
    }

    /// Serves all of them, until the tasks are ended.
    pub(crate) fn serve(
        &self,
        metrics: &Metrics,
        doors: &Arc<[Door]>,
        control: &Arc<crate::control::Control>,
        asker: Option<&text_api::Asker>,
    ) -> io::Result<Servers> {
        let mut tasks = JoinSet::new();
        let (busy, answers) = mpsc::channel(1);
        let shared = Arc::clone(control);
        let listener = tokio::net::UnixListener::from_std(self.control.1.try_clone()?)?;
        tasks.spawn(control::serve(listener, move |command| {
            // Each connection has a copy of this closure until its answer is written.
            let (shared, _) = (Arc::clone(&shared), &busy);
            async move { shared.answer(&command).await }
        }));
        if let (Some((_, listener)), Some(asker)) = (&self.text_api, asker) {
            let listener = tokio::net::UnixListener::from_std(listener.try_clone()?)?;
            tasks.spawn(text_api::serve(listener, asker.clone()));
        }
        let tokio = |listener: &TcpListener| tokio::net::TcpListener::from_std(listener.try_clone()?);
        if let Some((_, listener)) = &self.metrics {
            tasks.spawn(metrics::serve(tokio(listener)?, metrics.clone()));
        }
        for (_, listener) in &self.bgp {
            tasks.spawn(listener::serve(tokio(listener)?, Arc::clone(doors)));
        }
        Ok(Servers { tasks, answers })
    }
}

fn open_unix(path: &Path, inherited: &mut Inherited) -> io::Result<(String, UnixListener)> {
    let name = format!("unix {}", path.display());
    let listener = match inherited.take(&name) {
        Some(socket) => socket.into(),
        None => control::listen(path)?.into_std()?,
    };
    Ok((name, listener))
}

fn open_tcp(at: SocketAddr, inherited: Option<OwnedFd>) -> io::Result<TcpListener> {
    let listener = match inherited {
        Some(socket) => socket.into(),
        None => TcpListener::bind(at)?,
    };
    listener.set_nonblocking(true)?;
    Ok(listener)
}
