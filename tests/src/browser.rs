//! Chromium without a window and with one page: it opens addresses, types and clicks, and tells what the
//! page holds and what it asked for.
//!
//! It is spoken to through pipes in the protocol of its developer tools
//! (<https://chromedevtools.github.io/devtools-protocol/>): JSON documents with a zero byte behind each.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// Longest wait for an answer of the browser; a busy machine takes some seconds to start it.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);
/// Longest silence of a browser that was asked to close.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(5);
/// Longest wait for something to appear on a page, in milliseconds.
const PAGE_MS_MAX: u32 = 30_000;

/// Where the browser thinks to be: 05:45 ahead of UTC, so that nobody takes local times for others.
pub const TIME_ZONE: &str = "Asia/Kathmandu";

/// Names that the program goes by.
const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

const FLAGS: [&str; 13] = [
    "--headless",
    "--remote-debugging-pipe",
    "--window-size=1280,1000",
    // Tests run in containers, where its sandbox and its shared memory often do not work.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    // Nothing but what the page asks for goes to the network.
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--disable-default-apps",
];

/// A browser with one page. Dropped, it ends.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    input: ChildStdin,
    messages: Receiver<Vec<u8>>,
    session: Option<String>,
    last_id: u64,
    events: Vec<Value>,
    events_read: usize,
    dir: TempDir,
}

