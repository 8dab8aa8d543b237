//! An HTTP server on the loopback interface that does what a test tells it, and
//! remembers what it was asked.
#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses its part; tests may")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Neither side of a test waits for longer.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// `POST /api/v1/read`; with a proxy, the whole address.
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) at: Instant,
    /// How many requests to the same target came before it.
    pub(crate) nth: usize,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn is(&self, path: &str) -> bool {
        self.target.ends_with(path)
    }
}

/// The server; ends when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<Mutex<usize>>,
    stop: Arc<AtomicBool>,
}

impl Server {
    /// Calls `answer` for each request, with the connection to write to. One request a connection.
    pub(crate) fn start(answer: impl Fn(&Seen, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
            connections: Arc::default(),
            stop: Arc::default(),
        };
        let (seen, stop) = (Arc::clone(&server.seen), Arc::clone(&server.stop));
        let (connections, answer) = (Arc::clone(&server.connections), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(mut stream), seen, answer) = (stream, Arc::clone(&seen), Arc::clone(&answer)) else {
                    continue;
                };
                *connections.lock().unwrap() += 1;
                std::thread::spawn(move || {
                    if let Some(request) = receive(&stream, &seen) {
                        answer(&request, &mut stream);
                        // What the client may still send is read, or the kernel would
                        // reset the connection and with it what the client has not read.
                        let _ = stream.shutdown(Shutdown::Write);
                        let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
                        let _ = std::io::copy(&mut (&stream).take(1 << 20), &mut std::io::sink());
                    }
                });
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The requests so far whose target ends with `path`.
    pub(crate) fn asked(&self, path: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.is(path)).collect()
    }

    /// Connections so far, also those that said nothing.
    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the listener up.
        let _ = TcpStream::connect(self.address);
    }
}

/// Reads a request; `None` if it is none.
fn receive(stream: &TcpStream, all: &Mutex<Vec<Seen>>) -> Option<Seen> {
    stream.set_read_timeout(Some(LONGEST)).ok()?;
    stream.set_write_timeout(Some(LONGEST)).ok()?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let target = line.rsplit_once(' ')?.0.to_owned();
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: u64 = length.map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body).ok()?;
    let mut all = all.lock().unwrap();
    let nth = all.iter().filter(|seen| seen.target == target).count();
    let seen = Seen { target, headers, body, at: Instant::now(), nth };
    all.push(seen.clone());
    Some(seen)
}

/// Sends `status`, header lines and body, as they are: what frames the body must be in `headers`.
pub(crate) fn send(stream: &mut TcpStream, status: &str, headers: &[&str], body: &[u8]) {
    let mut text = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    // A client that went away is for the test to notice.
    let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.write_all(body));
}

/// Sends a whole answer with its length.
pub(crate) fn answer(stream: &mut TcpStream, status: &str, kind: &str, body: &[u8]) {
    let (kind, length) = (format!("Content-Type: {kind}"), format!("Content-Length: {}", body.len()));
    send(stream, status, &[&kind, &length], body);
}

/// `body` in chunks of HTTP/1.1, without the last, empty one.
pub(crate) fn in_chunks(body: &[u8]) -> Vec<u8> {
    let mut coded = Vec::new();
    for part in body.chunks(1000) {
        coded.extend(format!("{:x}\r\n", part.len()).into_bytes());
        coded.extend(part);
        coded.extend(b"\r\n");
    }
    coded
}

/// Passes `request` on to `upstream` and hands back the raw answer.
pub(crate) fn forward(request: &Seen, upstream: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(upstream).unwrap();
    stream.set_read_timeout(Some(LONGEST)).unwrap();
    let mut text = format!("{} HTTP/1.1\r\nHost: {upstream}\r\nConnection: close\r\n", request.target);
    for (name, value) in &request.headers {
        if name != "host" && name != "connection" {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes()).and_then(|()| stream.write_all(&request.body)).unwrap();
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw).unwrap();
    raw
}

/// Protocol buffers and Snappy, as much as remote read and remote write need.
pub(crate) mod proto {
    pub(crate) fn varint(mut value: u64) -> Vec<u8> {
        let mut coded = Vec::new();
        while value >= 0x80 {
            coded.push(value as u8 | 0x80);
            value >>= 7;
        }
        coded.push(value as u8);
        coded
    }

    /// A string, bytes or message.
    pub(crate) fn bytes(field: u64, content: &[u8]) -> Vec<u8> {
        [varint(field << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
    }

    pub(crate) fn int(field: u64, value: i64) -> Vec<u8> {
        [varint(field << 3), varint(value as u64)].concat()
    }

    pub(crate) fn double(field: u64, bits: u64) -> Vec<u8> {
        [varint(field << 3 | 1), bits.to_le_bytes().to_vec()].concat()
    }

    pub(crate) fn labels<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
        let pair = |(name, value): (&str, &str)| {
            bytes(1, &[bytes(1, name.as_bytes()), bytes(2, value.as_bytes())].concat())
        };
        pairs.into_iter().flat_map(pair).collect()
    }

    /// `TimeSeries`, of reading and of writing.
    pub(crate) fn series(labels: &[u8], samples: &[(i64, u64)]) -> Vec<u8> {
        let sample = |(at_ms, bits): &(i64, u64)| bytes(2, &[double(1, *bits), int(2, *at_ms)].concat());
        [labels.to_vec(), samples.iter().flat_map(sample).collect()].concat()
    }

    pub(crate) fn packed(message: &[u8]) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(message).unwrap()
    }
}
