//! Flags of the commands that have a few: names with a value, and switches.

/// The words behind a command that are not yet understood.
pub struct Flags<'a> {
    command: &'a str,
    rest: Vec<&'a str>,
}

impl<'a> Flags<'a> {
    /// All words behind `command`.
    pub fn new(command: &'a str, words: &[&'a str]) -> Self {
        Self { command, rest: words.to_vec() }
    }

    /// The number behind the flag `name`, or `default` without the flag.
    ///
    /// # Errors
    /// What stands behind the flag is no number.
    pub fn number(&mut self, name: &str, default: u64) -> Result<u64, String> {
        let Some(value) = self.text(name) else { return Ok(default) };
        value.parse().map_err(|_| format!("{}: {name} `{value}`: not a number", self.command))
    }

    /// The word behind the flag `name`, which is empty where none follows; `None` without the flag.
    pub fn text(&mut self, name: &str) -> Option<&'a str> {
        let at = self.rest.iter().position(|word| *word == name)?;
        let value = self.rest.get(at + 1).copied().unwrap_or_default();
        self.rest.drain(at..self.rest.len().min(at + 2));
        Some(value)
    }

    /// Whether the flag `name` is there.
    pub fn switch(&mut self, name: &str) -> bool {
        let before = self.rest.len();
        self.rest.retain(|word| *word != name);
        self.rest.len() < before
    }

    /// Nothing else may follow.
    ///
    /// # Errors
    /// The first word that was not asked for.
    pub fn end(self) -> Result<(), String> {
        match self.rest.first() {
            None => Ok(()),
            Some(word) => Err(format!("{}: there is no flag `{word}`", self.command)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Flags;

    #[test]
    fn flags_are_taken_in_any_order_and_the_rest_is_refused() {
        let mut flags = Flags::new("kernels", &["--asan", "--pages", "12"]);
        assert_eq!(flags.number("--pages", 7), Ok(12));
        assert_eq!(flags.number("--from", 7), Ok(7));
        assert!(flags.switch("--asan") && !flags.switch("--asan"));
        assert_eq!(flags.end(), Ok(()));

        let mut flags = Flags::new("kernels", &["--pages", "many", "--what"]);
        let message = flags.number("--pages", 7).unwrap_err();
        assert_eq!(message, "kernels: --pages `many`: not a number");
        assert!(Flags::new("x", &["--pages"]).number("--pages", 7).is_err());
        assert_eq!(
            Flags::new("kernels", &["--what"]).end().unwrap_err(),
            "kernels: there is no flag `--what`"
        );
    }
}
