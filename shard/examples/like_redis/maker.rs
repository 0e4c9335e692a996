//! Random commands that meet: on few keys, with few fields and small numbers.

use reactor::rng::Rng;

use super::same::Order;

/// One in so many commands is on a key of another type.
const STRAY_ONE_IN: u64 = 50;
/// The field that floats are added to.
const FLOAT: &str = "p";
/// How much longer long names are: some of them are over the least size of objects that are written in parts.
const LONGER: usize = 200;
/// Seconds since 1970, long after any test.
pub const FAR: u64 = 4_000_000_000;

/// A command.
pub type Words = Vec<Vec<u8>>;

/// See the module's head.
pub struct Maker {
    pub rng: Rng,
    /// What keys begin with: a tag, where what is made is about several of them.
    pub tag: &'static str,
    /// It is for hosts: of long names, with many of which objects come to be large ones, whose changes are written as such.
    pub for_hosts: bool,
}

impl Maker {
    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.rng.below(of.len() as u64) as usize]
    }

    fn key(&mut self, kind: &str) -> String {
        let kind = if self.rng.below(STRAY_ONE_IN) == 0 {
            self.pick(&["string", "hash", "list", "set", "zset", "absent"])
        } else {
            kind
        };
        format!("{}{kind}-{}", self.tag, self.rng.below(3))
    }

    /// A field, an element or a member: few of them, and now and then any bytes.
    fn name(&mut self) -> String {
        match self.rng.below(12) {
            0 => String::new(),
            1 => format!("{}", self.rng.below(5) as i64 - 2),
            2 => "x".repeat(self.rng.below(60) as usize),
            _ => {
                let name = self.pick(&["a", "b", "c", "d", "e", "f", "g", "h", "aa", "ab", "ba", FLOAT]);
                "-".repeat(if self.for_hosts && name != FLOAT { LONGER } else { 0 }) + name
            }
        }
    }

    fn value(&mut self) -> String {
        match self.rng.below(4) {
            0 => self.name(),
            1 => format!("{}", self.rng.below(7) as f64 / 2.0),
            _ => self.rng.below(100).to_string(),
        }
    }

    /// What SORT takes for a number, and now and then does not.
    fn weight(&mut self) -> String {
        match self.rng.below(40) {
            0 => self.pick(&["x", "1 ", "nan"]).into(),
            1..=9 => self.pick(&["", " 4", "+5", "05", "5", "-0", "0", "1e3", ".5", "inf", "-inf"]).into(),
            _ => format!("{}", (self.rng.below(40) as f64 - 20.0) / 2.0),
        }
    }

    /// Longer than a word of bits, of few letters.
    fn text(&mut self) -> String {
        (0..self.rng.below(150)).map(|_| self.pick(&["a", "b", "c", "d"])).collect()
    }

    fn integer(&mut self) -> String {
        match self.rng.below(40) {
            0 => "9223372036854775807".into(),
            1 => "-9223372036854775807".into(),
            2 => self.pick(&["", "x", "1.5", "+1", "01", " 1"]).into(),
            _ => (self.rng.below(14) as i64 - 6).to_string(),
        }
    }

    fn score(&mut self) -> String {
        match self.rng.below(30) {
            0 => self.pick(&["inf", "-inf", "+inf", "x", "nan", "1e3", ""]).into(),
            _ => format!("{}", (self.rng.below(20) as f64 - 8.0) / 2.0),
        }
    }

    fn end(&mut self, by: &str) -> String {
        match by {
            "BYSCORE" => {
                let open = self.pick(&["", "", "("]);
                format!("{open}{}", self.score())
            }
            "BYLEX" => match self.rng.below(8) {
                0 => "-".into(),
                1 => "+".into(),
                2 => self.name(),
                _ => format!("{}{}", self.pick(&["[", "("]), self.name()),
            },
            _ => self.integer(),
        }
    }

    fn some(&mut self, mut make: impl FnMut(&mut Maker) -> String) -> Vec<String> {
        (0..=self.rng.below(4)).map(|_| make(self)).collect()
    }

    /// A command on a key of this type, and how its reply is compared.
    pub fn command(&mut self, kind: &str) -> (Words, Order) {
        let key = self.key(kind);
        if self.rng.below(25) == 0 {
            return self.of_any_type(key);
        }
        match kind {
            "hash" => self.of_hash(key),
            "list" => self.of_list(key),
            "set" => self.of_set(key),
            "zset" => self.of_sorted_set(key),
            "joint" => self.of_several_keys(),
            _ => self.of_string(key),
        }
    }

    fn of_any_type(&mut self, key: String) -> (Words, Order) {
        let far = (FAR + self.rng.below(3)).to_string();
        let other = self.key("hash");
        let words: Vec<String> = match self.rng.below(9) {
            0 => vec!["DEL".into(), key],
            1 => vec!["TYPE".into(), key],
            2 => vec!["EXISTS".into(), key, other],
            3 => vec!["EXPIREAT".into(), key, far],
            4 => vec!["EXPIRETIME".into(), key],
            5 => vec!["PERSIST".into(), key],
            6 => vec!["MGET".into(), key, other],
            7 => vec!["UNLINK".into(), key],
            _ => vec!["EXPIREAT".into(), key, "1".into()],
        };
        (bytes(words), Order::Same)
    }

    fn of_string(&mut self, key: String) -> (Words, Order) {
        let name = self.pick(&["SET", "GET", "APPEND", "INCRBY", "STRLEN", "GETRANGE", "SETRANGE", "GETDEL"]);
        let mut words = vec![name.to_string(), key];
        match name {
            "SET" => {
                words.push(self.value());
                let options = self.pick(&["", "", "", "NX", "XX", "GET", "KEEPTTL", "BAD"]);
                words.extend((!options.is_empty()).then(|| options.to_string()));
            }
            "APPEND" => words.push(self.name()),
            "INCRBY" => words.push(self.integer()),
            "GETRANGE" => words.extend([self.integer(), self.integer()]),
            "SETRANGE" => words.extend([self.rng.below(30).to_string(), self.name()]),
            _ => {}
        }
        (bytes(words), Order::Same)
    }

    fn of_hash(&mut self, key: String) -> (Words, Order) {
        let name = self.pick(&[
            "HSET",
            "HSET",
            "HMSET",
            "HSETNX",
            "HGET",
            "HMGET",
            "HGETALL",
            "HKEYS",
            "HVALS",
            "HLEN",
            "HEXISTS",
            "HSTRLEN",
            "HDEL",
            "HINCRBY",
            "HINCRBYFLOAT",
            "HRANDFIELD",
            "HSCAN",
        ]);
        let mut words = vec![name.to_string(), key];
        let mut order = Order::Same;
        match name {
            "HSET" | "HMSET" => {
                let fields = self.some(Maker::name);
                words.extend(fields.into_iter().flat_map(|field| [field, self.value()]));
            }
            "HSETNX" => words.extend([self.name(), self.value()]),
            "HGET" | "HEXISTS" | "HSTRLEN" => words.push(self.name()),
            "HMGET" | "HDEL" => words.extend(self.some(Maker::name)),
            // Numbers beyond the digits of Redis' floats, which differ, are kept away from where floats are added.
            "HINCRBY" => {
                let field = self.name();
                words.extend([if field == FLOAT { "a".into() } else { field }, self.integer()]);
            }
            "HINCRBYFLOAT" => words.extend([FLOAT.to_string(), self.score()]),
            "HGETALL" => order = Order::Pairs,
            "HKEYS" | "HVALS" => order = Order::Any,
            "HRANDFIELD" => {
                order = Order::Chance;
                if self.rng.coin() {
                    words.push((self.rng.below(20) as i64 - 9).to_string());
                    words.extend(self.rng.coin().then(|| "WITHVALUES".to_string()));
                }
            }
            "HSCAN" => {
                order = Order::Page(2);
                words.extend(self.scan());
            }
            _ => {}
        }
        (bytes(words), order)
    }

    fn scan(&mut self) -> Vec<String> {
        let mut words = vec!["0".to_string()];
        if self.rng.coin() {
            words.extend(["MATCH".into(), self.pick(&["a*", "*", "?", "[a-c]", "x*"]).to_string()]);
        }
        if self.for_hosts {
            // Redis keeps those with long names in a table, and shows a page of it.
            words.extend(["COUNT", "1000"].map(String::from));
        } else if self.rng.below(4) == 0 {
            words.extend(["COUNT".into(), (1 + self.rng.below(9)).to_string()]);
        }
        words
    }

    fn of_list(&mut self, key: String) -> (Words, Order) {
        let name = self.pick(&[
            "LPUSH", "RPUSH", "LPUSH", "RPUSH", "LPUSHX", "RPUSHX", "LPOP", "RPOP", "LLEN", "LINDEX",
            "LRANGE", "LSET", "LINSERT", "LREM", "LTRIM", "LPOS",
        ]);
        let mut words = vec![name.to_string(), key];
        match name {
            "LPUSH" | "RPUSH" | "LPUSHX" | "RPUSHX" => words.extend(self.some(Maker::name)),
            "LPOP" | "RPOP" => words.extend((self.rng.below(3) == 0).then(|| self.integer())),
            "LINDEX" => words.push(self.integer()),
            "LRANGE" => words.extend([self.integer(), self.integer()]),
            "LTRIM" => words.extend([self.rng.below(3).to_string(), self.integer()]),
            "LSET" => words.extend([self.integer(), self.name()]),
            "LREM" => words.extend([self.integer(), self.name()]),
            "LINSERT" => {
                let side = self.pick(&["BEFORE", "AFTER", "before", "BESIDE"]);
                words.extend([side.to_string(), self.name(), self.name()]);
            }
            "LPOS" => {
                words.push(self.name());
                for option in ["RANK", "COUNT", "MAXLEN"] {
                    if self.rng.below(3) == 0 {
                        words.extend([option.to_string(), self.integer()]);
                    }
                }
            }
            _ => {}
        }
        (bytes(words), Order::Same)
    }

    fn of_set(&mut self, key: String) -> (Words, Order) {
        let name = self.pick(&[
            "SADD",
            "SADD",
            "SADD",
            "SREM",
            "SPOP",
            "SCARD",
            "SISMEMBER",
            "SMISMEMBER",
            "SMEMBERS",
            "SRANDMEMBER",
            "SSCAN",
        ]);
        let mut words = vec![name.to_string(), key];
        let mut order = Order::Same;
        match name {
            "SADD" | "SREM" | "SMISMEMBER" => words.extend(self.some(Maker::name)),
            "SISMEMBER" => words.push(self.name()),
            // All or nothing: what is left must be the same.
            "SPOP" => {
                order = Order::Any;
                words.push(self.pick(&["0", "1000000", "-1", "x"]).to_string());
            }
            "SMEMBERS" => order = Order::Any,
            "SRANDMEMBER" => {
                order = Order::Chance;
                words.extend(self.rng.coin().then(|| (self.rng.below(20) as i64 - 9).to_string()));
            }
            "SSCAN" => {
                // Redis 7.0 keeps most sets in a table, and shows a page of those.
                order = Order::Page(1);
                words.extend(["0", "COUNT", "1000"].map(String::from));
            }
            _ => {}
        }
        (bytes(words), order)
    }

    fn of_sorted_set(&mut self, key: String) -> (Words, Order) {
        let name = self.pick(&[
            "ZADD",
            "ZADD",
            "ZADD",
            "ZINCRBY",
            "ZREM",
            "ZREMRANGEBYRANK",
            "ZREMRANGEBYSCORE",
            "ZPOPMIN",
            "ZPOPMAX",
            "ZCARD",
            "ZCOUNT",
            "ZSCORE",
            "ZMSCORE",
            "ZRANK",
            "ZREVRANK",
            "ZRANGE",
            "ZRANGE",
            "ZREVRANGE",
            "ZRANGEBYSCORE",
            "ZREVRANGEBYSCORE",
            "ZRANDMEMBER",
            "ZSCAN",
            "lex",
        ]);
        if name == "lex" {
            return self.of_lex();
        }
        let mut words = vec![name.to_string(), key];
        let mut order = Order::Same;
        match name {
            "ZADD" => {
                for option in ["NX", "XX", "GT", "LT", "CH", "INCR"] {
                    words.extend((self.rng.below(9) == 0).then(|| option.to_string()));
                }
                let members = self.some(Maker::name);
                words.extend(members.into_iter().flat_map(|member| [self.score(), member]));
            }
            "ZINCRBY" => words.extend([self.score(), self.name()]),
            "ZREM" | "ZMSCORE" => words.extend(self.some(Maker::name)),
            "ZREMRANGEBYRANK" => words.extend([self.rng.below(8).to_string(), self.integer()]),
            "ZREMRANGEBYSCORE" | "ZCOUNT" => words.extend([self.end("BYSCORE"), self.end("BYSCORE")]),
            "ZPOPMIN" | "ZPOPMAX" => words.extend(self.rng.coin().then(|| self.rng.below(3).to_string())),
            "ZSCORE" | "ZRANK" | "ZREVRANK" => words.push(self.name()),
            "ZRANGE" => {
                let by = self.pick(&["", "BYSCORE"]);
                words.extend([self.end(by), self.end(by)]);
                words.extend((!by.is_empty()).then(|| by.to_string()));
                words.extend(self.rng.coin().then(|| "REV".to_string()));
                words.extend(self.limit());
            }
            "ZREVRANGE" => {
                words.extend([self.integer(), self.integer()]);
                words.extend(self.rng.coin().then(|| "WITHSCORES".to_string()));
            }
            "ZRANGEBYSCORE" | "ZREVRANGEBYSCORE" => {
                words.extend([self.end("BYSCORE"), self.end("BYSCORE")]);
                words.extend(self.limit());
            }
            "ZRANDMEMBER" => {
                order = Order::Chance;
                if self.rng.coin() {
                    words.push((self.rng.below(20) as i64 - 9).to_string());
                    words.extend(self.rng.coin().then(|| "WITHSCORES".to_string()));
                }
            }
            "ZSCAN" => {
                order = Order::Page(2);
                words.extend(self.scan());
            }
            _ => {}
        }
        (bytes(words), order)
    }

    /// What several keys hold, and what is done with them in one step.
    fn of_several_keys(&mut self) -> (Words, Order) {
        let name = self.pick(&[
            "fill",
            "fill",
            "look",
            "RENAME",
            "RENAMENX",
            "COPY",
            "MSETNX",
            "LMOVE",
            "RPOPLPUSH",
            "SMOVE",
            "SINTER",
            "SUNION",
            "SDIFF",
            "SINTERSTORE",
            "SUNIONSTORE",
            "SDIFFSTORE",
            "SINTERCARD",
            "ZINTER",
            "ZUNION",
            "ZDIFF",
            "ZINTERSTORE",
            "ZUNIONSTORE",
            "ZDIFFSTORE",
            "ZINTERCARD",
            "ZRANGESTORE",
            "SORT",
            "SORT",
            "SORT_RO",
            "LCS",
        ]);
        let kind = match name {
            "LMOVE" | "RPOPLPUSH" => "list",
            "SORT" | "SORT_RO" => self.pick(&["list", "set", "zset", "numbers", "numbers", "numbers"]),
            "LCS" => "string",
            name if name.starts_with('S') => "set",
            name if name.starts_with('Z') => self.pick(&["zset", "zset", "zset", "set"]),
            _ => self.pick(&["string", "hash", "list", "set", "zset", "numbers"]),
        };
        if matches!(name, "fill" | "look") {
            return self.filled_or_seen(kind, name == "fill");
        }
        let mut words = vec![name.to_string()];
        let mut order = Order::Same;
        match name {
            "RENAME" | "RENAMENX" | "RPOPLPUSH" => words.extend([self.key(kind), self.key(kind)]),
            "COPY" => {
                words.extend([self.key(kind), self.key(kind)]);
                words.extend(self.rng.coin().then(|| "REPLACE".to_string()));
            }
            "MSETNX" => {
                let keys = self.some(|maker| maker.key("string"));
                words.extend(keys.into_iter().flat_map(|key| [key, self.value()]));
            }
            "LMOVE" => {
                words.extend([self.key(kind), self.key(kind)]);
                words.extend(
                    [self.pick(&["LEFT", "RIGHT"]), self.pick(&["LEFT", "RIGHT", "UP"])].map(String::from),
                );
            }
            "SMOVE" => words.extend([self.key(kind), self.key(kind), self.name()]),
            "SORT" | "SORT_RO" => {
                words.push(self.key(kind));
                order = self.sort(&mut words, name == "SORT");
            }
            "LCS" => {
                words.extend([self.key(kind), self.key(kind)]);
                for option in ["LEN", "IDX", "IDX", "WITHMATCHLEN", "BAD"] {
                    let one_in = if option == "BAD" { 30 } else { 3 };
                    words.extend((self.rng.below(one_in) == 0).then(|| option.to_string()));
                }
                if self.rng.below(3) == 0 {
                    words.extend(["MINMATCHLEN".into(), self.integer()]);
                }
            }
            "SINTERCARD" | "ZINTERCARD" => {
                self.add_counted(&mut words, kind);
                if self.rng.coin() {
                    words.extend(["LIMIT".into(), self.integer()]);
                }
            }
            "ZRANGESTORE" => {
                words.extend([self.key(kind), self.key(kind)]);
                let by = self.pick(&["", "BYSCORE"]);
                words.extend([self.end(by), self.end(by)]);
                words.extend((!by.is_empty()).then(|| by.to_string()));
                words.extend(self.rng.coin().then(|| "REV".to_string()));
            }
            name if name.starts_with('S') => {
                words.extend(self.some(|maker| maker.key(kind)));
                order = Order::Any;
            }
            name => {
                if name.ends_with("STORE") {
                    words.push(self.key("zset"));
                }
                let count = self.add_counted(&mut words, kind);
                if self.rng.below(3) == 0 {
                    words.push("WEIGHTS".into());
                    words.extend((0..count).map(|_| self.score()));
                }
                if self.rng.below(3) == 0 {
                    words.extend(["AGGREGATE", self.pick(&["SUM", "MIN", "MAX", "AVG"])].map(String::from));
                }
                words.extend((self.rng.below(3) == 0).then(|| "WITHSCORES".to_string()));
            }
        }
        (bytes(words), order)
    }

    /// Adds options of SORT; says how replies are compared. Which pages of a set there are, and in which order, is not said where none is asked for.
    fn sort(&mut self, words: &mut Vec<String>, may_store: bool) -> Order {
        let (mut stays, mut is_limited, mut is_stored) = (false, false, false);
        for option in ["ASC", "DESC", "ALPHA", "BY", "LIMIT", "STORE", "BAD"] {
            let one_in = if option == "BAD" { 60 } else { 3 };
            if self.rng.below(one_in) > 0 || option == "STORE" && !may_store {
                continue;
            }
            words.push(option.to_string());
            match option {
                "BY" => {
                    stays = true;
                    words.push("nothing".into());
                }
                "LIMIT" => {
                    is_limited = true;
                    words.extend([self.integer(), self.integer()]);
                }
                "STORE" => {
                    is_stored = true;
                    let kind = self.pick(&["list", "numbers"]);
                    words.push(self.key(kind));
                }
                _ => {}
            }
        }
        match (stays && !is_stored, is_limited) {
            (false, _) => Order::Same,
            (true, false) => Order::Any,
            (true, true) => Order::Chance,
        }
    }

    /// Adds some keys behind their number, which is a wrong one now and then.
    fn add_counted(&mut self, words: &mut Vec<String>, kind: &str) -> usize {
        let keys = self.some(|maker| maker.key(kind));
        // To hosts, where it made keys of other words, they are of another slot.
        let wrong = !self.for_hosts && self.rng.below(20) == 0;
        words.push(if wrong { self.integer() } else { keys.len().to_string() });
        let count = keys.len();
        words.extend(keys);
        count
    }

    fn filled_or_seen(&mut self, kind: &str, fills: bool) -> (Words, Order) {
        let key = self.key(kind);
        let (words, order) = match (kind, fills) {
            ("hash", true) => (vec!["HSET".into(), key, self.name(), self.value()], Order::Same),
            ("hash", false) => (vec!["HGETALL".into(), key], Order::Pairs),
            ("list", true) => (vec!["RPUSH".into(), key, self.name(), self.name()], Order::Same),
            ("list", false) => (vec!["LRANGE".into(), key, "0".into(), "-1".into()], Order::Same),
            ("set", true) => (vec!["SADD".into(), key, self.name(), self.name()], Order::Same),
            ("set", false) => (vec!["SMEMBERS".into(), key], Order::Any),
            ("zset", true) => (vec!["ZADD".into(), key, self.score(), self.name()], Order::Same),
            ("zset", false) => {
                let words = ["0", "-1", "WITHSCORES"].map(String::from);
                (["ZRANGE".into(), key].into_iter().chain(words).collect(), Order::Same)
            }
            ("numbers", true) => {
                let numbers = self.some(Maker::weight);
                (["RPUSH".into(), key].into_iter().chain(numbers).collect(), Order::Same)
            }
            ("numbers", false) => (vec!["LRANGE".into(), key, "0".into(), "-1".into()], Order::Same),
            (_, true) => {
                let value = if self.rng.coin() { self.value() } else { self.text() };
                (vec!["SET".into(), key, value], Order::Same)
            }
            (_, false) => (vec!["GET".into(), key], Order::Same),
        };
        (bytes(words), order)
    }

    fn limit(&mut self) -> Vec<String> {
        let mut words = Vec::new();
        if self.rng.below(3) == 0 {
            words.extend(["LIMIT".to_string(), self.integer(), self.integer()]);
        }
        words.extend((self.rng.below(3) == 0).then(|| "WITHSCORES".to_string()));
        words
    }

    /// Where all scores are equal, as spans by bytes want it.
    fn of_lex(&mut self) -> (Words, Order) {
        let name = self.pick(&[
            "ZADD",
            "ZADD",
            "ZRANGE",
            "ZRANGEBYLEX",
            "ZREVRANGEBYLEX",
            "ZLEXCOUNT",
            "ZREMRANGEBYLEX",
        ]);
        let mut words = vec![name.to_string(), format!("{}lex-0", self.tag)];
        if name == "ZADD" {
            let members = self.some(Maker::name);
            words.extend(members.into_iter().flat_map(|member| ["0".to_string(), member]));
            return (bytes(words), Order::Same);
        }
        words.extend([self.end("BYLEX"), self.end("BYLEX")]);
        match name {
            "ZRANGE" => {
                words.push("BYLEX".into());
                words.extend(self.rng.coin().then(|| "REV".to_string()));
                words.extend(self.limit());
            }
            "ZRANGEBYLEX" | "ZREVRANGEBYLEX" => words.extend(self.limit()),
            _ => {}
        }
        (bytes(words), Order::Same)
    }
}

fn bytes(words: Vec<String>) -> Words {
    words.into_iter().map(String::into_bytes).collect()
}
