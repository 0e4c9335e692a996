"""Drives a running cluster with redis-py, plain and cluster, sync and asyncio.

Usage: python_clients.py cluster.json
Every check is an assertion; the script ends with 0 when all held.
"""

import asyncio
import json
import sys
import threading

import redis
import redis.asyncio as aredis
from redis.cluster import ClusterNode, RedisCluster


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def plain(cluster):
    for text in cluster["plain"]:
        host, port = address(text)
        with redis.Redis(host=host, port=port, decode_responses=True) as client:
            assert client.ping()
            assert client.set("py:plain", host)
            assert client.get("py:plain") == host
            assert client.mset({"py:m1": "1", "py:m2": "2", "py:m3": "3"})
            assert client.mget("py:m1", "py:m2", "py:m3", "py:none") == ["1", "2", "3", None]
            client.delete("py:counter")
            assert [client.incr("py:counter") for _ in range(5)] == [1, 2, 3, 4, 5]
            assert client.set("py:expiring", "x", ex=100) and 0 < client.ttl("py:expiring") <= 100
            pipe = client.pipeline(transaction=False)
            for number in range(100):
                pipe.set(f"py:pipe:{number}", number)
            assert all(pipe.execute())
            assert client.delete("py:m1", "py:m2") == 2
            assert client.exists("py:m1", "py:m3") == 1
            assert client.info()["cluster_enabled"] == 1


def last_write_is_seen_everywhere(cluster):
    clients = [redis.Redis(host=h, port=p, decode_responses=True) for h, p in map(address, cluster["plain"])]
    for number in range(30):
        assert clients[number % 3].set("py:everywhere", number)
        assert [client.get("py:everywhere") for client in clients] == [str(number)] * len(clients)


def clustered(cluster):
    host, port = address(cluster["cores"][0])
    client = RedisCluster(startup_nodes=[ClusterNode(host, port)], decode_responses=True)
    for number in range(200):
        assert client.set(f"py:cluster:{number}", number)
    for number in range(200):
        assert client.get(f"py:cluster:{number}") == str(number)
    assert client.incr("py:cluster:count") >= 1
    assert len(client.get_primaries()) == 3
    client.close()


async def asynchronous(cluster):
    host, port = address(cluster["plain"][0])
    client = aredis.Redis(host=host, port=port, decode_responses=True)
    assert await client.set("py:async", "1")
    assert await client.get("py:async") == "1"
    await client.aclose()
    host, port = address(cluster["cores"][0])
    client = aredis.RedisCluster(host=host, port=port, decode_responses=True)
    # The library's first use is not safe for many tasks at once: one of them resets connections of the others.
    await client.initialize()
    await asyncio.gather(*(client.set(f"py:async:{number}", number) for number in range(100)))
    got = await asyncio.gather(*(client.get(f"py:async:{number}") for number in range(100)))
    assert got == [str(number) for number in range(100)]
    await client.aclose()


