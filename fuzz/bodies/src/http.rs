//! Request heads on the admin port: longer bytes never unsay what shorter ones said.

use synod::admin::http::parse;

/// The bytes of a connection.
pub fn run(data: &[u8]) {
    let whole = parse(data);
    let half = parse(data.get(..data.len() / 2).unwrap_or_default());
    if let Some(half) = half {
        assert_eq!(Some(half), whole, "what was understood stays so");
    }
    if let Some(Ok(request)) = whole {
        assert!(!request.method.is_empty() && !request.path.contains('?'));
    }
}

/// What a scraper, a browser and a lost client send.
pub fn seeds() -> Vec<Vec<u8>> {
    let heads: [&[u8]; 4] = [
        b"GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
        b"HEAD /healthz?x=1 HTTP/1.0\r\n\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"GET /",
    ];
    heads.iter().map(|head| head.to_vec()).collect()
}
