//! SORT and LCS beside the plainest of their kind: a list that is put in order by insertion, and Redis' table of lengths.

use std::cmp::Ordering;

use super::Host;
use reactor::rng::Rng;
use shard::reply::Reply;

fn run(host: &mut Host, words: &[Vec<u8>]) -> Reply {
    let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    host.run(&args)
}

fn words(line: &str) -> Vec<Vec<u8>> {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

fn pick<'a>(rng: &mut Rng, of: &[&'a str]) -> &'a str {
    of[rng.below(of.len() as u64) as usize]
}

/// What is asked of SORT.
#[derive(Debug)]
struct Asked {
    by: &'static str,
    descends: bool,
    limit: Option<(i64, i64)>,
    stores: bool,
}

impl Asked {
    fn draw(rng: &mut Rng) -> Asked {
        let by = ["number", "alpha", "nosort"][rng.below(3) as usize];
        let limit = rng.coin().then(|| (rng.below(14) as i64 - 2, rng.below(14) as i64 - 2));
        Asked { by, descends: rng.coin(), limit, stores: rng.coin() }
    }

    fn words(&self, name: &str) -> Vec<Vec<u8>> {
        let mut line = format!("{name} {{k}}");
        match self.by {
            "alpha" => line.push_str(" ALPHA"),
            "nosort" => line.push_str(" BY nosort"),
            _ => {}
        }
        if let Some((skip, count)) = self.limit {
            line.push_str(&format!(" LIMIT {skip} {count}"));
        }
        if self.descends {
            line.push_str(" DESC");
        }
        if self.stores {
            line.push_str(" STORE {k}to");
        }
        words(&line)
    }
}

/// Elements in the order of their object; None: they cannot be sorted so.
fn plain(mut elements: Vec<Vec<u8>>, kind: &str, asked: &Asked) -> Option<Vec<Vec<u8>>> {
    let number = |element: &[u8]| {
        std::str::from_utf8(element).ok()?.parse::<f64>().ok().filter(|number| !number.is_nan())
    };
    let compare = |one: &Vec<u8>, other: &Vec<u8>| match asked.by {
        "number" => {
            let weighed = number(one).partial_cmp(&number(other)).expect("both are numbers");
            weighed.then_with(|| one.cmp(other))
        }
        _ => one.cmp(other),
    };
    if asked.by == "number" && elements.iter().any(|element| number(element).is_none()) {
        return None;
    }
    let turns = asked.by != "nosort" || kind != "set" || asked.stores;
    if asked.by != "nosort" {
        for end in 1..elements.len() {
            for at in (1..=end).rev() {
                if compare(&elements[at - 1], &elements[at]) == Ordering::Greater {
                    elements.swap(at - 1, at);
                }
            }
        }
    }
    if asked.descends && turns {
        elements.reverse();
    }
    let (skip, count) = asked.limit.unwrap_or((0, -1));
    let count = if count < 0 { usize::MAX } else { count as usize };
    Some(elements.into_iter().skip(skip.max(0) as usize).take(count).collect())
}

#[test]
fn sort_puts_in_order_as_a_plain_list_does() {
    let (mut rng, mut host) = (Rng::new(1), Host::new());
    let (mut refused, mut stored, mut long) = (0, 0, 0);
    for _ in 0..4_000 {
        let kind = pick(&mut rng, &["list", "set", "zset"]);
        let spoilt = rng.below(10) == 0;
        let element = |rng: &mut Rng| match rng.below(8) {
            0 if spoilt => pick(rng, &["x", "1x", "nan"]).to_string(),
            0 | 1 => pick(rng, &["1", "01", "1.0", "+1", "-0", "0", "inf", "1e2", "100"]).to_string(),
            _ => format!("{}", (rng.below(60) as f64 - 30.0) / 4.0),
        };
        let elements: Vec<String> = (0..rng.below(14)).map(|_| element(&mut rng)).collect();
        run(&mut host, &words("DEL {k}"));
        for (place, element) in elements.iter().enumerate() {
            let line = match kind {
                "list" => format!("RPUSH {{k}} {element}"),
                "set" => format!("SADD {{k}} {element}"),
                _ => format!("ZADD {{k}} {} {element}", place % 3),
            };
            run(&mut host, &words(&line));
        }
        let all = match kind {
            "list" => "LRANGE {k} 0 -1",
            "set" => "SMEMBERS {k}",
            _ => "ZRANGE {k} 0 -1",
        };
        let all = bulks(run(&mut host, &words(all)));
        let asked = Asked::draw(&mut rng);
        let name = if asked.stores { "SORT" } else { pick(&mut rng, &["SORT", "SORT_RO"]) };
        run(&mut host, &words("DEL {k}to"));
        run(&mut host, &words("SET {k}to old"));
        let reply = run(&mut host, &asked.words(name));
        let what = format!("{asked:?} of {kind} {elements:?} gave {reply:?}");
        let Some(want) = plain(all, kind, &asked) else {
            refused += 1;
            assert_eq!(
                reply,
                Reply::error("ERR One or more scores can't be converted into double"),
                "{what}"
            );
            assert_eq!(run(&mut host, &words("GET {k}to")), Reply::bulk("old"), "{what}");
            continue;
        };
        long += u32::from(want.len() > 3);
        if asked.stores {
            stored += 1;
            assert_eq!(reply, Reply::Int(want.len() as i64), "{what}");
            assert_eq!(bulks(run(&mut host, &words("LRANGE {k}to 0 -1"))), want, "{what}");
        } else {
            assert_eq!(bulks(reply), want, "{what}");
        }
    }
    assert!(refused > 50 && stored > 1_000 && long > 1_000, "too tame: {refused} {stored} {long}");
}

