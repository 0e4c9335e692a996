//! The admin server: a thread per listener that hands each request to a short-lived thread, a bounded number at once.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;

use super::http::{exchange, Answer, Request};
use super::limits::CONNECTIONS_MAX;
use super::process::ProcessFacts;
use super::{exposition, page, status, HostView};

const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A running admin server; dropping it stops it.
#[derive(Debug)]
pub struct AdminServer {
    addresses: Vec<SocketAddr>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl AdminServer {
    /// Where it listens, in the order in which the addresses were given.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A connection ends the wait in accept; the thread then sees the flag.
        self.addresses.iter().for_each(|address| drop(TcpStream::connect(address)));
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// Listens on all addresses and serves `view`. The error names the address that could not be listened on.
pub fn start(
    addresses: &[SocketAddr],
    view: Arc<HostView>,
) -> Result<AdminServer, (SocketAddr, std::io::Error)> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut listeners = Vec::new();
    for address in addresses {
        listeners.push(TcpListener::bind(address).map_err(|e| (*address, e))?);
    }
    let mut server = AdminServer { addresses: Vec::new(), stop: stop.clone(), threads: Vec::new() };
    for (listener, asked) in listeners.into_iter().zip(addresses) {
        let named = |e| (*asked, e);
        let address = listener.local_addr().map_err(named)?;
        let (view, stop) = (view.clone(), stop.clone());
        let accept = move || accept_all(&listener, &view, &stop);
        let thread =
            std::thread::Builder::new().name("synod-admin".to_owned()).spawn(accept).map_err(named)?;
        server.threads.push(thread);
        server.addresses.push(address);
    }
    Ok(server)
}

fn accept_all(listener: &TcpListener, view: &Arc<HostView>, stop: &AtomicBool) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let Ok(stream) = stream else {
            // Out of descriptors or memory: trying again at once would only burn a CPU that the cores need.
            std::thread::sleep(std::time::Duration::from_millis(50));
            continue;
        };
        if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            open.fetch_sub(1, Ordering::Relaxed);
            drop(stream);
            continue;
        }
        let (view, open_here) = (view.clone(), open.clone());
        let serve = move || {
            // The peer may go away at any point of the exchange; that concerns nobody else.
            let _ = exchange(stream, |request| answer(&view, request));
            open_here.fetch_sub(1, Ordering::Relaxed);
        };
        if std::thread::Builder::new().name("synod-admin-io".to_owned()).spawn(serve).is_err() {
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn answer(view: &HostView, request: &Request) -> Answer {
    if !["GET", "HEAD"].contains(&request.method.as_str()) {
        return Answer::text("405 Method Not Allowed", "this port only answers GET\n");
    }
    match request.path.as_str() {
        "/metrics" => Answer::ok(PROMETHEUS, exposition::render(view, &ProcessFacts::read())),
        "/healthz" => verdict(&status::sick(view)),
        "/readyz" => verdict(&status::unready(view)),
        "/status" => match serde_json::to_string_pretty(&status::status(view)) {
            Ok(body) => Answer::ok("application/json", body + "\n"),
            Err(e) => Answer::text("500 Internal Server Error", format!("{e}\n")),
        },
        "/" => Answer::ok("text/html; charset=utf-8", page::render(&status::status(view))),
        _ => Answer::text("404 Not Found", "there are /metrics, /healthz, /readyz, /status and /\n"),
    }
}

fn verdict(reasons: &[String]) -> Answer {
    match reasons {
        [] => Answer::text("200 OK", "ok\n"),
        reasons => Answer::text("503 Service Unavailable", reasons.join("\n") + "\n"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::super::http::get;
    use super::super::status::tests::view;
    use super::super::CoreState;
    use super::*;

    fn started() -> (AdminServer, Arc<HostView>, SocketAddr) {
        let view = Arc::new(view());
        let server = start(&["127.0.0.1:0".parse().expect("an address")], view.clone()).expect("listens");
        let address = server.addresses()[0];
        (server, view, address)
    }

    #[test]
    fn every_path_answers() {
        let (_server, view, address) = started();
        let (code, body) = get(address, "/metrics").expect("answers");
        assert_eq!(code, 200);
        exposition::tests::check(&body);
        assert_eq!(get(address, "/healthz").expect("answers"), (200, "ok\n".to_owned()));
        let (code, body) = get(address, "/readyz").expect("answers");
        assert_eq!((code, body.lines().count()), (503, 4), "{body}");
        for page in &view.pages {
            page.set_state(CoreState::Ready);
            page.set_peer(3, true, false);
        }
        assert_eq!(get(address, "/readyz?verbose").expect("answers"), (200, "ok\n".to_owned()));
        view.pages[0].set_state(CoreState::Failed);
        assert_eq!(get(address, "/healthz").expect("answers").0, 503);
        let (code, body) = get(address, "/status").expect("answers");
        let status: status::Status = serde_json::from_str(&body).expect("a status");
        assert_eq!((code, status.host, status.cores.len()), (200, 1, 2));
        let (code, body) = get(address, "/").expect("answers");
        assert!(code == 200 && body.contains("core 0 has stopped after a disk error"), "{body}");
        assert_eq!(get(address, "/nothing").expect("answers").0, 404);
    }

    #[test]
    fn what_is_no_request_is_refused_and_others_are_served() {
        let (_server, _view, address) = started();
        let ask = |bytes: &[u8]| {
            let mut stream = TcpStream::connect(address).expect("connects");
            stream.write_all(bytes).expect("sent");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("answered");
            answer.lines().next().unwrap_or_default().to_owned()
        };
        let _silent = TcpStream::connect(address).expect("connects");
        assert_eq!(ask(b"PING\r\n\r\n"), "HTTP/1.1 400 Bad Request");
        assert_eq!(
            ask(b"POST /status HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"),
            "HTTP/1.1 405 Method Not Allowed"
        );
        assert_eq!(
            ask(&[b"GET / HTTP/1.1\r\nX: ".as_slice(), &[b'x'; 20_000]].concat()).get(9..12),
            Some("431")
        );
        assert_eq!(ask(b"HEAD /healthz HTTP/1.1\r\n\r\n"), "HTTP/1.1 200 OK");
    }

    #[test]
    fn a_taken_port_is_named_and_a_dropped_server_frees_its_own() {
        let (server, view, address) = started();
        let (taken, error) = start(&[address], view.clone()).expect_err("taken");
        assert_eq!((taken, error.kind()), (address, std::io::ErrorKind::AddrInUse));
        drop(server);
        let again = start(&[address], view).expect("the port is free again");
        assert_eq!(again.addresses(), [address]);
    }
}
