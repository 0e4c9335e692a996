"""Ten redis-py cluster clients in a plain loop while one host gets SIGKILL: each may see one error at most.

Usage: python_failover.py cluster.json HOST_NUMBER
Kills the process itself; the caller restarts the host.
"""

import json
import os
import signal
import sys
import threading
import time

import redis
from redis.cluster import ClusterNode, RedisCluster

CLIENTS = 10
SECONDS = 6.0
KILL_AFTER = 2.0


def loop(number, nodes, stop, errors, counts):
    client = RedisCluster(startup_nodes=nodes, decode_responses=True)
    written = 0
    while not stop.is_set():
        try:
            client.set(f"py:failover:{number}:{written % 50}", written)
            written += 1
        except redis.RedisError as error:
            errors[number].append(f"{type(error).__name__}: {error}")
        except OSError as error:
            errors[number].append(f"{type(error).__name__}: {error}")
    counts[number] = written
    client.close()


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        cluster = json.load(file)
    victim = int(sys.argv[2])
    addresses = [text.rsplit(":", 1) for text in cluster["cores"]]
    nodes = [ClusterNode(host, int(port)) for host, port in addresses]
    stop = threading.Event()
    errors = [[] for _ in range(CLIENTS)]
    counts = [0] * CLIENTS
    threads = [
        threading.Thread(target=loop, args=(number, nodes, stop, errors, counts)) for number in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    time.sleep(KILL_AFTER)
    os.kill(cluster["pids"][victim - 1], signal.SIGKILL)
    time.sleep(SECONDS - KILL_AFTER)
    stop.set()
    for thread in threads:
        thread.join()
    worst = max(len(seen) for seen in errors)
    print(f"SIGKILL of host {victim}: {sum(counts)} writes, errors per client {[len(seen) for seen in errors]}")
    assert all(count > 0 for count in counts), counts
    assert worst <= 1, errors


main()
