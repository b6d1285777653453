//! The head of a request or a response: one owned block of bytes and spans into it.
//!
//! What it is: the neutral head that every protocol version decodes to and encodes from. A worker
//! recycles it: [`Head::clear`] keeps the memory, so that steady traffic allocates nothing.
//!
//! What it is not: HTTP/1 text. It holds no connection-level field and no framing; what those said
//! is in plain facts ([`Head::body`], [`Head::upgrade`], [`Head::expect_continue`], …).
//!
//! Invariants: every span lies inside the block (a span that doesn't reads as empty); a field's
//! name is a token, its value holds no control character but the tab; no field is
//! [`Known::is_connection_level`].
//!
//! Length: one type whose block and spans are private, so that all who touch them stand together.

use super::field::{BadField, FieldRef, Fields, Known, is_token_byte, is_value_byte, same_name};
use super::method::Method;
use super::place::Place;
use super::status::reason_phrase;

/// The version of HTTP a head arrived with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Version {
    /// HTTP/1.0 (RFC 1945).
    Http10,
    /// HTTP/1.1 (RFC 9112).
    #[default]
    Http11,
}

impl Version {
    /// The version as it is written in `Via` and in logs: `1.0`, `1.1`.
    pub const fn text(self) -> &'static str {
        match self {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
        }
    }
}

/// How much content follows a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodySize {
    /// None, and none was announced.
    #[default]
    None,
    /// Exactly so many bytes, as announced; may be zero.
    Exact(u64),
    /// Unknown in advance: it ends when it ends.
    Streamed,
}

/// One field: where its name and value lie, and whether its line in the block is written exactly
/// as the encoder would write it (`Name: value CRLF`), so that it can be copied as it is.
#[derive(Clone, Copy, Debug)]
struct Field {
    name: u32,
    value: u32,
    value_len: u32,
    name_len: u16,
    known: Known,
    plain: bool,
}

impl Field {
    fn name_place(&self) -> Place {
        Place { start: self.name, len: u32::from(self.name_len) }
    }

    fn value_place(&self) -> Place {
        Place { start: self.value, len: self.value_len }
    }

    /// The end of the line, `CRLF` included; only of meaning when `plain`.
    fn line_end(&self) -> usize {
        self.value_place().end() + 2
    }
}

/// A stretch of field lines for an encoder: see [`Head::lines`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// One or more whole lines, each `Name: value CRLF`, ready to be copied.
    Ready(&'a [u8]),
    /// A field whose line in the block is spelled otherwise and must be written anew.
    Field(&'a [u8], &'a [u8]),
}

/// The head of a message. See the file's header for what it holds.
#[derive(Clone, Debug, Default)]
pub struct Head {
    block: Vec<u8>,
    fields: Vec<Field>,
    /// Method text of a request, reason phrase of a response.
    word: Place,
    target: Place,
    authority: Place,
    upgrade: Place,
    status: u16,
    method: Method,
    /// The version it arrived with. An encoder writes its own.
    pub version: Version,
    /// Content to follow.
    pub body: BodySize,
    /// Length that the content would have had, when [`Head::body`] is [`BodySize::None`] and it
    /// was announced all the same: a response to `HEAD`, or a `304`.
    pub declared_length: Option<u64>,
    /// The client waits for a `100 (Continue)` before it sends its content.
    pub expect_continue: bool,
    /// The sender takes trailers (`TE: trailers`).
    pub accepts_trailers: bool,
}

impl Head {
    /// An empty head without memory.
    pub const fn new() -> Head {
        Head {
            block: Vec::new(),
            fields: Vec::new(),
            word: Place::EMPTY,
            target: Place::EMPTY,
            authority: Place::EMPTY,
            upgrade: Place::EMPTY,
            status: 0,
            method: Method::Get,
            version: Version::Http11,
            body: BodySize::None,
            declared_length: None,
            expect_continue: false,
            accepts_trailers: false,
        }
    }

    /// Forgets everything but the memory.
    pub fn clear(&mut self) {
        self.block.clear();
        self.fields.clear();
        self.word = Place::EMPTY;
        self.target = Place::EMPTY;
        self.authority = Place::EMPTY;
        self.upgrade = Place::EMPTY;
        self.status = 0;
        self.method = Method::Get;
        self.version = Version::Http11;
        self.body = BodySize::None;
        self.declared_length = None;
        self.expect_continue = false;
        self.accepts_trailers = false;
    }

