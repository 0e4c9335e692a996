//! `synod sql` beside real hosts: what it prints, what goes in and out by CSV, and what it says when something goes wrong.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::client::{Client, Value};
use super::host::Cluster;
use crate::host::process::{synod, Finished};

const ROWS: usize = 5_000;

fn shell(folder: &Path, hosts: &str, arguments: &[&str]) -> Command {
    let mut command = synod(folder);
    command.args(["sql", "--host", hosts]).args(arguments).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn finished(child: Child) -> Finished {
    let output = child.wait_with_output().expect("it was started here");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Finished { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs the shell with an input to its end.
fn run(folder: &Path, hosts: &str, arguments: &[&str], input: &str) -> Finished {
    let mut child = shell(folder, hosts, arguments).spawn().expect("the program runs");
    let mut stdin = child.stdin.take().expect("piped");
    // One that ends before it has read everything is what some tests are about.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    finished(child)
}

/// Runs what must be done; what it prints.
fn done(folder: &Path, hosts: &str, arguments: &[&str], input: &str) -> String {
    let finished = run(folder, hosts, arguments, input);
    assert_eq!((finished.code, finished.err.as_str()), (Some(0), ""), "{arguments:?}: {}", finished.out);
    finished.out
}

fn count(client: &mut Client, text: &str) -> i64 {
    match client.call(&["SQL", text]) {
        Value::Array(rows) => match rows.get(1) {
            Some(Value::Array(values)) => match values.first() {
                Some(Value::Int(count)) => *count,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn statements_are_run_and_their_answers_printed() {
    let cluster = Cluster::start(1, 1, "requirepass = \"secret word\"\n");
    let (folder, host) = (cluster.path(), cluster.hosts[0].plain.as_str());
    let refused = run(folder, host, &["-c", "SHOW TABLES"], "");
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("ERROR NOAUTH"), "{}", refused.err);
    let refused = run(folder, host, &["--password", "other", "-c", "SHOW TABLES"], "");
    assert!(refused.code == Some(1) && refused.err.contains("ERROR WRONGPASS"), "{}", refused.err);

    // A script on the standard input, with a password from the environment, at the second of two hosts.
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
    let mut command = shell(folder, &format!("{nobody},{host}"), &[]);
    let mut child = command.env("SYNOD_PASSWORD", "secret word").spawn().expect("the program runs");
    let script = "-- A table;\nCREATE TABLE t (k TEXT, n INT, v NUMERIC(8,2), note TEXT,\n PRIMARY KEY (k, n));\n\
        INSERT INTO t VALUES ('a', 1, 9.9, 'x;y'),\n ('a', 20, NULL, E'\\x1b[2J'); SELECT n, v, note FROM t WHERE k = 'a';\n\
        UPDATE t SET v = 1 WHERE k = 'a' AND n = 1 IF v = 7;\n\\format json\nSELECT n, v FROM t WHERE k = 'a';\n\
        \\format csv\nSELECT n, v FROM t WHERE k = 'a' LIMIT 1;\n\\format table\n\\dt\nSELECT count(*) FROM t WHERE k = 'a'";
    child.stdin.take().expect("piped").write_all(script.as_bytes()).expect("read");
    let told = finished(child);
    assert_eq!(told.code, Some(0), "{}", told.err);
    let want = "CREATE TABLE\nINSERT 2\n n  |  v   |  note\n----+------+---------\n  1 | 9.90 | x;y\n 20 | NULL | \\x1b[2J\n(2 rows)\n\n\
        UPDATE: not applied\n{\"n\":1,\"v\":\"9.90\"}\n{\"n\":20,\"v\":null}\nn,v\n1,9.90\nFormat is table.\n table | layout | partition | clustering\n\
        -------+--------+-----------+------------\n t     | small  | k         | n\n(1 row)\n\n count\n-------\n     2\n(1 row)\n\n";
    assert_eq!(told.out, want);
    assert_eq!(told.err, "Format is json.\nFormat is csv.\n", "what is no row is not among rows");

    // The first error ends it, and says where.
    let password = ["--password", "secret word"];
    let with = |more: &[&'static str]| [&password[..], more].concat();
    std::fs::write(folder.join("s.sql"), "SHOW TABLES;\n\nSELECT *\n FROM u WHERE k = 1;\nDROP TABLE t;")
        .expect("written");
    let failed = run(folder, host, &with(&["-f", "s.sql"]), "");
    assert_eq!(failed.code, Some(1));
    assert!(
        failed.err.contains("s.sql line 3, statement 2: ERROR 42P01: table \"u\" does not exist"),
        "{}",
        failed.err
    );
    let failed = run(folder, host, &with(&["-c", "SHOW TABLES", "-c", "\\copy t"]), "");
    assert!(
        failed.code == Some(1) && failed.err.contains("-c 2 line 1, statement 1: behind"),
        "{}",
        failed.err
    );
    let failed = run(folder, host, &password, "SHOW TABLES;\n'a;\nb");
    assert!(
        failed.code == Some(1) && failed.err.contains("line 2: a text in quotes is not closed"),
        "{}",
        failed.err
    );
    let described = done(folder, host, &with(&["-c", "\\d T", "-c", "\\q", "-c", "SHOW TABLES;"]), "");
    assert!(described.contains("partition key") && described.contains(" t     | small"), "{described}");
    for wrong in [&["--format", "xml"][..], &["--user", "me"]] {
        assert_eq!(run(folder, host, wrong, "").code, Some(64));
    }
}

/// Rows of three partitions, with what is hard to tell apart in CSV. The partition, and the rows in the order of the key.
fn table_of_rows() -> Vec<(String, Vec<String>)> {
    let row = |number: usize| {
        let note = match number % 7 {
            0 => "",
            1 => "\"\"",
            2 => "\"a \"\"b\"\", c\"",
            3 => "\"two\nlines\"",
            4 => "\\.x",
            5 => "NULL",
            _ => "ü",
        };
        format!("{number},{}.{:02},{note}", number % 1000, number % 100)
    };
    let partition = |place: usize| {
        let rows = (0..ROWS).filter(|number| number % 1_003 / 400 == place).map(row);
        (["one", "two", "a, \"third\""][place].to_owned(), rows.collect())
    };
    (0..3).map(partition).collect()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[test]
fn thousands_of_rows_go_in_and_out_by_csv() {
    let cluster = Cluster::start(3, 2, "");
    let (folder, hosts) =
        (cluster.path(), cluster.hosts.iter().map(|host| host.plain.as_str()).collect::<Vec<_>>());
    let hosts = hosts.join(",");
    let create = "CREATE TABLE t (k TEXT, n INT, v NUMERIC(8,2), note TEXT, PRIMARY KEY (k, n))";
    assert_eq!(done(folder, &hosts, &["-c", create], ""), "CREATE TABLE\n");
    let partitions = table_of_rows();
    let mut file = "\u{feff}n,V,note,k\r\n".to_owned();
    let numbered = |line: &str| {
        line.split(',').next().and_then(|number| number.parse::<usize>().ok()).expect("a number")
    };
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (name, rows) in &partitions {
        lines.extend(rows.iter().map(|row| (numbered(row), format!("{row},{}\n", quoted(name)))));
    }
    lines.sort();
    // The last row of a key stands, also where both are near one another.
    file.push_str("0,5,first,one\n");
    lines.iter().for_each(|(_, line)| file.push_str(line));
    std::fs::write(folder.join("in.csv"), &file).expect("written");
    let copied = done(folder, &hosts, &["-c", "\\copy t from 'in.csv'"], "");
    assert_eq!(copied, format!("COPY {}\n", ROWS + 1));

    for (place, (name, rows)) in partitions.iter().enumerate() {
        let query = format!("SELECT n, v, note FROM t WHERE k = '{name}' ORDER BY n");
        let want = format!("n,v,note\n{}\n", rows.join("\n"));
        // To a file, page by page; to the standard output; as a statement.
        let told = done(folder, &hosts, &["-c", &format!("\\copy ({query}) to 'out {place}.csv'")], "");
        assert_eq!(told, format!("COPY {}\n", rows.len()));
        let written = std::fs::read_to_string(folder.join(format!("out {place}.csv"))).expect("written");
        assert_eq!(written, want);
        assert_eq!(done(folder, &hosts, &["-c", &format!("\\copy ({query}) to stdout")], ""), want);
        assert_eq!(done(folder, &hosts, &["--format", "csv"], &query), want);
    }
    // Rows among statements, and once more what is there: UPSERT says nothing, INSERT does.
    let script = "CREATE TABLE u (k TEXT, n INT, PRIMARY KEY (k, n));\n\\copy u from stdin\nk,n\na,1\na,2\n\\.\n\
        \\copy u (n, k) from stdin insert noheader\n3,a\n\\.\nSELECT count(*), max(n) FROM u WHERE k = 'a';\nSELECT x;";
    let told = run(folder, &hosts, &[], script);
    assert!(
        told.out.ends_with("COPY 2\nCOPY 1\n count | max\n-------+-----\n     3 |   3\n(1 row)\n\n"),
        "{}",
        told.out
    );
    assert!(told.err.contains("line 11, statement 5"), "{}", told.err);
    let again = run(folder, &hosts, &["-c", "\\copy t from 'in.csv' insert"], "");
    assert!(again.err.contains("in.csv, line 2: ERROR 23505"), "{}", again.err);
    assert!(again.code == Some(1) && again.err.contains("no row is written"), "{}", again.err);
}

#[test]
fn an_error_in_a_file_is_told_by_its_line_and_what_stands_before_is_written() {
    let cluster = Cluster::start(1, 2, "");
    let (folder, host) = (cluster.path(), cluster.hosts[0].plain.as_str());
    done(folder, host, &["-c", "CREATE TABLE t (k INT, n INT, PRIMARY KEY (k, n))"], "");
    let mut client = cluster.hosts[0].client();
    let good: String = (0..3_000).map(|n| format!("{},{n}\n", n / 1_000)).collect();
    let table = [
        ("2,many\n", "line 3002: ERROR 22P02: invalid input syntax for type integer: \"many\""),
        ("2,\n", "line 3002: ERROR 23502"),
        ("2,7,8\n", "line 3002: the row has 3 fields, and there are 2 columns"),
        ("2,\"7\n", "line 3002: a quote is not closed"),
        ("2,7\"\"\n", "line 3002: there are quotes within"),
    ];
    for verb in ["", "insert"] {
        for (line, want) in table {
            assert_eq!(client.call(&["SQL", "DROP TABLE t"]), Value::ok());
            assert_eq!(
                client.call(&["SQL", "CREATE TABLE t (k INT, n INT, PRIMARY KEY (k, n))"]),
                Value::ok()
            );
            std::fs::write(folder.join("bad.csv"), format!("k,n\n{good}{line}")).expect("written");
            let told = run(folder, host, &["-c", &format!("\\copy t from bad.csv {verb}")], "");
            assert_eq!((told.code, told.out.as_str()), (Some(1), ""), "{}", told.err);
            assert!(
                told.err.contains(want) && told.err.contains("3000 rows are written"),
                "{line}: {}",
                told.err
            );
            let rows: i64 =
                (0..3).map(|k| count(&mut client, &format!("SELECT count(*) FROM t WHERE k = {k}"))).sum();
            assert_eq!(rows, 3_000);
        }
    }
    // In the middle: what stood behind it and was under way is told, too.
    std::fs::write(folder.join("bad.csv"), format!("k,n\n1,2\nx,1\n{good}")).expect("written");
    let told = run(folder, host, &["-c", "\\copy t from bad.csv"], "");
    assert!(told.err.contains("bad.csv, line 3: ERROR 22P02"), "{}", told.err);
    assert!(
        told.err.contains("rows are written, ") && told.err.contains("of them behind it"),
        "{}",
        told.err
    );
    for (text, want) in [
        ("", "there is no header"),
        ("k,m\n", "the table has no column m; it has k, n"),
        ("k,K\n", "column k is there twice"),
    ] {
        std::fs::write(folder.join("bad.csv"), text).expect("written");
        let told = run(folder, host, &["-c", "\\copy t from bad.csv"], "");
        let want = format!("bad.csv, line 1: {want}");
        assert!(told.code == Some(1) && told.err.contains(&want), "{}", told.err);
    }
    let told = run(folder, host, &["-c", "\\copy nobody from bad.csv"], "");
    assert!(told.err.contains("ERROR 42P01"), "{}", told.err);
    let told = run(folder, host, &["-c", "\\copy t from missing.csv"], "");
    assert!(told.err.contains("cannot read missing.csv"), "{}", told.err);
    let told = run(folder, host, &["-c", "\\copy (SELECT * FROM t WHERE k = 1) to /nowhere/x.csv"], "");
    assert!(told.err.contains("cannot write to /nowhere/x.csv"), "{}", told.err);
}

/// What was under way when the host died is written again, and of the rows of one key the last one stands.
#[test]
fn a_copy_goes_on_at_the_next_host_when_one_dies() {
    const KEYS: usize = 100;
    let mut cluster = Cluster::start(3, 1, "");
    let hosts: Vec<String> = cluster.hosts.iter().map(|host| host.plain.clone()).collect();
    let create = "CREATE TABLE t (k INT, n INT, v INT, PRIMARY KEY (k, n))";
    done(cluster.path(), &hosts[0], &["-c", create], "");
    let mut child =
        shell(cluster.path(), &hosts.join(","), &["-c", "\\copy t from stdin"]).spawn().expect("it runs");
    let mut input = child.stdin.take().expect("piped");
    let rows = |from: usize, to: usize| -> String {
        (from..to).map(|v| format!("{},{},{v}\n", v % 50, v % KEYS / 50)).collect()
    };
    input.write_all(format!("k,n,v\n{}", rows(0, 2_000)).as_bytes()).expect("read");
    let mut client = cluster.hosts[1].client();
    super::host::eventually("some rows are there", || {
        count(&mut client, "SELECT count(*) FROM t WHERE k = 7") > 0
    });
    cluster.hosts[0].kill();
    input.write_all(rows(2_000, 4_000).as_bytes()).expect("read");
    drop(input);
    let told = finished(child);
    assert_eq!((told.code, told.out.as_str()), (Some(0), "COPY 4000\n"), "{}", told.err);
    for k in 0..50 {
        let last: Vec<i64> = (0..2)
            .map(|n| count(&mut client, &format!("SELECT v FROM t WHERE k = {k} AND n = {n}")))
            .collect();
        assert_eq!(last, [3_900 + k, 3_950 + k]);
    }
    // A SELECT, too, goes on at the next one.
    let query = "SELECT n FROM t WHERE k = 7";
    assert!(done(cluster.path(), &hosts.join(","), &["-c", query], "").ends_with("(2 rows)\n\n"));
}

/// Somebody who answers whatever comes with these bytes.
fn liar(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let bytes = bytes.clone();
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(&bytes);
            });
        }
    });
    address
}

#[test]
fn hostile_hosts_and_statements_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let table: [(&[u8], &str); 9] = [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no reply of the Redis protocol"),
        (b"", "closed the connection"),
        (b"$99999999999\r\nabc", "closed the connection"),
        (b"*2\r\n*1\r\n$1\r\na\r\n*2\r\n:1\r\n:2\r\n", "none to a statement of SQL"),
        (b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", "nested too deep"),
        (b"+PONG\r\n", "no page of rows"),
        (b"*2\r\n$9\r\n'; DROP--\r\n*1\r\n*1\r\n$1\r\na\r\n", "no cursor where one must be"),
        (b"-SQL 42P01 \x1b]0;owned\x07\r\n", "\\x1b]0;owned\\x07"),
        (b":99999999999999999999999\r\n", "no number"),
    ];
    for (bytes, want) in table {
        let told = run(dir.path(), &liar(bytes.to_vec()), &["-c", "SELECT * FROM t WHERE k = 1"], "");
        assert_eq!((told.code, told.out.as_str()), (Some(1), ""), "{}", bytes.escape_ascii());
        assert!(told.err.contains(want), "{}: {}", bytes.escape_ascii(), told.err);
        assert!(!told.err.contains('\x1b'), "{}", told.err);
    }
    let nobody =
        TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").to_string();
    let told = run(dir.path(), &nobody, &["-c", "SHOW TABLES"], "");
    assert!(
        told.code == Some(1) && told.err.contains(&format!("cannot connect to {nobody}: ")),
        "{}",
        told.err
    );
    for (input, want) in [
        ("x".repeat(3 << 20), "a line has more than"),
        ("'x\n".repeat(400_000), "is a quote not closed"),
        ("\\copy t from 'x\n".to_owned(), "is not closed"),
        ("\\nothing\n".to_owned(), "there is no command \\nothing"),
    ] {
        let told = run(dir.path(), &nobody, &[], &input);
        assert!(told.code == Some(1) && told.err.contains(want), "{}", told.err);
    }
}
