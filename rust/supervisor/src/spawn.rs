//! Starting an instance: own session, clean environment, nothing inherited.
//!
//! What can be known to fail before the fork is found before it, so that the
//! message names the cause and not an errno: exec's "no such file" can mean the
//! program, its interpreter or the working directory.

// `pre_exec` runs between fork and exec. Its closure makes system calls only: no
// allocation, no lock, nothing that another thread may have left half-done.
#![allow(unsafe_code)]

use std::ffi::OsStr;
use std::io::{self, BufRead, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio as Stream};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit};
use thiserror::Error;

use crate::census::{Entry, House, INSTANCE_MARKER, KEEPER_MARKER};
use crate::pipes::McpPipes;
use crate::spec::{InstanceSpec, Stdio};
use crate::watch::Child;

/// Where programs are looked for when the environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Why a process could not be started.
#[derive(Debug, Error)]
pub enum SpawnError {
    /// The working directory is missing or none.
    #[error("the working directory {} is not a directory", path.display())]
    WorkingDir {
        /// The directory.
        path: PathBuf,
    },
    /// No such program.
    #[error("`{program}` was not found in {searched}")]
    ProgramMissing {
        /// What was to be run.
        program: String,
        /// Where it was looked for.
        searched: String,
    },
    /// The file may not be run.
    #[error("{} is not executable", path.display())]
    NotExecutable {
        /// The file.
        path: PathBuf,
    },
    /// The program is a script whose interpreter is missing.
    #[error("{} needs `{interpreter}`, which was not found", path.display())]
    InterpreterMissing {
        /// The script.
        path: PathBuf,
        /// What its first line names.
        interpreter: String,
    },
    /// The file is no program for this machine, nor a script with a `#!` line.
    #[error("{} is neither a program for this machine nor a script with a `#!` line", path.display())]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// The system has no room for another process, or the like.
    #[error("could not start `{program}`: {source}")]
    System {
        /// What was to be run.
        program: String,
        /// What the system says.
        source: io::Error,
    },
}

impl SpawnError {
    /// Whether trying again later may help.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::System { .. })
    }
}

/// What this process has changed for itself and its children must not inherit.
#[derive(Clone, Copy, Debug)]
pub struct Inheritance {
    /// The limit of open files to give them.
    pub open_files: Rlimit,
    /// The file mode mask to give them.
    pub umask: Mode,
}

impl Inheritance {
    /// As this process is now.
    pub fn current() -> Self {
        let umask = rustix::process::umask(Mode::empty());
        rustix::process::umask(umask);
        Self {
            open_files: rustix::process::getrlimit(Resource::Nofile),
            umask,
        }
    }
}

/// A process just started.
#[derive(Debug)]
pub struct Spawned {
    /// The process.
    pub child: Child,
    /// When it started, in clock ticks since boot.
    pub start_time: u64,
    /// When it started, in Unix milliseconds.
    pub started_at: u64,
    /// The gateway's pipes, if it is a stdio server.
    pub pipes: Option<McpPipes>,
    /// Its standard output, for the log, unless it is the gateway's.
    pub stdout: Option<OwnedFd>,
    /// Its standard error, for the log.
    pub stderr: OwnedFd,
}

/// Starts an instance. `more` is put in its environment too.
pub fn spawn(
    house: &House,
    spec: &InstanceSpec,
    more: &[(&str, String)],
    pipe_size: usize,
    inheritance: Inheritance,
) -> Result<Spawned, SpawnError> {
    let (mut command, program) = prepare(house, spec, &spec.argv, inheritance)?;
    command.envs(more.iter().map(|(key, value)| (key, value)));
    let failed = |source: io::Error| diagnose(&program, &spec.argv[0], source);
    let mut pipes = None;
    let mut stdout = None;
    match spec.stdio {
        Stdio::Mcp => {
            let (ours, theirs) =
                McpPipes::create(pipe_size).map_err(|error| failed(error.into()))?;
            command.stdin(theirs.stdin).stdout(theirs.stdout);
            pipes = Some(ours);
        }
        Stdio::Logs => {
            let (read, write) = pipe().map_err(failed)?;
            command.stdin(Stream::null()).stdout(write);
            stdout = Some(read);
        }
    }
    let (stderr, write) = pipe().map_err(failed)?;
    command.stderr(write);
    let (child, start_time) = start(house, command).map_err(failed)?;
    Ok(Spawned {
        child,
        start_time,
        started_at: unix_ms(),
        pipes,
        stdout,
        stderr,
    })
}

/// Starts a command the way an instance's own is started: a probe. Its output is not kept.
pub fn spawn_beside(
    house: &House,
    spec: &InstanceSpec,
    argv: &[String],
    inheritance: Inheritance,
) -> Result<Child, SpawnError> {
    let (mut command, program) = prepare(house, spec, argv, inheritance)?;
    command
        .stdin(Stream::null())
        .stdout(Stream::null())
        .stderr(Stream::null());
    start(house, command)
        .map(|(child, _)| child)
        .map_err(|source| diagnose(&program, &argv[0], source))
}

/// Puts a prepared command into a session of its own, with nothing of ours, and starts it.
/// Returns the child and its start time in clock ticks.
pub fn start(house: &House, mut command: Command) -> io::Result<(Child, u64)> {
    // The `std` handle would not reap it either; the nursery's pidfd does.
    let pid = i32::try_from(command.spawn()?.id()).map_err(io::Error::other)?;
    drop(command);
    let child = house.nursery().adopt(pid)?;
    // Not yet reaped, so `/proc` still has it even if it is dead already.
    let start_time = Entry::read(pid).map_or(0, |entry| entry.start_time);
    Ok((child, start_time))
}

