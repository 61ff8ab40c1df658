//! The encoder's second half: which kind the residuals are written in.

use super::super::huffman::{SYMBOLS, best_table};
use super::super::simd;
use super::analysis::{Domain, Modelled, model};
use super::entropy::{self, LOW_BITS_MAX, Parameters};
use super::model::{Header, Kind, Transform};
use super::packed::GROUP;
use super::{dictionary, packed, sparse};

/// What a test or a bench wants the encoder to use; without it, everything.
#[cfg(any(test, feature = "test-util"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Plan {
    pub domain: Domain,
    pub transform: Option<Transform>,
    pub kind: Option<Kind>,
}

#[cfg(any(test, feature = "test-util"))]
impl Plan {
    pub(in super::super) fn of(domain: Domain) -> Plan {
        Plan { domain, transform: None, kind: None }
    }
}

/// What a series' last column was encoded as, to be tried first for its next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in super::super) struct IntsMemo {
    last: Option<Last>,
}

/// A choice, and what it cost when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Last {
    transform: Transform,
    kind: Kind,
    /// Of kind H, once a column was written as this one.
    low_bits: Option<u32>,
    /// Bytes of 1024 numbers.
    bytes: u32,
    /// Columns that took it since.
    uses: u8,
}

impl Last {
    /// Columns after which everything is looked at again: another choice may have become better.
    const USES_MAX: u8 = 8;

    /// It is taken as long as a column is at most one byte in so many longer.
    const MARGIN: u32 = 64;

    /// Whether residuals that are mostly 0 could have a much shorter kind.
    fn is_outdone(&self, modelled: &Modelled) -> bool {
        let dense = matches!(self.kind, Kind::Packed | Kind::Huffman | Kind::Dictionary);
        dense && modelled.nonzero * 3 < modelled.residuals.len()
    }
}

fn bytes_of_1024(bytes: usize, count: usize) -> u32 {
    u32::try_from(bytes * 1024 / count.max(1)).unwrap_or(u32::MAX)
}

/// Appends a column.
pub(in super::super) fn encode_ints(
    numbers: &[i64],
    domain: Domain,
    memo: &mut IntsMemo,
    out: &mut Vec<u8>,
) {
    if let Some(bytes) = encode_as_last(numbers, domain, memo) {
        out.extend_from_slice(&bytes);
        return;
    }
    let modelled = model(numbers, domain, None);
    let transform = modelled.model.transform;
    let (kind, bytes) = Encoder { modelled: &modelled, domain }.best(true);
    let size = bytes_of_1024(bytes.len(), numbers.len());
    memo.last = Some(Last { transform, kind, low_bits: None, bytes: size, uses: 0 });
    out.extend_from_slice(&bytes);
}

/// The column as the last one was written, if that is about as short as it was then.
fn encode_as_last(numbers: &[i64], domain: Domain, memo: &mut IntsMemo) -> Option<Vec<u8>> {
    let last = memo.last.as_mut().filter(|last| last.uses < Last::USES_MAX)?;
    let modelled = model(numbers, domain, Some(last.transform));
    if last.is_outdone(&modelled) {
        return None;
    }
    let encoder = Encoder { modelled: &modelled, domain };
    let bytes = encoder.encode_with(last.kind, usize::MAX, || {
        let parameters = match last.low_bits {
            // Those of wide residuals are none of narrow ones.
            Some(low_bits)
                if modelled.residuals.len() >= CODED_MIN
                    && (!modelled.model.narrow || low_bits < i32::BITS) =>
            {
                Some(parameters_with(&modelled.residuals, low_bits))
            }
            _ => best_parameters(&modelled.residuals),
        };
        last.low_bits = parameters.map(|parameters| parameters.low_bits);
        parameters
    })?;
    last.uses += 1;
    let limit = last.bytes.saturating_add(last.bytes / Last::MARGIN);
    (bytes_of_1024(bytes.len(), numbers.len()) <= limit).then_some(bytes)
}

