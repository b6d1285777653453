//! A second, independent reader of HTTP/1.1 for the models: what they receive is checked by code
//! that shares nothing with the proxy's.

/// What a reader finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A head.
    Head(Head),
    /// Content.
    Body(Vec<u8>),
    /// The end of the message, with its trailers.
    End(Vec<(String, String)>),
}

/// A head as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The first line.
    pub start: String,
    /// Names in lower case, and values.
    pub fields: Vec<(String, String)>,
}

impl Head {
    /// The value of the only field of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|(n, _)| n == name);
        let value = found.next().map(|(_, v)| v.as_str());
        assert!(found.next().is_none(), "{name} comes twice: {self:?}");
        value
    }

    /// Whether there is a field of this name.
    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(n, _)| n == name)
    }

    /// The status of a response.
    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
    }

    /// The method of a request.
    pub fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or("")
    }

    /// The target of a request.
    pub fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or("")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Exact(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    UntilEnd,
    Tunnel,
}

/// Reads a stream of messages.
pub struct Reader {
    buffer: Vec<u8>,
    at: usize,
    state: State,
    responses: bool,
    /// The answer to come has no content (it answers HEAD).
    pub bodiless: bool,
    trailers: Vec<(String, String)>,
}

impl Reader {
    /// A reader of requests.
    pub fn requests() -> Reader {
        Reader {
            buffer: Vec::new(),
            at: 0,
            state: State::Head,
            responses: false,
            bodiless: false,
            trailers: Vec::new(),
        }
    }

    /// A reader of responses.
    pub fn responses() -> Reader {
        Reader { responses: true, ..Reader::requests() }
    }

    /// More bytes have come.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.at > 64 * 1024 {
            self.buffer.drain(..self.at);
            self.at = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether nothing of a message is pending.
    pub fn is_between(&self) -> bool {
        self.state == State::Head && self.at == self.buffer.len()
    }

    /// From here on the bytes are no HTTP.
    pub fn tunnel(&mut self) {
        self.state = State::Tunnel;
    }

    fn rest(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    fn line(&mut self) -> Result<Option<String>, String> {
        let Some(end) = self.rest().windows(2).position(|w| w == b"\r\n") else {
            return if self.rest().len() > 64 * 1024 {
                Err("endless line".into())
            } else {
                Ok(None)
            };
        };
        let line = self.rest()[..end].to_vec();
        self.at += end + 2;
        String::from_utf8(line).map(Some).map_err(|e| e.to_string())
    }

    /// The next item, if it has all arrived. Content comes in pieces.
    pub fn next(&mut self) -> Result<Option<Item>, String> {
        loop {
            match self.state {
                State::Head => return self.head(),
                State::Exact(0) => return Ok(Some(self.end())),
                State::Exact(left) => return Ok(self.content(left, State::Exact)),
                State::UntilEnd | State::Tunnel => {
                    let state = self.state;
                    return Ok(self.content(u64::MAX, |_| state));
                }
                State::ChunkSize => {
                    let Some(line) = self.line()? else { return Ok(None) };
                    let size = line.split(';').next().unwrap_or("");
                    let size =
                        u64::from_str_radix(size, 16).map_err(|_| format!("chunk {line:?}"))?;
                    self.state = if size == 0 { State::Trailers } else { State::Chunk(size) };
                }
                State::Chunk(0) => self.state = State::ChunkEnd,
                State::Chunk(left) => return Ok(self.content(left, State::Chunk)),
                State::ChunkEnd => {
                    let Some(line) = self.line()? else { return Ok(None) };
                    if !line.is_empty() {
                        return Err(format!("after a chunk: {line:?}"));
                    }
                    self.state = State::ChunkSize;
                }
                State::Trailers => {
                    let Some(line) = self.line()? else { return Ok(None) };
                    if line.is_empty() {
                        return Ok(Some(self.end()));
                    }
                    self.trailers.push(field(&line)?);
                }
            }
        }
    }

    /// The stream has ended. True if a message may end so.
    pub fn finish(&mut self) -> bool {
        match self.state {
            State::Head => self.at == self.buffer.len(),
            State::UntilEnd | State::Tunnel => true,
            _ => false,
        }
    }

    fn end(&mut self) -> Item {
        self.state = State::Head;
        Item::End(std::mem::take(&mut self.trailers))
    }

    fn content(&mut self, left: u64, then: impl Fn(u64) -> State) -> Option<Item> {
        let n = (self.rest().len() as u64).min(left) as usize;
        if n == 0 {
            return None;
        }
        let bytes = self.rest()[..n].to_vec();
        self.at += n;
        self.state = then(left - n as u64);
        Some(Item::Body(bytes))
    }

    fn head(&mut self) -> Result<Option<Item>, String> {
        let Some(end) = self.rest().windows(4).position(|w| w == b"\r\n\r\n") else {
            return Ok(None);
        };
        let text = String::from_utf8(self.rest()[..end].to_vec()).map_err(|e| e.to_string())?;
        self.at += end + 4;
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap_or("").to_owned();
        let fields = lines.map(field).collect::<Result<Vec<_>, _>>()?;
        let head = Head { start, fields };
        self.state = self.framing(&head)?;
        Ok(Some(Item::Head(head)))
    }

    fn framing(&self, head: &Head) -> Result<State, String> {
        let length = head.get("content-length").map(str::parse::<u64>);
        let length = length.transpose().map_err(|e| e.to_string())?;
        let chunked = match head.get("transfer-encoding") {
            Some("chunked") => true,
            Some(other) => return Err(format!("coding {other:?}")),
            None => false,
        };
        if chunked && length.is_some() {
            return Err("two framings".into());
        }
        if self.responses {
            let status = head.status();
            if !head.start.starts_with("HTTP/1.") || status < 100 {
                return Err(format!("no response: {:?}", head.start));
            }
            if self.bodiless || status < 200 || status == 204 || status == 304 {
                return Ok(State::Exact(0));
            }
            if !chunked && length.is_none() {
                return Ok(State::UntilEnd);
            }
        } else if !head.start.ends_with(" HTTP/1.1") {
            return Err(format!("no request: {:?}", head.start));
        }
        Ok(if chunked { State::ChunkSize } else { State::Exact(length.unwrap_or(0)) })
    }
}

fn field(line: &str) -> Result<(String, String), String> {
    let (name, value) = line.split_once(':').ok_or_else(|| format!("no field: {line:?}"))?;
    if name.is_empty() || name.contains([' ', '\t']) {
        return Err(format!("no field name: {line:?}"));
    }
    Ok((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()))
}

/// The byte at `offset` of the content of message `id`, in one direction.
pub fn pattern(id: u32, response: bool, offset: usize) -> u8 {
    let mixed = (offset as u32).wrapping_mul(2_654_435_761) ^ id.wrapping_mul(40_503);
    (mixed >> 13) as u8 ^ (offset >> 8) as u8 ^ if response { 0xa5 } else { 0 }
}

/// A stretch of content.
pub fn stretch(id: u32, response: bool, from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(|offset| pattern(id, response, offset)).collect()
}

/// Holds received content to what was sent.
pub fn check(id: u32, response: bool, from: usize, bytes: &[u8]) -> Result<(), String> {
    for (index, byte) in bytes.iter().enumerate() {
        let offset = from + index;
        if *byte != pattern(id, response, offset) {
            let side = if response { "response" } else { "request" };
            return Err(format!("#{id}: byte {offset} of the {side}'s content is wrong"));
        }
    }
    Ok(())
}
