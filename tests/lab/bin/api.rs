//! The API server of the lab: answers what a test asks for, and says what it saw.
//!
//! `/` and `/whoami` what arrived, as JSON; `/health` 200; `/slow?ms=N` an answer after N ms;
//! `/stream?ms=N&every=M` a piece every M ms for N ms; `/echo` the body; `/status/N` that status;
//! `/close` no answer at all.

use bytes::Bytes;
use clap::Parser;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::{Interval, interval, sleep};

#[derive(Parser)]
#[command(name = "lab-api", about = "The API server of the lab")]
struct Args {
    /// Where to listen
    #[arg(long)]
    bind: SocketAddr,
    /// The server's name
    #[arg(long)]
    name: String,
    /// The service that it is of
    #[arg(long)]
    service: String,
}

type Answer = Response<Either<Full<Bytes>, Drip>>;
type Refusal = Box<dyn std::error::Error + Send + Sync>;

fn main() -> anyhow::Result<()> {
    let args = Arc::new(Args::parse());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(args))
}

async fn serve(args: Arc<Args>) -> anyhow::Result<()> {
    let listener = TcpListener::bind(args.bind).await?;
    let mut connections = 0_u64;
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        connections += 1;
        let (args, connection) = (Arc::clone(&args), connections);
        let service = service_fn(move |request| answer(Arc::clone(&args), request, from, connection));
        tokio::spawn(async move {
            // A client that breaks its connection is its own affair.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    args: Arc<Args>,
    request: Request<Incoming>,
    from: SocketAddr,
    connection: u64,
) -> Result<Answer, Refusal> {
    let milliseconds = |key: &str, default: u64| {
        let query = request.uri().query().unwrap_or_default();
        let value = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == key);
        Duration::from_millis(value.and_then(|(_, value)| value.parse().ok()).unwrap_or(default))
    };
    // The services are also reached by a prefix: /compute/slow is /slow.
    let path = request.uri().path();
    let path = path.strip_prefix(&format!("/{}", args.service)).unwrap_or(path).to_owned();
    let body = match path.as_str() {
        "/close" => return Err("no answer, as asked".into()),
        "/slow" => {
            sleep(milliseconds("ms", 4000)).await;
            Either::Left(Full::from("done\n"))
        }
        "/stream" => Either::Right(Drip::new(milliseconds("ms", 4000), milliseconds("every", 100))),
        "/echo" => Either::Left(Full::from(request.collect().await?.to_bytes())),
        "/health" => Either::Left(Full::from("ok\n")),
        _ => Either::Left(Full::from(seen(&args, &request, from, connection))),
    };
    let status = path.strip_prefix("/status/").and_then(|code| code.parse::<StatusCode>().ok());
    let mut answer = Response::new(body);
    *answer.status_mut() = status.unwrap_or_default();
    answer.headers_mut().insert(&tests::http::SERVER, args.name.parse()?);
    Ok(answer)
}

/// What arrived, as JSON.
fn seen(args: &Args, request: &Request<Incoming>, from: SocketAddr, connection: u64) -> String {
    let headers: serde_json::Map<_, _> = request
        .headers()
        .keys()
        .map(|name| {
            let values = request.headers().get_all(name).iter();
            let values: Vec<_> = values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
            (name.to_string(), values.join(", ").into())
        })
        .collect();
    let seen = serde_json::json!({
        "server": args.name,
        "service": args.service,
        "method": request.method().as_str(),
        "path": request.uri().to_string(),
        "x_forwarded_for": headers.get("x-forwarded-for"),
        "peer": from.to_string(),
        "connection": connection,
        "headers": headers,
    });
    format!("{seen}\n")
}

/// A body that comes in pieces, one every so often.
struct Drip {
    left: u64,
    tick: Interval,
}

impl Drip {
    fn new(whole: Duration, every: Duration) -> Self {
        let every = every.max(Duration::from_millis(1));
        let pieces = whole.as_millis() / every.as_millis();
        Self { left: u64::try_from(pieces).unwrap_or(u64::MAX), tick: interval(every) }
    }
}

impl Body for Drip {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        ready!(self.tick.poll_tick(cx));
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"drip\n")))))
    }
}
