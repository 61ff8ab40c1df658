//! The pipeline: bytes, a format, validation, a store, a report.
//!
//! A call parses a request to one batch and appends it whole or not at all; refused lines stand in the
//! report. What the store does not know is resolved in portions while the request is parsed; should an epoch
//! of the store end in between, the request is parsed again. It blocks: for parsing, and for the catalogue
//! when a database has to be created. It does not wait for the disk; the ticket in the report does.

use std::sync::{Arc, Mutex, PoisonError};

use tsdb_core::catalogue::PolicySpec;
use tsdb_core::{Append, CatalogueChange, MemoryBudget, NamespaceInfo, Pool, TagCharset};

use crate::rows::Overdraft;
use crate::{Error, Format, ParseOptions, Result, Rows, Validation, WriteReport, limits};

/// How a [`Pipeline`] works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PipelineOptions {
    /// Whether a write to a database that does not exist creates it.
    pub creates_databases: bool,
    /// Characters that names may hold; `None` is what each format's specification says.
    pub charset: Option<TagCharset>,
    /// Memory of all caches of series together, in bytes.
    pub cache_bytes: usize,
    /// Parsers, each with its share of the cache, that are kept between requests: as many as requests
    /// are parsed at once.
    pub parsers_kept: usize,
    /// Seed of hashes over what clients send. Take it from the randomness of the process: who knows it
    /// can choose names that collide.
    pub hash_seed: u64,
}

impl Default for PipelineOptions {
    fn default() -> Self {
        PipelineOptions {
            creates_databases: true,
            charset: None,
            cache_bytes: limits::CACHE_BYTES_DEFAULT,
            parsers_kept: limits::PARSERS_KEPT_DEFAULT,
            hash_seed: 0,
        }
    }
}

/// One request to write.
#[derive(Debug, Clone, Copy)]
pub struct WriteRequest<'a> {
    /// Database to write to.
    pub database: &'a str,
    /// Retention policy; `None` is the database's default one.
    pub policy: Option<&'a str>,
    /// What the client sent, decompressed.
    pub body: &'a [u8],
    /// How to read it.
    pub options: ParseOptions<'a>,
}

