//! Content encodings: which one a request announces, and readers that unpack it and take a bounded amount of memory
//! whatever they are given.
//!
//! Not here: how much a body may unpack to (`body/unpack.rs`).

use std::io::{self, BufRead, Read};

use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderMap, StatusCode};
use flate2::bufread::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use tsdb_core::{MemoryBudget, Pool, Reservation};
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, get_error_name};

use crate::http::reply::ApiError;

/// Most characters of an unknown encoding that a message repeats.
const ENCODING_CHARS_MAX: usize = 64;

/// What is said of encodings that there are.
const SUPPORTED: &str = "gzip, deflate, zstd, snappy (in its block format) or none, and one alone";

/// Largest window of zstd as a power of two: the 8 MiB that every receiver of HTTP has to take, and none has to
/// exceed (RFC 9659). A frame may ask for 2 GiB and more.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// gzip, in one or more members.
    Gzip,
    /// What HTTP calls deflate: the format of zlib (RFC 9110, section 8.4.1.2).
    Deflate,
    /// Frames of Zstandard with windows of at most 8 MiB.
    Zstd,
    /// Snappy in its block format, without frames.
    SnappyBlock,
}

impl Encoding {
    /// What messages call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Encoding::Identity => "text",
            Encoding::Gzip => "gzip",
            Encoding::Deflate => "deflate (in the format of zlib)",
            Encoding::Zstd => "zstd with a window of at most 8 MiB",
            Encoding::SnappyBlock => "snappy in its block format",
        }
    }

    /// A reader of what `packed` unpacks to; `None` for snappy, whose blocks are unpacked whole. What it needs
    /// beside some 50 KiB is charged to `budget`, whose refusal comes as the source of an error.
    ///
    /// # Errors
    /// No memory.
    pub(super) fn reader<'r>(
        self,
        packed: impl BufRead + Send + 'r,
        budget: &MemoryBudget,
    ) -> tsdb_core::Result<Option<Box<dyn Read + Send + 'r>>> {
        Ok(Some(match self {
            Encoding::Identity => Box::new(packed),
            Encoding::Gzip => Box::new(MultiGzDecoder::new(packed)),
            Encoding::Deflate => Box::new(Zlib::new(packed)),
            Encoding::Zstd => Box::new(Zstd::new(packed, budget)?),
            Encoding::SnappyBlock => return Ok(None),
        }))
    }
}

/// The encoding that the headers announce.
///
/// # Errors
/// 415 for one that is not known, and for one on top of another.
pub fn encoding(headers: &HeaderMap) -> Result<Encoding, ApiError> {
    match encodings(headers).as_str() {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        "deflate" => Ok(Encoding::Deflate),
        "zstd" => Ok(Encoding::Zstd),
        "snappy" => Ok(Encoding::SnappyBlock),
        other => Err(unsupported(other, SUPPORTED)),
    }
}

/// The encodings that the headers announce, in lower case and in one list (RFC 9110, section 5.3).
pub fn encodings(headers: &HeaderMap) -> String {
    let values = headers.get_all(CONTENT_ENCODING).iter();
    let list: Vec<&str> = values.map(|value| value.to_str().unwrap_or("?").trim()).collect();
    list.join(", ").to_ascii_lowercase()
}

/// The refusal of encodings that are none of `supported`.
pub fn unsupported(encodings: &str, supported: &str) -> ApiError {
    let list: String = encodings.chars().take(ENCODING_CHARS_MAX).collect();
    ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        format!("unsupported content encoding {list:?}: use {supported}"),
    )
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it is cut off")
}

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// Unpacks zlib. The readers of flate2 take a stream that is cut off for one that ends, and pass over what is behind
/// its end.
struct Zlib<R> {
    packed: R,
    inflate: Decompress,
    has_ended: bool,
}

impl<R: BufRead> Zlib<R> {
    fn new(packed: R) -> Zlib<R> {
        Zlib { packed, inflate: Decompress::new(true), has_ended: false }
    }
}

