//! A small HTTP/1.1 client on a plain socket: it keeps its connection, shows every byte of a response,
//! and can send requests that a proper client never would.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longest wait for a response; compaction of a test's data takes far less.
const RESPONSE_TIME_MAX: Duration = Duration::from_secs(60);

/// A response, read to its end.
#[derive(Debug, Clone)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body, chunks put together.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {} {}", self.status, self.text()))
    }
}

/// A client of one server.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    /// A client that has not yet connected.
    pub fn new(address: SocketAddr) -> Client {
        Client { address, connection: None }
    }

    /// Sends a request and reads the response.
    ///
    /// # Errors
    /// A connection that cannot be made or breaks, a response that is no HTTP. The next request uses a
    /// new connection then.
    pub fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str(&format!("Host: {}\r\n", self.address));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.exchange(&bytes, method == "HEAD")
    }

    /// Sends `bytes` as they are and reads a response.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub fn exchange(&mut self, bytes: &[u8], no_body: bool) -> io::Result<Response> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        connection.get_mut().write_all(bytes)?;
        let response = read_response(&mut connection, no_body)?;
        if response.header("connection") != Some("close") {
            self.connection = Some(connection);
        }
        Ok(response)
    }

    fn connect(&self) -> io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(RESPONSE_TIME_MAX))?;
        stream.set_write_timeout(Some(RESPONSE_TIME_MAX))?;
        stream.set_nodelay(true)?;
        Ok(BufReader::new(stream))
    }

    /// `GET target`.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub fn get(&mut self, target: &str) -> io::Result<Response> {
        self.request("GET", target, &[], &[])
    }

    /// `POST target` with a body.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub fn post(&mut self, target: &str, body: &[u8]) -> io::Result<Response> {
        self.request("POST", target, &[], body)
    }

    /// Writes lines, and expects 204.
    #[track_caller]
    pub fn write(&mut self, database: &str, lines: &str) {
        let response = self.post(&format!("/write?db={database}"), lines.as_bytes()).unwrap();
        assert_eq!(response.status, 204, "{}", response.text());
    }

    /// Runs statements with times as numbers of ns, expects 200, and returns the results.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub fn try_query(&mut self, database: &str, text: &str) -> io::Result<Value> {
        let form = format!("db={}&epoch=ns&q={}", escape(database), escape(text));
        let form_type = ("Content-Type", "application/x-www-form-urlencoded");
        let response = self.request("POST", "/query", &[form_type], form.as_bytes())?;
        assert_eq!(response.status, 200, "{text}: {}", response.text());
        Ok(response.json().get("results").cloned().unwrap_or_default())
    }

    /// As [`Client::try_query`]; the server must answer, and no statement may fail.
    #[track_caller]
    pub fn query(&mut self, database: &str, text: &str) -> Value {
        let results = self.try_query(database, text).unwrap();
        for result in results.as_array().unwrap() {
            assert_eq!(result.get("error"), None, "{text}");
        }
        results
    }

    /// The single number that a query answers: last column, first row, first series. None without rows.
    #[track_caller]
    pub fn number(&mut self, database: &str, text: &str) -> Option<f64> {
        let results = self.query(database, text);
        results.pointer("/0/series/0/values/0")?.as_array()?.last()?.as_f64()
    }
}

/// `text` as it stands in a URL or a form.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn read_line(connection: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if connection.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

fn read_response(connection: &mut impl BufRead, no_body: bool) -> io::Result<Response> {
    let status_line = read_line(connection)?;
    let status = status_line
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| bad("no status line"))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(connection)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| bad("no header"))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut response = Response { status, headers, body: Vec::new() };
    if no_body || status == 204 {
        return Ok(response);
    }
    if response.header("transfer-encoding") == Some("chunked") {
        response.body = read_chunks(connection)?;
    } else if let Some(length) = response.header("content-length") {
        let length: usize = length.parse().map_err(|_| bad("no length"))?;
        response.body = vec![0; length];
        connection.read_exact(&mut response.body)?;
    } else {
        connection.read_to_end(&mut response.body)?;
    }
    Ok(response)
}

fn read_chunks(connection: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = read_line(connection)?;
        let size = usize::from_str_radix(&size, 16).map_err(|_| bad("no chunk size"))?;
        let mut chunk = vec![0; size];
        connection.read_exact(&mut chunk)?;
        body.extend_from_slice(&chunk);
        read_line(connection)?;
        if size == 0 {
            return Ok(body);
        }
    }
}
