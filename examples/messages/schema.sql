-- One partition per chat, its messages in the order in which they were sent: on the disk, for there may be any number.
CREATE TABLE IF NOT EXISTS messages (
  chat   TEXT,
  sent   TIMESTAMP,
  id     UUID,
  sender TEXT NOT NULL,
  body   TEXT NOT NULL,
  PRIMARY KEY (chat, sent, id)
) WITH (layout = 'large');
CREATE INDEX IF NOT EXISTS messages_by_sender ON messages (sender, sent);
