//! What failed on one server is sent to another where that is safe and asked for, and as much as the budget says.

use crate::harness::{DEADLINE, Gateway, Server, ok};

/// How a server fails every request.
fn failing(how: &'static str) -> Server {
    Server::start(move |_, stream| match how {
        "empty-response" => None,
        "junk-response" => Some(b"nonsense\r\n\r\n".to_vec()),
        "response-timeout" => {
            stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
            let _ = std::io::copy(stream, &mut std::io::sink());
            None
        }
        _ => Some(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy".to_vec()),
    })
}

fn gateway(failing: &Server, well: &Server, keys: &str) -> Gateway {
    Gateway::of_backend(&format!(
        "balance = \"first\"\nserver_timeout = \"300ms\"\n{keys}\n\
         server = [{{ name = \"s1\", address = \"{}\" }}, {{ name = \"s2\", address = \"{}\" }}]",
        failing.address, well.address
    ))
}

fn retries(gateway: &Gateway, reason: &str) -> f64 {
    gateway.metric(&format!("headgate_retries_total{{backend=\"be\",reason=\"{reason}\"}}"))
}

#[test]
fn what_is_asked_for_is_sent_to_another_server() {
    for how in ["empty-response", "junk-response", "response-timeout", "503"] {
        let (bad, well) = (failing(how), Server::start(|head, _| Some(ok(&head[..4]))));
        let gateway = gateway(&bad, &well, &format!("retry_on = [\"{how}\"]"));
        let answer = gateway.get("/");
        assert!(answer.ends_with("GET "), "{how}: {answer}");
        assert_eq!(retries(&gateway, if how == "503" { "status" } else { how }), 1.0);
        assert!(
            gateway.log_lines(1)[0].contains(" be/s2 ") && gateway.log_lines(1)[0].contains("/+1 "),
            "{how}"
        );
        let put = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody";
        assert!(gateway.raw(put).ends_with("PUT "), "{how}: a body that is still there goes with it");
    }
}

#[test]
fn what_may_not_be_repeated_is_sent_once() {
    let (bad, well) = (failing("503"), Server::named("well"));
    let gateway = gateway(&bad, &well, "retry_on = [\"all-retryable-errors\"]");
    let post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody";
    assert!(gateway.raw(post).ends_with("busy"));
    let long = format!(
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\nConnection: close\r\n\r\n{}",
        "b".repeat(100_000)
    );
    let answer = gateway.raw(long.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 503") || answer.is_empty(), "{answer}");
    assert_eq!(well.heads().len(), 0);
}

#[test]
fn retries_that_servers_see_are_bounded_over_all_workers() {
    let (bad, well) = (failing("503"), Server::named("well"));
    let gateway = gateway(&bad, &well, "retry_on = [\"503\"]\nretry_budget = 10\neject = { unanswered = 0 }");
    let answers: Vec<String> = (0..200).map(|_| gateway.get("/")).collect();
    let well = answers.iter().filter(|answer| answer.ends_with("well")).count();
    // 50 are saved up, and 200 requests earn 20 more.
    assert!((65..=70).contains(&well), "{well}");
    assert_eq!(retries(&gateway, "status"), well as f64);
}