/// Has a command begin in its own session, with default signals and without our descriptors.
/// `keep` are those it is to inherit.
pub fn isolate(command: &mut Command, inheritance: Inheritance, keep: std::ops::Range<i32>) {
    let hook = move || {
        rustix::process::setsid()?;
        rustix::process::umask(inheritance.umask);
        rustix::process::setrlimit(Resource::Nofile, inheritance.open_files)?;
        for number in 1..=64 {
            // SAFETY: async-signal-safe; an ignored signal would survive exec. Fails
            // for SIGKILL and SIGSTOP, which have no disposition to reset.
            unsafe { libc::signal(number, libc::SIG_DFL) };
        }
        // SAFETY: marks descriptors close-on-exec, whoever opened them: closes nothing
        // here, and std's own error pipe is close-on-exec as it is. A kernel before 5.11
        // refuses; ours are all opened close-on-exec anyway.
        unsafe {
            libc::syscall(
                libc::SYS_close_range,
                3_u32,
                u32::MAX,
                libc::CLOSE_RANGE_CLOEXEC,
            )
        };
        for kept in keep.clone() {
            // SAFETY: changes a flag of a descriptor; an error is one that is not open.
            if unsafe { libc::fcntl(kept, libc::F_SETFD, 0) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: the closure allocates nothing, takes no lock and only makes system calls.
    unsafe { command.pre_exec(hook) };
}

fn prepare(
    house: &House,
    spec: &InstanceSpec,
    argv: &[String],
    inheritance: Inheritance,
) -> Result<(Command, PathBuf), SpawnError> {
    // Absolute, because the program's path is resolved after the change of directory.
    let directory =
        std::path::absolute(&spec.working_dir).unwrap_or_else(|_| spec.working_dir.clone());
    if !directory.is_dir() {
        return Err(SpawnError::WorkingDir { path: directory });
    }
    let path = spec.env.get("PATH").map_or(DEFAULT_PATH, String::as_str);
    let program = find_program(&argv[0], path, &directory)?;
    if !has_format(&program) {
        return Err(SpawnError::Format { path: program });
    }
    let mut command = Command::new(&program);
    command
        .arg0(&argv[0])
        .args(&argv[1..])
        .current_dir(&directory)
        .env_clear()
        .envs(&spec.env)
        .env(INSTANCE_MARKER, &spec.name)
        .env(KEEPER_MARKER, house.keeper());
    isolate(&mut command, inheritance, 0..0);
    Ok((command, program))
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

/// Finds a program as a shell would, from the directory it will run in.
pub fn find_program(program: &str, path: &str, working_dir: &Path) -> Result<PathBuf, SpawnError> {
    if program.contains('/') {
        let file = working_dir.join(program);
        return match file.metadata() {
            Ok(_) if is_executable(&file) => Ok(file),
            Ok(_) => Err(SpawnError::NotExecutable { path: file }),
            Err(_) => Err(SpawnError::ProgramMissing {
                program: program.to_owned(),
                searched: file.parent().unwrap_or(working_dir).display().to_string(),
            }),
        };
    }
    let candidates = || {
        path.split(':')
            .map(|directory| working_dir.join(directory).join(program))
    };
    if let Some(file) = candidates().find(|file| is_executable(file)) {
        return Ok(file);
    }
    match candidates().find(|file| file.is_file()) {
        Some(path) => Err(SpawnError::NotExecutable { path }),
        None => Err(SpawnError::ProgramMissing {
            program: program.to_owned(),
            searched: format!("PATH ({path})"),
        }),
    }
}

/// Whether a file says what it is. Exec's fallback, to let a shell read it whatever it
/// is, makes puzzles of damaged downloads. One that may be run but not read is let pass.
fn has_format(file: &Path) -> bool {
    let mut head = [0; 4];
    let read = std::fs::File::open(file).and_then(|mut file| file.read(&mut head));
    read.is_err() || head.starts_with(b"#!") || head == *b"\x7fELF"
}

fn is_executable(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

fn diagnose(file: &Path, program: &str, source: io::Error) -> SpawnError {
    let path = file.to_owned();
    match source.raw_os_error() {
        Some(libc::ENOENT) => match interpreter(file) {
            Some(interpreter) => SpawnError::InterpreterMissing { path, interpreter },
            None => SpawnError::Format { path },
        },
        Some(libc::ENOEXEC) => SpawnError::Format { path },
        Some(libc::EACCES | libc::EPERM) => SpawnError::NotExecutable { path },
        _ => SpawnError::System {
            program: program.to_owned(),
            source,
        },
    }
}

fn interpreter(script: &Path) -> Option<String> {
    let mut line = Vec::new();
    let head = std::fs::File::open(script).ok()?.take(256);
    io::BufReader::new(head).read_until(b'\n', &mut line).ok()?;
    let named = line.strip_prefix(b"#!")?.trim_ascii();
    let named = named.split(u8::is_ascii_whitespace).next()?;
    let named: &OsStr = std::os::unix::ffi::OsStrExt::from_bytes(named);
    Some(named.to_string_lossy().into_owned())
}

/// The time, in Unix milliseconds.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
