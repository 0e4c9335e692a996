//! Random numbers and random command lines, the same on every run.

/// xorshift, 64 bits.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// A line of a known command on one key, whose other arguments may or may not suit it.
    pub fn line_on(&mut self, key: &str) -> String {
        let mut line = format!("{} {key}", self.pick(NAMES));
        for _ in 0..self.below(5) {
            line.push(' ');
            line.push_str(self.pick(ARGUMENTS));
        }
        line
    }

    /// A line of a known command and of arguments that may or may not suit it.
    pub fn line(&mut self) -> String {
        let mut line = self.pick(NAMES).to_string();
        for _ in 0..self.below(7) {
            line.push(' ');
            line.push_str(self.pick(ARGUMENTS));
        }
        line
    }
}

const NAMES: &[&str] = &[
    "GET",
    "SET",
    "SETEX",
    "PSETEX",
    "SETNX",
    "GETSET",
    "GETDEL",
    "GETEX",
    "GETV",
    "SETV",
    "MGET",
    "MSET",
    "INCR",
    "INCRBY",
    "INCRBYFLOAT",
    "DECR",
    "DECRBY",
    "APPEND",
    "STRLEN",
    "GETRANGE",
    "SUBSTR",
    "SETRANGE",
    "DIGEST",
    "DEL",
    "UNLINK",
    "DELEX",
    "EXISTS",
    "TOUCH",
    "TYPE",
    "TTL",
    "PTTL",
    "EXPIRE",
    "PEXPIRE",
    "EXPIREAT",
    "PEXPIREAT",
    "EXPIRETIME",
    "PEXPIRETIME",
    "PERSIST",
    "OBJECT ENCODING",
    "OBJECT FREQ",
    "OBJECT IDLETIME",
    "OBJECT REFCOUNT",
    "MEMORY USAGE",
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
    "LPUSH",
    "RPUSH",
    "LPUSHX",
    "RPUSHX",
    "LPOP",
    "RPOP",
    "LLEN",
    "LINDEX",
    "LRANGE",
    "LSET",
    "LINSERT",
    "LREM",
    "LTRIM",
    "LPOS",
    "SADD",
    "SREM",
    "SPOP",
    "SCARD",
    "SISMEMBER",
    "SMISMEMBER",
    "SMEMBERS",
    "SRANDMEMBER",
    "SSCAN",
    "ZADD",
    "ZINCRBY",
    "ZREM",
    "ZREMRANGEBYRANK",
    "ZREMRANGEBYSCORE",
    "ZREMRANGEBYLEX",
    "ZPOPMIN",
    "ZPOPMAX",
    "ZCARD",
    "ZCOUNT",
    "ZLEXCOUNT",
    "ZSCORE",
    "ZMSCORE",
    "ZRANK",
    "ZREVRANK",
    "ZRANGE",
    "ZREVRANGE",
    "ZRANGEBYSCORE",
    "ZREVRANGEBYSCORE",
    "ZRANGEBYLEX",
    "ZREVRANGEBYLEX",
    "ZRANDMEMBER",
    "ZSCAN",
    "SORT",
    "SORT_RO",
    "DBSIZE",
    "KEYS",
    "SCAN",
    "RANDOMKEY",
    "FLUSHALL",
    "FLUSHDB",
    "CLUSTER COUNTKEYSINSLOT",
    "CLUSTER GETKEYSINSLOT",
];

const ARGUMENTS: &[&str] = &[
    "0",
    "1",
    "-1",
    "7",
    "12345",
    "1.5",
    "-9223372036854775808",
    "9223372036854775807",
    "a",
    "b",
    "\"\"",
    "\"\\x00\"",
    "{t}x",
    "NX",
    "XX",
    "GET",
    "EX",
    "PX",
    "EXAT",
    "PXAT",
    "KEEPTTL",
    "PERSIST",
    "IFEQ",
    "IFNE",
    "IFDEQ",
    "IFDNE",
    "0123456789abcdef",
    "GT",
    "LT",
    "BEFORE",
    "AFTER",
    "RANK",
    "MAXLEN",
    "WITHSCORES",
    "WITHSCORE",
    "WITHVALUES",
    "NOVALUES",
    "BYSCORE",
    "BYLEX",
    "REV",
    "LIMIT",
    "CH",
    "INCR",
    "inf",
    "-inf",
    "(1",
    "[a",
    "(b",
    "-",
    "+",
    "0.5",
    "MATCH",
    "COUNT",
    "TYPE",
    "string",
    "a*",
    "*",
    "ASYNC",
    "SYNC",
];
