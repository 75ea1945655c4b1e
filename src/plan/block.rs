//! The frame of a state block: head, sections, checksum. Knows no table: `state` says what the sections hold. Whatever the
//! bytes are, reading them ends in a value or an [`Error`], never in a panic. Start at [`Reader::open`].

use bytemuck::{NoUninit, Pod};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result, quoted};

const MAGIC: [u8; 8] = *b"instep\0\0";
/// Of the block as a whole: another order or other rows are another version.
pub(super) const VERSION: u32 = 3;
const HEAD: usize = MAGIC.len() + size_of::<u32>();
const CHECKSUM: usize = 32;

/// Four letters that name a section.
pub(super) type Tag = [u8; 4];

/// A block that grows.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// Room for `capacity` bytes of content, so that large blocks are not moved while they grow.
    pub fn new(capacity: usize) -> Writer {
        let mut bytes = Vec::with_capacity(capacity);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        Writer(bytes)
    }

    /// A section with what `write` puts into it.
    pub fn section(&mut self, tag: Tag, write: impl FnOnce(&mut Writer) -> Result<()>) -> Result<()> {
        self.0.extend_from_slice(&tag);
        let at = self.0.len();
        self.number(0);
        write(self)?;
        let len = (self.0.len() - at - size_of::<u64>()) as u64;
        self.0[at..at + size_of::<u64>()].copy_from_slice(&len.to_le_bytes());
        Ok(())
    }

    pub fn number(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    /// The size of a row, their number, and the rows as they lie in memory.
    pub fn rows<T: NoUninit>(&mut self, rows: &[T]) {
        self.number(size_of::<T>() as u64);
        self.number(rows.len() as u64);
        self.bytes(bytemuck::cast_slice(rows));
    }

    /// The number of `all`, and each as `write` writes it.
    pub fn list<T>(&mut self, all: &[T], write: impl Fn(&T, &mut Writer)) {
        self.number(all.len() as u64);
        all.iter().for_each(|one| write(one, self));
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub fn finish(mut self) -> Vec<u8> {
        let checksum = Sha256::digest(&self.0);
        self.0.extend_from_slice(&checksum);
        self.0
    }
}

/// What of a block, or of a section, was not read yet.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// What errors call it.
    name: &'static str,
}

impl<'a> Reader<'a> {
    /// Checks head and checksum; what is left are the sections.
    pub fn open(block: &'a [u8]) -> Result<Reader<'a>> {
        let least = HEAD + CHECKSUM;
        if block.len() < least {
            let rule = format!("a state block has {least} bytes and more");
            return Err(Error::argument("state", format!("{} bytes", block.len()), rule));
        }
        if !block.starts_with(&MAGIC) {
            let magic = String::from_utf8_lossy(&block[..MAGIC.len()]);
            let rule = "must be instep and two zero bytes, with which every state block begins";
            return Err(Error::argument("state.magic", quoted(&magic), rule));
        }
        let version = u32::from_le_bytes([block[8], block[9], block[10], block[11]]);
        if version != VERSION {
            return Err(Error::argument(
                "state.version",
                version,
                format!("must be {VERSION}, which this crate reads"),
            ));
        }
        let (content, checksum) = block.split_at(block.len() - CHECKSUM);
        if Sha256::digest(content)[..] != *checksum {
            let rule = "must be that of the bytes: they are damaged, or cut short";
            return Err(Error::argument("state.checksum", "wrong", rule));
        }
        Ok(Reader { rest: &content[HEAD..], name: "sections" })
    }

    /// The next section, which must be `tag`.
    pub fn section(&mut self, tag: Tag, name: &'static str) -> Result<Reader<'a>> {
        let found = self.bytes(tag.len())?;
        if found != tag {
            let [found, tag] = [found, &tag].map(|tag| quoted(&String::from_utf8_lossy(tag)));
            return Err(Error::argument("state.sections", found, format!("must be {tag}, the tag of {name}")));
        }
        let len = self.number()?;
        Ok(Reader { rest: self.bytes(usize::try_from(len).unwrap_or(usize::MAX))?, name })
    }

    pub fn number(&mut self) -> Result<u64> {
        let bytes = self.bytes(size_of::<u64>())?;
        Ok(bytemuck::pod_read_unaligned(bytes))
    }

    pub fn text(&mut self) -> Result<&'a str> {
        let len = self.number()?;
        let bytes = self.bytes(usize::try_from(len).unwrap_or(usize::MAX))?;
        std::str::from_utf8(bytes).map_err(|e| self.malformed(&e.to_string()))
    }

    /// A number that counts or numbers what this machine can hold.
    pub fn place(&mut self) -> Result<usize> {
        let number = self.number()?;
        usize::try_from(number).map_err(|_| self.malformed(&format!("{number} is past what there can be")))
    }

    /// One row.
    pub fn row<T: Pod>(&mut self) -> Result<T> {
        match self.rows()?[..] {
            [row] => Ok(row),
            ref rows => Err(self.malformed(&format!("{} rows where one is", rows.len()))),
        }
    }

    /// Rows of a size that this crate knows.
    pub fn rows<T: Pod>(&mut self) -> Result<Vec<T>> {
        let (size, count) = (self.number()?, self.number()?);
        if size != size_of::<T>() as u64 {
            let rule = format!("must be {}, the size of a row in this crate", size_of::<T>());
            return Err(Error::argument(format!("state.{}.size", self.name), size, rule));
        }
        let len = count.checked_mul(size).and_then(|len| usize::try_from(len).ok()).unwrap_or(usize::MAX);
        Ok(self.bytes(len)?.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect())
    }

    /// As many as there are, each as `read` reads it. Memory is taken for what was read, not for what a number claims.
    pub fn list<T>(&mut self, mut read: impl FnMut(&mut Reader<'a>) -> Result<T>) -> Result<Vec<T>> {
        let mut all = Vec::new();
        for _ in 0..self.number()? {
            all.push(read(self)?);
        }
        Ok(all)
    }

    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or_else(|| self.malformed("it ends too early"))?;
        self.rest = rest;
        Ok(bytes)
    }

    /// All of it was read.
    pub fn end(self) -> Result<()> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(self.malformed(&format!("{left} bytes are left over"))),
        }
    }

    pub fn malformed(&self, why: &str) -> Error {
        let rule = format!("must be as version {VERSION} has it: {why}");
        Error::argument(format!("state.{}", self.name), "malformed", rule)
    }
}