def objects(client, prefix):
    """All types, through one client: what it makes of the replies is what its users see."""
    h, l, s, z = (f"{prefix}:{kind}" for kind in ("hash", "list", "set", "zset"))
    for key in (h, l, s, z):
        client.delete(key)
    assert client.hset(h, mapping={"a": "1", "b": "2"}) == 2 and client.hset(h, "b", "3") == 0
    assert client.hgetall(h) == {"a": "1", "b": "3"} and client.hget(h, "none") is None
    assert client.hmget(h, "a", "none", "b") == ["1", None, "3"]
    assert client.hincrby(h, "a", 4) == 5 and client.hincrbyfloat(h, "a", 0.5) == 5.5
    assert set(client.hkeys(h)) == {"a", "b"} and client.hlen(h) == 2 and client.hexists(h, "a")
    assert dict(client.hscan_iter(h)) == {"a": "5.5", "b": "3"}
    assert client.hrandfield(h, 2, withvalues=True) in (["a", "5.5", "b", "3"], [["a", "5.5"], ["b", "3"]])
    assert client.hdel(h, "a", "b") == 2 and not client.exists(h)

    assert client.rpush(l, "b", "c", "d") == 3 and client.lpush(l, "a") == 4
    assert client.lrange(l, 0, -1) == ["a", "b", "c", "d"] and client.lindex(l, -1) == "d"
    assert client.linsert(l, "BEFORE", "c", "x") == 5 and client.lpos(l, "x") == 2 and client.lrem(l, 0, "x") == 1
    assert client.lpop(l) == "a" and client.rpop(l, 2) == ["d", "c"] and client.llen(l) == 1
    assert client.ltrim(l, 1, 0) and client.lpop(l) is None and client.lpop(l, 2) in (None, [])

    assert client.sadd(s, "a", "b", "c", "a") == 3 and client.smembers(s) == {"a", "b", "c"}
    assert client.sismember(s, "a") and not client.sismember(s, "z") and client.smismember(s, ["a", "z"]) == [1, 0]
    assert client.srandmember(s) in {"a", "b", "c"} and len(client.srandmember(s, -5)) == 5
    assert set(client.sscan_iter(s)) == {"a", "b", "c"}
    assert client.srem(s, "a", "z") == 1 and set(client.spop(s, 5)) == {"b", "c"} and client.scard(s) == 0

    assert client.zadd(z, {"a": 1, "b": 2.5, "c": 3}) == 3 and client.zadd(z, {"a": 0}, gt=True) == 0
    assert client.zrange(z, 0, -1) == ["a", "b", "c"] and client.zscore(z, "b") == 2.5
    # In RESP3 redis-py leaves the one pair of ZPOPMAX flat, as the server sends it.
    pairs = lambda reply: [tuple(pair) for pair in ([reply] if reply and isinstance(reply[0], str) else reply)]
    assert pairs(client.zrange(z, 0, 1, desc=True, withscores=True)) == [("c", 3.0), ("b", 2.5)]
    assert client.zrangebyscore(z, "(1", "+inf") == ["b", "c"] and client.zcount(z, 1, 2.5) == 2
    assert client.zrank(z, "c") == 2 and client.zrevrank(z, "c") == 0 and client.zincrby(z, 5, "a") == 6.0
    assert pairs(client.zpopmax(z)) == [("a", 6.0)] and pairs(client.zpopmin(z, 1)) == [("b", 2.5)]
    assert pairs(list(client.zscan_iter(z))) == [("c", 3.0)]
    assert client.type(z) == "zset"
    try:
        client.get(z)
        raise AssertionError("a sorted set is no string")
    except redis.ResponseError as error:
        assert str(error).startswith("WRONGTYPE")


def all_types(cluster):
    host, port = address(cluster["plain"][0])
    for protocol in (2, 3):
        with redis.Redis(host=host, port=port, protocol=protocol, decode_responses=True) as client:
            objects(client, f"py:objects:{protocol}")
    host, port = address(cluster["cores"][1])
    client = RedisCluster(startup_nodes=[ClusterNode(host, port)], decode_responses=True)
    objects(client, "py:objects:cluster")
    client.close()


def transactions(cluster):
    """Counters that are read, raised and written under WATCH by threads on all hosts: no raise is lost, and none is done twice."""
    hosts = [address(text) for text in cluster["plain"]]
    raises, key = 25, "py:watched"

    def raise_it(host, port):
        with redis.Redis(host=host, port=port, decode_responses=True) as client:
            for _ in range(raises):
                client.transaction(
                    lambda pipe: (count := int(pipe.get(key) or 0), pipe.multi(), pipe.set(key, count + 1)), key
                )

    with redis.Redis(host=hosts[0][0], port=hosts[0][1], decode_responses=True) as client:
        client.delete(key)
        threads = [threading.Thread(target=raise_it, args=host) for host in hosts]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert client.get(key) == str(raises * len(hosts))
        pipe = client.pipeline()  # MULTI ... EXEC
        pipe.delete("py:multi").rpush("py:multi", "a", "b").expire("py:multi", 100).lrange("py:multi", 0, -1)
        assert pipe.execute() == [0, 2, True, ["a", "b"]]
        try:
            client.pipeline().get("py:one").get("py:other").execute()
            raise AssertionError("a transaction is on keys of one slot")
        except redis.ResponseError as error:
            assert "CROSSSLOT" in str(error) or "slot" in str(error), error


