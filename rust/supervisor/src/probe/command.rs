//! Does a command, run as the instance is run, exit with 0?

use rustix::process::{Pid, Signal, kill_process_group};

use crate::census::House;
use crate::spawn::{Inheritance, spawn_beside};
use crate::spec::InstanceSpec;
use crate::watch::Child;

/// Runs it once, in a session of its own. Dropping the future kills it.
pub async fn run(
    house: &House,
    spec: &InstanceSpec,
    argv: &[String],
    inheritance: Inheritance,
) -> Result<(), String> {
    let child = spawn_beside(house, spec, argv, inheritance).map_err(|error| error.to_string())?;
    let running = Running(child);
    let _then_its_exit_tells = running.0.ended().await;
    running.kill_group();
    match running.0.wait().await {
        Ok(exit) if exit.is_success() => Ok(()),
        Ok(exit) => Err(format!("`{}` {exit}", argv[0])),
        Err(error) => Err(format!("`{}` could not be watched: {error}", argv[0])),
    }
}

/// Kills its process group when it goes: a probe's time is limited, and it leaves nothing behind.
struct Running(Child);

impl Running {
    /// Only while its exit is not taken: its group's number may be another's after.
    fn kill_group(&self) {
        if let (Some(group), false) = (Pid::from_raw(self.0.pid()), self.0.is_reaped()) {
            let _nothing_left = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill_group();
    }
}
