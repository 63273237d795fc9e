//! The processes of instances, as `/proc` shows them when somebody asks for metrics.
//!
//! Nothing is sampled in between: a scrape reads two small files and counts one directory for each process.

use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use backstay_telemetry::{GaugeFamily, MetricError, Registry};
use parking_lot::Mutex;

/// What is known of one instance's process.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its service.
    pub service: String,
    /// Its main process.
    pub pid: i32,
    /// When that started, in Unix milliseconds.
    pub started_at: u64,
    /// How often the instance was restarted.
    pub restarts: u32,
}

/// The processes whose metrics are shown.
#[derive(Debug)]
pub struct Processes {
    /// By instance. Held for one map operation, or a copy of it all.
    known: Mutex<HashMap<String, Process>>,
    families: Families,
}

#[derive(Debug)]
struct Families {
    cpu: GaugeFamily,
    memory: GaugeFamily,
    fds: GaugeFamily,
    threads: GaugeFamily,
    restarts: GaugeFamily,
    uptime: GaugeFamily,
}

/// One reading of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// Processor time used so far, in seconds.
    pub cpu_seconds: f64,
    /// Memory that is in use and not shared with the page cache, in bytes.
    pub resident_bytes: f64,
    /// Open descriptors.
    pub fds: f64,
    /// Threads.
    pub threads: f64,
}

impl Processes {
    /// Registers the families; each exposition reads the processes anew.
    pub fn register(registry: &Registry) -> Result<Arc<Self>, MetricError> {
        let labels = ["service", "instance"];
        let gauge = |name, help| registry.gauge(name, help, &labels);
        let processes = Arc::new(Self {
            known: Mutex::default(),
            families: Families {
                cpu: gauge(
                    "backstay_process_cpu_seconds",
                    "Processor time of an instance's main process.",
                )?,
                memory: gauge(
                    "backstay_process_resident_memory_bytes",
                    "Memory of an instance's main process.",
                )?,
                fds: gauge(
                    "backstay_process_open_fds",
                    "Descriptors that an instance's main process holds.",
                )?,
                threads: gauge(
                    "backstay_process_threads",
                    "Threads of an instance's main process.",
                )?,
                restarts: gauge(
                    "backstay_instance_restarts",
                    "Restarts of an instance since it was asked to start.",
                )?,
                uptime: gauge(
                    "backstay_instance_uptime_seconds",
                    "Time since an instance's process started.",
                )?,
            },
        });
        let weak: Weak<Self> = Arc::downgrade(&processes);
        registry.before_render(move || {
            if let Some(processes) = weak.upgrade() {
                processes.refresh();
            }
        });
        Ok(processes)
    }

    /// An instance runs as this process.
    pub fn set(&self, instance: &str, process: Process) {
        self.known.lock().insert(instance.to_owned(), process);
    }

    /// An instance runs no more.
    pub fn remove(&self, instance: &str) {
        let Some(process) = self.known.lock().remove(instance) else {
            return;
        };
        let labels = [process.service.as_str(), instance];
        let families = &self.families;
        for family in [
            &families.cpu,
            &families.memory,
            &families.fds,
            &families.threads,
            &families.restarts,
            &families.uptime,
        ] {
            family.remove(&labels);
        }
    }

    /// The process of an instance.
    pub fn get(&self, instance: &str) -> Option<Process> {
        self.known.lock().get(instance).cloned()
    }

    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit")]
    fn refresh(&self) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64();
        let known = self.known.lock().clone();
        for (instance, process) in known {
            let labels = [process.service.as_str(), instance.as_str()];
            let families = &self.families;
            families
                .restarts
                .with(&labels)
                .set(f64::from(process.restarts));
            families
                .uptime
                .with(&labels)
                .set((now - process.started_at as f64 / 1000.0).max(0.0));
            let Some(sample) = sample(process.pid) else {
                continue;
            };
            families.cpu.with(&labels).set(sample.cpu_seconds);
            families.memory.with(&labels).set(sample.resident_bytes);
            families.fds.with(&labels).set(sample.fds);
            families.threads.with(&labels).set(sample.threads);
        }
    }
}

/// Reads one process; none where it is gone.
#[expect(
    clippy::cast_precision_loss,
    reason = "ticks, bytes and counts of one process fit"
)]
pub(crate) fn sample(pid: i32) -> Option<Sample> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command stands in parentheses and may hold anything, so fields are counted behind the last one.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |index: usize| {
        fields
            .get(index)
            .and_then(|field| field.parse::<f64>().ok())
    };
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: f64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(Sample {
        cpu_seconds: (number(11)? + number(12)?) / ticks,
        resident_bytes: pages * rustix::param::page_size() as f64,
        fds: fs::read_dir(format!("/proc/{pid}/fd")).map_or(0.0, |fds| fds.count() as f64),
        threads: number(17)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_shows_what_runs_and_forgets_what_does_not() {
        let registry = Registry::new();
        let processes = Processes::register(&registry).unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        processes.set(
            "files.1",
            Process {
                service: "files".into(),
                pid,
                started_at: 0,
                restarts: 3,
            },
        );
        let render = || {
            let mut out = Vec::new();
            registry.render(&mut out);
            String::from_utf8(out).unwrap()
        };
        let text = render();
        assert!(
            text.contains("backstay_instance_restarts{service=\"files\",instance=\"files.1\"} 3"),
            "{text}"
        );
        let sample = sample(pid).unwrap();
        assert!(sample.resident_bytes > 1e5 && sample.fds > 2.0 && sample.threads >= 1.0);
        processes.remove("files.1");
        assert!(!render().contains("files.1"));
    }
}
