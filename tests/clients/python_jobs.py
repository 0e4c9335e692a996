"""A queue of jobs and a leaderboard while one host gets SIGKILL.

Usage: python_jobs.py cluster.json HOST_NUMBER
Producers push jobs to a list, workers wait for them with BLPOP and count each finished one in a sorted set. What is promised:
a job that was acknowledged is given out at most once, and is lost only with the reply to a BLPOP; a point is counted once,
unless the reply to its ZINCRBY was lost. Kills the process itself; the caller restarts the host.
"""

import json
import os
import signal
import sys
import threading
import time

import redis

PRODUCERS = 3
WORKERS = 9
SECONDS = 6.0
KILL_AFTER = 2.0
QUEUE = "py:jobs"
BOARD = "py:board"
LOST = (redis.ConnectionError, redis.TimeoutError, OSError)


def connect(nodes, first):
    """A client of the first host that answers."""
    for turn in range(100):
        host, port = nodes[(first + turn) % len(nodes)]
        client = redis.Redis(host=host, port=port, decode_responses=True, socket_timeout=10, retry=None)
        try:
            client.ping()
            return client
        except LOST:
            client.close()
            time.sleep(0.05)
    raise AssertionError("no host answers")


class Loop(threading.Thread):
    """Does one thing again and again, at another host when its own is gone."""

    def __init__(self, nodes, number, stop):
        super().__init__()
        self.nodes, self.number, self.stop = nodes, number, stop
        self.client = connect(nodes, number)
        self.failure = None

    def run(self):
        try:
            while not self.is_over():
                self.step()
        except Exception as error:  # noqa: BLE001: what a thread dies of is told at the end
            self.failure = error

    def is_over(self):
        return self.stop.is_set()

    def elsewhere(self):
        self.client.close()
        self.client = connect(self.nodes, self.number + 1)

    def call(self, ask):
        """The reply, or None and True where nobody knows what became of it."""
        try:
            return ask(self.client), False
        except LOST:
            self.elsewhere()
            return None, True
        except redis.ResponseError as error:
            return None, str(error).startswith("UNCERTAIN")


class Producer(Loop):
    def __init__(self, *args):
        super().__init__(*args)
        self.pushed, self.unknown, self.next = set(), set(), 0

    def step(self):
        self.next += 1
        job = f"{self.number}.{self.next}"
        length, unknown = self.call(lambda client: client.rpush(QUEUE, job))
        if unknown:
            self.unknown.add(job)
        elif length:
            self.pushed.add(job)
        time.sleep(0.002)


class Worker(Loop):
    def __init__(self, *args):
        super().__init__(*args)
        self.done, self.lost, self.points, self.lost_points, self.idle = [], 0, 0, 0, False

    def is_over(self):
        return self.stop.is_set() and self.idle

    def step(self):
        taken, unknown = self.call(lambda client: client.blpop([QUEUE], timeout=1))
        self.lost += unknown
        self.idle = taken is None and not unknown
        if not taken:
            return
        assert taken[0] == QUEUE, taken
        self.done.append(taken[1])
        score, unknown = self.call(lambda client: client.zincrby(BOARD, 1, f"worker {self.number}"))
        self.lost_points += unknown
        self.points += score is not None


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        cluster = json.load(file)
    victim = int(sys.argv[2])
    nodes = [(text.rsplit(":", 1)[0], int(text.rsplit(":", 1)[1])) for text in cluster["plain"]]
    connect(nodes, 0).delete(QUEUE, BOARD)
    stop, end = threading.Event(), threading.Event()
    producers = [Producer(nodes, number, stop) for number in range(PRODUCERS)]
    workers = [Worker(nodes, number, end) for number in range(WORKERS)]
    for loop in producers + workers:
        loop.start()
    time.sleep(KILL_AFTER)
    os.kill(cluster["pids"][victim - 1], signal.SIGKILL)
    time.sleep(SECONDS - KILL_AFTER)
    stop.set()
    for loop in producers:
        loop.join()
    end.set()
    for loop in workers:
        loop.join()
    failures = [loop.failure for loop in producers + workers if loop.failure]
    assert not failures, failures

    pushed = set().union(*(producer.pushed for producer in producers))
    perhaps = set().union(*(producer.unknown for producer in producers))
    done = [job for worker in workers for job in worker.done]
    lost = sum(worker.lost for worker in workers)
    missing = pushed - set(done)
    print(
        f"SIGKILL of host {victim}: {len(pushed)} jobs acknowledged, {len(done)} done, {len(missing)} missing, "
        f"{lost} replies to BLPOP lost"
    )
    assert len(done) == len(set(done)), "a job was given out twice"
    assert set(done) <= pushed | perhaps, "a job was given out that nobody pushed"
    assert len(missing) <= lost, "an acknowledged job is gone"
    assert len(done) > 1000 and all(worker.done for worker in workers), "workers were starved"

    victim_free = connect(nodes, victim % len(nodes))
    assert victim_free.llen(QUEUE) == 0
    board = dict(victim_free.zrange(BOARD, 0, -1, withscores=True))
    for worker in workers:
        score = board.get(f"worker {worker.number}", 0)
        assert worker.points <= score <= worker.points + worker.lost_points, (worker.number, score)
    best = victim_free.zrevrange(BOARD, 0, 2, withscores=True)
    print(f"leaderboard: {best}")
    assert victim_free.bzpopmax(BOARD, timeout=1)[1:] == best[0]


main()
