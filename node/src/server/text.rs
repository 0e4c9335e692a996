//! Texts and small readings that several commands share. The texts are those of Redis 7: clients compare with
//! them.

use shard::reply::Reply;

pub(crate) const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
pub(crate) const SYNTAX: &str = "ERR syntax error";
pub(crate) const NOAUTH: &str = "NOAUTH Authentication required.";
pub(crate) const WRONGPASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";
pub(crate) const NO_PASSWORD_SET: &str =
    "ERR AUTH <password> called without any password configured for the default \
     user. Are you sure your configuration is correct?";
pub(crate) const HELLO_NOAUTH: &str =
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH \
     <user> <pass> option can be used to authenticate the client and select the RESP protocol version at \
     the same time";
pub(crate) const CROSSSLOT: &str = "CROSSSLOT Keys in request don't hash to the same slot";
pub(crate) const UNBLOCKED: &str = "UNBLOCKED client unblocked via CLIENT UNBLOCK";
pub(crate) const UNBLOCKED_BY_STOP: &str =
    "UNBLOCKED this host is shutting down; nothing was taken, use another one";
pub(crate) const VERSIONS_OF_ONE_KEY: &str =
    "ERR GETV, SETV and OBJECT VERSION cannot be in a transaction on several keys: versions are known only behind it";
pub(crate) const BAD_CLIENT_NAME: &str =
    "ERR Client names cannot contain spaces, newlines or special characters.";

/// Redis' text, with Synod's names in the remedies.
pub(crate) const PROTECTED_MODE: &str =
    "DENIED Synod is running in protected mode because protected mode is enabled and no password is set \
     for the default user. In this mode connections are only accepted from the loopback interface. If you \
     want to connect from external computers to Synod you may adopt one of the following solutions: 1) \
     Just disable protected mode sending the command 'CONFIG SET protected-mode no' from the loopback \
     interface by connecting to Synod from the same host the server is running, however MAKE SURE Synod \
     is not publicly accessible from internet if you do so. 2) Alternatively you can just disable the \
     protected mode by editing the configuration file, and setting protected_mode = false, and then \
     restarting the server. 3) If you started the server manually just for testing, restart it with the \
     '--protected-mode false' option. 4) Set up an authentication password for the default user. NOTE: \
     You only need to do one of the above things in order for the server to start accepting connections \
     from the outside.";

/// A 64-bit integer argument, read as Redis reads it: decimal, no blanks, no plus, no leading zeros.
pub(crate) fn integer(arg: &[u8]) -> Option<i64> {
    let digits = arg.strip_prefix(b"-").unwrap_or(arg);
    let plain = digits == b"0" && digits.len() == arg.len() || matches!(digits.first(), Some(b'1'..=b'9'));
    if !plain {
        return None;
    }
    std::str::from_utf8(arg).ok()?.parse().ok()
}

/// Whether two words are equal but for the case of ASCII letters.
pub(crate) fn is(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}

/// Up to `bytes_max` bytes of client input for use in a text: what is not UTF-8 is replaced.
pub(crate) fn printable(bytes: &[u8], bytes_max: usize) -> String {
    String::from_utf8_lossy(bytes.get(..bytes_max).unwrap_or(bytes)).into_owned()
}

/// `ERR unknown subcommand …`, as Redis 7 has it.
pub(crate) fn unknown_subcommand(container: &str, sub: &[u8]) -> Reply {
    let sub = printable(sub, 128);
    Reply::Error(
        format!("ERR unknown subcommand '{sub}'. Try {} HELP.", container.to_ascii_uppercase()).into(),
    )
}

/// `ERR wrong number of arguments …`; `name` as COMMAND has it, such as `client|id`.
pub(crate) fn arity(name: &str) -> Reply {
    Reply::Error(format!("ERR wrong number of arguments for '{name}' command").into())
}

/// The reply of `<container> HELP`: first line, lines of subcommands, HELP itself.
pub(crate) fn help(container: &str, lines: &[&str]) -> Reply {
    let first = format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    let last = ["HELP", "    Print this help."];
    let all = lines.iter().copied().chain(last).map(|line| Reply::Simple(line.to_owned().into()));
    Reply::Array(std::iter::once(Reply::Simple(first.into())).chain(all).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers() {
        let table: [(&str, Option<i64>); 9] = [
            ("0", Some(0)),
            ("-7", Some(-7)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("-0", None),
            ("00", None),
            ("+1", None),
            (" 1", None),
            ("", None),
        ];
        for (text, want) in table {
            assert_eq!(integer(text.as_bytes()), want, "{text:?}");
        }
    }
}