def in_one_step(client, tag):
    """Commands on several keys."""
    k = lambda name: f"{{{tag}}}{name}"
    client.delete(*[k(name) for name in ("a", "b", "c", "l", "m", "n", "o", "s", "t", "u", "y", "z", "x")])
    assert client.msetnx({k("a"): "1", k("b"): "2"}) and not client.msetnx({k("b"): "3", k("c"): "3"})
    assert client.rename(k("b"), k("c")) and client.get(k("c")) == "2" and not client.renamenx(k("a"), k("c"))
    assert client.copy(k("c"), k("b")) and client.get(k("b")) == "2"
    client.rpush(k("l"), "one", "two", "three")
    assert client.lmove(k("l"), k("m"), "LEFT", "RIGHT") == "one" and client.rpoplpush(k("l"), k("m")) == "three"
    assert client.blmove(k("l"), k("m"), 1, "LEFT", "LEFT") == "two" and client.blmove(k("l"), k("m"), 1) is None
    assert client.lrange(k("m"), 0, -1) == ["two", "three", "one"]
    client.sadd(k("s"), "a", "b", "c")
    client.sadd(k("t"), "b", "c", "d")
    assert client.smove(k("s"), k("t"), "a") and set(client.sinter(k("s"), k("t"))) == {"b", "c"}
    assert client.sunionstore(k("u"), k("s"), k("t")) == 4 and client.sdiffstore(k("u"), k("t"), k("s")) == 2
    assert client.sintercard(2, [k("s"), k("t")]) == 2
    client.zadd(k("y"), {"a": 1, "b": 2})
    client.zadd(k("z"), {"b": 3, "c": 4})
    assert client.zunionstore(k("x"), {k("y"): 2, k("z"): 1}) == 3 and client.zscore(k("x"), "b") == 7.0
    assert client.zinter([k("y"), k("z")]) == ["b"] and client.zdiff([k("y"), k("z")]) == ["a"]
    assert client.zrangestore(k("x"), k("z"), 0, 0) == 1 and client.zrange(k("x"), 0, -1) == ["b"]
    client.rpush(k("n"), 10, 9, 8)
    assert client.sort(k("n")) == ["8", "9", "10"] and client.sort(k("n"), alpha=True, start=0, num=1) == ["10"]
    assert client.sort(k("n"), desc=True, store=k("o")) == 3 and client.lrange(k("o"), 0, -1) == ["10", "9", "8"]
    client.mset({k("a"): "ohmytext", k("b"): "mynewtext"})
    assert client.lcs(k("a"), k("b")) == "mytext" and client.lcs(k("a"), k("b"), len=True) == 6


def several_keys(cluster):
    """Money goes from account to account by threads on all hosts, under WATCH: it is never more nor less, whoever looks."""
    hosts = [address(text) for text in cluster["plain"]]
    accounts, moves = [f"{{py:bank}}{name}" for name in "abcd"], 15

    def move(number, host, port):
        with redis.Redis(host=host, port=port, decode_responses=True) as client:
            for turn in range(moves):
                one, other = accounts[(number + turn) % 4], accounts[(number + 2 * turn + 1) % 4]
                if one == other:
                    continue

                def pay(pipe):
                    have = int(pipe.get(one))
                    pipe.multi()
                    pipe.set(one, have - 1)
                    pipe.incr(other)

                client.transaction(pay, one, other)

    with redis.Redis(host=hosts[0][0], port=hosts[0][1], decode_responses=True) as client:
        client.mset({account: 100 for account in accounts})
        threads = [threading.Thread(target=move, args=(number, *host)) for number, host in enumerate(hosts)]
        [thread.start() for thread in threads]
        while any(thread.is_alive() for thread in threads):
            pipe = client.pipeline()
            [pipe.get(account) for account in accounts]
            found = pipe.execute()
            assert sum(map(int, found)) == 400, found
        [thread.join() for thread in threads]
    for protocol in (2, 3):
        host, port = hosts[protocol % len(hosts)]
        with redis.Redis(host=host, port=port, protocol=protocol, decode_responses=True) as client:
            in_one_step(client, f"py:step:{protocol}")
    host, port = address(cluster["cores"][1])
    client = RedisCluster(startup_nodes=[ClusterNode(host, port)], decode_responses=True)
    in_one_step(client, "py:step:cluster")
    client.close()


def resp3(cluster):
    host, port = address(cluster["plain"][0])
    with redis.Redis(host=host, port=port, protocol=3, decode_responses=True) as client:
        assert client.set("py:resp3", "1") and client.get("py:resp3") == "1"
    with redis.Redis(host=host, port=port, protocol=2, decode_responses=True) as client:
        assert client.set("py:resp2", "1") and client.get("py:resp2") == "1"


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        cluster = json.load(file)
    plain(cluster)
    last_write_is_seen_everywhere(cluster)
    clustered(cluster)
    asyncio.run(asynchronous(cluster))
    resp3(cluster)
    all_types(cluster)
    transactions(cluster)
    several_keys(cluster)
    print(
        f"redis-py {redis.__version__}: plain, cluster, asyncio, RESP2 and RESP3 work, "
        "with all types, transactions and commands on several keys"
    )


main()
