//! The file of a pack, whole and damaged, and which image a device gets. No compiler, no device.

use super::*;

const UNIT: &str = "adamw (param f32, grad f32)";

fn key(text: &str) -> Key {
    Key::of([text.as_bytes()])
}

fn images(targets: &[&str]) -> Vec<(Target, Vec<u8>)> {
    let image = |text: &&str| (Target::parse(text).unwrap(), format!("{text}\0").into_bytes());
    targets.iter().map(image).collect()
}

fn bytes_of(version: &str) -> Vec<u8> {
    let unit = |name, words, targets: &[&str]| Compiled { key: key(name), words, images: images(targets) };
    let kernels = [unit("a", UNIT, &["sm_80", "sm_86", "compute_90"]), unit("b", "b", &["sm_90"])];
    format::encode(version, (13, 0), &kernels)
}

/// With the checksum that belongs to it, so that what comes behind it is looked at.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new_with_prefix(&bytes[..12]);
    hash.update(&bytes[44..]);
    bytes[12..44].copy_from_slice(&hash.finalize());
    bytes
}

fn image_for(pack: &Pack, device: (u32, u32)) -> Result<String> {
    let image = pack.image(&key("a"), device, || "what is wanted".to_owned())?;
    Ok(String::from_utf8(image.to_vec()).unwrap())
}

#[test]
fn what_was_written_is_read() {
    let pack = Pack::from_bytes(bytes_of("1.2.3")).unwrap();
    assert_eq!((pack.version(), pack.compiler(), pack.kernels().len()), ("1.2.3", (13, 0), 2));
    let first = pack.kernels().next().unwrap();
    assert_eq!((first.words(), first.hash()), (UNIT, key("a").to_string()));
    let expected = [("sm_80", 6), ("sm_86", 6), ("compute_90", 11)].map(|(name, len)| (name.to_owned(), len));
    assert_eq!(first.images().collect::<Vec<_>>(), expected);
    assert_eq!(Pack::from_bytes(pack.as_bytes()).unwrap().as_bytes(), bytes_of("1.2.3"));
}

#[test]
fn every_truncation_and_every_changed_byte_is_refused() {
    let bytes = bytes_of("1.2.3");
    let refused = |bytes: &[u8], what: &str| {
        let error = Pack::from_bytes(bytes).expect_err(what);
        assert!(matches!(error, Error::Format { .. }), "{what}: {error:?}");
    };
    for len in 0..bytes.len() {
        refused(&bytes[..len], &format!("cut to {len} bytes"));
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            refused(&changed, &format!("bit {bit} of byte {at} changed"));
        }
    }
    refused(&[&bytes[..], b"x"].concat(), "one byte more");
}

#[test]
fn a_file_whose_checksum_is_right_and_whose_index_is_not_is_refused_and_asks_for_no_memory() {
    let bytes = bytes_of("1.2.3");
    for len in 44..bytes.len() {
        assert!(Pack::from_bytes(sealed(bytes[..len].to_vec())).is_err(), "cut to {len} bytes");
    }
    assert!(Pack::from_bytes(sealed([&bytes[..], b"x"].concat())).is_err(), "one byte more");
    for at in 44..bytes.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut changed = bytes.clone();
            changed[at] = value;
            // A changed key, word or image may be one; there is no panic, and nothing beyond the bytes.
            if let Ok(pack) = Pack::from_bytes(sealed(changed)) {
                let all: usize = pack.kernels().flat_map(|kernel| kernel.images()).map(|(_, len)| len).sum();
                assert!(all < bytes.len());
            }
        }
    }
    let mut counts = bytes.clone();
    let units = 44 + 8 + 4 + 5;
    counts[units..units + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(Pack::from_bytes(sealed(counts)).is_err(), "four billion units");
}

#[test]
fn ptx_without_its_closing_zero_is_refused() {
    let open = [Compiled { key: key("a"), words: UNIT, images: vec![(Target::Ptx(90), b".version".to_vec())] }];
    let error = Pack::from_bytes(format::encode("1", (13, 0), &open)).unwrap_err().to_string();
    assert_eq!(error, format!("pack: its image for compute_90 of {UNIT} is not whole"));
}

#[test]
fn what_is_no_pack_or_of_another_format_is_told_so() {
    let told = |bytes: Vec<u8>| Pack::from_bytes(bytes).unwrap_err().to_string();
    assert_eq!(told(b"\x7fELF, and more".to_vec()), "pack: it is no pack of kernels");
    assert_eq!(told(format::MAGIC.to_vec()), "pack: it is cut off");
    let mut later = bytes_of("1.2.3");
    later[8..12].copy_from_slice(&2u32.to_le_bytes());
    assert_eq!(told(sealed(later)), "pack: it is of format 2, and this build reads format 1: make it anew");
    let absent = Pack::read("/nowhere/kernels.pack").unwrap_err();
    assert!(matches!(&absent, Error::Argument { argument, .. } if argument == "pack"), "{absent:?}");
}

#[test]
fn a_device_gets_machine_code_of_its_own_then_of_its_major_version_then_ptx() {
    let pack = Pack::from_bytes(bytes_of("1.2.3")).unwrap();
    for (device, expected) in
        [((8, 0), "sm_80"), ((8, 6), "sm_86"), ((8, 9), "sm_86"), ((9, 0), "compute_90"), ((12, 1), "compute_90")]
    {
        assert_eq!(image_for(&pack, device).unwrap(), format!("{expected}\0"), "{device:?}");
    }
    let error = image_for(&pack, (7, 5)).unwrap_err();
    assert!(matches!(error, Error::NoKernel { compute_capability: (7, 5), .. }), "{error:?}");
    assert!(error.to_string().contains("it has them for sm_80, sm_86, compute_90 alone"), "{error}");
}

#[test]
fn a_unit_that_is_not_there_is_named_beside_those_that_are() {
    let wanted = |version: &str| {
        let pack = Pack::from_bytes(bytes_of(version)).unwrap();
        pack.image(&key("c"), (8, 0), || "lion (param f32, grad f32)".to_owned()).unwrap_err().to_string()
    };
    let ours = env!("CARGO_PKG_VERSION");
    let start = "the pack has no kernels for lion (param f32, grad f32) on compute capability 8.0: ";
    assert_eq!(wanted(ours), format!("{start}make one with it; it has\n  {UNIT}\n  b"));
    let other = format!("it was made by version 0.0.0 of instep, and this is {ours}: make it anew");
    assert_eq!(wanted("0.0.0"), format!("{start}{other}; it has\n  {UNIT}\n  b"));
}