/// Takes requests into a store. Calls may come from any number of threads.
pub struct Pipeline {
    store: Arc<dyn Append>,
    budget: MemoryBudget,
    overdraft: Overdraft,
    options: PipelineOptions,
    /// Idle parsers. The one that was used last is taken first, so that few are ever warm.
    idle: Mutex<Vec<Rows>>,
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Pipeline {
    /// A pipeline into `store` that charges what a request takes to `budget`. One request at a time may
    /// take [`limits::OVERDRAFT_FACTOR`] times the pool of bodies beside that pool.
    pub fn new(store: Arc<dyn Append>, budget: MemoryBudget, options: PipelineOptions) -> Pipeline {
        let bytes_max = budget.limit(Pool::Bodies).saturating_mul(limits::OVERDRAFT_FACTOR);
        let overdraft = Overdraft::new(bytes_max);
        Pipeline { store, budget, overdraft, options, idle: Mutex::new(Vec::new()) }
    }

    /// Writes the rows of a request as one batch. The store holds them, all or none, when the report's
    /// ticket completes without an error.
    ///
    /// # Errors
    /// A database or policy that does not exist, no memory, a store that takes no writes; nothing was
    /// stored then.
    pub fn write(&self, format: &dyn Format, request: &WriteRequest<'_>) -> Result<WriteReport> {
        self.write_if(format, request, |_| true)
    }

    /// As [`Pipeline::write`], but a single refusal refuses the whole request: its report has no rows then.
    ///
    /// # Errors
    /// As [`Pipeline::write`].
    pub fn write_whole(
        &self,
        format: &dyn Format,
        request: &WriteRequest<'_>,
    ) -> Result<WriteReport> {
        self.write_if(format, request, |report| report.errors_total == 0)
    }

    /// Writes a request if `is_wanted` says so of what was read.
    fn write_if(
        &self,
        format: &dyn Format,
        request: &WriteRequest<'_>,
        is_wanted: impl Fn(&WriteReport) -> bool,
    ) -> Result<WriteReport> {
        let mut rows = self.take_parser();
        let outcome = self.write_with(&mut rows, format, request, &is_wanted);
        rows.end();
        self.keep_parser(rows);
        outcome
    }

    /// Writes a request in the first of `formats` that can make something of it: the next one is tried only
    /// while everything was refused and nothing stored. When none can, the answer is that of the first,
    /// which is the likeliest.
    ///
    /// # Errors
    /// As [`Pipeline::write`]; [`Error::UnrecognizedInput`] without any format.
    pub fn write_first(
        &self,
        formats: &[Arc<dyn Format>],
        request: &WriteRequest<'_>,
    ) -> Result<WriteReport> {
        let mut first = None;
        for format in formats {
            let outcome = self.write(&**format, request);
            let is_misread = match &outcome {
                Ok(report) => report.is_misread(),
                Err(error) => error.is_of_format(),
            };
            if !is_misread {
                return outcome;
            }
            first.get_or_insert(outcome);
        }
        first.unwrap_or_else(|| Err(Error::UnrecognizedInput { known: "none".to_owned() }))
    }

    fn write_with(
        &self,
        rows: &mut Rows,
        format: &dyn Format,
        request: &WriteRequest<'_>,
        is_wanted: &dyn Fn(&WriteReport) -> bool,
    ) -> Result<WriteReport> {
        for _ in 0..limits::EPOCH_ATTEMPTS {
            match self.attempt(rows, format, request, is_wanted) {
                Err(Error::Store(tsdb_core::Error::StaleEpoch { .. })) => rows.forget(),
                outcome => return outcome,
            }
        }
        let reason = "series are evicted faster than a request can name them";
        Err(tsdb_core::Error::Overloaded { reason }.into())
    }

    /// Parses, resolves and appends, with references of one epoch.
    fn attempt(
        &self,
        rows: &mut Rows,
        format: &dyn Format,
        request: &WriteRequest<'_>,
        is_wanted: &dyn Fn(&WriteReport) -> bool,
    ) -> Result<WriteReport> {
        let namespace = self.namespace(request)?;
        let charset = self.options.charset.unwrap_or(format.charset());
        rows.begin(namespace.id, Validation { charset, cutoff: namespace.cutoff });
        format.parse_rows(request.body, &request.options, rows)?;
        rows.resolve(request.body)?;
        let report = WriteReport { format: short_name(format), ..rows.report() };
        if !is_wanted(&report) {
            return Ok(WriteReport { rows: 0, samples: 0, ..report });
        }
        let ticket = match rows.batch() {
            batch if batch.is_empty() => None,
            batch => Some(self.store.append(batch)?),
        };
        Ok(WriteReport { ticket, ..report })
    }

    /// Where the request goes; creates the database if that is asked for.
    fn namespace(&self, request: &WriteRequest<'_>) -> tsdb_core::Result<NamespaceInfo> {
        let catalogue = self.store.catalogue();
        if self.options.creates_databases && !catalogue.databases.contains_key(request.database) {
            let change = CatalogueChange::CreateDatabase {
                name: request.database.into(),
                policy: PolicySpec::default(),
            };
            self.store.change_catalogue(&change)?.wait()?;
            return self.store.catalogue().namespace(request.database, request.policy).cloned();
        }
        catalogue.namespace(request.database, request.policy).cloned()
    }

    fn take_parser(&self) -> Rows {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| {
            let share = self.options.cache_bytes / self.options.parsers_kept.max(1);
            let store = Some(Arc::clone(&self.store));
            let overdraft = self.overdraft.clone();
            Rows::new(store, &self.budget, overdraft, share, self.options.hash_seed)
        })
    }

    fn keep_parser(&self, rows: Rows) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.options.parsers_kept {
            idle.push(rows);
        }
    }
}

/// The short name of a format, else its first media type.
fn short_name(format: &dyn Format) -> &'static str {
    let names = format.supported_formats();
    let short = names.iter().find(|name| !name.contains('/'));
    short.or(names.first()).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
