//! Which formats there are, and which of them a request is in: by the name that it gives, by its media
//! type, else by its first bytes.
//!
//! Not here: trying one format after the other, see [`crate::Pipeline::write_first`].

use std::sync::Arc;

use crate::format::csv::Csv;
use crate::format::exposition::PrometheusText;
use crate::format::json::Json;
use crate::format::line::LineProtocol;
use crate::report::shown;
use crate::{Error, Format, Likelihood, Result, limits};

/// Media types of other protocols, whose bodies are bytes in which detection could only find something
/// by accident. Unless somebody registers a format for them they are refused, and the client is told what
/// is read here. All other types that are not known are no more than a hint: `curl` sends
/// `application/x-www-form-urlencoded` whatever the body is.
const FOREIGN_MEDIA_TYPES: [&str; 5] = [
    "application/x-protobuf",
    "application/protobuf",
    "application/vnd.google.protobuf",
    "application/grpc",
    "application/x-snappy-framed",
];

/// What a request says about its format.
#[derive(Clone)]
pub enum Choice {
    /// It is this one; another is not tried.
    Given(Arc<dyn Format>),
    /// Its first bytes have to tell.
    Detect,
}

impl std::fmt::Debug for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Choice::Given(format) => {
                f.debug_tuple("Given").field(&format.supported_formats()).finish()
            }
            Choice::Detect => f.write_str("Detect"),
        }
    }
}

/// The formats that requests can be in. Their order decides where likelihood does not.
///
/// ```
/// use tsdb_ingest::FormatRegistry;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let registry = FormatRegistry::default();
/// let body = br#"{"measurement": "cpu", "fields": {"usage": 0.5}}"#;
/// let choice = registry.choose(None, Some("application/octet-stream"))?;
/// let formats = registry.candidates(&choice, body)?;
/// assert!(formats[0].supported_formats().contains(&"json"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FormatRegistry {
    formats: Vec<Arc<dyn Format>>,
}

impl std::fmt::Debug for FormatRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FormatRegistry").field(&self.names()).finish()
    }
}

impl Default for FormatRegistry {
    /// JSON, line protocol, CSV and the text format of Prometheus.
    fn default() -> Self {
        let formats: [Arc<dyn Format>; 4] = [
            Arc::new(Json::default()),
            Arc::new(LineProtocol::default()),
            Arc::new(Csv::default()),
            Arc::new(PrometheusText::default()),
        ];
        FormatRegistry { formats: formats.into() }
    }
}

impl FormatRegistry {
    /// Without any format.
    pub fn empty() -> FormatRegistry {
        FormatRegistry { formats: Vec::new() }
    }

    /// Takes up a format, behind all others.
    ///
    /// # Errors
    /// [`Error::DuplicateFormat`] if another format has one of its names or media types, in whatever
    /// case; [`Error::NamelessFormat`] if it has media types only.
    pub fn register(&mut self, format: Arc<dyn Format>) -> Result<()> {
        let names = format.supported_formats();
        if !names.iter().any(|name| !is_media_type(name)) {
            return Err(Error::NamelessFormat);
        }
        if let Some(name) = names.into_iter().find(|name| self.find(name).is_some()) {
            return Err(Error::DuplicateFormat { name });
        }
        self.formats.push(format);
        Ok(())
    }

    /// The format with this short name.
    pub fn by_name(&self, name: &str) -> Option<&Arc<dyn Format>> {
        if is_media_type(name) { None } else { self.find(name) }
    }

    /// The format with the media type of `content_type`, whose parameters do not matter.
    pub fn by_media_type(&self, content_type: &str) -> Option<&Arc<dyn Format>> {
        let media_type = media_type_of(content_type);
        if is_media_type(media_type) { self.find(media_type) } else { None }
    }

    fn find(&self, name: &str) -> Option<&Arc<dyn Format>> {
        self.formats.iter().find(|format| {
            format.supported_formats().iter().any(|known| known.eq_ignore_ascii_case(name))
        })
    }

    /// The short names of all formats, the preferred one of each.
    pub fn names(&self) -> Vec<&'static str> {
        self.preferred(|name| !is_media_type(name))
    }

    /// The media types of all formats, the preferred one of each.
    pub fn media_types(&self) -> Vec<&'static str> {
        self.preferred(is_media_type)
    }

    fn preferred(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<&'static str> {
        let of = |format: &Arc<dyn Format>| {
            format.supported_formats().into_iter().find(|name| is_wanted(name))
        };
        self.formats.iter().filter_map(of).collect()
    }

    /// What a request says about its format: a short `name`, which wins, or its `Content-Type`. One that
    /// says nothing, or nothing that is known, is told by its first bytes.
    ///
    /// # Errors
    /// [`Error::UnknownFormat`], [`Error::UnsupportedMediaType`].
    pub fn choose(&self, name: Option<&str>, content_type: Option<&str>) -> Result<Choice> {
        if let Some(name) = name {
            let unknown =
                || Error::UnknownFormat { name: shown(name), known: self.names().join(", ") };
            return Ok(Choice::Given(Arc::clone(self.by_name(name).ok_or_else(unknown)?)));
        }
        let Some(content_type) = content_type else { return Ok(Choice::Detect) };
        if let Some(format) = self.by_media_type(content_type) {
            return Ok(Choice::Given(Arc::clone(format)));
        }
        let media_type = media_type_of(content_type);
        if FOREIGN_MEDIA_TYPES.iter().any(|foreign| foreign.eq_ignore_ascii_case(media_type)) {
            let known = self.media_types().join(", ");
            return Err(Error::UnsupportedMediaType { media_type: shown(media_type), known });
        }
        Ok(Choice::Detect)
    }

    /// The formats that `body` may be in, the likeliest first.
    ///
    /// # Errors
    /// [`Error::UnrecognizedInput`].
    pub fn candidates(&self, choice: &Choice, body: &[u8]) -> Result<Vec<Arc<dyn Format>>> {
        if let Choice::Given(format) = choice {
            return Ok(vec![Arc::clone(format)]);
        }
        let head = body.get(..limits::HEAD_BYTES_MAX).unwrap_or(body);
        let mut ranked: Vec<(Likelihood, &Arc<dyn Format>)> =
            self.formats.iter().map(|format| (format.looks_like(head), format)).collect();
        ranked.retain(|(likelihood, _)| *likelihood > Likelihood::No);
        // Stable: the order of registration stays among equals.
        ranked.sort_by_key(|(likelihood, _)| std::cmp::Reverse(*likelihood));
        if ranked.is_empty() {
            return Err(Error::UnrecognizedInput { known: self.media_types().join(", ") });
        }
        Ok(ranked.into_iter().map(|(_, format)| Arc::clone(format)).collect())
    }
}

fn is_media_type(name: &str) -> bool {
    name.contains('/')
}

/// `text/csv` of `text/csv; charset=utf-8`.
fn media_type_of(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests;
