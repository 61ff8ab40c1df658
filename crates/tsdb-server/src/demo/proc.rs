//! What the kernel says about this machine in `/proc`: pure functions from text to numbers.
//!
//! A line that does not look as `proc(5)` describes it is left out, never an error: kernels add columns
//! and containers hide files. Not here: reading the files, and what becomes of the numbers.

/// Ticks per second in `/proc/stat`. `USER_HZ` is 100 on every architecture that Rust's standard library
/// supports on Linux.
pub const TICKS_PER_SECOND: f64 = 100.0;

/// Bytes of a sector in `/proc/diskstats`, whatever the disk itself uses.
const SECTOR_BYTES: u64 = 512;

/// Time that a core has spent, in ticks since boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CpuTimes {
    /// `cpu0`, `cpu1`, …, or `cpu-total`.
    pub name: String,
    /// In programs.
    pub user: u64,
    /// In programs of low priority.
    pub nice: u64,
    /// In the kernel.
    pub system: u64,
    /// Doing nothing.
    pub idle: u64,
    /// Doing nothing while a disk was busy.
    pub iowait: u64,
    /// In interrupts, hard and soft.
    pub irq: u64,
    /// Taken by other guests of a hypervisor.
    pub steal: u64,
}

impl CpuTimes {
    /// All ticks together.
    pub fn total(&self) -> u64 {
        [self.user, self.nice, self.system, self.idle, self.iowait, self.irq, self.steal]
            .iter()
            .fold(0, |sum, part| sum.saturating_add(*part))
    }
}

/// The cores of `/proc/stat`.
pub fn cpus(text: &str) -> Vec<CpuTimes> {
    text.lines().filter_map(cpu).collect()
}

fn cpu(line: &str) -> Option<CpuTimes> {
    let mut words = line.split_ascii_whitespace();
    let name = words.next().filter(|name| name.starts_with("cpu"))?;
    let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
    let [user, nice, system, idle] = [number()?, number()?, number()?, number()?];
    let [iowait, irq, softirq, steal] =
        [number(), number(), number(), number()].map(Option::unwrap_or_default);
    let name = if name == "cpu" { "cpu-total".to_owned() } else { name.to_owned() };
    let irq = irq.saturating_add(softirq);
    Some(CpuTimes { name, user, nice, system, idle, iowait, irq, steal })
}

/// Memory of the machine, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// All.
    pub total: u64,
    /// Not used for anything.
    pub free: u64,
    /// What programs could still get.
    pub available: u64,
    /// Buffers of the kernel.
    pub buffers: u64,
    /// Cached files.
    pub cached: u64,
    /// Swap space.
    pub swap_total: u64,
    /// Unused swap space.
    pub swap_free: u64,
}

/// `/proc/meminfo`. None without a total.
pub fn memory(text: &str) -> Option<Memory> {
    let field = |name: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        kib(rest)
    };
    Some(Memory {
        total: field("MemTotal")?,
        free: field("MemFree").unwrap_or_default(),
        available: field("MemAvailable").unwrap_or_default(),
        buffers: field("Buffers").unwrap_or_default(),
        cached: field("Cached").unwrap_or_default(),
        swap_total: field("SwapTotal").unwrap_or_default(),
        swap_free: field("SwapFree").unwrap_or_default(),
    })
}

/// ` 123 kB` in bytes.
fn kib(text: &str) -> Option<u64> {
    text.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

/// How many programs want to run.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Load {
    /// Mean of the last minute.
    pub load1: f64,
    /// Mean of the last five minutes.
    pub load5: f64,
    /// Mean of the last fifteen minutes.
    pub load15: f64,
    /// Threads that run or want to.
    pub runnable: f64,
    /// Threads of the machine.
    pub threads: f64,
}

/// `/proc/loadavg`.
pub fn load(text: &str) -> Option<Load> {
    let mut words = text.split_ascii_whitespace();
    let mut mean = || words.next()?.parse::<f64>().ok().filter(|mean| mean.is_finite());
    let [load1, load5, load15] = [mean()?, mean()?, mean()?];
    let (runnable, threads) = words.next()?.split_once('/')?;
    let (runnable, threads) = (runnable.parse::<u32>().ok()?, threads.parse::<u32>().ok()?);
    Some(Load { load1, load5, load15, runnable: runnable.into(), threads: threads.into() })
}

