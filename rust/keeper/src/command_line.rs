//! The keeper's command line. Only our own programs write it, so it is strict and small.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::start::StartError;

/// What the keeper is started with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CommandLine {
    pub(crate) state_dir: PathBuf,
    /// In the order given, which is the order of the daemon's descriptors.
    pub(crate) listeners: Vec<Listener>,
    /// The daemon; empty if there is to be none.
    pub(crate) daemon: Vec<String>,
}

/// A socket to hold for the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) name: String,
    pub(crate) place: Place,
}

/// Where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Tcp(SocketAddr),
    /// Relative to the state directory.
    Unix(PathBuf),
}

impl CommandLine {
    pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Self, StartError> {
        let mut arguments = arguments;
        let mut state_dir = None;
        let mut listeners: Vec<Listener> = Vec::new();
        let mut daemon = Vec::new();
        while let Some(option) = arguments.next() {
            if option == "--" {
                daemon = arguments.by_ref().map(text).collect::<Result<_, _>>()?;
                break;
            }
            let Some(value) = arguments.next() else {
                return Err(usage(format!("{} needs a value", option.display())));
            };
            match option.to_str() {
                Some("--state-dir") => state_dir = Some(PathBuf::from(value)),
                Some("--listen") => listeners.push(listener(value, |place| {
                    place
                        .parse()
                        .map(Place::Tcp)
                        .map_err(|_| format!("`{place}` is not ADDRESS:PORT"))
                })?),
                Some("--unix") => {
                    listeners.push(listener(value, |place| Ok(Place::Unix(place.into())))?);
                }
                _ => return Err(usage(format!("unknown option {}", option.display()))),
            }
        }
        let mut names: Vec<_> = listeners
            .iter()
            .map(|listener| listener.name.as_str())
            .collect();
        names.sort_unstable();
        if let Some([twice, ..]) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(usage(format!("two listeners are named `{twice}`")));
        }
        let state_dir = state_dir.ok_or_else(|| usage("--state-dir is missing".to_owned()))?;
        Ok(Self {
            state_dir,
            listeners,
            daemon,
        })
    }
}

fn listener(
    value: OsString,
    place: impl FnOnce(&str) -> Result<Place, String>,
) -> Result<Listener, StartError> {
    let value = text(value)?;
    match value.split_once('=') {
        // A colon would end the name in `LISTEN_FDNAMES`.
        Some((name, at)) if !name.is_empty() && !name.contains(':') => Ok(Listener {
            name: name.to_owned(),
            place: place(at).map_err(usage)?,
        }),
        _ => Err(usage(format!("`{value}` is not NAME=PLACE"))),
    }
}

fn text(argument: OsString) -> Result<String, StartError> {
    argument
        .into_string()
        .map_err(|raw| usage(format!("{} is not UTF-8", OsStr::new(&raw).display())))
}

fn usage(problem: String) -> StartError {
    StartError::Usage { problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<CommandLine, StartError> {
        CommandLine::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn listeners_keep_their_order_and_the_daemon_its_arguments() {
        let parsed = parse("--state-dir /s --unix control=control.sock --listen gateway=127.0.0.1:7077 -- python -m x --state-dir /t").unwrap();
        let names: Vec<_> = parsed
            .listeners
            .iter()
            .map(|listener| listener.name.as_str())
            .collect();
        assert_eq!(names, ["control", "gateway"]);
        assert_eq!(parsed.daemon, ["python", "-m", "x", "--state-dir", "/t"]);
    }

    #[test]
    fn mistakes_are_named() {
        for (line, problem) in [
            ("", "--state-dir is missing"),
            ("--state-dir", "--state-dir needs a value"),
            (
                "--state-dir /s --listen gateway=localhost",
                "`localhost` is not ADDRESS:PORT",
            ),
            (
                "--state-dir /s --listen 127.0.0.1:1",
                "`127.0.0.1:1` is not NAME=PLACE",
            ),
            (
                "--state-dir /s --unix a=b --unix a=c",
                "two listeners are named `a`",
            ),
            ("--state-dir /s --what x", "unknown option --what"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.to_string().contains(problem), "{error}");
        }
    }
}