    /// Frees memory beyond `bytes` of block and `fields` spans, when the head is empty: what a
    /// recycler calls after an unusually large head.
    pub fn shrink(&mut self, bytes: usize, fields: usize) {
        self.block.shrink_to(bytes);
        self.fields.shrink_to(fields);
    }

    // --- requests -----------------------------------------------------------------------------

    /// Makes it a request: `method` as text (a token), `target` as it stands in a request line in
    /// origin or asterisk form, `authority` as in `Host` (may be empty).
    ///
    /// # Errors
    /// [`BadField`] when the method is no token, or the others hold a space or control character.
    pub fn set_request(
        &mut self,
        method: &[u8],
        target: &[u8],
        authority: &[u8],
    ) -> Result<(), BadField> {
        if method.is_empty() || !method.iter().all(|b| is_token_byte(*b)) {
            return Err(BadField);
        }
        self.status = 0;
        self.method = Method::from_bytes(method);
        self.word = self.keep(method);
        self.set_target(target)?;
        self.set_authority(authority)
    }

    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        self.status == 0
    }

    /// The method of a request.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The method's text.
    pub fn method_text(&self) -> &[u8] {
        self.word.of(&self.block)
    }

    /// The target of a request: path and query, `*`, or `host:port` for `CONNECT`.
    pub fn target(&self) -> &[u8] {
        self.target.of(&self.block)
    }

    /// The target up to its query.
    pub fn path(&self) -> &[u8] {
        let target = self.target();
        let end = memchr::memchr(b'?', target).unwrap_or(target.len());
        target.get(..end).unwrap_or_default()
    }

    /// The query without its `?`; `None` when there is no `?`.
    pub fn query(&self) -> Option<&[u8]> {
        let target = self.target();
        memchr::memchr(b'?', target).and_then(|at| target.get(at + 1..))
    }

    /// Host and port asked for, as in `Host`; empty when an HTTP/1.0 client named none.
    pub fn authority(&self) -> &[u8] {
        self.authority.of(&self.block)
    }

    /// The authority without its port; an IPv6 literal keeps its brackets.
    pub fn host(&self) -> &[u8] {
        let authority = self.authority();
        let end = match authority.first() {
            Some(b'[') => memchr::memchr(b']', authority).map_or(authority.len(), |at| at + 1),
            _ => memchr::memchr(b':', authority).unwrap_or(authority.len()),
        };
        authority.get(..end).unwrap_or_default()
    }

    /// Replaces the target.
    ///
    /// # Errors
    /// [`BadField`] when it is empty or holds a space or control character.
    pub fn set_target(&mut self, target: &[u8]) -> Result<(), BadField> {
        if target.is_empty() || target.iter().any(|b| *b <= b' ' || *b == 0x7f) {
            return Err(BadField);
        }
        self.target = self.keep(target);
        Ok(())
    }

    /// Replaces the authority; may be empty.
    ///
    /// # Errors
    /// [`BadField`] when it holds a space or control character.
    pub fn set_authority(&mut self, authority: &[u8]) -> Result<(), BadField> {
        if authority.iter().any(|b| *b <= b' ' || *b == 0x7f) {
            return Err(BadField);
        }
        self.authority = self.keep(authority);
        Ok(())
    }

    // --- responses ----------------------------------------------------------------------------

    /// Makes it a response with this status (100 to 999) and the registered reason phrase.
    pub fn set_response(&mut self, status: u16) {
        self.status = status;
        self.word = self.keep(reason_phrase(status).as_bytes());
    }

    /// The status of a response; 0 for a request.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase of a response; may be empty.
    pub fn reason(&self) -> &[u8] {
        match self.status {
            0 => &[],
            _ => self.word.of(&self.block),
        }
    }

    // --- facts --------------------------------------------------------------------------------

    /// The one protocol the sender offers to switch to (request) or has switched to (`101`), as in
    /// `Upgrade`; `None` when no switch is wanted.
    pub fn upgrade(&self) -> Option<&[u8]> {
        match self.upgrade.is_empty() {
            true => None,
            false => Some(self.upgrade.of(&self.block)),
        }
    }

    /// Replaces the protocol to switch to; empty: none.
    ///
    /// # Errors
    /// [`BadField`] when it holds a space or control character.
    pub fn set_upgrade(&mut self, protocol: &[u8]) -> Result<(), BadField> {
        if protocol.iter().any(|b| *b <= b' ' || *b == 0x7f) {
            return Err(BadField);
        }
        self.upgrade = self.keep(protocol);
        Ok(())
    }

    // --- fields -------------------------------------------------------------------------------

    /// The fields in their order.
    pub fn fields(&self) -> Fields<'_> {
        Fields { head: self, next: 0 }
    }

    /// Number of fields.
    pub fn field_count(&self) -> usize {
        self.fields.len()
    }

    /// Value of the first field with this name (any case).
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields
            .iter()
            .find(|field| field.name_place().of(&self.block).eq_ignore_ascii_case(name))
            .map(|field| field.value_place().of(&self.block))
    }

    /// Value of the first field with this tag.
    pub fn get_known(&self, known: Known) -> Option<&[u8]> {
        self.fields
            .iter()
            .find(|field| field.known == known)
            .map(|field| field.value_place().of(&self.block))
    }

    /// Appends a field.
    ///
    /// # Errors
    /// [`BadField`] when the name is no token, is a connection-level one (say it by the facts), or
    /// the value holds a control character.
    pub fn push(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadField> {
        let known = Known::of(name);
        if known.is_connection_level() || !name.iter().all(|b| is_token_byte(*b)) {
            return Err(BadField);
        }
        self.push_line(name, known, &[value])
    }

    /// Appends a field with a known name, its value put together from `parts`.
    ///
    /// # Errors
    /// [`BadField`] when the name is a connection-level one or a part holds a control character.
    pub fn push_known(&mut self, known: Known, parts: &[&[u8]]) -> Result<(), BadField> {
        if known.is_connection_level() {
            return Err(BadField);
        }
        self.push_line(known.text().as_bytes(), known, parts)
    }

    /// Replaces all fields with this tag by one.
    ///
    /// # Errors
    /// As [`Head::push_known`]; then nothing changed.
    pub fn set_known(&mut self, known: Known, parts: &[&[u8]]) -> Result<(), BadField> {
        let before = self.fields.len();
        self.push_known(known, parts)?;
        let mut index = 0;
        self.fields.retain(|field| {
            index += 1;
            index > before || field.known != known
        });
        Ok(())
    }

    /// Adds an element to the list that the fields with this tag make up, so that one field is
    /// left: `old, old, new`.
    ///
    /// # Errors
    /// As [`Head::push_known`]; then nothing changed.
    pub fn extend_list(&mut self, known: Known, parts: &[&[u8]]) -> Result<(), BadField> {
        if parts.iter().any(|part| !part.iter().all(|b| is_value_byte(*b))) {
            return Err(BadField);
        }
        let name = known.text().as_bytes();
        if name.is_empty() || known.is_connection_level() {
            return Err(BadField);
        }
        let line = self.block.len();
        self.block.extend_from_slice(name);
        self.block.extend_from_slice(b": ");
        let value = self.block.len();
        for field in self.fields.iter().filter(|field| field.known == known) {
            let old = field.value as usize..field.value as usize + field.value_len as usize;
            if old.end <= self.block.len() && !old.is_empty() {
                self.block.extend_from_within(old);
                self.block.extend_from_slice(b", ");
            }
        }
        for part in parts {
            self.block.extend_from_slice(part);
        }
        let end = self.block.len();
        self.block.extend_from_slice(b"\r\n");
        self.fields.retain(|field| field.known != known);
        self.index_line(Place::new(line, name.len()), Place::new(value, end - value), known, true);
        Ok(())
    }

    /// Removes all fields with this name (any case, `_` for `-`). Returns how many.
    pub fn remove(&mut self, name: &[u8]) -> usize {
        let before = self.fields.len();
        let block = &self.block;
        self.fields.retain(|field| !same_name(name, field.name_place().of(block)));
        before - self.fields.len()
    }

    /// Removes all fields with this tag, however they were spelled. Returns how many.
    pub fn remove_known(&mut self, known: Known) -> usize {
        self.remove_known_if(|field| field == known)
    }

    /// Removes all fields whose tag `gone` says so about. Returns how many.
    pub fn remove_known_if(&mut self, gone: impl Fn(Known) -> bool) -> usize {
        if !self.fields.iter().any(|field| gone(field.known)) {
            return 0;
        }
        let before = self.fields.len();
        self.fields.retain(|field| !gone(field.known));
        before - self.fields.len()
    }

    /// Keeps the fields that `keep` says so about. Returns how many went.
    pub fn retain(&mut self, mut keep: impl FnMut(FieldRef<'_>) -> bool) -> usize {
        let before = self.fields.len();
        let block = &self.block;
        self.fields.retain(|field| {
            let name = field.name_place().of(block);
            let value = field.value_place().of(block);
            keep(FieldRef { name, value, known: field.known })
        });
        before - self.fields.len()
    }

    // --- for codecs ---------------------------------------------------------------------------

    /// Copies the text of a head in, in front of which nothing was kept: the [`Place`]s given
    /// before and after count from its first byte. [`Head::clear`] first.
    #[inline]
    pub fn load(&mut self, text: &[u8]) {
        self.block.clear();
        self.block.extend_from_slice(text);
    }

    /// The bytes at `place`.
    #[inline]
    pub fn at(&self, place: Place) -> &[u8] {
        place.of(&self.block)
    }

    /// Copies more bytes into the block and tells where they are.
    pub fn keep(&mut self, bytes: &[u8]) -> Place {
        let start = self.block.len();
        self.block.extend_from_slice(bytes);
        Place::new(start, bytes.len())
    }

    /// Makes it a request from places the caller has checked.
    #[inline]
    pub fn index_request(&mut self, method: Method, text: Place, target: Place) {
        self.status = 0;
        self.method = method;
        self.word = text;
        self.target = target;
    }

    /// Sets the target from a place the caller has checked.
    #[inline]
    pub fn index_target(&mut self, target: Place) {
        self.target = target;
    }

    /// Sets the authority from a place the caller has checked.
    #[inline]
    pub fn index_authority(&mut self, authority: Place) {
        self.authority = authority;
    }

    /// Sets the protocol to switch to from a place the caller has checked.
    #[inline]
    pub fn index_upgrade(&mut self, protocol: Place) {
        self.upgrade = protocol;
    }

    /// Makes it a response from places the caller has checked.
    #[inline]
    pub fn index_response(&mut self, status: u16, reason: Place) {
        self.status = status;
        self.word = reason;
    }

    /// Adds a field from places the caller has checked; `plain` when its line is `name: value` and
    /// CR LF to the byte.
    #[inline]
    pub fn index_line(&mut self, name: Place, value: Place, known: Known, plain: bool) {
        self.fields.push(Field {
            name: name.start,
            value: value.start,
            value_len: value.len,
            name_len: name.len as u16,
            known,
            plain,
        });
    }

    /// Removes the field at `index` of [`Head::fields`]; nothing when there is none.
    pub fn remove_at(&mut self, index: usize) {
        if index < self.fields.len() {
            self.fields.remove(index);
        }
    }

    /// More bytes than all field lines take, told without looking at them.
    pub fn lines_bound(&self) -> usize {
        self.block.len() + self.fields.len() * 4
    }

    /// The field lines in stretches as long as can be copied at once.
    pub fn lines(&self) -> Lines<'_> {
        Lines { head: self, next: 0 }
    }

    pub(super) fn field_at(&self, index: usize) -> Option<FieldRef<'_>> {
        self.fields.get(index).map(|field| FieldRef {
            name: field.name_place().of(&self.block),
            value: field.value_place().of(&self.block),
            known: field.known,
        })
    }

    fn push_line(&mut self, name: &[u8], known: Known, parts: &[&[u8]]) -> Result<(), BadField> {
        let clean = parts.iter().all(|part| part.iter().all(|b| is_value_byte(*b)));
        if !clean || name.is_empty() || name.len() > usize::from(u16::MAX) {
            return Err(BadField);
        }
        let line = self.block.len();
        self.block.extend_from_slice(name);
        self.block.extend_from_slice(b": ");
        let value = self.block.len();
        for part in parts {
            self.block.extend_from_slice(part);
        }
        let end = self.block.len();
        self.block.extend_from_slice(b"\r\n");
        self.index_line(Place::new(line, name.len()), Place::new(value, end - value), known, true);
        Ok(())
    }
}