/// What a disk has done since boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disk {
    /// The device, as `sda`.
    pub name: String,
    /// Reads that were carried out.
    pub reads: u64,
    /// Bytes that they brought.
    pub read_bytes: u64,
    /// Writes that were carried out.
    pub writes: u64,
    /// Bytes that they took.
    pub write_bytes: u64,
    /// Milliseconds in which something was to do.
    pub busy_ms: u64,
}

/// The disks of `/proc/diskstats` that have ever done anything, without loop and RAM devices.
pub fn disks(text: &str) -> Vec<Disk> {
    text.lines().filter_map(disk).collect()
}

fn disk(line: &str) -> Option<Disk> {
    let mut words = line.split_ascii_whitespace().skip(2);
    let name = words.next().filter(|name| !name.starts_with("loop") && !name.starts_with("ram"))?;
    let numbers: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
    // Columns of Documentation/admin-guide/iostats.rst.
    let &[reads, _, sectors_read, _, writes, _, sectors_written, _, _, busy_ms, ..] =
        numbers.as_slice()
    else {
        return None;
    };
    let disk = Disk {
        name: name.to_owned(),
        reads,
        read_bytes: sectors_read.saturating_mul(SECTOR_BYTES),
        writes,
        write_bytes: sectors_written.saturating_mul(SECTOR_BYTES),
        busy_ms,
    };
    (reads > 0 || writes > 0).then_some(disk)
}

/// What a network interface has carried since boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interface {
    /// The interface, as `eth0`.
    pub name: String,
    /// Bytes, packets, errors and dropped packets of one direction.
    pub received: Traffic,
    /// The same of the other.
    pub sent: Traffic,
}

/// One direction of an [`Interface`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Packets that were broken.
    pub errors: u64,
    /// Packets that were thrown away.
    pub dropped: u64,
}

/// The interfaces of `/proc/net/dev` that have ever carried anything.
pub fn interfaces(text: &str) -> Vec<Interface> {
    text.lines().filter_map(interface).collect()
}

fn interface(line: &str) -> Option<Interface> {
    let (name, rest) = line.split_once(':')?;
    let numbers: Vec<u64> =
        rest.split_ascii_whitespace().map_while(|word| word.parse().ok()).collect();
    let traffic = |from: usize| match numbers.get(from..from + 4) {
        Some(&[bytes, packets, errors, dropped]) => {
            Some(Traffic { bytes, packets, errors, dropped })
        }
        _ => None,
    };
    let (received, sent) = (traffic(0)?, traffic(8)?);
    let used = received.bytes > 0 || sent.bytes > 0;
    used.then(|| Interface { name: name.trim().to_owned(), received, sent })
}

/// What a process has used.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Process {
    /// Seconds in its own code.
    pub user_seconds: f64,
    /// Seconds in the kernel for it.
    pub system_seconds: f64,
    /// Threads.
    pub threads: u64,
    /// Bytes of its memory that are in RAM.
    pub resident_bytes: u64,
}