/// Appends a column as `plan` wants it, and says whether it could.
#[cfg(any(test, feature = "test-util"))]
pub(in super::super) fn encode_planned(numbers: &[i64], plan: Plan, out: &mut Vec<u8>) -> bool {
    let modelled = model(numbers, plan.domain, plan.transform);
    let encoder = Encoder { modelled: &modelled, domain: plan.domain };
    match plan.kind {
        Some(kind) => match encoder.encode(kind) {
            Some(bytes) => out.extend_from_slice(&bytes),
            None => return false,
        },
        None => out.extend_from_slice(&encoder.best(true).1),
    }
    true
}

struct Encoder<'a> {
    modelled: &'a Modelled,
    domain: Domain,
}

impl Encoder<'_> {
    /// The column in one kind, if it can have it.
    fn encode(&self, kind: Kind) -> Option<Vec<u8>> {
        self.encode_with(kind, usize::MAX, || best_parameters(&self.modelled.residuals))
    }

    /// As [`Encoder::encode`], with `parameters` for kind H, and without a dictionary that is expected to
    /// take more than `limit` bytes.
    fn encode_with(
        &self,
        kind: Kind,
        limit: usize,
        parameters: impl FnOnce() -> Option<Parameters>,
    ) -> Option<Vec<u8>> {
        let Modelled { model, residuals, nonzero } = self.modelled;
        let mut out = Vec::with_capacity(residuals.len() + 64);
        Header { kind, model: *model }.write(&mut out);
        let possible = match kind {
            Kind::Linear => *nonzero == 0,
            Kind::Sparse => {
                sparse::encode(residuals, &mut out);
                true
            }
            Kind::Packed => {
                packed::encode(residuals, &mut out);
                true
            }
            Kind::Huffman => match parameters() {
                Some(parameters) => {
                    entropy::encode(residuals, parameters, &mut out);
                    true
                }
                None => false,
            },
            Kind::Runs => {
                let fits = model.transform == Transform::Delta && model.drift == 0;
                if fits {
                    sparse::encode_runs(residuals, |c, out| self.nest(c, out), &mut out);
                }
                fits
            }
            Kind::Dictionary => dictionary::encode(residuals, limit, &mut out),
        };
        possible.then_some(out)
    }

    /// Appends a column that is none of runs.
    fn nest(&self, numbers: &[i64], out: &mut Vec<u8>) {
        let domain = if self.domain == Domain::Times { Domain::Numbers } else { self.domain };
        let modelled = model(numbers, domain, None);
        let encoder = Encoder { modelled: &modelled, domain };
        out.extend_from_slice(&encoder.best(false).1);
    }

    /// The column in the kind that is shortest, or nearly so and faster.
    fn best(&self, with_runs: bool) -> (Kind, Vec<u8>) {
        let Modelled { model, residuals, nonzero } = self.modelled;
        let count = residuals.len();
        if let Some(linear) = self.encode(Kind::Linear) {
            return (Kind::Linear, linear);
        }
        let mut best = Best(None);
        let delta = model.transform == Transform::Delta;
        if delta && nonzero * 12 < count {
            best.offer(Kind::Sparse, self.encode(Kind::Sparse), 0);
        }
        if with_runs && delta && nonzero * 3 < count && *nonzero >= 24 {
            best.offer(Kind::Runs, self.encode(Kind::Runs), 0);
        }
        let mut exact_huffman = false;
        if best.bytes_per(count, 16) {
            let parameters = best_parameters(residuals);
            exact_huffman = parameters.is_some_and(|p| p.low_bits == 0);
            let huffman = self.encode_with(Kind::Huffman, 0, || parameters);
            best.offer(Kind::Huffman, huffman, FASTER_ONE_IN);
        }
        if !exact_huffman && count >= 128 && best.bytes_per(count, 4) {
            let limit = best.len();
            let dictionary = self.encode_with(Kind::Dictionary, limit, || None);
            best.offer(Kind::Dictionary, dictionary, 0);
        }
        if best.0.is_none() || self.packing_may_pay(best.len()) {
            best.offer_packed(self.encode(Kind::Packed));
        }
        best.0.unwrap_or((Kind::Linear, Vec::new()))
    }

    /// Whether packed groups from the start, the middle and the end say that packing all could pay.
    fn packing_may_pay(&self, best_len: usize) -> bool {
        let residuals = &self.modelled.residuals;
        let count = residuals.len();
        if count < 4 * GROUP {
            return true;
        }
        let mut sample = Vec::new();
        for start in [0, count / 2 / GROUP * GROUP, count - GROUP] {
            packed::encode(residuals.get(start..start + GROUP).unwrap_or_default(), &mut sample);
        }
        sample.len() * count / (3 * GROUP) < best_len + best_len / 12
    }
}

