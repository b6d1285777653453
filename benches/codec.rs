//! What the HTTP/1 codec costs: nanoseconds for each half of a small proxied exchange.
//!
//! A micro benchmark for whoever works on the codec, not a claim about the proxy: it is
//! single-threaded, in cache and without a system call. Each figure is the best of many rounds, so
//! that neighbours on the machine matter little. `cargo bench --bench codec`.

use std::hint::black_box;
use std::time::Instant;

use cloudcup::base::buf::{Buf, BufPool};
use cloudcup::msg::{Head, Known};
use cloudcup::proto::h1::{Conn, Event, Limits, Role};

const REQUEST: &[u8] = b"GET /index.html?from=bench HTTP/1.1\r\nHost: www.example.org\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
Connection: keep-alive\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\
Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n\
Sec-Fetch-Site: none\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: origin/1.0\r\n\
Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/html; charset=utf-8\r\n\
Content-Length: 128\r\nConnection: keep-alive\r\nETag: \"0123456789abcdef\"\r\n\
Cache-Control: max-age=60\r\n\r\n\
0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
10\r\n0123456789abcdef\r\n10\r\n0123456789abcdef\r\n10\r\n0123456789abcdef\r\n\
10\r\n0123456789abcdef\r\n0\r\n\r\n";

/// The best time of a call of `work`, in nanoseconds.
fn best(mut work: impl FnMut()) -> f64 {
    const CALLS: u32 = 2_000;
    let mut best = f64::MAX;
    for _ in 0..400 {
        let start = Instant::now();
        for _ in 0..CALLS {
            work();
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS));
    }
    best
}

/// Reads one message to its end; content is taken and forgotten.
fn read(conn: &mut Conn, input: &mut Buf, head: &mut Head, limits: &Limits) {
    loop {
        match conn.poll(input, head, limits).expect("in order") {
            Event::End => return,
            Event::Body(len) => conn.take_body(len, input),
            Event::Head => {}
            other => unreachable!("{other:?}"),
        }
    }
}

struct Bench {
    pool: BufPool,
    input: Buf,
    out: Buf,
    request: Head,
    response: Head,
    limits: Limits,
}

impl Bench {
    fn new() -> Bench {
        let mut pool = BufPool::new(2);
        let mut out = Buf::new();
        assert!(out.reserve(&mut pool));
        let (input, limits) = (Buf::new(), Limits::new());
        Bench { pool, input, out, request: Head::new(), response: Head::new(), limits }
    }

    fn fill(&mut self, bytes: &[u8]) {
        self.input.append(black_box(bytes), &mut self.pool);
    }

    /// Front: reads a request, answers by `response`.
    fn front(&mut self, conn: &mut Conn) {
        self.fill(REQUEST);
        read(conn, &mut self.input, &mut self.request, &self.limits);
        conn.send_head(&self.response, &mut self.out).expect("room");
        conn.send_body(&RESPONSE[RESPONSE.len() - 128..], &mut self.out).expect("room");
        conn.finish(None, &mut self.out).expect("in order");
        self.out.consume(black_box(self.out.len()));
    }

    /// Back: sends `request`, reads `answer`.
    fn back(&mut self, conn: &mut Conn, answer: &[u8]) {
        conn.send_head(&self.request, &mut self.out).expect("room");
        conn.finish(None, &mut self.out).expect("in order");
        self.out.consume(black_box(self.out.len()));
        self.fill(answer);
        read(conn, &mut self.input, &mut self.response, &self.limits);
    }
}

fn main() {
    let mut bench = Bench::new();
    let (mut server, mut client) = (Conn::new(Role::Server), Conn::new(Role::Client));
    // Once around, so that both heads are filled and all memory is there.
    bench.fill(REQUEST);
    read(&mut server, &mut bench.input, &mut bench.request, &bench.limits);
    bench.back(&mut client, RESPONSE);

    let decode_request = best(|| {
        let mut conn = Conn::new(Role::Server);
        bench.fill(REQUEST);
        read(&mut conn, &mut bench.input, &mut bench.request, &bench.limits);
    });
    println!("decode request, {} bytes, 11 fields      {decode_request:6.0} ns", REQUEST.len());
    let encode_request = best(|| {
        let mut conn = Conn::new(Role::Client);
        conn.send_head(&bench.request, &mut bench.out).expect("room");
        bench.out.consume(black_box(bench.out.len()));
    });
    println!("encode request                            {encode_request:6.0} ns");
    let mut client = Conn::new(Role::Client);
    let back = best(|| bench.back(&mut client, RESPONSE));
    println!("back: encode request, decode response     {back:6.0} ns");
    let mut server = Conn::new(Role::Server);
    let front = best(|| bench.front(&mut server));
    println!("front: decode request, encode response    {front:6.0} ns");
    println!("the whole exchange, both sides            {:6.0} ns", front + back);
    let forward = best(|| {
        bench.request.remove_known_if(Known::is_forwarding);
        let list = bench.request.extend_list(Known::XForwardedFor, &[b"192.0.2.1"]);
        assert!(list.is_ok());
        let proto = bench.request.set_known(Known::XForwardedProto, &[b"http"]);
        assert!(proto.is_ok());
        bench.fill(REQUEST);
        let mut conn = Conn::new(Role::Server);
        read(&mut conn, &mut bench.input, &mut bench.request, &bench.limits);
    });
    println!("two forwarding fields on top of a decode  {:6.0} ns", forward - decode_request);
    let chunked = best(|| bench.back(&mut client, CHUNKED));
    println!("back with 4 chunks instead                {chunked:6.0} ns");
}
