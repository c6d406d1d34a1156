//! Configuration errors that say where, what, and what was expected.

use serde::de::DeserializeOwned;
use std::fmt;
use std::ops::Range;

/// A configuration file's name and text: what a [`Diagnostic`] points into.
#[derive(Clone, Debug)]
pub struct Source {
    name: String,
    text: String,
}

impl Source {
    /// `name` is what the operator knows the file by; it is only printed.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// Parses TOML into `T`. The error names the unknown key, the wrong type or the bad value with
    /// its line and column.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Diagnostic> {
        toml::from_str(&self.text)
            .map_err(|error| self.at(error.span().unwrap_or(0..0), error.message().trim_end()))
    }

    /// An error at `span`, a byte range of the text as `toml::Spanned` gives it.
    pub fn at(&self, span: Range<usize>, message: impl Into<String>) -> Diagnostic {
        let start = floor_char_boundary(&self.text, span.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |newline| start + newline);
        let end = floor_char_boundary(&self.text, span.end.clamp(start, line_end));
        Diagnostic {
            file: self.name.clone(),
            line: self.text[..start].matches('\n').count() + 1,
            column: self.text[line_start..start].chars().count() + 1,
            width: self.text[start..end].chars().count().max(1),
            excerpt: self.text[line_start..line_end].trim_end().to_owned(),
            message: message.into(),
            help: None,
        }
    }

    /// The file's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// One configuration error. Its `Display` is what the operator reads: `file:line:column`, the
/// line itself, what is wrong with it, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file as the operator named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What was expected, or what to do.
    pub help: Option<String>,
    width: usize,
    excerpt: String,
}

impl Diagnostic {
    /// Adds what was expected, or what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message, excerpt, .. } = self;
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(f, "error: {message}")?;
        writeln!(f, "{margin}--> {file}:{line}:{column}")?;
        writeln!(f, "{margin} |")?;
        writeln!(f, "{number} | {excerpt}")?;
        write!(f, "{margin} | {}{}", " ".repeat(column - 1), "^".repeat(self.width))?;
        if let Some(help) = &self.help {
            write!(f, "\n{margin} = {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}

fn floor_char_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::Source;
    use serde::Deserialize;

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    struct Config {
        #[expect(dead_code, reason = "only its parsing is tested")]
        port: u16,
    }

    #[test]
    fn an_error_points_at_line_and_column() {
        let source = Source::new("gw.toml", "# ü\nport = \"x\"\n");
        let error = source.parse::<Config>().unwrap_err();
        assert_eq!((error.line, error.column), (2, 8));
        let text = error.to_string();
        assert!(
            text.contains("gw.toml:2:8") && text.contains("expected u16") && text.contains("^^^"),
            "{text}"
        );
    }

    #[test]
    fn an_unknown_key_is_named_with_its_neighbours() {
        let error = Source::new("gw.toml", "prot = 1\n").parse::<Config>().unwrap_err();
        assert_eq!((error.line, error.column), (1, 1));
        assert!(
            error.message.contains("unknown field `prot`") && error.message.contains("`port`"),
            "{error}"
        );
    }

    #[test]
    fn any_range_is_survived() {
        let source = Source::new("f", "aü\nb");
        for start in 0..8 {
            for end in 0..8 {
                let _ = source.at(start..end, "m").to_string();
            }
        }
    }
}
