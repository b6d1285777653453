//! A small mutator: the same seed makes the same inputs.

use cloudcup::base::seed::Seed;

/// Bytes and words that parsers of HTTP/1, JSON and paths trip over.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"\"",
    b"0",
    b"_",
    b"\x80",
    b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"POST ",
    b" HTTP/1.0",
    b" HTTP/1.1",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"HTTP/1.1 103 X\r\n\r\n",
    b"http://a.test",
    b"Host: a.test\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive, X-A\r\n",
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    b"Expect: 100-continue\r\n",
    b"TE: trailers\r\n",
    b"X-A: b\r\n",
    b"X_A: b\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"0\r\nX-A: b\r\n\r\n",
    b";a=b",
    b"hello",
    b"{}",
    b"[]",
    b"null",
    b"1e999",
    b"\\ud800",
    b"\"*\": ",
    b"\"root\": ",
    b"%2e",
    b"%2F",
    b"%5c",
    b"%00",
    b"..",
    b"/",
    b"\xc3\xa9",
];

/// Makes inputs out of a corpus.
pub struct Mutator<'a> {
    seed: Seed,
    corpus: &'a [Vec<u8>],
}

impl<'a> Mutator<'a> {
    pub fn new(seed: u64, corpus: &'a [Vec<u8>]) -> Mutator<'a> {
        Mutator { seed: Seed::new(seed), corpus }
    }

    /// A number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        self.seed.below(bound as u64) as usize
    }

    /// The next input: one of the corpus with a few things done to it.
    pub fn input(&mut self) -> Vec<u8> {
        let index = self.below(self.corpus.len());
        let mut bytes = self.corpus[index].clone();
        for _ in 0..=self.below(5) {
            self.change(&mut bytes);
        }
        bytes.truncate(40_000);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len() + 1);
        let len = self.below(12).min(bytes.len() - at);
        match self.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            1 if at < bytes.len() => bytes[at] = self.below(256) as u8,
            2 => drop(bytes.drain(at..at + len)),
            3 => {
                let copy = bytes[at..at + len].to_vec();
                let to = self.below(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
            4 => {
                let other = self.below(self.corpus.len());
                let other = &self.corpus[other];
                let from = self.seed.below(other.len() as u64 + 1) as usize;
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => {
                let word = WORDS[self.below(WORDS.len())];
                bytes.splice(at..at, word.iter().copied());
            }
        }
    }
}
