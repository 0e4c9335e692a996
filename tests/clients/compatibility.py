"""Writes the page of Redis' commands: which ones Synod has, and how they were compared.

Usage: compatibility.py SOCKET PORT COUNTS: the Unix socket of an empty redis-server that is a cluster of its own, the plain port of an empty Synod host, and what
scripts/like-redis printed. The page goes to standard output. It fails where something on it is not so any more: a reply that is said to be the
same and is not, or a difference that is gone.
"""

import socket
import sys

# Lines whose last replies are the same on both, for commands that random ones do not cover, with what is before them on an empty server. They are
# about the command of the last line, or the one that is named in front.
SAME = """
ping
ping hello
echo hello
select 0
dbsize
time -> list
quit -> once
reset
flushall: set a 1 ; flushall ; dbsize
flushdb: set a 1 ; flushdb ; dbsize
set a 1 ; randomkey
set a 1 ; keys *
set a 1 ; scan 0 -> list
set {a} 1 ; exists {a} {a} {a}b
set {a} 1 ; touch {a} {a}b
set {a} 1 ; unlink {a} {a}b
set {a} 1 ; del {a} {a}b
mset {a} 1 {a}b 2 ; mget {a} {a}b {a}c
command|count -> number
command|list -> list
command|info get -> list
command|getkeys set a 1
command|docs get -> list
client|id -> number
client|getname
client|setname me ; client|getname
client|info -> text
client|list -> text
client|setinfo lib-name x -> any
client|reply on
client|no-evict on
config|get maxclients -> list
config|set maxclients 100 -> any
config|resetstat
info -> text
hello 2 -> list
auth x -> error
multi: multi ; set a 1 ; incr a ; exec
discard: multi ; set a 1 ; discard
exec: multi ; get a ; incr a x ; exec
exec: rpush a 1 2 3 4 ; multi ; blpop a 0 ; brpop a 0 ; blmpop 0 1 a left count 5 ; lmpop 1 a left ; blpop a 0 ; exec
exec: rpush {a}b 1 2 3 4 ; multi ; blpop {a} {a}b 1 ; lmpop 2 {a} {a}b left count 2 ; blmove {a}b {a} left right 0 ; brpoplpush {a}b {a} 0 ; blmove {a}b {a} left left 0 ; exec
exec: zadd a 1 x 2 y 3 z ; multi ; bzpopmin a 0 ; bzpopmax {a}b a 0 ; zmpop 2 {a}b a min count 9 ; bzmpop 0 1 a max ; bzpopmax a 0 ; exec
exec: set a 1 ; multi ; blpop a {a}b 0 ; bzpopmin a 0 ; lmpop 1 a left ; blmove a {a}b left left 0 ; exec
watch: watch a ; set a 1 ; multi ; get a ; exec
watch a ; unwatch
set a 5 ; incr a
set a 5 ; decr a
set a 5 ; decrby a 3
set a 5 ; getset a 6
getset: lpush a 1 ; getset a 6
set a 5 ; getex a ex 100
getex: set a 5 ; getex a ex 100 ; ttl a
mset: mset {a}1 1 {a}2 2 ; mget {a}1 {a}2
psetex: psetex a 100000 x ; ttl a
setex: setex a 100 x ; ttl a
setex a 0 x
setnx: setnx a 1 ; setnx a 2 ; get a
set a hello ; substr a 1 3
expire: set a 1 ; expire a 100 ; ttl a
expire: set a 1 ; expire a 100 gt
pexpire: set a 1 ; pexpire a 100000 ; ttl a
pexpireat: set a 1 ; pexpireat a 4000000000000 ; pexpiretime a
set a 1 ; pexpireat a 4000000000000 ; pexpiretime a
set a 1 ; ttl a
set a 1 ; pttl a
incrbyfloat: set a 1.5 ; incrbyfloat a 2.25
acl|whoami
acl|cat -> list
acl|list -> list
function|list -> list
module|list -> list
wait 0 0 -> number
object|help -> list
cluster|info -> text
cluster|myid -> text
cluster|keyslot a
cluster|countkeysinslot 1 -> number
cluster|nodes -> text
cluster|slots -> list
cluster|shards -> list
cluster|getkeysinslot 1 10 -> list
save -> any
bgsave -> any
lastsave -> number
debug|sleep 0 -> any
lolwut -> text
shutdown -> never
readonly -> any
readwrite -> any
asking -> any
blpop a 0.01
brpop a 0.01
bzpopmin a 0.01
bzpopmax a 0.01
blmove a b left right 0.01
brpoplpush a b 0.01
blmpop 0.01 1 a left
bzmpop 0.01 1 a min
rpush a 1 ; blpop a 0
rpush a 1 2 3 ; lmpop 1 a left
zadd a 1 x ; zmpop 1 a min
role -> list
swapdb 0 0 -> any
memory|usage: memory|usage a
memory|usage: set a 1 ; memory|usage a samples x
memory|usage: set a 1 ; memory|usage a -> number
slowlog|get -> any
slowlog|len -> number
latency|latest -> any
sinter a b
sunion a b
sdiff a b
sintercard 2 a b
sinterstore d a b
sunionstore d a b
sdiffstore d a b
zinter 2 a b
zunion 2 a b
zdiff 2 a b
zintercard 2 a b
zinterstore d 2 a b
zunionstore d 2 a b
zdiffstore d 2 a b
zrangestore d a 0 -1
rpush a 3 1 2 ; sort a
rpush a 3 1 2 ; sort a desc limit 0 2
rpush a 3 1 2 ; sort a by weight_*
rpush a 3 1 2 ; sort a get #
rpush a 3 1 2 ; sort a get weight_* by
rpush a 3 x 2 ; sort a
set a 1 ; sort a
sort a store b
sort: rpush {a} 3 1 2 ; sort {a} store {a}b ; lrange {a}b 0 -1
rpush a 3 1 2 ; sort_ro a by weight_*
rpush a 3 1 2 ; sort_ro a store b
command|getkeys sort a by store limit store 1 store b
lcs a b
set {a} ohmytext ; set {a}b mynewtext ; lcs {a} {a}b
set {a} ohmytext ; set {a}b mynewtext ; lcs {a} {a}b idx withmatchlen minmatchlen 4
rpush {a} 1 ; lcs {a} {a}b
set a 1 ; rename a b
set a 1 ; renamenx a b
set a 1 ; copy a b
msetnx a 1 b 2
sadd a x ; smove a b x
rpush a x ; lmove a b left right
rpush a x ; rpoplpush a b
rpush a x ; blmove a b left right 0.01
rpush a x ; brpoplpush a b 0.01
srandmember: srandmember a -9223372036854775808
hrandfield: hrandfield a -9223372036854775808
hrandfield: hrandfield a 1 withvalues
hrandfield: hrandfield a -4611686018427387904 withvalues
zrandmember: zrandmember a -9223372036854775808
zrandmember: zrandmember a 4611686018427387904 withscores
select 1
"""

