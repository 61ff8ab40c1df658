//! Running other programs: printed as they can be typed again, output passed through.
//!
//! Which programs run and in what order is decided in `ci`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program with its arguments and environment, not yet started.
#[derive(Debug)]
pub struct Cmd {
    program: OsString,
    shown: String,
    args: Vec<String>,
    envs: Vec<(String, String)>,
    dir: PathBuf,
}

impl Cmd {
    /// `cargo` of the toolchain that runs us, in the root of the workspace.
    pub fn cargo<S: Into<String>>(root: &Path, args: impl IntoIterator<Item = S>) -> Self {
        // Cargo sets CARGO for what it runs; the name alone serves when we are started by hand.
        let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        Self { shown: "cargo".into(), ..Self::program(program, root) }.args(args)
    }

    /// Any program, in the directory `dir`.
    pub fn program(program: impl Into<OsString>, dir: &Path) -> Self {
        let program = program.into();
        Self {
            shown: program.to_string_lossy().into_owned(),
            program,
            args: Vec::new(),
            envs: Vec::new(),
            dir: dir.to_path_buf(),
        }
    }

    /// Adds arguments.
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable for this program alone.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.envs.push((name.into(), value.into()));
        self
    }

    /// The command as one can paste it into a shell.
    pub fn line(&self) -> String {
        let envs = self.envs.iter().map(|(name, value)| format!("{name}={}", quoted(value)));
        let args = self.args.iter().map(|arg| quoted(arg));
        envs.chain([self.shown.clone()]).chain(args).collect::<Vec<_>>().join(" ")
    }

    /// Prints the command, runs it with our output, and fails when it does not end well.
    ///
    /// # Errors
    /// The program cannot be started, or ends with another code than 0.
    pub fn run(&self) -> Result<(), String> {
        println!("$ {}", self.line());
        let status = self
            .command()
            .status()
            .map_err(|error| format!("`{}` could not be started: {error}", self.line()))?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("`{}` ended with {status}", self.line()))
        }
    }

    /// Runs the command silently and returns what it wrote to its standard output.
    ///
    /// # Errors
    /// As for [`Cmd::run`], with the program's own messages, or when the output is not UTF-8.
    pub fn output(&self) -> Result<String, String> {
        let output = self
            .command()
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("`{}` could not be started: {error}", self.line()))?;
        if !output.status.success() {
            let messages = String::from_utf8_lossy(&output.stderr);
            return Err(format!("`{}` ended with {}\n{messages}", self.line(), output.status));
        }
        String::from_utf8(output.stdout)
            .map_err(|error| format!("`{}` wrote no UTF-8: {error}", self.line()))
    }

    /// Whether the command can be started and ends well; its output is dropped.
    pub fn works(&self) -> bool {
        let quiet = self.command().stdout(Stdio::null()).stderr(Stdio::null()).status();
        quiet.is_ok_and(|status| status.success())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).current_dir(&self.dir);
        command.envs(self.envs.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Puts quotes around what a shell would take apart.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::Cmd;
    use std::path::Path;

    #[test]
    fn line_can_be_pasted() {
        let command = Cmd::cargo(Path::new("."), ["doc", "--test", "e2e_*"])
            .env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(command.line(), "RUSTDOCFLAGS='-D warnings' cargo doc --test 'e2e_*'");
    }

    #[test]
    fn failure_names_the_command() {
        let command = Cmd::cargo(Path::new("."), ["no-such-command-of-cargo"]);
        assert!(!command.works());
        let message = command.output().unwrap_err();
        assert!(message.starts_with("`cargo no-such-command-of-cargo` ended with"), "{message}");
    }

    #[test]
    fn output_is_what_the_program_wrote() {
        let version = Cmd::cargo(Path::new("."), ["--version"]).output().unwrap();
        assert!(version.starts_with("cargo "), "{version}");
    }
}
