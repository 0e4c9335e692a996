"""A message store on Synod: the history of each chat is a partition of a table, the inbox of each user a queue.

Every step may be done again, so that whoever did not hear what became of one does it again, at another host: a message has an id and a time of
its own before it is sent, which make a second INSERT of it do nothing; what is put into an inbox is numbered (REQID), and done once.
"""

import datetime
import itertools
import pathlib
import uuid

import redis

# What may or may not have been done, or was not, because a host was lost on the way.
LOST = (redis.ConnectionError, redis.TimeoutError)
AGAIN = ("UNCERTAIN", "TRYAGAIN", "ERR no quorum", "BUSY")
# Rows that one statement of the retention deletes; a statement changes 10,000 at most.
BATCH = 5_000
# How often something is tried, each time at the next host.
TRIES = 20

SCHEMA = pathlib.Path(__file__).with_name("schema.sql")


def now():
    """The time as a column of the type TIMESTAMP has it: UTC, without a zone."""
    return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)


class Hosts:
    """The hosts of a cluster; what fails at one is done at the next."""

    def __init__(self, addresses):
        self.addresses = [address.rsplit(":", 1) for address in addresses]
        self.turn = 0
        self.client = None

    def connected(self):
        if self.client is None:
            host, port = self.addresses[self.turn % len(self.addresses)]
            self.client = redis.Redis(host=host, port=int(port), decode_responses=True, socket_timeout=5, retry=None)
        return self.client

    def leave(self):
        """The next command goes to the next host."""
        if self.client is not None:
            self.client.close()
        self.client = None
        self.turn += 1

    def ask(self, *words):
        """The answer to a command that may be done twice."""
        for left in reversed(range(TRIES)):
            try:
                return self.connected().execute_command(*words)
            except LOST:
                self.leave()
                if not left:
                    raise
            except redis.ResponseError as error:
                if not left or not str(error).startswith(AGAIN):
                    raise
                self.leave()

    def rows(self, statement, *arguments):
        """The rows of a SELECT, each a dict."""
        names, *rows = self.ask("SQL", statement, *arguments)
        return [dict(zip(names, row)) for row in rows]


class Store:
    def __init__(self, addresses):
        self.hosts = Hosts(addresses)

    def create(self):
        """Makes the tables, if they are not there."""
        lines = (line for line in SCHEMA.read_text(encoding="utf-8").splitlines() if not line.startswith("--"))
        for statement in filter(str.strip, "\n".join(lines).split(";")):
            self.hosts.ask("SQL", statement)

    def join(self, chat, *users):
        """Makes users members of a chat."""
        self.hosts.ask("SADD", f"members:{chat}", *users)

    def send(self, chat, sender, body, sent=None, id=None):
        """Puts a message into the history of a chat, and then into the inbox of every other member; gives its id.

        Who dies in the middle sends it again with the same id and time: nothing is there twice.
        """
        sent, id = sent or now(), str(id or uuid.uuid4())
        insert = "INSERT INTO messages (chat, sent, id, sender, body) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING"
        self.hosts.ask("SQL", insert, chat, sent.isoformat(), id, sender, body)
        for user in sorted(self.hosts.ask("SMEMBERS", f"members:{chat}")):
            if user != sender:
                # Numbered by the message's id: however often it comes, it is put there once.
                self.hosts.ask("REQID", id, 1, "RPUSH", f"{{inbox:{user}}}", f"{chat} {sent.isoformat()} {id}")
        return id

    def history(self, chat, before=None, limit=50):
        """The last messages of a chat before some time, the newest first."""
        before = (before or datetime.datetime(9999, 1, 1)).isoformat()
        select = f"SELECT sent, sender, body FROM messages WHERE chat = $1 AND sent < $2 ORDER BY sent DESC LIMIT {int(limit)}"
        return self.hosts.rows(select, chat, before)

    def between(self, chat, since, until):
        """All messages of a chat in a stretch of time, the oldest first, page by page."""
        select = "SELECT sent, id, sender, body FROM messages WHERE chat = $1 AND sent >= $2 AND sent < $3 CURSOR $4"
        cursor = "0"
        while True:
            cursor, (names, *rows) = self.hosts.ask("SQL", select, chat, since.isoformat(), until.isoformat(), cursor)
            yield from (dict(zip(names, row)) for row in rows)
            if cursor == "0":
                return

    def by_sender(self, chat, sender, limit=50):
        """The last messages of one member, the newest first, by the index."""
        select = f"SELECT sent, body FROM messages WHERE chat = $1 AND sender = $2 ORDER BY sent DESC LIMIT {int(limit)}"
        return self.hosts.rows(select, chat, sender)

    def inbox(self, user, first=0, last=-1):
        """What waits for a user, by its places in the queue; nothing is taken."""
        return [self.message(pointer) for pointer in self.hosts.ask("LRANGE", f"{{inbox:{user}}}", first, last)]

    def take(self, user, device):
        """Gives the first message of an inbox to a device of its user, or None. It stays the device's until `done`: one that dies finds it in `taken`."""
        inbox, taken = f"{{inbox:{user}}}", f"{{inbox:{user}}}:{device}"
        # Moved twice, a second message would be the device's as well; it finds that in `taken`.
        pointer = self.hosts.ask("LMOVE", inbox, taken, "LEFT", "RIGHT")
        return pointer and (pointer, self.message(pointer))

    def taken(self, user, device):
        """What a device took, and has not said to be done with."""
        pointers = self.hosts.ask("LRANGE", f"{{inbox:{user}}}:{device}", 0, -1)
        return [(pointer, self.message(pointer)) for pointer in pointers]

    def done(self, user, device, pointer):
        """The device is done with what it took."""
        self.hosts.ask("LREM", f"{{inbox:{user}}}:{device}", 1, pointer)

    def message(self, pointer):
        """The message that an inbox points at; None if its time is over."""
        chat, sent, id = pointer.rsplit(" ", 2)
        select = "SELECT chat, sent, sender, body FROM messages WHERE chat = $1 AND sent = $2 AND id = $3"
        return next(iter(self.hosts.rows(select, chat, sent, id)), None)

    def expire(self, chat, before):
        """Deletes the messages of a chat from before some time, some thousand at once; gives how many."""
        before, deleted = before.isoformat(), 0
        oldest = f"SELECT sent FROM messages WHERE chat = $1 AND sent < $2 ORDER BY sent LIMIT {BATCH}"
        for _ in itertools.count():
            rows = self.hosts.rows(oldest, chat, before)
            if not rows:
                return deleted
            delete = "DELETE FROM messages WHERE chat = $1 AND sent <= $2 AND sent < $3"
            deleted += self.hosts.ask("SQL", delete, chat, rows[-1]["sent"], before)