# What differs, each with lines whose last replies differ.
DIFFERS = [
    ("exec", "keys of different slots are refused when they are queued, where Redis does that at EXEC", "multi ; set a 1 ; set b 1 ; exec"),
    ("mget", "key by key, and only between MULTI and EXEC in one step; on the plain port keys of different slots are taken, too", "mget a b"),
    ("mset", "on the plain port keys of different slots are taken, too, one after the other; up to 128 of one slot, and a MiB, are one step", "mset a 1 b 2"),
    ("del", "on the plain port keys of different slots are taken, too, one after the other; up to 128 of one slot, and a MiB, are one step", "del a b"),
    ("exists", "key by key, and only between MULTI and EXEC in one step; on the plain port keys of different slots are taken, too", "exists a b"),
    ("unlink", "on the plain port keys of different slots are taken, too, one after the other; up to 128 of one slot, and a MiB, are one step", "unlink a b"),
    ("touch", "key by key, and only between MULTI and EXEC in one step; on the plain port keys of different slots are taken, too", "touch a b"),
    ("hgetall", "in the order of the fields' bytes", "hset a z 1 y 2 x 3 ; hgetall a"),
    ("hkeys", "in the order of the fields' bytes", "hset a z 1 y 2 x 3 ; hkeys a"),
    ("hvals", "in the order of the fields' bytes", "hset a z 1 y 2 x 3 ; hvals a"),
    ("sort", "elements that are hexadecimal numbers are none", "rpush a 0x10 ; sort a"),
    ("sort_ro", "elements that are hexadecimal numbers are none", "rpush a 0x10 ; sort_ro a"),
    ("lcs", "the bound on its work does not go by proto-max-bulk-len: it is that of Redis' default", "setrange {a} 11585 x ; setrange {a}b 11585 x ; lcs {a} {a}b len"),
    ("object|encoding", "of the value alone: a short string after APPEND is as one that was set", "set a x ; append a y ; object|encoding a"),
    ("zscore", "scores are spelt as short as they can be, as in Redis 7.2, not with 17 digits, by whichever command", "zadd a 0.1 x ; zscore a x"),
    ("smembers", "in the order of the members' bytes", "sadd a p o n m l k j i h g f e d c b a ; smembers a"),  # a table of Redis' has an order by chance
]