/// A process, from its `/proc/PID/stat` and `/proc/PID/status`.
pub fn process(stat: &str, status: &str) -> Option<Process> {
    // The name of the program may hold blanks and parentheses, so count from the last one.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut words = rest.split_ascii_whitespace().skip(11);
    let mut ticks = || words.next()?.parse::<u64>().ok();
    let [user, system] = [ticks()?, ticks()?];
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    Some(Process {
        user_seconds: user as f64 / TICKS_PER_SECOND,
        system_seconds: system as f64 / TICKS_PER_SECOND,
        threads: field("Threads:").and_then(|n| n.trim().parse().ok()).unwrap_or_default(),
        resident_bytes: field("VmRSS:").and_then(kib).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cores() {
        let text = "cpu  42152 10434 19941 413462 1372 3 177 1255 0 0\n\
                    cpu0 20284 4872 9472 208925 228 0 24 608 0 0\n\
                    cpu1 1 2 3 4\n\
                    cpu2 1 2 x 4\n\
                    intr 123 0\nctxt 5\n";
        let cpus = cpus(text);
        let names: Vec<_> = cpus.iter().map(|cpu| cpu.name.as_str()).collect();
        assert_eq!(names, ["cpu-total", "cpu0", "cpu1"]);
        assert_eq!(cpus[0].irq, 180);
        assert_eq!(cpus[0].steal, 1255);
        assert_eq!(cpus[2].total(), 10);
    }

    #[test]
    fn memory_of_the_machine() {
        let text = "MemTotal:       24684084 kB\nMemFree:        23846748 kB\n\
                    MemAvailable:   24077496 kB\nBuffers:            5100 kB\n\
                    Cached:           506616 kB\nSwapCached:            7 kB\n";
        let memory = memory(text).unwrap();
        assert_eq!(memory.total, 24_684_084 * 1024);
        assert_eq!(memory.cached, 506_616 * 1024);
        assert_eq!(memory.swap_total, 0);
        assert_eq!(super::memory("MemFree: 1 kB"), None);
    }

    #[test]
    fn load_of_the_machine() {
        let expected =
            Load { load1: 0.26, load5: 0.68, load15: 0.51, runnable: 1.0, threads: 109.0 };
        assert_eq!(load("0.26 0.68 0.51 1/109 19513\n"), Some(expected));
        for text in ["", "0.1 0.2", "0.1 0.2 0.3 5 1", "nan 0 0 1/1 1"] {
            assert_eq!(load(text), None, "{text:?}");
        }
    }

    #[test]
    fn disks_that_did_something() {
        let text = "   7  0 loop0 5 0 0 0 5 0 0 0 0 0 0\n\
                    254  0 vda 112168 52013 15100402 185745 10426 47550 4870448 15906 0 23532 202805 7804 24\n\
                    253  0 zram0 0 0 0 0 0 0 0 0 0 0 0\n\
                      8  0 sdb 1 2 3\n";
        let disks = disks(text);
        assert_eq!(disks.len(), 1);
        assert_eq!(disks[0].name, "vda");
        assert_eq!(disks[0].read_bytes, 15_100_402 * 512);
        assert_eq!(disks[0].writes, 10_426);
        assert_eq!(disks[0].busy_ms, 23_532);
    }

    #[test]
    fn interfaces_that_carried_something() {
        let text = "Inter-|   Receive                 |  Transmit\n \
                    face |bytes    packets errs drop fifo frame compressed multicast|bytes packets\n\
                    lo:  808718    8144    0    0    0     0          0         0   808718    8144    0    0    0     0       0          0\n  \
                    ifb0:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0\n\
                    eth0:166473008 8873 1 2 0 0 0 0 486763 4674 3 4 0 0 0 0\n";
        let interfaces = interfaces(text);
        assert_eq!(interfaces.len(), 2);
        assert_eq!(interfaces[1].name, "eth0");
        assert_eq!(interfaces[1].received.bytes, 166_473_008);
        assert_eq!(
            interfaces[1].sent,
            Traffic { bytes: 486_763, packets: 4674, errors: 3, dropped: 4 }
        );
    }

    #[test]
    fn a_process_with_an_odd_name() {
        let stat =
            "19517 (a) b) R 1 1 1 0 -1 4194304 102 0 0 0 250 50 0 0 20 0 1 0 244916 3133440 388";
        let status = "Name:\ta) b\nVmRSS:\t    1552 kB\nThreads:\t7\n";
        let expected = Process {
            user_seconds: 2.5,
            system_seconds: 0.5,
            threads: 7,
            resident_bytes: 1552 * 1024,
        };
        assert_eq!(process(stat, status), Some(expected));
        assert_eq!(process("", ""), None);
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in "[ -~\n]{0,200}") {
            cpus(&text);
            memory(&text);
            load(&text);
            disks(&text);
            interfaces(&text);
            process(&text, &text);
        }
    }
}
