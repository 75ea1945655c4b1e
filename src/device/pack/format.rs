//! The file of a pack. All numbers are little endian; a text is its length in bytes, u32, and that many bytes of UTF-8.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | [`MAGIC`] |
//! | 4 | [`FORMAT`], u32 |
//! | 32 | SHA-256 over the two above and all that follows |
//! | 8 | NVRTC's version: major and minor, u32 each |
//! | text | the version of this crate |
//! | 4 | how many units, u32 |
//! | for each unit: | |
//! | 32 | SHA-256 of what its images were made from: [`text_key`](super::text_key) |
//! | text | what that is, for people |
//! | 4 | how many images, u32 |
//! | for each of its images: 16 | kind, u32: 0 PTX, 1 cubin; architecture, u32: 90 for 9.0; length in bytes, u64 |
//! | the rest | the images, in the order of the index, nothing between them and nothing after |
//!
//! What is read is not trusted: nothing is allocated by a number of the file that is not there in bytes.

use sha2::{Digest, Sha256};

use super::super::entry::Key;
use super::{Compiled, Contents, Kernels, Target};

pub(super) const MAGIC: [u8; 8] = *b"instepk\n";

/// To be raised with any change of the layout, or of what a key is made from.
pub(super) const FORMAT: u32 = 1;

/// Where the checksum begins and where it ends.
const SUM: [usize; 2] = [12, 44];

const PTX: u32 = 0;
const CUBIN: u32 = 1;

fn checksum(bytes: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(&bytes[..SUM[0]]);
    hash.update(&bytes[SUM[1]..]);
    hash.finalize().into()
}

/// The bytes of a file.
pub(super) fn encode(version: &str, compiler: (u32, u32), kernels: &[Compiled<'_>]) -> Vec<u8> {
    fn number(bytes: &mut Vec<u8>, number: u32) {
        bytes.extend(number.to_le_bytes());
    }
    fn text(bytes: &mut Vec<u8>, text: &str) {
        number(bytes, text.len() as u32);
        bytes.extend(text.as_bytes());
    }
    let mut bytes = MAGIC.to_vec();
    number(&mut bytes, FORMAT);
    bytes.extend([0; 32]);
    number(&mut bytes, compiler.0);
    number(&mut bytes, compiler.1);
    text(&mut bytes, version);
    number(&mut bytes, kernels.len() as u32);
    for Compiled { key, words, images } in kernels {
        bytes.extend(key.bytes());
        text(&mut bytes, words);
        number(&mut bytes, images.len() as u32);
        for (target, image) in images {
            number(&mut bytes, if matches!(target, Target::Cubin(_)) { CUBIN } else { PTX });
            number(&mut bytes, target.architecture());
            bytes.extend((image.len() as u64).to_le_bytes());
        }
    }
    bytes.extend(kernels.iter().flat_map(|unit| &unit.images).flat_map(|(_, image)| image));
    let sum = checksum(&bytes);
    bytes[SUM[0]..SUM[1]].copy_from_slice(&sum);
    bytes
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn bytes(&mut self, len: usize) -> Result<&'a [u8], String> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or("its index goes past its end")?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    fn number(&mut self) -> Result<u32, String> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn text(&mut self) -> Result<&'a str, String> {
        let len = self.number()? as usize;
        std::str::from_utf8(self.bytes(len)?).map_err(|_| "a text in it is no UTF-8".to_owned())
    }
}

/// What `bytes` hold, or what is wrong with them: a clause for people.
pub(super) fn decode(bytes: Vec<u8>) -> Result<Contents, String> {
    if bytes.get(..MAGIC.len()) != Some(&MAGIC) {
        return Err("it is no pack of kernels".to_owned());
    }
    if bytes.len() < SUM[1] {
        return Err("it is cut off".to_owned());
    }
    let mut rest = Rest(&bytes[MAGIC.len()..]);
    let format = rest.number()?;
    if format != FORMAT {
        return Err(format!("it is of format {format}, and this build reads format {FORMAT}: make it anew"));
    }
    if rest.array()? != checksum(&bytes) {
        return Err("it is damaged or cut off: its checksum is another".to_owned());
    }
    let compiler = (rest.number()?, rest.number()?);
    let version = rest.text()?.to_owned();
    let mut units = Vec::new();
    for _ in 0..rest.number()? {
        let (key, words) = (Key::from_bytes(rest.array()?), rest.text()?.to_owned());
        let mut images = Vec::new();
        for _ in 0..rest.number()? {
            let (kind, architecture) = (rest.number()?, rest.number()?);
            let target = match kind {
                PTX => Target::Ptx(architecture),
                CUBIN => Target::Cubin(architecture),
                other => return Err(format!("an image in it is of kind {other}")),
            };
            images.push((target, u64::from_le_bytes(rest.array()?)));
        }
        units.push((key, words, images));
    }
    let mut begin = bytes.len() - rest.0.len();
    let mut kernels = Vec::with_capacity(units.len());
    for (key, words, lengths) in units {
        let mut images = Vec::with_capacity(lengths.len());
        for (target, len) in lengths {
            let end = usize::try_from(len).ok().and_then(|len| begin.checked_add(len));
            let end = end.filter(|end| *end <= bytes.len()).ok_or("an image in it goes past its end")?;
            let image = &bytes[begin..end];
            // The driver reads a text up to its closing zero.
            if image.is_empty() || (matches!(target, Target::Ptx(_)) && image.last() != Some(&0)) {
                return Err(format!("its image for {target} of {words} is not whole"));
            }
            images.push((target, begin..end));
            begin = end;
        }
        kernels.push(Kernels { key, words, images });
    }
    match begin == bytes.len() {
        true => Ok(Contents { bytes, version, compiler, kernels }),
        false => Err("there is more in it than its index says".to_owned()),
    }
}