# Of pops.
IN_TURN = "several keys are tried one after the other, and only between MULTI and EXEC in one step"
WOKEN = "who waits takes what it was woken for behind the reply to the push, where Redis gives it before"

# What cannot be seen in one reply.
NOTES = {
    "wait": "a write is on the disks of a majority before its reply; WAIT tells how many other hosts answer",
    "blpop": IN_TURN + "; " + WOKEN,
    "brpop": IN_TURN + "; " + WOKEN,
    "blmpop": IN_TURN + "; " + WOKEN,
    "bzpopmin": IN_TURN + "; " + WOKEN,
    "bzpopmax": IN_TURN + "; " + WOKEN,
    "bzmpop": IN_TURN + "; " + WOKEN,
    "lmpop": IN_TURN,
    "zmpop": IN_TURN,
    "blmove": WOKEN,
    "brpoplpush": WOKEN,
    "memory": "USAGE counts the bytes of the value as each replica stores it, whatever SAMPLES says",
    "slowlog": "an entry has the name, the start of the first argument, and how many more there were",
    "flushall": "one moment for each core's share of the slots; a core port empties those of other hosts' ports as well",
    "flushdb": "as FLUSHALL",
    "incrbyfloat": "adds decimals exactly, where Redis adds binary numbers of 80 bits",
    "hincrbyfloat": "adds decimals exactly, where Redis adds binary numbers of 80 bits",
    "multi": "arguments are checked when they are queued, where Redis does that at EXEC; commands about all keys, those about the host but for PING and its like, and UNWATCH are refused",
    "reqid": "in front of writes to named keys, and of EXEC; not of commands that wait, or that empty all",
}

# Those of which what is told takes nothing away: it is more than Redis has, or what Redis leaves open.
NOTHING_LESS = {"del", "hgetall", "hincrbyfloat", "hkeys", "hvals", "incrbyfloat", "mset", "smembers", "unlink", "wait", "zscore"}


class Connection:
    def __init__(self, address):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(20)
        self.socket.connect(address)
        self.file = self.socket.makefile("rb")

    def ask(self, words):
        parts = [b"*%d\r\n" % len(words)] + [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]
        self.socket.sendall(b"".join(parts))
        return self.read()

    def read(self):
        line = self.file.readline()
        if not line:
            return ("end", "the connection was closed")
        kind, rest = line[:1], line[1:-2]
        if kind in b"+-:":
            return ({b"+": "line", b"-": "error", b":": "number"}[kind], rest.decode())
        count = int(rest)
        if kind == b"$":
            return ("nil", "") if count < 0 else ("bulk", self.file.read(count + 2)[:-2])
        return ("nil list", "") if count < 0 else ("list", [self.read() for _ in range(count)])

    def close(self):
        self.file.close()
        self.socket.close()


def words_of(line):
    """The words of a line; `|` joins a command and its subcommand."""
    first, *rest = line.split()
    return [word.encode() for word in first.split("|") + rest]


def run(address, lines):
    """The last reply to some lines, sent to an empty server on a connection of their own."""
    connection = Connection(address)
    connection.ask([b"FLUSHALL"])
    reply = None
    for line in lines.split(";"):
        reply = connection.ask(words_of(line.strip()))
    connection.close()
    return reply


def kind_is(reply, wanted):
    kinds = {"list": ["list"], "number": ["number"], "text": ["bulk", "line"], "error": ["error"], "once": ["line"]}
    return reply[0] in kinds[wanted]


