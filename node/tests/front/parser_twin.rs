//! The parser against a dumb one that sees everything at once, with streams cut at random; and random bytes.

use synod::resp::{Limits, Parser, Step};

use super::random::Random;

/// What a stream means: the requests before its end, or before the error.
#[derive(Debug, PartialEq, Eq)]
struct Meaning {
    requests: Vec<Vec<Vec<u8>>>,
    error: Option<String>,
}

/// The product's parser, fed in pieces, as a session feeds it.
fn fast(stream: &[u8], random: &mut Random) -> Meaning {
    let (mut parser, mut input, mut at) = (Parser::default(), Vec::new(), 0);
    let mut requests = Vec::new();
    let mut rest = stream;
    loop {
        match parser.step(&input[at..], &Limits::default()) {
            Step::Request(bytes) => {
                requests.push(parser.args(&input[at..]).iter().map(<[u8]>::to_vec).collect());
                at += bytes;
                parser.next_request();
            }
            Step::Empty(bytes) => {
                at += bytes;
                parser.next_request();
            }
            Step::Broken(error) => return Meaning { requests, error: Some(error.0.into_owned()) },
            Step::More if rest.is_empty() => return Meaning { requests, error: None },
            Step::More => {
                let most = 1 + random.below(40);
                let bytes = (1 + random.below(most)).min(rest.len());
                input.extend_from_slice(&rest[..bytes]);
                rest = &rest[bytes..];
            }
        }
    }
}

/// A reader of whole streams of well-formed arrays.
fn dumb(stream: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut requests = Vec::new();
    let mut at = 0;
    let line = |at: &mut usize| {
        let end = stream[*at..].windows(2).position(|pair| pair == b"\r\n").expect("a line") + *at;
        let line = std::str::from_utf8(&stream[*at..end]).expect("text");
        *at = end + 2;
        line[1..].parse::<usize>().expect("a length")
    };
    while at < stream.len() {
        let args = line(&mut at);
        let mut request = Vec::new();
        for _ in 0..args {
            let bytes = line(&mut at);
            request.push(stream[at..at + bytes].to_vec());
            at += bytes + 2;
        }
        if !request.is_empty() {
            requests.push(request);
        }
    }
    requests
}

fn well_formed(random: &mut Random) -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..random.below(20) {
        let args = random.below(6);
        stream.extend(format!("*{args}\r\n").into_bytes());
        for _ in 0..args {
            let bytes = [0, 1, 2, 7, 100, 5000][random.below(6)];
            let body: Vec<u8> = (0..bytes).map(|_| b"\r\n*$a\0\xff1"[random.below(8)]).collect();
            stream.extend(format!("${bytes}\r\n").into_bytes());
            stream.extend(body);
            stream.extend(b"\r\n");
        }
    }
    stream
}

#[test]
fn however_a_stream_is_cut() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let stream = well_formed(&mut random);
        let want = Meaning { requests: dumb(&stream), error: None };
        assert_eq!(fast(&stream, &mut random), want, "seed {seed}");
    }
}

#[test]
fn damaged_streams_mean_the_same_however_they_are_cut() {
    for seed in 0..2000 {
        let mut random = Random::new(seed);
        let mut stream = well_formed(&mut random);
        stream.truncate(2000);
        for _ in 0..=random.below(4) {
            if !stream.is_empty() {
                let at = random.below(stream.len());
                stream[at] = b"*$-0123456789\r\n \"'\\x"[random.below(20)];
            }
        }
        let (a, b) = (fast(&stream, &mut random), fast(&stream, &mut random));
        assert_eq!(a, b, "seed {seed}: {}", stream.escape_ascii());
    }
}

#[test]
fn random_bytes_never_panic() {
    const ALPHABET: &[u8] = b"*$-0123456789\r\n\r\n\r\n \"'\\xgetset\0\xff";
    for seed in 0..5000 {
        let mut random = Random::new(seed);
        let stream: Vec<u8> =
            (0..random.below(200)).map(|_| ALPHABET[random.below(ALPHABET.len())]).collect();
        let (a, b) = (fast(&stream, &mut random), fast(&stream, &mut random));
        assert_eq!(a, b, "seed {seed}: {}", stream.escape_ascii());
    }
}

#[test]
fn announced_and_not_sent_costs_what_was_sent() {
    let mut parser = Parser::default();
    let header = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$20971520\r\n";
    assert_eq!(parser.step(header, &Limits::default()), Step::More);
    let mut parser = Parser::default();
    let refused = parser.step(b"*1\r\n$536870912\r\n", &Limits::default());
    let Step::Broken(error) = refused else { panic!("{refused:?}") };
    assert!(
        error.0.contains("invalid bulk length: 536870912 bytes announced, the limit is 20971520"),
        "{error:?}"
    );
}

#[test]
fn a_request_has_a_bound_of_its_own() {
    let limits = Limits { request_bytes_max: 1000, ..Limits::default() };
    let mut parser = Parser::default();
    let input = [
        b"*100\r\n".to_vec(),
        b"$90\r\n".to_vec(),
        vec![b'x'; 90],
        b"\r\n$2000\r\n".to_vec(),
        vec![b'x'; 950],
    ];
    let step = parser.step(&input.concat(), &limits);
    let Step::Broken(error) = step else { panic!("{step:?}") };
    assert_eq!(error.0, "ERR Protocol error: request is longer than 1000 bytes (request_bytes_max)");
}
