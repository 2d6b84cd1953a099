//! As much of HTTP as a scrape needs: one request a connection, of which only the head is read.
//!
//! Anybody who can connect may send anything. What a connection can take is bounded: its head by [`HEAD_MAX`], its time by
//! [`PATIENCE`] for reading and as much again for writing, and all connections by [`CONNECTIONS_MAX`], each with its own
//! thread, so that one that stalls delays no other.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of a request's head that are read.
const HEAD_MAX: usize = 8 << 10;
/// Header fields that a request may have.
const FIELDS_MAX: usize = 64;
/// Connections that are served at a time; those beyond are closed.
const CONNECTIONS_MAX: usize = 16;
/// How long a client may take to send its request, and again to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a waiting server looks for connections and for a signal.
const LOOK: Duration = Duration::from_millis(20);
/// Bytes that are thrown away, after the answer, of a client that sends more than a head.
const REST_MAX: usize = 64 << 10;

/// What is answered.
pub(super) struct Answer {
    /// The status line's number and its phrase.
    pub(super) status: (u16, &'static str),
    /// The media type of `text`.
    pub(super) media: &'static str,
    /// The body.
    pub(super) text: String,
}

impl Answer {
    /// A refusal, with a line that says why.
    pub(super) fn refusal(status: (u16, &'static str), why: &str) -> Self {
        Self {
            status,
            media: "text/plain; charset=utf-8",
            text: format!("{why}\n"),
        }
    }
}

/// Serves `GET` and `HEAD` with what `answer` says of the path, until `stop` does.
///
/// Connections that are being served are not waited for.
pub(super) fn serve(
    listener: &TcpListener,
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
    stop: impl Fn() -> bool,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let answer = Arc::new(answer);
    // Each thread has a clone of this while it lives, however it ends.
    let served = Arc::new(());
    let mut refused = None;
    while !stop() {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                // For example no more descriptors, which passes: said once, not at each look.
                if error.kind() != io::ErrorKind::WouldBlock && refused.replace(error.kind()) != Some(error.kind()) {
                    log::warn!("cannot take a connection: {error}");
                }
                thread::sleep(LOOK);
                continue;
            }
        };
        refused = None;
        if Arc::strong_count(&served) > CONNECTIONS_MAX {
            log::debug!("a connection was closed: {CONNECTIONS_MAX} others are being served");
            continue;
        }
        let (slot, answer) = (Arc::clone(&served), Arc::clone(&answer));
        let thread = thread::Builder::new().name("connection".into()).spawn(move || {
            if let Err(error) = connection(&stream, &*answer, PATIENCE) {
                // The client went away or stalled; the next one asks again.
                log::debug!("a connection was given up: {error}");
            }
            drop(slot);
        });
        if let Err(error) = thread {
            log::warn!("a connection was closed: {error}");
        }
    }
    Ok(())
}

/// Reads one request and answers it.
fn connection(stream: &TcpStream, answer: &dyn Fn(&str) -> Answer, patience: Duration) -> io::Result<()> {
    // Some systems hand the listener's mode on.
    stream.set_nonblocking(false)?;
    let Some((answer, body)) = requested(stream, answer, Instant::now() + patience)? else {
        return Ok(());
    };
    let (number, phrase) = answer.status;
    let allow = if number == 405 { "Allow: GET, HEAD\r\n" } else { "" };
    let mut response = format!(
        "HTTP/1.1 {number} {phrase}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{allow}Connection: close\r\n\r\n",
        answer.media,
        answer.text.len()
    );
    if body {
        response.push_str(&answer.text);
    }
    let deadline = Instant::now() + patience;
    let mut rest = response.as_bytes();
    while !rest.is_empty() {
        stream.set_write_timeout(Some(left(deadline)?))?;
        match (&mut &*stream).write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    stream.shutdown(Shutdown::Write)?;
    // Bytes that nobody took would have the system reset the connection, and the client lose the answer.
    let (mut buffer, mut taken) = ([0; 4096], 0);
    while taken < REST_MAX {
        match read(stream, &mut buffer, deadline)? {
            0 => break,
            count => taken += count,
        }
    }
    Ok(())
}

/// The answer to what the head of a request asks, and whether it goes with its body; none where the client sends nothing.
fn requested(
    stream: &TcpStream,
    answer: &dyn Fn(&str) -> Answer,
    deadline: Instant,
) -> io::Result<Option<(Answer, bool)>> {
    let malformed = || Answer::refusal((400, "Bad Request"), "this is no HTTP/1.1 request");
    let too_long = || {
        let why = format!("a request has at most {HEAD_MAX} bytes and {FIELDS_MAX} header fields");
        Answer::refusal((431, "Request Header Fields Too Large"), &why)
    };
    let mut head = [0; HEAD_MAX];
    let mut filled = 0;
    loop {
        let count = read(stream, head.get_mut(filled..).unwrap_or_default(), deadline)?;
        filled += count;
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut fields);
        let refusal = match request.parse(head.get(..filled).unwrap_or_default()) {
            Ok(httparse::Status::Complete(_)) => {
                let path = request.path.unwrap_or_default();
                let path = path.split('?').next().unwrap_or_default();
                return Ok(Some(match request.method {
                    Some("GET") => (answer(path), true),
                    Some("HEAD") => (answer(path), false),
                    _ => (
                        Answer::refusal((405, "Method Not Allowed"), "only GET and HEAD are answered"),
                        true,
                    ),
                }));
            }
            Ok(httparse::Status::Partial) if filled == HEAD_MAX => too_long(),
            Ok(httparse::Status::Partial) if count > 0 => continue,
            Ok(httparse::Status::Partial) if filled == 0 => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => too_long(),
            Ok(httparse::Status::Partial) | Err(_) => malformed(),
        };
        return Ok(Some((refusal, true)));
    }
}

