"""Tables by SQL with redis-py: one host makes a table, others write and read it, by its key, by an index, and page by page.

Usage: python_tables.py cluster.json
Every check is an assertion; the script ends with 0 when all held.
"""

import json
import sys

import redis
from redis.cluster import ClusterNode, RedisCluster

ROWS = 300
PAGE = 37


def connect(cluster):
    nodes = [text.rsplit(":", 1) for text in cluster["plain"]]
    return [redis.Redis(host=host, port=int(port), decode_responses=True) for host, port in nodes]


def pages(clients, statement, *arguments):
    """All rows of a SELECT, page by page, each from the next host."""
    cursor, rows, turn = "0", [], 0
    while True:
        place = f"${len(arguments) + 1}"
        client = clients[turn % len(clients)]
        cursor, page = client.execute_command("SQL", f"{statement} LIMIT {PAGE} CURSOR {place}", *arguments, cursor)
        names, *lines = page
        assert len(lines) <= PAGE, len(lines)
        rows += [dict(zip(names, line)) for line in lines]
        turn += 1
        if cursor == "0":
            return rows


def by_cluster(cluster):
    """A cluster's client, told the node that has the partition's name; any node takes what is about tables."""
    host, port = cluster["cores"][0].rsplit(":", 1)
    client = RedisCluster(startup_nodes=[ClusterNode(host, int(port))], decode_responses=True)
    for text in ["DROP TABLE IF EXISTS py_cluster", "CREATE TABLE py_cluster (k TEXT, n INT, PRIMARY KEY (k, n))"]:
        assert client.execute_command("SQL", text, target_nodes=client.get_random_node()) == "OK"
    for number in range(20):
        node = client.get_node_from_key(f"{{py_cluster:{number}}}")
        assert client.execute_command("SQL", "INSERT INTO py_cluster VALUES ($1, $2)", number, number, target_nodes=node) == 1
        # The name of a row leads to it by itself.
        assert client.hgetall(f"{{py_cluster:{number}}}:{number}") == {"k": str(number), "n": str(number)}
        assert client.hgetall(f"{{py_cluster:{number}}}:{number + 1}") == {}
    assert client.execute_command("SQL", "DROP TABLE py_cluster", target_nodes=client.get_random_node()) == "OK"
    client.close()


