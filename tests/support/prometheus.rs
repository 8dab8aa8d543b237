//! A real Prometheus for the tests that ask one.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A Prometheus on the loopback interface, ended when dropped.
pub(crate) struct Prometheus {
    child: Child,
    pub(crate) port: u16,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    /// Serves `blocks`, with everything else in `scratch`.
    pub(crate) fn serve(blocks: &Path, scratch: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = scratch.join("prometheus.yml");
        std::fs::write(&config, "global: {}\n").unwrap();
        let log = std::fs::File::create(scratch.join("prometheus.log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", blocks.display()))
            .arg("--storage.tsdb.retention.time=100y")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = Self { child, port };
        let began = Instant::now();
        while !server.get("/-/ready").is_some_and(|answer| answer.starts_with("HTTP/1.0 200")) {
            if began.elapsed() > Duration::from_secs(30) {
                panic!("{}", std::fs::read_to_string(scratch.join("prometheus.log")).unwrap());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    /// The whole answer, or `None` if nobody listens.
    pub(crate) fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
        // HTTP 1.0: the answer comes in one piece and ends with the connection.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// The answer to an instant query.
    pub(crate) fn ask(&self, query: &str, at_ms: i64) -> Value {
        let escaped: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let time = format!("{}.{:03}", at_ms / 1000, at_ms % 1000);
        let answer = self.get(&format!("/api/v1/query?query={escaped}&time={time}")).unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        let json: Value = serde_json::from_str(body).unwrap();
        assert_eq!(json["status"], "success", "{query}: {json}");
        json
    }
}