def check_same(addresses, here, counted):
    """Which commands answered the same, and how it was compared; of those that Synod has."""
    found = {}
    for line in SAME.strip().splitlines():
        lines, _, how = line.partition(" -> ")
        named, _, rest = lines.partition(": ")
        name, lines = (named, rest) if rest else (lines.split(";")[-1].split()[0], lines)
        parent, _, sub = name.partition("|")
        if parent not in here or sub and name not in here[parent]:
            continue
        if how == "never":
            continue
        if how == "any":
            reply = run(addresses[1], lines)
            if reply[0] == "end" or reply[0] == "error" and "unknown" in reply[1]:
                sys.exit(f"compatibility: {lines}: synod {reply!r:.200}")
            found.setdefault(name, "answered, not compared")
            continue
        theirs, ours = (run(address, lines) for address in addresses)
        if how:
            if not (kind_is(theirs, how) and kind_is(ours, how)):
                sys.exit(f"compatibility: {lines}: redis {theirs!r:.200}, synod {ours!r:.200}")
            found[name] = "the kind of reply compared"
            continue
        if theirs != ours and not (theirs[0] == ours[0] == "error" and name in counted):
            sys.exit(f"compatibility: {lines}: redis {theirs!r:.200}, synod {ours!r:.200}")
        found[name] = "replies compared"
    return found


def check_differs(addresses):
    told = {}
    for name, what, lines in DIFFERS:
        theirs, ours = (run(address, lines) for address in addresses)
        if theirs == ours:
            sys.exit(f"compatibility: {lines}: is said to differ, and does not: {ours!r:.200}")
        told[name] = what
    return told


def names(connection):
    """The commands of a server, subcommands with a | between."""
    found = {}
    for entry in connection.ask([b"COMMAND"])[1]:
        name = entry[1][0][1].decode().lower()
        found[name] = [sub[1][0][1].decode().lower() for sub in entry[1][9][1]] if len(entry[1]) > 9 else []
    return found


def groups(connection):
    reply = connection.ask([b"COMMAND", b"DOCS"])[1]
    found = {}
    for name, docs in zip(reply[::2], reply[1::2]):
        fields = {field[1]: value for field, value in zip(docs[1][::2], docs[1][1::2])}
        found[name[1].decode()] = fields[b"group"][1].decode()
    return found


def main():
    redis, synod, counts = sys.argv[1], ("127.0.0.1", int(sys.argv[2])), sys.argv[3]
    with open(counts, encoding="utf-8") as file:
        lines = [line.split() for line in file if line.startswith("compared ")]
    compared = {name: int(count) for _, count, name in lines}
    addresses = (redis, synod)
    there, here = names(Connection(redis)), names(Connection(synod))
    same, differs = check_same(addresses, here, compared), check_differs(addresses)
    group_of = groups(Connection(redis))
    rows, left = {}, {}
    total = {"supported": 0, "partly": 0}
    for name in sorted(there):
        group = group_of.get(name, "other")
        if name not in here:
            left.setdefault(group, []).append(name.upper())
            continue
        missing = [sub for sub in there[name] if sub not in here[name]]
        seen = sum(count for other, count in compared.items() if other.split("|")[0] == name)
        how = f"{seen:,} random ones compared" if seen else None
        if not how:
            probes = [what for other, what in same.items() if other.split("|")[0] == name]
            order = ["replies compared", "the kind of reply compared", "answered, not compared"]
            how = min(probes, key=order.index) if probes else "not asked here"
        notes = [what for other, what in differs.items() if other.split("|")[0] == name]
        notes += [NOTES[name]] if name in NOTES else []
        notes += ["without " + ", ".join(sub.split("|")[-1].upper() for sub in sorted(missing))] if missing else []
        here_is = "partly" if notes and name not in NOTHING_LESS else "supported"
        total[here_is] += 1
        rows.setdefault(group, []).append(f"| {name.upper()} | {here_is} | {'; '.join(notes)} | {how} |")
    own = sorted(name.upper() for name in here if name not in there)
    print("# Redis' commands on Synod\n")
    print("Written by `scripts/compatibility`, which asks a redis-server 7.0 that is a cluster, and a Synod host, the same, and fails where this page is not so any")
    print("more. Do not edit it: change `tests/clients/compatibility.py`. \"Random ones compared\": as many commands on few keys, reply by reply,")
    print("by `scripts/like-redis`, without a difference but those named. Longer runs are told in testing.md.\n")
    print(f"Of {len(there)} commands {total['supported']} are supported, {total['partly']} partly, and {len(there) - sum(total.values())} are not. What Redis 7.0 has not: {', '.join(own)}.\n")
    print("As in a cluster, commands on several keys want keys of one slot: give them one `{tag}`. A command that is not supported is answered as Redis answers one that it does not know.\n")
    for group in sorted(set(rows) | set(left)):
        print(f"## {group.capitalize()}\n")
        if group in rows:
            print("| command | here | what differs | how it was compared |\n|---|---|---|---|")
            print("\n".join(rows[group]) + "\n")
        if group in left:
            print(f"Not supported: {', '.join(left[group])}.\n")


main()
