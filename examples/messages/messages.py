#!/usr/bin/env python3
"""A message store on Synod, from the command line.

    messages.py [--hosts HOST:PORT,HOST:PORT] create
    messages.py ... join CHAT USER ...
    messages.py ... send CHAT SENDER TEXT [--at TIME] [--id UUID]
    messages.py ... history CHAT [--before TIME] [--limit N]
    messages.py ... from CHAT SENDER [--limit N]
    messages.py ... inbox USER
    messages.py ... take USER DEVICE
    messages.py ... expire CHAT --before TIME

Times are UTC, as in 2024-05-06T07:08:09. What each command does is in store.py.
"""

import argparse
import datetime
import sys

import redis

from store import Store

HOSTS = "127.0.0.1:6379,127.0.0.2:6379,127.0.0.3:6379"


def arguments():
    parser = argparse.ArgumentParser(description="A message store on Synod.")
    parser.add_argument("--hosts", default=HOSTS, help="plain ports of the cluster's hosts")
    verbs = parser.add_subparsers(dest="verb", required=True)
    time = datetime.datetime.fromisoformat
    verbs.add_parser("create", help="makes the tables")
    join = verbs.add_parser("join", help="makes users members of a chat")
    join.add_argument("chat")
    join.add_argument("users", nargs="+")
    send = verbs.add_parser("send", help="sends a message")
    for name in ("chat", "sender", "text"):
        send.add_argument(name)
    send.add_argument("--at", type=time, help="when it was sent (default: now)")
    send.add_argument("--id", help="its id, to send it again (default: a new one)")
    history = verbs.add_parser("history", help="the last messages of a chat, the newest first")
    history.add_argument("chat")
    history.add_argument("--before", type=time)
    history.add_argument("--limit", type=int, default=50)
    of = verbs.add_parser("from", help="the last messages of one member, the newest first")
    of.add_argument("chat")
    of.add_argument("sender")
    of.add_argument("--limit", type=int, default=50)
    verbs.add_parser("inbox", help="what waits for a user").add_argument("user")
    take = verbs.add_parser("take", help="gives the first message of an inbox to a device")
    take.add_argument("user")
    take.add_argument("device")
    expire = verbs.add_parser("expire", help="deletes the messages from before some time")
    expire.add_argument("chat")
    expire.add_argument("--before", type=time, required=True)
    return parser.parse_args()


def shown(message):
    if message is None:
        return "(its time is over)"
    chat = f"{message['chat']}: " if "chat" in message else ""
    return f"{chat}{message['sent']} {message['sender']}: {message['body']}"


def run(said, store):
    match said.verb:
        case "create":
            store.create()
        case "join":
            store.join(said.chat, *said.users)
        case "send":
            store.send(said.chat, said.sender, said.text, said.at, said.id)
        case "history":
            yield from map(shown, store.history(said.chat, said.before, said.limit))
        case "from":
            yield from (f"{row['sent']} {row['body']}" for row in store.by_sender(said.chat, said.sender, said.limit))
        case "inbox":
            yield from map(shown, store.inbox(said.user))
        case "take":
            taken = store.take(said.user, said.device)
            if taken:
                yield shown(taken[1])
                store.done(said.user, said.device, taken[0])
        case "expire":
            yield f"{store.expire(said.chat, said.before)} messages deleted"


def main():
    said = arguments()
    try:
        for line in run(said, Store(said.hosts.split(","))):
            print(line)
    except redis.RedisError as error:
        sys.exit(f"messages: {error}")


if __name__ == "__main__":
    main()
