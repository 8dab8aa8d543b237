//! Real servers for the tests that ask some: Prometheus and VictoriaMetrics as Debian has
//! them, on free ports of the loopback interface, ended when dropped.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "each test binary uses its part; tests may")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use wattledger::time::Window;
use wattledger::tsdb::{Database, ReadBuffer, ReadStats};

use crate::scripted::proto;
use crate::support;

/// A server starts or stops within this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A program that is killed when dropped.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    pub(crate) fn start(program: &str, arguments: &[String], log: &Path) -> Self {
        let file = std::fs::File::create(log).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        Self { child, log: log.to_owned() }
    }

    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn wait_until(&self, is_ready: impl Fn() -> bool) {
        let began = Instant::now();
        while !is_ready() {
            if began.elapsed() > PATIENCE {
                panic!("{}", self.said());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Asks in HTTP 1.0, whose answer ends with the connection; returns the body.
pub(crate) fn http(port: u16, method: &str, path: &str, headers: &str, body: &[u8]) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n{headers}\r\n"
    )
    .ok()?;
    stream.write_all(body).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?;
    status.starts_with('2').then(|| body.to_owned())
}

/// A Prometheus on the loopback interface.
pub(crate) struct Prometheus {
    running: Running,
    pub(crate) port: u16,
    pub(crate) data: PathBuf,
}

impl Prometheus {
    /// Serves what is in `data`; `root` is for its files, `config` is `prometheus.yml`.
    pub(crate) fn start(root: &Path, data: &Path, config: &str, more: &[&str]) -> Self {
        let port = free_port();
        let file = root.join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        let mut arguments = vec![
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", data.display()),
            "--storage.tsdb.retention.time=100y".to_owned(),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--web.enable-admin-api".to_owned(),
        ];
        arguments.extend(more.iter().map(|&flag| flag.to_owned()));
        let running = Running::start("prometheus", &arguments, &root.join("prometheus.log"));
        running.wait_until(|| running.said().contains("Server is ready to receive web requests"));
        Self { running, port, data: data.to_owned() }
    }

    /// Serves a copy of `blocks`, with external labels, and leaves it as it is.
    pub(crate) fn serve(root: &Path, blocks: &Path, external: &str, more: &[&str]) -> Self {
        let data = root.join("data");
        support::copy(blocks, &data);
        // Equal shortest and longest blocks: nothing is compacted.
        let still = ["--storage.tsdb.min-block-duration=2h", "--storage.tsdb.max-block-duration=2h"];
        let config = format!("global: {{ external_labels: {{ {external} }} }}\n");
        Self::start(root, &data, &config, &[&still, more].concat())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        self.running.child.kill().unwrap();
        self.running.child.wait().unwrap();
    }

    /// The answer to an instant query.
    pub(crate) fn ask(&self, query: &str, at_ms: i64) -> Value {
        let escaped: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let time = format!("{}.{:03}", at_ms / 1000, at_ms % 1000);
        let path = format!("/api/v1/query?query={escaped}&time={time}");
        let body = http(self.port, "GET", &path, "", b"").unwrap_or_else(|| panic!("{query} is refused"));
        let json: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(json["status"], "success", "{query}: {json}");
        json
    }

    /// Makes a snapshot and returns its directory.
    pub(crate) fn snapshot(&self) -> PathBuf {
        let body = http(self.port, "POST", "/api/v1/admin/tsdb/snapshot", "", b"").unwrap();
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        self.data.join("snapshots").join(answer["data"]["name"].as_str().unwrap())
    }
}

/// A VictoriaMetrics on the loopback interface.
pub(crate) struct Victoria {
    running: Running,
    pub(crate) port: u16,
}

impl Victoria {
    /// With its files under `root`.
    pub(crate) fn start(root: &Path, more: &[&str]) -> Self {
        let port = free_port();
        let mut arguments = vec![
            format!("-httpListenAddr=127.0.0.1:{port}"),
            format!("-storageDataPath={}", root.join("victoria").display()),
            "-retentionPeriod=100y".to_owned(),
        ];
        arguments.extend(more.iter().map(|&flag| flag.to_owned()));
        let running = Running::start("victoria-metrics", &arguments, &root.join("victoria.log"));
        running.wait_until(|| http(port, "GET", "/health", "", b"").is_some());
        Self { running, port }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Remote write of one series.
    pub(crate) fn write(&self, labels: &[(&str, &str)], samples: &[(i64, u64)]) {
        let series = proto::series(&proto::labels(labels.iter().copied()), samples);
        let body = proto::packed(&proto::bytes(1, &series));
        let headers = "Content-Encoding: snappy\r\nContent-Type: application/x-protobuf\r\n";
        assert!(
            http(self.port, "POST", "/api/v1/write", headers, &body).is_some(),
            "{}",
            self.running.said()
        );
    }

    /// Remote write of everything in `blocks`.
    pub(crate) fn feed(&self, blocks: &Path) {
        let database = Database::open(blocks).unwrap();
        let mut buffer = ReadBuffer::default();
        for series in database.select(&[], Window::ALL).unwrap() {
            database.read(&series, Window::ALL, &mut buffer, &mut ReadStats::default()).unwrap();
            let samples = buffer.samples();
            let times = samples.timestamps_ms.iter().copied();
            let bits: Vec<(i64, u64)> =
                times.zip(samples.values.iter().map(|value| value.to_bits())).collect();
            let labels: Vec<(&str, &str)> = series.labels.iter().collect();
            self.write(&labels, &bits);
        }
        self.flush();
    }

    /// Makes what was written visible.
    pub(crate) fn flush(&self) {
        assert!(http(self.port, "GET", "/internal/force_flush", "", b"").is_some());
    }
}
