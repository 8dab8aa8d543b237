//! A headless Chromium, told what to do over its DevTools pipe: messages in JSON with a zero byte behind each, on file
//! descriptors 3 (to it) and 4 (from it). A shell makes these of the standard ones, so that nothing else is needed.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

/// No answer takes as long, on any machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// One page in one browser.
pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: Value,
    number: u64,
    /// What the page did that a report must not: requests, errors, violations of its policy, dialogues.
    pub(crate) misdeeds: Vec<String>,
    _profile: tempfile::TempDir,
}

impl Browser {
    pub(crate) fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let script = "exec chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
                      --hide-scrollbars --user-data-dir=\"$1\" --remote-debugging-pipe about:blank 3<&0 4>&1 0</dev/null 1>/dev/null 2>/dev/null";
        let mut child = Command::new("sh")
            .args(["-c", script, "sh", profile.path().to_str().unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let to = child.stdin.take().unwrap();
        let from = listen(child.stdout.take().unwrap());
        let mut browser = Self {
            child,
            to,
            from,
            session: Value::Null,
            number: 0,
            misdeeds: Vec::new(),
            _profile: profile,
        };
        let page = browser.ask("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": page["targetId"], "flatten": true});
        browser.session = browser.ask("Target.attachToTarget", attach)["sessionId"].clone();
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.ask(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Sends a command and waits for its answer; what is reported meanwhile is looked at.
    pub(crate) fn ask(&mut self, method: &str, params: Value) -> Value {
        self.number += 1;
        let mut message = json!({"id": self.number, "method": method, "params": params});
        if !self.session.is_null() {
            message["sessionId"] = self.session.clone();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let answer = self.next();
            if answer["id"] == self.number {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
        }
    }

    fn next(&mut self) -> Value {
        let message = self.from.recv_timeout(PATIENCE).unwrap();
        let params = &message["params"];
        let misdeed = match message["method"].as_str().unwrap_or_default() {
            "Network.requestWillBeSent" => {
                let url = params["request"]["url"].as_str().unwrap();
                let is_page = params["type"] == "Document" && url.starts_with("file://");
                (!is_page && !url.starts_with("data:")).then(|| format!("request: {url}"))
            }
            "Runtime.exceptionThrown" => Some(format!("exception: {}", params["exceptionDetails"])),
            "Runtime.consoleAPICalled" => Some(format!("console: {}", params["args"])),
            "Log.entryAdded" => Some(format!("log: {}", params["entry"])),
            "Page.javascriptDialogOpening" => Some(format!("dialogue: {}", params["message"])),
            _ => None,
        };
        self.misdeeds.extend(misdeed);
        message
    }

    /// Opens a file and waits until it is loaded, scripts run.
    pub(crate) fn open(&mut self, path: &Path) {
        self.ask("Page.navigate", json!({"url": format!("file://{}", path.display())}));
        while self.next()["method"] != "Page.loadEventFired" {}
    }

    /// The size of the window, in CSS pixels, and its colours.
    pub(crate) fn resize(&mut self, width: u32, height: u32, is_dark: bool) {
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.ask("Emulation.setDeviceMetricsOverride", metrics);
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.ask("Emulation.setEmulatedMedia", features);
    }

    pub(crate) fn without_script(&mut self, off: bool) {
        self.ask("Emulation.setScriptExecutionDisabled", json!({"value": off}));
    }

    /// The value of an expression in the page, once it is no promise any more.
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let found = self.ask("Runtime.evaluate", params);
        assert!(found["exceptionDetails"].is_null(), "{expression}: {}", found["exceptionDetails"]);
        found["result"]["value"].clone()
    }

    /// The window as a PNG, or all of the page.
    pub(crate) fn picture(&mut self, whole: bool) -> Vec<u8> {
        let shot =
            self.ask("Page.captureScreenshot", json!({"format": "png", "captureBeyondViewport": whole}));
        base64(&shot["data"])
    }

    /// The page as it is printed.
    pub(crate) fn pdf(&mut self) -> Vec<u8> {
        let printed =
            self.ask("Page.printToPDF", json!({"printBackground": false, "preferCSSPageSize": true}));
        base64(&printed["data"])
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its children end with it.
        self.session = Value::Null;
        let _ = self.to.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let _ = self.child.wait();
    }
}

fn base64(text: &Value) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap()).unwrap()
}

/// The messages that arrive, from a thread of their own so that waiting for one can end.
fn listen(from: ChildStdout) -> Receiver<Value> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for message in BufReader::new(from).split(0) {
            let Ok(message) = message else { return };
            if sender.send(serde_json::from_slice(&message).unwrap()).is_err() {
                return;
            }
        }
    });
    receiver
}