impl<R: BufRead> Read for Zlib<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let input = self.packed.fill_buf()?;
            if self.has_ended {
                let is_end = input.is_empty();
                return if is_end { Ok(0) } else { Err(invalid("something is behind its end")) };
            }
            let is_last = input.is_empty();
            let before = (self.inflate.total_in(), self.inflate.total_out());
            let status = self.inflate.decompress(input, out, FlushDecompress::None);
            let status = status.map_err(|error| invalid(error.to_string()))?;
            let used = self.inflate.total_in() - before.0;
            let made = self.inflate.total_out() - before.1;
            self.packed.consume(usize::try_from(used).unwrap_or(usize::MAX));
            self.has_ended = status == Status::StreamEnd;
            if made > 0 || out.is_empty() {
                return Ok(usize::try_from(made).unwrap_or(usize::MAX));
            }
            if is_last && !self.has_ended {
                return Err(cut_off());
            }
        }
    }
}

/// Unpacks frames of zstd, one behind the other.
struct Zstd<R> {
    packed: R,
    context: DCtx<'static>,
    is_inside_frame: bool,
    /// Pays for the window, which is made as large as the frame says.
    held: Reservation,
}

impl<R: BufRead> Zstd<R> {
    fn new(packed: R, budget: &MemoryBudget) -> tsdb_core::Result<Zstd<R>> {
        let held = budget.reserve(Pool::Bodies, 0)?;
        let mut context = DCtx::create();
        // No error with this value, and with another one the bound of zstd holds, 128 MiB.
        let _ = context.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX));
        Ok(Zstd { packed, context, is_inside_frame: false, held })
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let input = self.packed.fill_buf()?;
            let is_last = input.is_empty();
            if out.is_empty() || (is_last && !self.is_inside_frame) {
                return Ok(0);
            }
            let (mut from, mut to) = (InBuffer::around(input), OutBuffer::around(out));
            let left = self.context.decompress_stream(&mut to, &mut from);
            let left = left.map_err(|code| invalid(get_error_name(code)))?;
            let (used, made) = (from.pos, to.pos());
            self.packed.consume(used);
            self.is_inside_frame = left > 0;
            let missing = self.context.sizeof().saturating_sub(self.held.bytes());
            self.held.grow(missing).map_err(io::Error::other)?;
            if made > 0 {
                return Ok(made);
            }
            if is_last && self.is_inside_frame {
                return Err(cut_off());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn encodings_of_text() {
        for (text, expected) in [
            (None, Ok(Encoding::Identity)),
            (Some("identity"), Ok(Encoding::Identity)),
            (Some("gzip"), Ok(Encoding::Gzip)),
            (Some("GZIP"), Ok(Encoding::Gzip)),
            (Some("x-gzip"), Ok(Encoding::Gzip)),
            (Some("deflate"), Ok(Encoding::Deflate)),
            (Some("Zstd"), Ok(Encoding::Zstd)),
            (Some("snappy"), Ok(Encoding::SnappyBlock)),
            (Some("br"), Err(415)),
            (Some("gzip, gzip"), Err(415)),
            (Some("zstd, gzip"), Err(415)),
            (Some("identity, gzip"), Err(415)),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(text) = text {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static(text));
            }
            assert_eq!(encoding(&headers).map_err(|e| e.status().as_u16()), expected, "{text:?}");
        }
        let mut twice = HeaderMap::new();
        twice.append(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        twice.append(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert_eq!(
            encoding(&twice).map_err(|e| e.status().as_u16()),
            Err(415),
            "one inside another"
        );
    }

    #[test]
    fn readers_take_their_input_in_any_pieces() {
        let text: Vec<u8> =
            (0..20_000_u32).flat_map(|n| format!("m v={n}\n").into_bytes()).collect();
        let budget = MemoryBudget::default();
        for encoding in [Encoding::Gzip, Encoding::Deflate, Encoding::Zstd] {
            let packed = super::super::unpack::pack(&text, encoding);
            for piece in [1, 7, 4096, packed.len()] {
                let source = io::BufReader::with_capacity(piece, packed.as_slice());
                let mut reader = encoding.reader(source, &budget).unwrap().unwrap();
                let mut unpacked = Vec::new();
                reader.read_to_end(&mut unpacked).unwrap();
                assert!(unpacked == text, "{encoding:?} in pieces of {piece}");
                let pays = budget.used(Pool::Bodies) > 0;
                assert_eq!(pays, encoding == Encoding::Zstd, "{encoding:?}");
            }
        }
        assert_eq!(budget.used(Pool::Bodies), 0);
    }
}