/// Iterator of [`Head::lines`].
pub struct Lines<'a> {
    head: &'a Head,
    next: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    #[inline]
    fn next(&mut self) -> Option<Line<'a>> {
        let rest = self.head.fields.get(self.next..)?;
        let (first, rest) = rest.split_first()?;
        self.next += 1;
        if !first.plain {
            return Some(Line::Field(
                first.name_place().of(&self.head.block),
                first.value_place().of(&self.head.block),
            ));
        }
        let mut end = first.line_end();
        for field in rest {
            if !field.plain || field.name as usize != end {
                break;
            }
            end = field.line_end();
            self.next += 1;
        }
        Some(Line::Ready(self.head.block.get(first.name as usize..end).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Head {
        let mut head = Head::new();
        head.set_request(b"GET", b"/a?b=c", b"example.org:8080").expect("valid");
        head
    }

    #[test]
    fn a_request_has_its_parts() {
        let head = request();
        assert!(head.is_request());
        assert_eq!((head.method(), head.method_text()), (Method::Get, &b"GET"[..]));
        assert_eq!(head.path(), b"/a");
        assert_eq!(head.query(), Some(&b"b=c"[..]));
        assert_eq!(head.host(), b"example.org");
        let mut head = head;
        head.set_authority(b"[::1]:80").expect("valid");
        assert_eq!(head.host(), b"[::1]");
    }

    #[test]
    fn nothing_breaks_out_of_its_line() {
        let mut head = request();
        assert_eq!(head.push(b"X-A", b"a\r\nb"), Err(BadField));
        assert_eq!(head.push(b"X A", b"a"), Err(BadField));
        assert_eq!(head.push(b"", b"a"), Err(BadField));
        assert_eq!(head.push(b"Content-Length", b"5"), Err(BadField));
        assert_eq!(head.push_known(Known::Via, &[b"1.1 ", b"x\ny"]), Err(BadField));
        assert_eq!(head.extend_list(Known::Via, &[b"\0"]), Err(BadField));
        assert_eq!(head.set_target(b"/ HTTP/1.1"), Err(BadField));
        assert_eq!(head.set_authority(b"a\r\n"), Err(BadField));
        assert_eq!(head.set_request(b"G T", b"/", b""), Err(BadField));
        assert_eq!(head.field_count(), 0);
    }

    #[test]
    fn lists_grow_and_fields_are_replaced() {
        let mut head = request();
        head.push(b"x_forwarded_for", b"1.1.1.1").expect("valid");
        head.push(b"Accept", b"*/*").expect("valid");
        head.push(b"X-Forwarded-For", b"2.2.2.2").expect("valid");
        head.extend_list(Known::XForwardedFor, &[b"3.3.3", b".3"]).expect("valid");
        assert_eq!(head.get_known(Known::XForwardedFor), Some(&b"1.1.1.1, 2.2.2.2, 3.3.3.3"[..]));
        assert_eq!(head.field_count(), 2);
        head.set_known(Known::XForwardedFor, &[b"4.4.4.4"]).expect("valid");
        assert_eq!(head.get(b"x-forwarded-for"), Some(&b"4.4.4.4"[..]));
        assert_eq!(head.remove(b"ACCEPT"), 1);
        assert_eq!(head.remove_known_if(Known::is_forwarding), 1);
        assert_eq!(head.field_count(), 0);
    }

    #[test]
    fn adjacent_lines_are_one_stretch() {
        let mut head = Head::new();
        head.load(b"A: 1\r\nB:2\r\nC: 3\r\nD: 4\r\n");
        for (name, value) in [(0, 3), (6, 8), (11, 14), (17, 20)] {
            let (name, value) = (Place::new(name, 1), Place::new(value, 1));
            head.index_line(name, value, Known::Other, value.start() == name.start() + 3);
        }
        head.push(b"E", b"5").expect("valid");
        let lines: Vec<Line> = head.lines().collect();
        assert_eq!(
            lines,
            [
                Line::Ready(b"A: 1\r\n"),
                Line::Field(b"B", b"2"),
                Line::Ready(b"C: 3\r\nD: 4\r\nE: 5\r\n"),
            ]
        );
        head.remove(b"D");
        assert_eq!(head.lines().count(), 4);
    }

    #[test]
    fn clearing_keeps_the_memory() {
        let mut head = request();
        head.push(b"A", b"1").expect("valid");
        let room = head.block.capacity();
        head.clear();
        assert_eq!((head.block.capacity(), head.field_count()), (room, 0));
        assert_eq!(head.target(), b"");
    }

    #[test]
    fn a_field_span_stays_small() {
        assert_eq!(size_of::<Field>(), 16);
    }
}
