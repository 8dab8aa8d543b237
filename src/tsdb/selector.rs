//! Parsing of PromQL's instant selectors, `metric{name="value", …}`.

use super::TsdbError;
use super::matcher::{Matcher, metric};

pub(crate) fn parse(text: &str) -> Result<Vec<Matcher>, TsdbError> {
    let mut parser = Parser { rest: text.trim() };
    parser.selector().map_err(|stop| match stop {
        Stop::Reason(reason) => TsdbError::Matcher { matcher: text.to_owned(), reason },
        Stop::Error(error) => error,
    })
}

/// A reason of the parser's own, or an error that is complete already.
enum Stop {
    Reason(String),
    Error(TsdbError),
}

fn stop<T>(reason: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Reason(reason.into()))
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn selector(&mut self) -> Result<Vec<Matcher>, Stop> {
        let mut matchers = Vec::new();
        let name = self.word(|character| character == ':');
        if !name.is_empty() {
            matchers.push(metric(name));
        }
        if self.accept("{") {
            while !self.accept("}") {
                matchers.push(self.matcher()?);
                if !self.accept(",") && !self.rest.starts_with('}') {
                    return stop(format!("expected `,` or `}}` before `{}`", self.rest));
                }
            }
        }
        if !self.rest.is_empty() {
            return stop(format!("`{}` is left over", self.rest));
        }
        if matchers.is_empty() && name.is_empty() {
            return stop("it selects everything: name a metric or a label");
        }
        Ok(matchers)
    }

    fn matcher(&mut self) -> Result<Matcher, Stop> {
        let quoted = self.rest.starts_with(['"', '\'', '`']);
        let name = if quoted { self.string()? } else { self.word(|_| false).to_owned() };
        if quoted && (self.rest.starts_with(',') || self.rest.starts_with('}')) {
            return Ok(metric(&name));
        }
        if name.is_empty() {
            return stop(format!("expected a label name before `{}`", self.rest));
        }
        // Two characters before their first one.
        if self.accept("=~") {
            Matcher::regex(name, &self.string()?).map_err(Stop::Error)
        } else if self.accept("!~") {
            Matcher::not_regex(name, &self.string()?).map_err(Stop::Error)
        } else if self.accept("!=") {
            Ok(Matcher::not_equal(name, self.string()?))
        } else if self.accept("=") {
            Ok(Matcher::equal(name, self.string()?))
        } else {
            stop(format!("expected `=`, `!=`, `=~` or `!~` after `{name}`"))
        }
    }

    /// Letters, digits, underscores and what is `also` allowed, then white space.
    fn word(&mut self, also: impl Fn(char) -> bool) -> &'a str {
        let inside =
            |character: char| character.is_ascii_alphanumeric() || character == '_' || also(character);
        let end = self.rest.find(|character| !inside(character)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end).unwrap_or_default();
        if word.starts_with(|first: char| first.is_ascii_digit()) {
            return "";
        }
        self.rest = rest.trim_start();
        word
    }

    fn accept(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn string(&mut self) -> Result<String, Stop> {
        let mut characters = self.rest.chars();
        let quote = match characters.next() {
            Some(quote @ ('"' | '\'' | '`')) => quote,
            _ => return stop(format!("expected a quoted text before `{}`", self.rest)),
        };
        let mut value = String::new();
        loop {
            match characters.next() {
                None => return stop("a quote is not closed"),
                Some(end) if end == quote => break,
                Some('\\') if quote != '`' => value.push(escape(&mut characters)?),
                Some(character) => value.push(character),
            }
        }
        self.rest = characters.as_str().trim_start();
        Ok(value)
    }
}

/// What stands after a backslash, as in Go's strings.
fn escape(characters: &mut std::str::Chars<'_>) -> Result<char, Stop> {
    let digits = match characters.next() {
        Some('a') => return Ok('\u{7}'),
        Some('b') => return Ok('\u{8}'),
        Some('f') => return Ok('\u{c}'),
        Some('n') => return Ok('\n'),
        Some('r') => return Ok('\r'),
        Some('t') => return Ok('\t'),
        Some('v') => return Ok('\u{b}'),
        Some(same @ ('\\' | '"' | '\'')) => return Ok(same),
        Some('x') => 2,
        Some('u') => 4,
        Some('U') => 8,
        other => return stop(format!("unknown escape `\\{}`", other.map(String::from).unwrap_or_default())),
    };
    let text: String = characters.by_ref().take(digits).collect();
    let code = u32::from_str_radix(&text, 16).ok().filter(|_| text.len() == digits);
    // A byte escape above ASCII would be part of a UTF-8 sequence.
    let code = code.filter(|code| digits > 2 || *code < 0x80);
    code.and_then(char::from_u32).map_or_else(|| stop(format!("unknown escape with `{text}`")), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str) -> String {
        let matchers = parse(text).unwrap_or_else(|error| panic!("{error}"));
        matchers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn selectors() {
        assert_eq!(printed("up"), r#"__name__="up""#);
        assert_eq!(printed("job:power:sum{}"), r#"__name__="job:power:sum""#);
        assert_eq!(
            printed(r#" m { a = "b" , c=~'d.*', e!~`x\.y`, f!="" , } "#),
            r#"__name__="m" a="b" c=~"d.*" e!~"x\\.y" f!="""#
        );
        assert_eq!(printed(r#"{"a metric", "a.b"="c\x41\u00e9"}"#), r#"__name__="a metric" "a.b"="cAé""#);
    }

    #[test]
    fn what_is_not_a_selector_is_refused() {
        for text in
            ["", "{}", "m{", "m{a}", "m{a=b}", "m{a=\"b}", "m{a=\"b\"}x", "m{a=~\"(\"}", "1m", "m[5m]"]
        {
            assert!(matches!(parse(text), Err(TsdbError::Matcher { .. })), "{text}");
        }
    }
}