/// Reads what is there, or waits for it until the deadline.
fn read(stream: &TcpStream, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
    loop {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match (&mut &*stream).read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            ended => return ended,
        }
    }
}

/// The time until the deadline.
fn left(deadline: Instant) -> io::Result<Duration> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn ok(path: &str) -> Answer {
        match path {
            "/metrics" => Answer::refusal((200, "OK"), "here"),
            _ => Answer::refusal((404, "Not Found"), "not here"),
        }
    }

    /// Runs `test` beside a server, which is then stopped.
    fn beside(test: impl FnOnce(SocketAddr)) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let server = scope.spawn(|| serve(&listener, ok, || stop.load(Ordering::Relaxed)));
            test(address);
            stop.store(true, Ordering::Relaxed);
            server.join().unwrap().unwrap();
        });
    }

    fn ask(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_request_is_answered_by_its_head_and_nothing_else_is_read() {
        beside(|address| {
            let field = |length: usize| format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(length));
            let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "X: x\r\n".repeat(FIELDS_MAX + 1));
            for (request, status) in [
                ("GET /metrics HTTP/1.1\r\n\r\n", 200),
                ("GET /metrics?x=1 HTTP/1.0\r\n\r\n", 200),
                ("GET /metrics HTTP/1.1\r\nContent-Length: 200000000000\r\n\r\nx", 200),
                (
                    "GET /metrics HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\n",
                    200,
                ),
                ("GET /metrics HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 200),
                (
                    "GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n",
                    200,
                ),
                ("GET / HTTP/1.1\r\n\r\n", 404),
                ("POST /metrics HTTP/1.1\r\n\r\n", 405),
                ("rubbish\r\n\r\n", 400),
                ("\u{0}\u{1}", 400),
                (&field(HEAD_MAX / 2), 200),
                (&field(HEAD_MAX * 4), 431),
                (&many, 431),
            ] {
                let answer = ask(address, request.as_bytes());
                assert!(
                    answer.starts_with(&format!("HTTP/1.1 {status} ")),
                    "{request:?}: {answer}"
                );
                assert!(answer.contains("Connection: close\r\n"), "{answer}");
                assert_eq!(answer.contains("Allow: GET, HEAD\r\n"), status == 405, "{answer}");
            }
            let head = ask(address, b"HEAD /metrics HTTP/1.1\r\n\r\n");
            assert!(
                head.contains("Content-Length: 5\r\n") && head.ends_with("\r\n\r\n"),
                "{head}"
            );
        });
    }

    #[test]
    fn those_that_say_nothing_are_closed_and_those_beyond_the_limit_at_once() {
        beside(|address| {
            let idle: Vec<_> = (0..CONNECTIONS_MAX + 4)
                .map(|_| TcpStream::connect(address).unwrap())
                .collect();
            // Whoever is shed asks again, until the idle ones have used up their time.
            let answered = || {
                let mut stream = TcpStream::connect(address).unwrap();
                let mut answer = String::new();
                let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n");
                let _ = stream.read_to_string(&mut answer);
                answer.starts_with("HTTP/1.1 200 ")
            };
            while !answered() {
                thread::sleep(LOOK);
            }
            for mut stream in idle {
                assert!(!matches!(stream.read(&mut [0]), Ok(1..)), "nothing was asked");
            }
        });
    }

    #[test]
    fn a_request_that_comes_byte_by_byte_and_an_answer_that_is_not_taken_end_at_the_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connected = || {
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (client, listener.accept().unwrap().0)
        };
        let patience = Duration::from_millis(50);
        let (mut client, stream) = connected();
        let served = thread::spawn(move || connection(&stream, &ok, patience));
        while client.write_all(b"x").is_ok() && !served.is_finished() {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(served.join().unwrap().is_err());

        let (mut client, stream) = connected();
        client.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        let long = |_: &str| Answer::refusal((200, "OK"), &"x".repeat(64 << 20));
        connection(&stream, &long, patience).unwrap_err();
    }
}
