//! Random input for all that reads bytes from elsewhere: the same bytes in other pieces mean the same, and nothing panics.

use std::io::{BufReader, Cursor};

use reactor::rng::Rng;

use super::answer::{Answer, Cell};
use super::command::Command;
use super::csv::{Reader, Record, Writer};
use super::link;
use super::rows::Form;
use super::scan::Scanner;
use super::split::{Item, Splitter};

const ROUNDS: usize = 20_000;

fn text(random: &mut Rng, parts: &[&str]) -> String {
    (0..random.below(24)).map(|_| parts[random.below(parts.len() as u64) as usize]).collect()
}

#[test]
fn csv_in_any_pieces_is_the_same() {
    let mut random = Rng::new(1);
    let parts =
        ["\"", "\"\"", ",", "\n", "\r\n", "\r", "a", " ", "\u{feff}", "\u{0}", "\"a\"", "\n\n", "b,\"\"\n"];
    let read = |text: &str, chunk: usize| -> Result<Vec<Record>, String> {
        let mut reader = Reader::new(BufReader::with_capacity(chunk, text.as_bytes()));
        let mut records = Vec::new();
        while let Some(record) = reader.record().map_err(|trouble| trouble.to_string())? {
            records.push(record);
        }
        Ok(records)
    };
    let mut good = 0;
    for _ in 0..ROUNDS {
        let text = text(&mut random, &parts);
        let whole = read(&text, 8192);
        // The mark in front is looked for in what comes first, which holds it.
        for chunk in [3, 4, 7] {
            assert_eq!(read(&text, chunk), whole, "{text:?} in parts of {chunk}");
        }
        let Ok(records) = whole else { continue };
        good += records.len();
        for pair in records.windows(2) {
            assert!(pair[0].line <= pair[1].line, "{text:?}");
        }
        // What was read is written, and read back the same. A row of one NULL is a blank line, which is no row.
        for Record { fields, .. } in records.iter().filter(|record| record.fields != [None]) {
            let utf8 = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).expect("the parts are");
            let cells =
                fields.iter().map(|field| field.as_ref().map_or(Cell::Null, |one| Cell::Text(utf8(one))));
            let mut out = Vec::new();
            Writer::new(false).page(&[], &[cells.collect()], &mut out).expect("memory");
            let again = read(&format!("x\n{}", String::from_utf8_lossy(&out)), 8192).expect("CSV");
            assert_eq!((again.len(), &again[1].fields), (2, fields), "{text:?}");
        }
    }
    assert!(good > ROUNDS / 2, "much of it is rows: {good}");
}

#[test]
fn any_text_is_split_and_any_command_answered() {
    let mut random = Rng::new(2);
    let parts = [
        "'", "\"", "$$", "$a$", "$", "--", "/*", "*/", ";", "\n", "\\", " ", "e", "E'", "ü", "1", "\\copy ",
        "(", ")", ",", " to ", " from ",
    ];
    let mut statements = 0;
    for _ in 0..ROUNDS {
        let text = text(&mut random, &parts);
        let mut splitter = Splitter::default();
        let mut items: Vec<(usize, Item)> = Vec::new();
        for line in text.split_inclusive('\n') {
            items.extend(splitter.push(line).expect("short"));
        }
        items.extend(splitter.finish().ok().flatten());
        for (line, item) in items {
            assert!((1..=text.lines().count()).contains(&line), "{text:?}");
            match item {
                Item::Statement(statement) => {
                    let (mut scanner, mut at) = (Scanner::default(), 0);
                    while at < statement.len() {
                        let (length, is_code) = scanner.step(&statement[at..]);
                        assert!(!is_code || !statement[at..].starts_with(';'), "{statement:?} of {text:?}");
                        at += length;
                    }
                    statements += 1;
                }
                // Whatever it says: it is read, or refused.
                Item::Command(command) => drop(Command::parse(&command)),
            }
        }
        drop(Command::parse(&text));
    }
    assert!(statements > ROUNDS / 4, "{statements}");
}

#[test]
fn any_reply_is_read_or_refused() {
    let mut random = Rng::new(3);
    let parts = [
        "*1\r\n",
        "*2\r\n",
        "*3\r\n",
        "$1\r\na\r\n",
        "$0\r\n\r\n",
        "$-1\r\n",
        ":5\r\n",
        "+OK\r\n",
        "-SQL 1 x\r\n",
        "\r\n",
        "*",
        "$9",
        "\u{0}",
    ];
    let mut rows = 0;
    for _ in 0..ROUNDS {
        let text = text(&mut random, &parts);
        let mut input = Cursor::new(text.as_bytes());
        while let Ok(value) = link::reply(&mut input, 0) {
            if let Ok(Answer::Rows(answer)) = Answer::read(value) {
                assert!(answer.rows.iter().all(|row| row.len() == answer.names.len()), "{text:?}");
                rows += 1;
            }
        }
    }
    assert!(rows > 10, "some are answers: {rows}");
}
