//! Reads the TOML file into texts, with the line of each.

use toml::de::{DeTable, DeValue};
use toml::Spanned;

use super::table::{find, TABLE};
use super::{suggest, ConfigError};

/// One setting as the file gives it.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Name of the setting; it is in the table.
    pub name: &'static str,
    /// Its text.
    pub text: String,
    /// Line of the file, from 1.
    pub line: usize,
}

const HOST_KEYS: [&str; 3] = ["id", "address", "announce"];

/// Reads a whole file. `path` is only for the words of errors.
pub fn parse(path: &str, content: &str) -> Result<Vec<Line>, ConfigError> {
    let document = DeTable::parse(content).map_err(|e| {
        let line = e.span().map_or(1, |span| line_of(content, span.start));
        ConfigError::one(format!("{path}:{line}: this is not valid TOML: {}", e.message()))
    })?;
    let mut lines = Vec::new();
    let mut problems = Vec::new();
    for (key, value) in document.get_ref() {
        let line = line_of(content, key.span().start);
        match setting(key.get_ref(), value) {
            Ok((name, text)) => lines.push(Line { name, text, line }),
            Err(reason) => problems.push((line, reason)),
        }
    }
    lines.sort_by_key(|entry| entry.line);
    if problems.is_empty() {
        return Ok(lines);
    }
    problems.sort();
    Err(ConfigError {
        problems: problems.into_iter().map(|(line, r)| format!("{path}:{line}: {r}")).collect(),
    })
}

fn setting(key: &str, value: &Spanned<DeValue<'_>>) -> Result<(&'static str, String), String> {
    let Some(spec) = find(key) else {
        return Err(unknown("setting", key, TABLE.iter().map(|spec| spec.name)));
    };
    let text = match (spec.name, value.get_ref()) {
        ("host", DeValue::Array(items)) => {
            items.iter().map(|item| host(item.get_ref())).collect::<Result<Vec<_>, _>>()?.join(",")
        }
        (_, DeValue::Array(items)) => {
            items.iter().map(|item| scalar(item.get_ref())).collect::<Result<Vec<_>, _>>()?.join(",")
        }
        (_, value) => scalar(value)?,
    };
    Ok((spec.name, text))
}

/// What to say about a name that is not known.
pub(super) fn unknown<'a>(what: &str, word: &str, names: impl Iterator<Item = &'a str>) -> String {
    match suggest(word, names) {
        Some(name) => format!("there is no {what} `{word}`; did you mean `{name}`?"),
        None => format!("there is no {what} `{word}`; `synod serve --print-config` lists all settings"),
    }
}

fn scalar(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => {
            let digits = number.as_str();
            let parsed = i128::from_str_radix(&digits.replace('_', ""), number.radix());
            parsed.map(|n| n.to_string()).map_err(|_| format!("{digits} is not a number"))
        }
        DeValue::Boolean(value) => Ok(value.to_string()),
        DeValue::Table(_) => Err("expected a value, not a table".to_owned()),
        _ => Err("expected a text, a whole number, true or false, or a list of these".to_owned()),
    }
}

/// One `[[host]]` table, or its short form as text, as one item of the list's text.
fn host(value: &DeValue<'_>) -> Result<String, String> {
    let DeValue::Table(table) = value else { return scalar(value) };
    let mut parts: [Option<String>; 3] = [None, None, None];
    for (key, value) in table {
        let position = HOST_KEYS.iter().position(|known| known == key.get_ref());
        let Some(part) = position.and_then(|index| parts.get_mut(index)) else {
            return Err(unknown("key in [[host]]", key.get_ref(), HOST_KEYS.into_iter()));
        };
        *part = Some(scalar(value.get_ref())?);
    }
    match parts {
        [Some(id), Some(address), Some(announce)] => Ok(format!("{id}={address}/{announce}")),
        [Some(id), Some(address), None] => Ok(format!("{id}={address}")),
        _ => Err("each [[host]] needs `id` and `address`".to_owned()),
    }
}

fn line_of(content: &str, offset: usize) -> usize {
    content.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(content: &str) -> Result<Vec<(usize, &'static str, String)>, String> {
        match parse("f.toml", content) {
            Ok(lines) => Ok(lines.into_iter().map(|l| (l.line, l.name, l.text)).collect()),
            Err(e) => Err(e.to_string()),
        }
    }

    #[test]
    fn every_kind_of_value_becomes_text_with_its_line() {
        let content = "# comment\nplain_port = 6_380\n\nprotected_mode = false\nbind = [\"10.0.0.1\", \"::1\"]\n\
                       value_bytes_max = \"1 MiB\"\n[[host]]\nid = 1\naddress = \"10.0.0.1\"\n[[host]]\nid = 2\n\
                       address = \"10.0.0.2\"\nannounce = \"203.0.113.2\"\n";
        let expected = vec![
            (2, "plain_port", "6380".to_owned()),
            (4, "protected_mode", "false".to_owned()),
            (5, "bind", "10.0.0.1,::1".to_owned()),
            (6, "value_bytes_max", "1 MiB".to_owned()),
            (7, "host", "1=10.0.0.1,2=10.0.0.2/203.0.113.2".to_owned()),
        ];
        assert_eq!(texts(content), Ok(expected));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let table = [
            ("\nplain_prot = 1", "f.toml:2: there is no setting `plain_prot`; did you mean `plain_port`?"),
            (
                "zebra = 1",
                "f.toml:1: there is no setting `zebra`; `synod serve --print-config` lists all settings",
            ),
            (
                "[[host]]\nid = 1\nadress = \"10.0.0.1\"",
                "f.toml:1: there is no key in [[host]] `adress`; did you mean `address`?",
            ),
            ("[[host]]\nid = 1", "f.toml:1: each [[host]] needs `id` and `address`"),
            (
                "[limits]\nvalue = 1",
                "f.toml:1: there is no setting `limits`; `synod serve --print-config` lists all settings",
            ),
            ("plain_port = { a = 1 }", "f.toml:1: expected a value, not a table"),
            (
                "log_level = 1.5",
                "f.toml:1: expected a text, a whole number, true or false, or a list of these",
            ),
        ];
        for (content, expected) in table {
            assert_eq!(texts(content), Err(expected.to_owned()));
        }
        let broken = texts("\n\nplain_port = = 1").expect_err("not TOML");
        assert!(broken.starts_with("f.toml:3: this is not valid TOML"), "{broken}");
        let twice = texts("plain_port = 1\nplain_port = 2").expect_err("a key twice");
        assert!(twice.starts_with("f.toml:2: this is not valid TOML"), "{twice}");
    }
}
