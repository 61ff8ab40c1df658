//! A kept-alive HTTP/1.1 connection that knows as much of the protocol as the measured servers need, and
//! spends little on it: the measuring side shares the cores.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longest wait for an answer; a merge of all data is the slowest thing that is asked for.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(600);

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// What was asked, for messages.
    request: String,
    /// HTTP status.
    pub status: u16,
    /// Seconds of the header `Retry-After`, where it is a number.
    pub retry_after_s: Option<u64>,
    /// The body, chunks put together.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body of a 2xx answer.
    ///
    /// # Errors
    /// Any other status, with the beginning of what the server says about it.
    pub fn expect_success(self) -> Result<Vec<u8>, String> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        let text = String::from_utf8_lossy(&self.body);
        let text: String = text.trim().chars().take(300).collect();
        Err(format!("{}: status {}: {text}", self.request, self.status))
    }
}

/// A connection to one server.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Connection {
    /// Connects to `host:port`.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn open(server: &str) -> Result<Connection, String> {
        let connect = || {
            let stream = TcpStream::connect(server)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
            stream.set_write_timeout(Some(ANSWER_TIME_MAX))?;
            Ok(stream)
        };
        let stream =
            connect().map_err(|error: io::Error| format!("cannot connect to {server}: {error}"))?;
        Ok(Connection {
            stream: BufReader::with_capacity(1 << 16, stream),
            host: server.to_owned(),
        })
    }

    /// `GET path`.
    ///
    /// # Errors
    /// A connection that breaks, an answer that is no HTTP.
    pub fn get(&mut self, path: &str) -> Result<Answer, String> {
        self.request("GET", path, "", &[])
    }

    /// `POST path` with a body.
    ///
    /// # Errors
    /// As [`Connection::get`].
    pub fn post(&mut self, path: &str, body: &[u8]) -> Result<Answer, String> {
        self.request("POST", path, "", body)
    }

    /// Any request; `headers` are whole lines, each with its line end.
    ///
    /// # Errors
    /// As [`Connection::get`].
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> Result<Answer, String> {
        let exchanged = self.exchange(method, path, headers, body);
        let answer = exchanged.map_err(|error| {
            let path: String = path.chars().take(120).collect();
            format!("{method} {path}: {error}")
        })?;
        let path = path.split('?').next().unwrap_or(path);
        Ok(Answer { request: format!("{method} {path}"), ..answer })
    }

    fn exchange(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> io::Result<Answer> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        let socket = self.stream.get_mut();
        socket.write_all(head.as_bytes())?;
        socket.write_all(body)?;
        let line = self.read_line()?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("the answer is no HTTP"))?;
        let mut length = Some(0);
        let mut retry_after_s = None;
        loop {
            let header = self.read_line()?;
            if header.is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':') {
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.trim().parse().ok();
                } else if name.eq_ignore_ascii_case("transfer-encoding") {
                    length = None;
                } else if name.eq_ignore_ascii_case("retry-after") {
                    retry_after_s = value.trim().parse().ok();
                }
            }
        }
        let mut body = Vec::new();
        match length {
            Some(length) => self.read_bytes(length, &mut body)?,
            None => self.read_chunks(&mut body)?,
        }
        Ok(Answer { request: String::new(), status, retry_after_s, body })
    }

    /// A line without its end; the end of the stream is an error.
    fn read_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }

    fn read_bytes(&mut self, length: usize, body: &mut Vec<u8>) -> io::Result<()> {
        let before = body.len();
        (&mut self.stream).take(length as u64).read_to_end(body)?;
        if body.len() - before < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// A body in chunks (RFC 9112, section 7.1), without trailers.
    fn read_chunks(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let size = self.read_line()?;
            let length = usize::from_str_radix(&size, 16);
            let length = length.map_err(|_| io::Error::other("a chunk has no size"))?;
            self.read_bytes(length, body)?;
            self.read_line()?;
            if length == 0 {
                return Ok(());
            }
        }
    }
}

/// `text` as it stands in the query of a URL.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Answers one request with `reply` and gives back what was asked and what came.
    fn exchange(reply: &'static str) -> (String, Result<Answer, String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let mut request = [0; 4096];
            let mut text = String::new();
            while !text.ends_with("body") {
                let count = stream.read(&mut request).unwrap();
                text.push_str(std::str::from_utf8(&request[..count]).unwrap());
            }
            stream.write_all(reply.as_bytes()).unwrap();
            text
        });
        let mut connection = Connection::open(&address).unwrap();
        let answer = connection.request("POST", "/write?db=x", "A: b\r\n", b"body");
        (server.join().unwrap(), answer)
    }

    #[test]
    fn answers_are_read_to_their_end() {
        let (request, answer) = exchange("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        assert!(request.starts_with("POST /write?db=x HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("\r\nA: b\r\n") && request.contains("\r\nContent-Length: 4\r\n"));
        assert_eq!(answer.unwrap().expect_success().unwrap(), b"ok");
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        assert_eq!(exchange(chunked).1.unwrap().body, b"abc");
        assert_eq!(exchange("HTTP/1.1 204 No Content\r\n\r\n").1.unwrap().status, 204);
    }

    #[test]
    fn refusals_and_broken_answers_are_told() {
        let busy = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\n\r\n";
        assert_eq!(exchange(busy).1.unwrap().retry_after_s, Some(7));
        let refused = "HTTP/1.1 400 Bad Request\r\nContent-Length: 5\r\n\r\nwhy?\n";
        let message = exchange(refused).1.unwrap().expect_success().unwrap_err();
        assert_eq!(message, "POST /write: status 400: why?");
        let short = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort";
        assert!(exchange(short).1.unwrap_err().contains("/write?db=x"));
        assert!(exchange("nonsense\r\n\r\n").1.unwrap_err().contains("no HTTP"));
    }

    #[test]
    fn everything_that_means_something_in_a_url_is_escaped() {
        assert_eq!(escape("a b=c&d'1'+/"), "a%20b%3Dc%26d%271%27%2B%2F");
    }
}