def expect_error(client, state, *words):
    try:
        answer = client.execute_command("SQL", *words)
    except redis.ResponseError as error:
        assert str(error).startswith(f"SQL {state} "), error
    else:
        raise AssertionError((words, answer))


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        cluster = json.load(file)
    by_cluster(cluster)
    clients = connect(cluster)
    one, two, three = clients
    one.execute_command("SQL", "DROP TABLE IF EXISTS py_orders")
    create = (
        "CREATE TABLE py_orders (customer TEXT, at TIMESTAMP, id BIGINT, total NUMERIC(10,2), paid BOOL,"
        " note JSONB, PRIMARY KEY (customer, at DESC, id))"
    )
    assert one.execute_command("SQL", create) == "OK"
    insert = "INSERT INTO py_orders (customer, at, id, total, note) VALUES ($1, $2, $3, $4, CAST(nullif($5, '') AS JSONB))"
    for number in range(ROWS):
        at = f"2024-05-06 07:{number // 60 % 60:02}:{number % 60:02}"
        total = f"{number * 7 % 1000}.5"
        words = (insert, "alice" if number % 3 else "bob", at, number, total, "" if number % 2 else '{"gift": true}')
        assert clients[number % 3].execute_command("SQL", *words) == 1
    expect_error(two, "23505", insert, "bob", "2024-05-06 07:00:00", 0, 1, "")
    expect_error(three, "0A000", "SELECT * FROM py_orders WHERE id = 5")
    expect_error(one, "42P01", "SELECT * FROM py_order WHERE customer = 'bob'")

    # Newest first, as the key says.
    rows = pages(clients, "SELECT * FROM py_orders WHERE customer = $1", "alice")
    assert [row["id"] for row in rows] == [number for number in reversed(range(ROWS)) if number % 3]
    assert rows[0]["note"] is None and rows[1]["note"] == '{"gift": true}' and rows[0]["paid"] is None
    assert rows[0]["at"] == "2024-05-06 07:04:59" and rows[0]["total"] == "93.50"

    # A row is a hash, to whoever knows its name.
    name = "{py_orders:alice}:2024-05-06%2007%3a04%3a58:298"
    assert two.hgetall(name) == {"customer": "alice", "at": "2024-05-06 07:04:58", "id": "298", "total": "86.50", "note": '{"gift": true}'}
    assert three.hget(name, "total") == "86.50" and one.hget(name, "paid") is None and two.hlen(name) == 5
    assert three.hmget(name, "id", "paid") == ["298", None] and one.hexists(name, "note") and not one.exists(name)
    plan = one.execute_command("SQL", "EXPLAIN SELECT * FROM py_orders WHERE customer = 'alice' AND at = '2024-05-06T07:04:58' AND id = 298")
    assert [f"  as a hash: {name}"] in plan, plan
    pipeline = three.pipeline(transaction=False)
    [pipeline.hget(f"{{py_orders:alice}}:2024-05-06%2007%3a00%3a{number:02}:{number}", "id") for number in range(60)]
    assert pipeline.execute() == [str(number) if number % 3 else None for number in range(60)]

    # Another order wants an index, and says which.
    by_total = "SELECT id, total FROM py_orders WHERE customer = $1 ORDER BY total"
    expect_error(two, "0A000", by_total, "alice")
    assert two.execute_command("SQL", "CREATE INDEX py_by_total ON py_orders (total)") == "OK"
    totals = [float(row["total"]) for row in pages(clients, by_total, "alice")]
    assert len(totals) == len(rows) and totals == sorted(totals)
    plan = three.execute_command("SQL", "EXPLAIN " + by_total, "alice")
    assert any("py_by_total" in line for [line] in plan[1:]), plan

    # All partitions, one after the other; each page from the next host.
    rows = pages(clients, "SELECT * FROM py_orders ALLOW SCAN")
    assert sorted(row["id"] for row in rows) == list(range(ROWS))
    assert [row["id"] for row in rows if row["customer"] == "bob"] == [number for number in reversed(range(ROWS)) if number % 3 == 0]
    for client in clients:
        [_, totals] = client.execute_command("SQL", "SELECT count(*), min(id), max(id), sum(id) FROM py_orders ALLOW SCAN")
        assert totals == [ROWS, 0, ROWS - 1, str(sum(range(ROWS)))], totals
        assert len(client.execute_command("SQL", "SELECT id FROM py_orders WHERE paid IS NULL LIMIT 5 ALLOW SCAN")) == 6
    expect_error(two, "0A000", "SELECT id FROM py_orders ORDER BY at ALLOW SCAN")

    # Compare and set, from two hosts.
    pay = "UPDATE py_orders SET paid = true, total = total + 1 WHERE customer = 'bob' AND at = $1 AND id = 0 IF paid IS NULL"
    assert two.execute_command("SQL", pay, "2024-05-06 07:00:00") == 1
    assert three.execute_command("SQL", pay, "2024-05-06 07:00:00") is None
    [_, [count, total]] = one.execute_command("SQL", "SELECT count(*), min(total) FROM py_orders WHERE customer = 'bob' AND paid")
    assert (count, total) == (1, "1.50")
    assert one.execute_command("SQL", "DELETE FROM py_orders WHERE customer = 'bob'") == ROWS // 3
    assert two.exists("{py_orders:bob}") == 0 and two.exists("{py_orders:alice}") == 1
    assert three.type("{py_orders:alice}") == "rows"

    assert three.execute_command("SQL", "DROP TABLE py_orders") == "OK"
    expect_error(one, "42P01", "SELECT * FROM py_orders WHERE customer = 'alice'")
    for client in clients:
        client.close()
    print(f"redis-py: {ROWS} rows of a table written, paged, indexed and dropped, at three hosts")


main()