/// A faster kind is taken unless the slower one saves more than one byte in so many.
const FASTER_ONE_IN: usize = 50;

/// The best encoding so far.
struct Best(Option<(Kind, Vec<u8>)>);

impl Best {
    fn len(&self) -> usize {
        self.0.as_ref().map_or(usize::MAX, |(_, bytes)| bytes.len())
    }

    /// True without any, or if it takes more than `count / divisor` bytes.
    fn bytes_per(&self, count: usize, divisor: usize) -> bool {
        self.len().saturating_mul(divisor) > count
    }

    /// Takes a slower kind if it is shorter by more than one byte in `margin`.
    fn offer(&mut self, kind: Kind, bytes: Option<Vec<u8>>, margin: usize) {
        let Some(bytes) = bytes else { return };
        let extra = bytes.len().checked_div(margin).unwrap_or(0);
        if bytes.len() + extra < self.len() {
            self.0 = Some((kind, bytes));
        }
    }

    /// Takes the fastest kind unless it is longer by more than one byte in [`FASTER_ONE_IN`].
    fn offer_packed(&mut self, bytes: Option<Vec<u8>>) {
        let Some(bytes) = bytes else { return };
        if bytes.len() <= self.len().saturating_add(self.len() / FASTER_ONE_IN) {
            self.0 = Some((Kind::Packed, bytes));
        }
    }
}

/// Residuals that the number of low bits is looked for from.
const MAGNITUDE_SAMPLE: usize = 256;

/// Fewer residuals are never coded.
const CODED_MIN: usize = 16;

/// Number of low bits and table that take the fewest bits, or nearly so.
fn best_parameters(residuals: &[i64]) -> Option<Parameters> {
    if residuals.len() < CODED_MIN {
        return None;
    }
    let middle = usual_low_bits(residuals);
    let fine = simd::vectorised(Count((residuals, middle)));
    let count = residuals.len() as u64;
    let mut best: Option<(u64, Parameters)> = None;
    for low_bits in (middle.saturating_sub(1)..=(middle + 2).min(LOW_BITS_MAX)).rev() {
        // Fewer low bits mean more symbols to decode one by one, so they must save something.
        let limit = best.map_or(u64::MAX, |(bits, _)| bits - (bits / 80).min(count / 16));
        let (histogram, exceptions) = fine.coarsen(low_bits);
        let exception_bits = u64::from(16 + 8 * ((low_bits + 12) / 7));
        let fixed = exceptions * exception_bits + count * u64::from(low_bits);
        let (table, coded) = best_table(&histogram);
        let bits = fixed + coded;
        if bits < limit {
            best = Some((bits, Parameters { low_bits, table }));
        }
    }
    best.map(|(_, parameters)| parameters)
}

/// The table that takes the fewest bits beside so many low bits.
fn parameters_with(residuals: &[i64], low_bits: u32) -> Parameters {
    let histogram = simd::vectorised(CountSymbols((residuals, low_bits)));
    Parameters { low_bits, table: best_table(&histogram).0 }
}