fn bulks(reply: Reply) -> Vec<Vec<u8>> {
    let (Reply::Array(items) | Reply::Set(items)) = reply else { panic!("not a list: {reply:?}") };
    let bytes = |item| if let Reply::Bulk(bytes) = item { bytes } else { panic!("not bytes: {item:?}") };
    items.into_iter().map(bytes).collect()
}

/// Redis' way: a number for each two prefixes, and back from the last one. The subsequence, and its ranges, the last one first.
fn table(a: &[u8], b: &[u8]) -> (Vec<u8>, Vec<(usize, usize, usize)>) {
    let mut lengths = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            lengths[i][j] = match a[i - 1] == b[j - 1] {
                true => lengths[i - 1][j - 1] + 1,
                false => lengths[i - 1][j].max(lengths[i][j - 1]),
            };
        }
    }
    let (mut i, mut j, mut bytes) = (a.len(), b.len(), Vec::new());
    let mut ranges: Vec<(usize, usize, usize)> = Vec::new();
    while i > 0 && j > 0 {
        if a[i - 1] == b[j - 1] {
            (i, j) = (i - 1, j - 1);
            bytes.push(a[i]);
            match ranges.last_mut() {
                Some(range) if (range.0, range.1) == (i + 1, j + 1) => *range = (i, j, range.2 + 1),
                _ => ranges.push((i, j, 1)),
            }
        } else if lengths[i - 1][j] > lengths[i][j - 1] {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    bytes.reverse();
    (bytes, ranges)
}

#[test]
fn lcs_finds_what_redis_table_does() {
    let (mut rng, mut host) = (Rng::new(2), Host::new());
    let mut longest = 0;
    for round in 0..1_500_u64 {
        let letters = 1 + rng.below(6);
        let most = [3, 70, 140, 300][(round % 4) as usize];
        let mut text = || -> Vec<u8> {
            let bytes = rng.below(most);
            (0..bytes).map(|_| [b'a', b'b', 0, 255, b'c', b'd'][rng.below(letters) as usize]).collect()
        };
        let (a, b) = (text(), text());
        for (key, value) in [("{k}a", &a), ("{k}b", &b)] {
            run(&mut host, &[b"SET".to_vec(), key.into(), value.clone()]);
        }
        let mut ask = |options: &str| {
            let reply = run(&mut host, &words(&format!("LCS {{k}}a {{k}}b{options}")));
            assert!(!host.changed, "it is a read");
            reply
        };
        let (bytes, ranges) = table(&a, &b);
        longest = longest.max(bytes.len());
        let what = || format!("{} and {}", a.escape_ascii(), b.escape_ascii());
        assert_eq!(ask(""), Reply::Bulk(bytes.clone()), "{}", what());
        let length = Reply::Int(bytes.len() as i64);
        assert_eq!(ask(" LEN"), length, "{}", what());
        let least = round % 5;
        let number = |number: usize| Reply::Int(number as i64);
        let told = |with_length: bool| {
            let ranges = ranges.iter().filter(|range| range.2 as u64 >= least).map(|(i, j, length)| {
                let range = |from: usize| Reply::Array(vec![number(from), number(from + length - 1)]);
                let mut parts = vec![range(*i), range(*j)];
                parts.extend(with_length.then(|| number(*length)));
                Reply::Array(parts)
            });
            let matches = Reply::Array(ranges.collect());
            Reply::Map(vec![(Reply::bulk("matches"), matches), (Reply::bulk("len"), length.clone())])
        };
        assert_eq!(ask(&format!(" IDX MINMATCHLEN {least}")), told(false), "{}", what());
        assert_eq!(ask(&format!(" IDX MINMATCHLEN {least} WITHMATCHLEN")), told(true), "{}", what());
    }
    assert!(longest > 250, "too tame: {longest}");
}

/// Which lengths are refused is what a redis-server says with its own settings.
#[test]
fn lcs_has_redis_bound() {
    let mut host = Host::new();
    let mut ask = |a: usize, b: usize| {
        run(&mut host, &[b"SET".to_vec(), b"{k}a".to_vec(), vec![b'x'; a]]);
        run(&mut host, &[b"SET".to_vec(), b"{k}b".to_vec(), vec![b'x'; b]]);
        run(&mut host, &words("LCS {k}a {k}b LEN"))
    };
    assert_eq!(ask(11_584, 11_584), Reply::Int(11_584));
    assert!(ask(11_585, 11_585).is_error());
    assert_eq!(ask(1_000_000, 0), Reply::Int(0));
    assert_eq!(ask(3, 10 << 20), Reply::Int(3));
    assert!(ask(20 << 20, 20 << 20).is_error());
    assert!(ask(20 << 20, 6).is_error());
}
