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

await ioredisPlain();
await ioredisCluster();
await nodeRedisPlain();
await nodeRedisCluster();
console.log("ioredis and node-redis: plain and cluster work");
