//! What the process itself takes of the machine, under the names that Prometheus' own clients use.
//!
//! Read from `/proc` whenever the page is asked for, and written here: a processor's time is a counter
//! with a fraction, which the recorder does not have. Where there is no `/proc`, there are no such lines.

use std::{fmt::Write as _, fs, time::Duration};

use crate::catalogue::{
    Kind, Metric, PROCESS_CPU_SECONDS, PROCESS_MAX_FDS, PROCESS_OPEN_FDS, PROCESS_RESIDENT_BYTES, PROCESS_START_SECONDS, PROCESS_THREADS,
    PROCESS_VIRTUAL_BYTES,
};

/// Ticks of a second in `/proc`: the same on every Linux, whatever the kernel counts by.
const TICKS_PER_SECOND: u64 = 100;

/// The figures of one moment.
#[derive(Debug, Default, PartialEq)]
struct Figures {
    cpu: Option<Duration>,
    threads: Option<u64>,
    started: Option<Duration>,
    resident_bytes: Option<u64>,
    virtual_bytes: Option<u64>,
    open_fds: Option<u64>,
    max_fds: Option<u64>,
}

/// The processor time that this process has taken so far; none where the system does not tell.
pub fn process_cpu() -> Option<Duration> {
    Figures::of(&fs::read_to_string("/proc/self/stat").ok()?, "", "", "").cpu
}

/// Adds the lines of this process to a page.
pub(crate) fn write(page: &mut String) {
    let read = |name: &str| fs::read_to_string(name).unwrap_or_default();
    let mut figures = Figures::of(&read("/proc/self/stat"), &read("/proc/self/status"), &read("/proc/self/limits"), &read("/proc/stat"));
    // The folder is open itself while it is read.
    figures.open_fds = fs::read_dir("/proc/self/fd").ok().map(|open| (open.count() as u64).saturating_sub(1));
    figures.write(page);
}

impl Figures {
    fn of(stat: &str, status: &str, limits: &str, machine: &str) -> Self {
        // The second field is a name in brackets, with anything in it.
        let fields: Vec<&str> = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
        let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<u64>().ok());
        let booted = value(machine, "btime").map(Duration::from_secs);
        let kib = |name| value(status, name).map(|kib| kib * 1024);
        Self {
            cpu: field(14).zip(field(15)).map(|(user, system)| ticks(user + system)),
            threads: field(20),
            started: booted.zip(field(22)).map(|(booted, since)| booted + ticks(since)),
            resident_bytes: kib("VmRSS:"),
            virtual_bytes: kib("VmSize:"),
            open_fds: None,
            max_fds: value(limits, "Max open files"),
        }
    }

    fn write(&self, page: &mut String) {
        let seconds = |time: Duration| time.as_secs_f64().to_string();
        let lines = [
            (PROCESS_CPU_SECONDS, self.cpu.map(seconds)),
            (PROCESS_START_SECONDS, self.started.map(seconds)),
            (PROCESS_RESIDENT_BYTES, self.resident_bytes.map(|bytes| bytes.to_string())),
            (PROCESS_VIRTUAL_BYTES, self.virtual_bytes.map(|bytes| bytes.to_string())),
            (PROCESS_OPEN_FDS, self.open_fds.map(|count| count.to_string())),
            (PROCESS_MAX_FDS, self.max_fds.map(|count| count.to_string())),
            (PROCESS_THREADS, self.threads.map(|count| count.to_string())),
        ];
        for (metric, value) in lines.iter().filter_map(|(metric, value)| Some((metric, value.as_ref()?))) {
            one(page, metric, value);
        }
    }
}

fn one(page: &mut String, Metric { name, kind, help, .. }: &Metric, value: &str) {
    let kind = if *kind == Kind::Counter { "counter" } else { "gauge" };
    // Writing to a text cannot fail.
    write!(page, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n").unwrap_or_default();
}

/// The first number of the line that begins so.
fn value(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

fn ticks(count: u64) -> Duration {
    Duration::from_millis(count * 1000 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn the_files_are_read_as_the_system_writes_them() {
        let stat = "4 (a) b) S 1 1 1 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 7 0 1234 9 9 184";
        let status = "Name:\ta\nVmSize:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        let limits = "Limit                     Soft Limit           Hard Limit\nMax open files            1024                 4096                 files\n";
        let figures = Figures::of(stat, status, limits, "cpu 1 2\nbtime 1000\n");
        let expected = Figures {
            cpu: Some(Duration::from_secs(2)),
            threads: Some(7),
            started: Some(Duration::from_millis(1_012_340)),
            resident_bytes: Some(1 << 20),
            virtual_bytes: Some(2 << 20),
            open_fds: None,
            max_fds: Some(1024),
        };
        assert_eq!(figures, expected);
        let mut page = String::new();
        figures.write(&mut page);
        assert!(page.contains("# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 2\n"), "{page}");
        assert!(page.contains("# TYPE process_threads gauge\nprocess_threads 7\n") && !page.contains("process_open_fds"), "{page}");
    }

    #[test]
    fn what_cannot_be_read_has_no_line() {
        let mut page = String::new();
        Figures::of("", "", "nonsense", "").write(&mut page);
        assert_eq!(page, "");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_all_of_them() {
        let mut page = String::new();
        write(&mut page);
        let figure = |name: &str| {
            let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.parse::<f64>().ok()).unwrap_or_else(|| panic!("{name}: {page}"))
        };
        let started = figure("process_start_time_seconds");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let age = now.as_secs_f64() - started;
        assert!((-60.0..36_000.0).contains(&age), "started {age} s ago");
        assert!(figure("process_resident_memory_bytes") > 100_000.0 && figure("process_virtual_memory_bytes") > 100_000.0);
        assert!(figure("process_open_fds") >= 3.0 && figure("process_max_fds") >= figure("process_open_fds"));
        assert!(figure("process_threads") >= 1.0 && figure("process_cpu_seconds_total") >= 0.0);
    }
}
