// Drives a running cluster with ioredis and node-redis, plain and cluster.
// Usage: node node_clients.mjs cluster.json
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Cluster, Redis } from "ioredis";
import { createClient, createCluster } from "redis";

const cluster = JSON.parse(readFileSync(process.argv[2], "utf8"));
const split = (text) => {
  const at = text.lastIndexOf(":");
  return { host: text.slice(0, at), port: Number(text.slice(at + 1)) };
};

async function ioredisPlain() {
  const client = new Redis(split(cluster.plain[0]));
  assert.equal(await client.set("io:plain", "1"), "OK");
  assert.equal(await client.get("io:plain"), "1");
  const replies = await client.pipeline().set("io:p1", "a").get("io:p1").incr("io:p2").exec();
  assert.deepEqual(replies.slice(0, 2), [[null, "OK"], [null, "a"]]);
  client.disconnect();
}

async function ioredisCluster() {
  const client = new Cluster(cluster.cores.map(split));
  for (let number = 0; number < 100; number += 1) await client.set(`io:cluster:${number}`, String(number));
  for (let number = 0; number < 100; number += 1) {
    assert.equal(await client.get(`io:cluster:${number}`), String(number));
  }
  client.disconnect();
}

async function nodeRedisPlain() {
  const { host, port } = split(cluster.plain[1]);
  const client = createClient({ socket: { host, port } });
  await client.connect();
  assert.equal(await client.set("nr:plain", "1"), "OK");
  assert.equal(await client.get("nr:plain"), "1");
  client.destroy();
}

async function nodeRedisCluster() {
  const rootNodes = cluster.cores.map((text) => ({ url: `redis://${text}` }));
  const client = createCluster({ rootNodes });
  await client.connect();
  for (let number = 0; number < 100; number += 1) await client.set(`nr:cluster:${number}`, String(number));
  for (let number = 0; number < 100; number += 1) {
    assert.equal(await client.get(`nr:cluster:${number}`), String(number));
  }
  client.destroy();
}

async function ioredisObjects() {
  const client = new Redis(split(cluster.plain[2]));
  const [h, l, s, z] = ["hash", "list", "set", "zset"].map((kind) => `io:objects:${kind}`);
  for (const key of [h, l, s, z]) await client.del(key);
  assert.equal(await client.hset(h, { a: "1", b: "2" }), 2);
  assert.deepEqual(await client.hgetall(h), { a: "1", b: "2" });
  assert.equal(await client.rpush(l, "a", "b", "c"), 3);
  assert.deepEqual(await client.lrange(l, 0, -1), ["a", "b", "c"]);
  assert.equal(await client.sadd(s, "a", "b"), 2);
  assert.deepEqual((await client.smembers(s)).sort(), ["a", "b"]);
  assert.equal(await client.zadd(z, 1, "a", 2.5, "b"), 2);
  assert.deepEqual(await client.zrange(z, 0, -1, "WITHSCORES"), ["a", "1", "b", "2.5"]);
  client.disconnect();
}

async function nodeRedisObjects() {
  for (const RESP of [2, 3]) {
    const { host, port } = split(cluster.plain[1]);
    const client = createClient({ RESP, socket: { host, port } });
    await client.connect();
    const [h, l, s, z] = ["hash", "list", "set", "zset"].map((kind) => `nr:objects:${RESP}:${kind}`);
    for (const key of [h, l, s, z]) await client.del(key);
    assert.equal(await client.hSet(h, { a: "1", b: "2" }), 2);
    assert.deepEqual({ ...(await client.hGetAll(h)) }, { a: "1", b: "2" });
    assert.equal(await client.lPush(l, ["a", "b"]), 2);
    assert.equal(await client.rPop(l), "a");
    assert.equal(await client.sAdd(s, ["a", "b"]), 2);
    assert.equal((await client.sMembers(s)).length, 2);
    assert.equal(await client.zAdd(z, [{ score: 1, value: "a" }, { score: 2.5, value: "b" }]), 2);
    assert.deepEqual(await client.zRangeWithScores(z, 0, -1), [{ value: "a", score: 1 }, { value: "b", score: 2.5 }]);
    client.destroy();
  }
}

async function ioredisTransactions() {
  const client = new Redis(split(cluster.plain[1]));
  await client.del("io:multi");
  assert.deepEqual(await client.multi().incr("io:multi").incrby("io:multi", 5).get("io:multi").exec(), [
    [null, 1],
    [null, 6],
    [null, "6"],
  ]);
  assert.deepEqual(await client.multi().set("{io}a", "1").set("{io}b", "2").mget("{io}a", "{io}b").exec(), [
    [null, "OK"], [null, "OK"], [null, ["1", "2"]],
  ]);
  assert.equal(await client.rename("{io}a", "{io}c"), "OK");
  await client.watch("io:multi");
  const other = new Redis(split(cluster.plain[2]));
  await other.set("io:multi", "7");
  assert.equal(await client.multi().incr("io:multi").exec(), null);
  assert.equal(await client.get("io:multi"), "7");
  client.disconnect();
  other.disconnect();
}

async function nodeRedisTransactions() {
  const { host, port } = split(cluster.plain[0]);
  const client = createClient({ RESP: 3, socket: { host, port } });
  await client.connect();
  await client.del("nr:multi");
  assert.deepEqual(await client.multi().hSet("nr:multi", "a", "1").hLen("nr:multi").exec(), [1, 1]);
  await client.del(["{nr}a", "{nr}b", "{nr}s", "{nr}t"]);
  assert.deepEqual(await client.multi().rPush("{nr}a", "x").lMove("{nr}a", "{nr}b", "LEFT", "RIGHT").exec(), [1, "x"]);
  await client.sAdd("{nr}s", ["a", "b"]);
  assert.equal(await client.sUnionStore("{nr}t", ["{nr}s", "{nr}u"]), 2);
  await client.watch("nr:multi");
  assert.deepEqual(await client.multi().hDel("nr:multi", "a").exec(), [1]);
  client.destroy();
}

await ioredisPlain();
await ioredisCluster();
await nodeRedisPlain();
await nodeRedisCluster();
await ioredisObjects();
await nodeRedisObjects();
await ioredisTransactions();
await nodeRedisTransactions();
console.log("ioredis and node-redis: plain and cluster work, with all types and transactions");
