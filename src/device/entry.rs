//! One file of the disk cache: an image, the key it was asked for with, and the compiler that made it. Anything else that
//! may lie in its place (cut short, altered, of another version or key) decodes to nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use bytemuck::{Pod, Zeroable};
use sha2::{Digest, Sha256};

const MAGIC: [u8; 8] = *b"instep\0\n";

/// To be raised with any change of the layout, or of what a [`Key`] is made from.
pub(super) const FORMAT: u32 = 2;

/// What an image was asked for with: SHA-256 over length-prefixed parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

impl Key {
    pub(super) fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// As a pack holds it.
    pub(super) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A compiler: its library's file, and the version it gave.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stamp {
    path: PathBuf,
    len: u64,
    modified: u64,
    version: (u32, u32),
}

impl Stamp {
    /// Of the file at `path` as it is now; none where its name is no UTF-8 or its time is unknown.
    pub(super) fn of(path: &Path, version: (u32, u32)) -> Option<Self> {
        path.to_str()?;
        let metadata = fs::metadata(path).ok()?;
        let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos() as u64;
        Some(Self { path: path.to_owned(), len: metadata.len(), modified, version })
    }

    /// Whether the file is still there, unchanged.
    pub(super) fn is_current(&self) -> bool {
        Self::of(&self.path, self.version).as_ref() == Some(self)
    }
}

/// The start of a file; the compiler's path and the image follow.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Header {
    magic: [u8; 8],
    format: u32,
    path_len: u32,
    image_len: u64,
    library_len: u64,
    library_modified: u64,
    version: [u32; 2],
    key: [u8; 32],
    /// Over all that comes before it, the path and the image.
    checksum: [u8; 32],
}

const _: () = assert!(size_of::<Header>() == 112);
const CHECKED: usize = size_of::<Header>() - 32;

fn checksum(header: &Header, rest: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(&bytemuck::bytes_of(header)[..CHECKED]);
    hash.update(rest);
    hash.finalize().into()
}

/// The bytes of a file.
pub(super) fn encode(key: &Key, stamp: &Stamp, image: &[u8]) -> Vec<u8> {
    let path = stamp.path.to_str().unwrap_or_default().as_bytes();
    let rest = [path, image].concat();
    let mut header = Header {
        magic: MAGIC,
        format: FORMAT,
        path_len: path.len() as u32,
        image_len: image.len() as u64,
        library_len: stamp.len,
        library_modified: stamp.modified,
        version: [stamp.version.0, stamp.version.1],
        key: key.0,
        checksum: [0; 32],
    };
    header.checksum = checksum(&header, &rest);
    [bytemuck::bytes_of(&header), &rest].concat()
}

/// The compiler and the image in a file's bytes, if they are exactly what [`encode`] wrote for `key`.
pub(super) fn decode<'a>(key: &Key, bytes: &'a [u8]) -> Option<(Stamp, &'a [u8])> {
    let (header, rest) = bytes.split_at_checked(size_of::<Header>())?;
    let header: Header = bytemuck::pod_read_unaligned(header);
    let ours = header.magic == MAGIC && header.format == FORMAT && header.key == key.0;
    let whole = u64::from(header.path_len).checked_add(header.image_len) == Some(rest.len() as u64);
    if !(ours && whole && header.checksum == checksum(&header, rest)) {
        return None;
    }
    let (path, image) = rest.split_at(header.path_len as usize);
    let stamp = Stamp {
        path: std::str::from_utf8(path).ok()?.into(),
        len: header.library_len,
        modified: header.library_modified,
        version: header.version.into(),
    };
    Some((stamp, image))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Key, Stamp, Vec<u8>) {
        let key = Key::of([b"source".as_slice(), b"options"]);
        let stamp = Stamp { path: "/lib/libnvrtc.so.13".into(), len: 5, modified: 7, version: (13, 0) };
        let bytes = encode(&key, &stamp, b"an image");
        (key, stamp, bytes)
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let (key, stamp, bytes) = sample();
        assert_eq!(decode(&key, &bytes), Some((stamp, b"an image".as_slice())));
    }

    #[test]
    fn every_truncation_and_every_changed_byte_is_refused() {
        let (key, _, bytes) = sample();
        for len in 0..bytes.len() {
            assert_eq!(decode(&key, &bytes[..len]), None, "cut to {len} bytes");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            assert_eq!(decode(&key, &changed), None, "byte {at} changed");
        }
        assert_eq!(decode(&key, &[bytes.as_slice(), b"x"].concat()), None, "one byte more");
    }

    #[test]
    fn an_entry_of_another_key_is_refused() {
        let (_, _, bytes) = sample();
        assert_eq!(decode(&Key::of([b"other".as_slice()]), &bytes), None);
    }

    #[test]
    fn keys_tell_parts_apart() {
        let key = |parts: &[&'static str]| Key::of(parts.iter().map(|part| part.as_bytes()));
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_ne!(key(&["ab", ""]), key(&["ab"]));
        assert_eq!(key(&["ab", "c"]), key(&["ab", "c"]));
    }

    #[test]
    fn a_stamp_is_current_until_its_file_changes_or_goes() {
        let scratch = super::super::scratch::Scratch::new("entry-stamp");
        let file = scratch.write("libnvrtc.so", b"one");
        let stamp = Stamp::of(&file, (13, 0)).unwrap();
        assert!(stamp.is_current());
        scratch.write("libnvrtc.so", b"other");
        assert!(!stamp.is_current(), "the file's length changed");
        fs::remove_file(&file).unwrap();
        assert!(!stamp.is_current(), "the file is gone");
    }
}
