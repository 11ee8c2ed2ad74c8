//! `control.http`: one page for scrapers, `GET /metrics`, on a plain port. It reads and changes nothing.
//!
//! Bounded in size, number and time, and answered by the daemon's loop like `ctl status`; whoever reaches the port can read it.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use super::metrics;
use super::server::Event;

const REQUEST_BYTES_MAX: usize = 8 * 1024;
const CONNECTIONS_MAX: usize = 8;
const WITHIN: Duration = Duration::from_secs(5);
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serves until dropped, or until nobody takes `events`.
pub async fn serve(listener: TcpListener, events: mpsc::Sender<Event>) {
    let mut connections = tokio::task::JoinSet::new();
    while !events.is_closed() {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_RETRY).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        // One more is not worth a wait: a scraper comes again.
        if connections.len() < CONNECTIONS_MAX {
            let events = events.clone();
            connections.spawn(async move {
                let _ = tokio::time::timeout(WITHIN, answer(stream, &events)).await;
            });
        }
    }
}

async fn answer(mut stream: TcpStream, events: &mpsc::Sender<Event>) -> std::io::Result<()> {
    let response = match request_line(&mut stream).await?.as_deref() {
        Some(line) if is_for_metrics(line) => page(events).await,
        Some(line) if line.starts_with("GET ") => {
            text("404 Not Found", "there is nothing here but /metrics\n")
        }
        _ => text("400 Bad Request", "only GET /metrics is served\n"),
    };
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await
}

fn is_for_metrics(line: &str) -> bool {
    let mut words = line.split(' ');
    words.next() == Some("GET")
        && words
            .next()
            .is_some_and(|path| path.split('?').next() == Some("/metrics"))
}

/// The first line of a request, once its head is whole.
async fn request_line(stream: &mut TcpStream) -> std::io::Result<Option<String>> {
    let mut head = Vec::new();
    let mut some = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut some).await?;
        if count == 0 || head.len() + count > REQUEST_BYTES_MAX {
            return Ok(None);
        }
        head.extend_from_slice(&some[..count]);
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    Ok(String::from_utf8(line.to_vec()).ok())
}

async fn page(events: &mpsc::Sender<Event>) -> String {
    let (answer, status) = oneshot::channel();
    let asked = events.send(Event::Scrape(answer)).await;
    match (asked, status.await) {
        (Ok(()), Ok(status)) => text("200 OK", &metrics::render(&status)),
        _ => text("503 Service Unavailable", "the supervisor is ending\n"),
    }
}

fn text(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
