//! How much memory a process takes, and took at most, as Linux counts it in `/proc`.

use std::fs;

/// The most memory that a process has held at once since [`forget_peak`], in bytes. None when it is gone.
pub fn peak_bytes(id: u32) -> Option<u64> {
    status_bytes(id, "VmHWM:")
}

/// Lets the peak begin anew from what the process holds now, and says whether the system allowed it. Where
/// it did not, the old peak stays, and what is measured against it is still true, if less strict.
pub fn forget_peak(id: u32) -> bool {
    // 5 is "reset the peak resident set size" (man proc_pid_clear_refs).
    fs::write(format!("/proc/{id}/clear_refs"), "5").is_ok()
}

/// A line of `/proc/ID/status` that counts in kB.
fn status_bytes(id: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_remembered_and_can_be_forgotten() {
        const MANY: usize = 96 << 20;
        let own = std::process::id();
        forget_peak(own);
        let before = peak_bytes(own).unwrap();
        drop(std::hint::black_box(vec![1_u8; MANY]));
        let grown = peak_bytes(own).unwrap() - before;
        assert!(grown > (MANY as u64) / 2, "{grown}");
        if forget_peak(own) {
            assert!(peak_bytes(own).unwrap() < before + grown / 2);
        }
        assert_eq!(peak_bytes(u32::MAX), None, "there is no such process");
    }
}