simd::hot_loop!(CountSymbols<'a>((&'a [i64], u32)) -> [u32; SYMBOLS], count_symbols);

/// Counts of symbols, exceptions among those of 0.
#[inline(always)]
fn count_symbols((residuals, low_bits): (&[i64], u32)) -> [u32; SYMBOLS] {
    let mut histogram = [0; SYMBOLS];
    let mut coded = 0usize;
    for residual in residuals {
        let index = usize::try_from(entropy::symbol_index(*residual, low_bits));
        if let Some(count) = index.ok().and_then(|index| histogram.get_mut(index)) {
            *count = u32::wrapping_add(*count, 1);
            coded = coded.wrapping_add(1);
        }
    }
    if let Some(zero) = histogram.get_mut(SYMBOLS / 2) {
        *zero += u32::try_from(residuals.len() - coded).unwrap_or(u32::MAX);
    }
    histogram
}

/// About the binary logarithm of the usual magnitude.
fn usual_low_bits(residuals: &[i64]) -> u32 {
    let stride = (residuals.len() / MAGNITUDE_SAMPLE).max(1);
    let mut sample: Vec<u64> = residuals.iter().step_by(stride).map(|y| y.unsigned_abs()).collect();
    let total = sample.iter().fold(0u64, |sum, y| sum.saturating_add(*y));
    let mean = total / sample.len().max(1) as u64;
    let middle = sample.len() / 2;
    let median = if sample.is_empty() { 0 } else { *sample.select_nth_unstable(middle).1 };
    median.max((mean / 4).min(1 << 40)).checked_ilog2().unwrap_or(0).min(LOW_BITS_MAX)
}

/// Counts of residuals in steps so fine that the symbols for all numbers of low bits in question can be
/// counted from it.
struct FineHistogram {
    shift: u32,
    counts: [u32; FINE_BINS],
    beyond: u64,
}

simd::hot_loop!(Count<'a>((&'a [i64], u32)) -> FineHistogram, FineHistogram::of);

const FINE_BINS: usize = 512;
const FINE_ZERO: i64 = 256;

impl FineHistogram {
    #[inline(always)]
    fn of((residuals, middle): (&[i64], u32)) -> FineHistogram {
        // One bit below the rounding of the fewest low bits in question.
        let shift = middle.saturating_sub(2);
        let (mut counts, mut beyond) = ([0; FINE_BINS], 0);
        for residual in residuals {
            let bin = (residual >> shift).wrapping_add(FINE_ZERO).cast_unsigned();
            match usize::try_from(bin).ok().and_then(|bin| counts.get_mut(bin)) {
                Some(count) => *count = u32::wrapping_add(*count, 1),
                None => beyond += 1,
            }
        }
        FineHistogram { shift, counts, beyond }
    }

    /// Counts of symbols, exceptions among those of 0, and the number of exceptions.
    fn coarsen(&self, low_bits: u32) -> ([u32; SYMBOLS], u64) {
        let (mut histogram, mut exceptions) = ([0; SYMBOLS], self.beyond);
        let bits = low_bits - self.shift;
        let half = (1i64 << bits) >> 1;
        // Bin b, from -256 on, belongs to symbol (b + half) >> bits.
        let first = ((-15i64 << bits) - half + FINE_ZERO).cast_unsigned();
        let first = usize::try_from(first).unwrap_or(0);
        let (below, rest) = self.counts.split_at(first.min(FINE_BINS));
        let (coded, above) = rest.split_at((SYMBOLS << bits).min(rest.len()));
        for (symbol, bins) in histogram.iter_mut().zip(coded.chunks(1 << bits)) {
            *symbol = bins.iter().sum();
        }
        exceptions += below.iter().chain(above).map(|count| u64::from(*count)).sum::<u64>();
        if let Some(zero) = histogram.get_mut(SYMBOLS / 2) {
            *zero += u32::try_from(exceptions).unwrap_or(u32::MAX);
        }
        (histogram, exceptions)
    }
}