impl Browser {
    /// Starts it with a profile of its own. None when this machine has no Chromium.
    pub fn start() -> Option<Browser> {
        let program = program()?;
        let dir = tempfile::tempdir().unwrap();
        // It reads from descriptor 3 and writes to 4, and only a shell puts pipes there without `unsafe`.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null", "sh"])
            .arg(program)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", dir.path().join("profile").display()))
            .env("HOME", dir.path())
            .env("TZ", TIME_ZONE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(dir.path().join("log")).unwrap())
            .spawn()
            .expect("sh runs");
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, messages) = mpsc::channel();
        thread::spawn(move || {
            for message in output.split(0).map_while(Result::ok) {
                // Whoever does not listen any more has ended the browser.
                let _ = sender.send(message);
            }
        });
        let (session, events) = (None, Vec::new());
        let mut browser =
            Browser { child, input, messages, session, last_id: 0, events, events_read: 0, dir };
        browser.attach();
        Some(browser)
    }

    /// Makes the page and listens to it.
    fn attach(&mut self) {
        let page = self.call("Target.createTarget", json!({"url": "about:blank"}));
        let id = page.get("targetId").unwrap();
        let session = self.call("Target.attachToTarget", json!({"targetId": id, "flatten": true}));
        self.session = session.get("sessionId").and_then(Value::as_str).map(str::to_owned);
        for domain in ["Page", "Runtime", "Network", "Log"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
    }

    /// Calls a method of the protocol and returns its result.
    #[track_caller]
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        let mut message = json!({"id": id, "method": method, "params": params});
        if let (Some(session), Some(message)) = (&self.session, message.as_object_mut()) {
            message.insert("sessionId".to_owned(), json!(session));
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input.write_all(&bytes).unwrap_or_else(|cause| panic!("{cause}: {}", self.log()));
        loop {
            let mut answer = self.receive(method);
            if answer.get("id") == Some(&json!(id)) {
                assert_eq!(answer.get("error"), None, "{method} {params}");
                return answer.get_mut("result").map(Value::take).unwrap_or_default();
            }
            self.events.push(answer);
        }
    }

    /// The next event of that name that was not returned yet; waits for it.
    #[track_caller]
    pub fn event(&mut self, name: &str) -> Value {
        loop {
            while let Some(event) = self.events.get(self.events_read) {
                self.events_read += 1;
                if event.get("method") == Some(&json!(name)) {
                    return event.get("params").cloned().unwrap_or_default();
                }
            }
            let event = self.receive(name);
            self.events.push(event);
        }
    }

    #[track_caller]
    fn receive(&self, what: &str) -> Value {
        match self.messages.recv_timeout(ANSWER_TIME_MAX) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap(),
            Err(cause) => panic!("no answer to {what}: {cause}: {}", self.log()),
        }
    }

    /// What the browser wrote to standard error.
    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Opens an address.
    #[track_caller]
    pub fn open(&mut self, url: &str) {
        let opened = self.call("Page.navigate", json!({"url": url}));
        assert_eq!(opened.get("errorText"), None, "{url}");
        self.wait_for("document.readyState === 'complete'");
    }

    /// The value of an expression on the page, as JSON; promises are waited for.
    #[track_caller]
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let how = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let done = self.call("Runtime.evaluate", how);
        assert_eq!(done.get("exceptionDetails"), None, "{expression}");
        done.pointer("/result/value").cloned().unwrap_or_default()
    }

    /// Waits until an expression is true on the page. It is looked at whenever the document changes.
    #[track_caller]
    pub fn wait_for(&mut self, condition: &str) {
        let seen = self.evaluate(&format!(
            "new Promise(done => {{
                const look = () => {{
                    if (!({condition})) return;
                    watcher.disconnect();
                    done('seen');
                }};
                const watcher = new MutationObserver(look);
                const all = {{subtree: true, childList: true, attributes: true, characterData: true}};
                watcher.observe(document, all);
                document.addEventListener('readystatechange', look);
                setTimeout(() => done(document.body.innerText), {PAGE_MS_MAX});
                look();
            }})"
        ));
        assert_eq!(seen, json!("seen"), "{condition} did not come true");
    }

    /// Types text into what has the focus.
    #[track_caller]
    pub fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
    }

    /// Presses and releases a key, by its name and number
    /// (<https://www.w3.org/TR/uievents-key/>), together with Ctrl if `ctrl`.
    #[track_caller]
    pub fn press(&mut self, key: &str, number: u32, ctrl: bool) {
        for kind in ["rawKeyDown", "keyUp"] {
            let modifiers = if ctrl { 2 } else { 0 };
            self.call(
                "Input.dispatchKeyEvent",
                json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": number,
                       "modifiers": modifiers}),
            );
        }
    }

    /// Moves the pointer to the middle of the first element that a selector finds.
    #[track_caller]
    pub fn point_at(&mut self, selector: &str) -> (f64, f64) {
        let middle = self.evaluate(&format!(
            "(() => {{
                const element = document.querySelector({});
                element.scrollIntoView({{block: 'center', behavior: 'instant'}});
                const box = element.getBoundingClientRect();
                return [box.left + box.width / 2, box.top + box.height / 2];
            }})()",
            json!(selector)
        ));
        let [x, y] = ["/0", "/1"].map(|at| middle.pointer(at).and_then(Value::as_f64).unwrap());
        self.call("Input.dispatchMouseEvent", json!({"type": "mouseMoved", "x": x, "y": y}));
        (x, y)
    }

    /// Clicks on the middle of the first element that a selector finds.
    #[track_caller]
    pub fn click(&mut self, selector: &str) {
        let (x, y) = self.point_at(selector);
        for kind in ["mousePressed", "mouseReleased"] {
            self.call(
                "Input.dispatchMouseEvent",
                json!({"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}),
            );
        }
    }

    /// The addresses of all requests so far.
    pub fn requests(&self) -> Vec<String> {
        let sent = self.events.iter().filter(|event| is(event, "Network.requestWillBeSent"));
        sent.filter_map(|event| event.pointer("/params/request/url")?.as_str().map(str::to_owned))
            .collect()
    }

    /// What the browser found wrong with the page so far: exceptions that nobody caught, and breaches of
    /// its policy. Refused requests do not count.
    pub fn complaints(&self) -> Vec<&Value> {
        let wrong = self.events.iter().filter(|event| {
            let is_refusal = event.pointer("/params/entry/source") == Some(&json!("network"));
            let is_error = event.pointer("/params/entry/level") == Some(&json!("error"));
            is(event, "Runtime.exceptionThrown") || (is_error && !is_refusal)
        });
        wrong.collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // When asked, it ends its helpers first; killed, they would still write to the profile that goes
        // next. Its pipe closes when it is done.
        let id = self.last_id + 1;
        let close = format!("{{\"id\":{id},\"method\":\"Browser.close\"}}\0");
        let _ = self.input.write_all(close.as_bytes());
        while self.messages.recv_timeout(CLOSE_TIME_MAX).is_ok() {}
        // It may have ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is(event: &Value, name: &str) -> bool {
    event.get("method") == Some(&json!(name))
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut places = PROGRAMS.iter().flat_map(|name| dirs.iter().map(move |dir| dir.join(name)));
    places.find(|place| place.is_file())
}
