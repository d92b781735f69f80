//! What the command line asks for.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::str::FromStr;

const USAGE: &str = "usage: echo [--connections N] [--size BYTES] [--seconds N] \
                     [--patience SECONDS] [--listen ADDRESS:PORT | --connect ADDRESS:PORT]";

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) role: Role,
    pub(crate) connections: usize,
    /// Bytes in one message.
    pub(crate) size: usize,
    pub(crate) seconds: u32,
    /// How long one request may take, in seconds.
    pub(crate) patience: u32,
}

#[derive(Debug)]
pub(crate) enum Role {
    /// The server and the load, in this process.
    Both,
    /// The server alone.
    Listen(SocketAddr),
    /// The load alone.
    Connect(SocketAddr),
}

/// The command line does not ask for a run.
#[derive(Debug)]
pub(crate) enum NoRun {
    Help,
    Wrong(String),
}

impl NoRun {
    pub(crate) fn report(self) -> ExitCode {
        match self {
            NoRun::Help => {
                println!("{USAGE}");
                ExitCode::SUCCESS
            }
            NoRun::Wrong(what) => {
                eprintln!("echo: {what}\n{USAGE}");
                ExitCode::from(2)
            }
        }
    }
}

impl Options {
    pub(crate) fn from_arguments(arguments: impl Iterator<Item = String>) -> Result<Self, NoRun> {
        let (role, patience) = (Role::Both, 2);
        let mut options = Options { role, connections: 64, size: 64, seconds: 5, patience };
        let mut arguments = arguments;
        while let Some(name) = arguments.next() {
            if name == "--help" || name == "-h" {
                return Err(NoRun::Help);
            }
            options.set(&name, arguments.next())?;
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: Option<String>) -> Result<(), NoRun> {
        match name {
            "--connections" => self.connections = number(name, value, 1..=100_000)?,
            "--size" => self.size = number(name, value, 1..=64 << 10)?,
            "--seconds" => self.seconds = number(name, value, 1..=86_400)?,
            "--patience" => self.patience = number(name, value, 1..=3_600)?,
            "--listen" => self.take_role(Role::Listen(parse(name, value)?))?,
            "--connect" => self.take_role(Role::Connect(parse(name, value)?))?,
            _ => return Err(NoRun::Wrong(format!("unknown option {name:?}"))),
        }
        Ok(())
    }

    fn take_role(&mut self, role: Role) -> Result<(), NoRun> {
        if !matches!(self.role, Role::Both) {
            return Err(NoRun::Wrong("--listen and --connect stand once and alone".into()));
        }
        self.role = role;
        Ok(())
    }

    /// Open descriptors this run needs, about.
    pub(crate) fn descriptors(&self) -> u64 {
        let sockets = match self.role {
            Role::Both => 2 * self.connections,
            Role::Connect(_) | Role::Listen(_) => self.connections,
        };
        sockets as u64 + 100
    }
}

fn parse<T: FromStr>(name: &str, value: Option<String>) -> Result<T, NoRun> {
    let Some(value) = value else {
        return Err(NoRun::Wrong(format!("{name} needs a value")));
    };
    value.parse().map_err(|_| NoRun::Wrong(format!("{name} cannot be {value:?}")))
}

fn number<T>(
    name: &str,
    value: Option<String>,
    range: std::ops::RangeInclusive<T>,
) -> Result<T, NoRun>
where
    T: FromStr + PartialOrd + std::fmt::Display,
{
    let number = parse(name, value)?;
    if range.contains(&number) {
        return Ok(number);
    }
    let (low, high) = (range.start(), range.end());
    Err(NoRun::Wrong(format!("{name} must be from {low} to {high}")))
}
