"""Drives a running cluster with redis-py, plain and cluster, sync and asyncio.

Usage: python_clients.py cluster.json
Every check is an assertion; the script ends with 0 when all held.
"""

import asyncio
import json
import sys

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
    print(f"redis-py {redis.__version__}: plain, cluster, asyncio, RESP2 and RESP3 work")


main()
