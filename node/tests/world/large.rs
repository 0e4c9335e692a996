//! Tables with the large layout on whole clusters: rows lie in the trees of all hosts, indexes made later are filled, and who was away comes level.

use super::client::{Client, Value};
use super::host::{eventually, Cluster};
use super::tables::{numbers, run};

const CHATS: [&str; 4] = ["a", "b", "c", "d"];
/// Rows of a chat.
const ROWS: i64 = 600;
/// Rows of one statement.
const AT_ONCE: i64 = 60;
const SENDERS: i64 = 8;

/// Writes the rows of all chats in this range, through all hosts by turns.
fn insert(clients: &mut [Client], from: i64, to: i64) {
    for (nth, first) in (from..to).step_by(AT_ONCE as usize).enumerate() {
        let last = to.min(first + AT_ONCE);
        for chat in CHATS {
            let row = |at: i64| format!("('{chat}', {at}, {}, 'text {at}')", at % SENDERS);
            let rows: Vec<String> = (first..last).map(row).collect();
            let text = format!("INSERT INTO chat VALUES {}", rows.join(", "));
            let place = nth % clients.len();
            assert_eq!(run(&mut clients[place], &text), Value::Int(last - first));
        }
    }
}

/// What every host answers about each chat: by the key, and by the index once that can be read there.
fn check(cluster: &Cluster, upto: i64, gone: i64) {
    for host in &cluster.hosts {
        let mut client = host.client();
        for chat in CHATS {
            let count = format!("SELECT count(*) FROM chat WHERE room = '{chat}'");
            assert_eq!(numbers(run(&mut client, &count)), [upto - gone]);
            let range =
                format!("SELECT at FROM chat WHERE room = '{chat}' AND at >= {gone} AND at < {}", gone + 5);
            assert_eq!(numbers(run(&mut client, &range)), (gone..gone + 5).collect::<Vec<i64>>());
            let by_who = format!(
                "SELECT at FROM chat WHERE room = '{chat}' AND who = 3 ORDER BY who, at DESC LIMIT 1000"
            );
            let mut reply = Value::Nil;
            eventually("the index is filled", || {
                reply = client.call(&["SQL", &by_who]);
                let text = reply.as_error();
                assert!(text.is_none_or(|text| text.contains("is still being filled")), "{text:?}");
                text.is_none()
            });
            let mut want: Vec<i64> = (gone..upto).filter(|at| at % SENDERS == 3).collect();
            want.reverse();
            assert_eq!(numbers(reply), want, "room {chat}");
        }
    }
}

#[test]
fn rows_of_large_tables_are_at_every_host_by_key_and_by_index() {
    let mut cluster = Cluster::start(3, 2, "");
    let mut clients: Vec<Client> = cluster.hosts.iter().map(|host| host.client()).collect();
    let create = "CREATE TABLE chat (room TEXT, at INT, who INT, body TEXT, PRIMARY KEY (room, at)) \
                  WITH (layout = 'large')";
    assert_eq!(run(&mut clients[0], create), Value::ok());
    insert(&mut clients, 0, ROWS / 2);
    // Half of the rows are there when the index comes.
    assert_eq!(run(&mut clients[1], "CREATE INDEX by_who ON chat (who, at)"), Value::ok());
    check(&cluster, ROWS / 2, 0);
    // The other half is written while a host is away.
    cluster.hosts[2].kill();
    insert(&mut clients[..2], ROWS / 2, ROWS);
    let gone = ROWS / 3;
    for chat in CHATS {
        let delete = format!("DELETE FROM chat WHERE room = '{chat}' AND at < {gone}");
        assert_eq!(run(&mut clients[0], &delete), Value::Int(gone));
    }
    cluster.hosts[2].start();
    check(&cluster, ROWS, gone);
    // All of them go, and come back.
    cluster.hosts.iter_mut().for_each(super::host::Host::kill);
    cluster.start_all();
    check(&cluster, ROWS, gone);
    let mut client = cluster.hosts[1].client();
    assert_eq!(run(&mut client, "DROP INDEX by_who"), Value::ok());
    assert_eq!(run(&mut client, "DROP TABLE chat"), Value::ok());
    assert_eq!(run(&mut cluster.hosts[0].client(), create), Value::ok());
    let count = "SELECT count(*) FROM chat WHERE room = 'a'";
    assert_eq!(numbers(run(&mut cluster.hosts[2].client(), count)), [0]);
}
