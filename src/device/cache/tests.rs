//! The cache against damaged files, racing threads and processes, and folders that cannot be used.

use std::process::Command;

use super::super::scratch::Scratch;
use super::*;
use crate::error::Error;

/// A cache in `scratch`, and a stamp of a compiler that lies there too.
fn cache(scratch: &Scratch) -> (Cache, Stamp) {
    let library = scratch.join("libnvrtc.so");
    if !library.exists() {
        scratch.write("libnvrtc.so", b"a compiler");
    }
    (Cache::new(Some(scratch.join("cache")), LIMIT), Stamp::of(&library, (13, 0)).unwrap())
}

fn key(text: &str) -> Key {
    Key::of([text.as_bytes()])
}

fn never() -> Result<Compiled> {
    panic!("compiled, though the image was to be found")
}

#[test]
fn memory_then_disk_then_compiler() {
    let scratch = Scratch::new("cache-levels");
    let (first, stamp) = cache(&scratch);
    let image = first.image(key("a"), || Ok((b"image".to_vec(), Some(stamp)))).unwrap();
    assert_eq!(&*image, b"image");
    assert!(Arc::ptr_eq(&image, &first.image(key("a"), never).unwrap()), "memory gives the same allocation");
    let (second, _) = cache(&scratch);
    assert_eq!(&*second.image(key("a"), never).unwrap(), b"image", "a new process finds it on disk");
}

#[test]
fn a_failure_is_passed_on_and_not_remembered() {
    let (cache, stamp) = cache(&Scratch::new("cache-failure"));
    let failure = Error::NoNvrtc { detail: "none".into() };
    assert_eq!(cache.image(key("a"), || Err(failure.clone())), Err(failure.clone()));
    assert_eq!(&*cache.image(key("a"), || Ok((vec![1], Some(stamp)))).unwrap(), [1]);
}

#[test]
fn a_damaged_entry_is_compiled_again_and_replaced() {
    let scratch = Scratch::new("cache-damage");
    let (writer, stamp) = cache(&scratch);
    writer.image(key("a"), || Ok((b"image".to_vec(), Some(stamp.clone())))).unwrap();
    let file = scratch.join("cache").join(file_name(&key("a")));
    let whole = fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let foreign = entry::encode(&key("b"), &stamp, b"image of b");
    for (what, damaged) in
        [("cut", &whole[..whole.len() - 1]), ("empty", &[]), ("flipped", &flipped), ("foreign", &foreign)]
    {
        fs::write(&file, damaged).unwrap();
        let image = cache(&scratch).0.image(key("a"), || Ok((b"again".to_vec(), Some(stamp.clone())))).unwrap();
        assert_eq!(&*image, b"again", "a {what} entry was used");
        assert_eq!(&*cache(&scratch).0.image(key("a"), never).unwrap(), b"again", "a {what} entry was not replaced");
    }
}

#[test]
fn an_entry_counts_only_while_its_compiler_is_there_unchanged() {
    let scratch = Scratch::new("cache-compiler");
    let (writer, stamp) = cache(&scratch);
    writer.image(key("a"), || Ok((b"old".to_vec(), Some(stamp)))).unwrap();
    scratch.write("libnvrtc.so", b"another compiler");
    let (reader, stamp) = cache(&scratch);
    assert_eq!(&*reader.image(key("a"), || Ok((b"new".to_vec(), Some(stamp)))).unwrap(), b"new");
    assert_eq!(&*cache(&scratch).0.image(key("a"), never).unwrap(), b"new");
}

#[test]
fn a_folder_that_cannot_be_written_is_no_error() {
    let scratch = Scratch::new("cache-folder");
    let (_, stamp) = cache(&scratch);
    let file = scratch.write("a-file", b"");
    for folder in [Some(file.join("below")), Some(file), None] {
        let cache = Cache::new(folder, LIMIT);
        assert_eq!(&*cache.image(key("a"), || Ok((vec![7], Some(stamp.clone())))).unwrap(), [7]);
    }
}

#[test]
fn an_unknown_compiler_writes_no_entry() {
    let scratch = Scratch::new("cache-unknown");
    cache(&scratch).0.image(key("a"), || Ok((vec![7], None))).unwrap();
    assert!(!scratch.join("cache").exists());
}

#[test]
fn the_oldest_entries_go_first_when_the_folder_is_full() {
    let scratch = Scratch::new("cache-limit");
    let (_, stamp) = cache(&scratch);
    let folder = scratch.join("cache");
    let entry_len = entry::encode(&key("0"), &stamp, &[0; 1000]).len() as u64;
    let cache = Cache::new(Some(folder.clone()), 3 * entry_len);
    let now = SystemTime::now();
    let set_age = |path: &Path, seconds| {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(now - Duration::from_secs(seconds)).unwrap();
    };
    for n in 0..5 {
        let name = key(&n.to_string());
        cache.image(name, || Ok((vec![n; 1000], Some(stamp.clone())))).unwrap();
        set_age(&folder.join(file_name(&name)), 100 - u64::from(n));
    }
    let left: Vec<bool> = (0..5).map(|n| folder.join(file_name(&key(&n.to_string()))).exists()).collect();
    assert_eq!(left, [false, false, true, true, true]);

    let (abandoned, in_use) = (scratch.write("cache/x.tmp", b"half"), scratch.write("cache/y.tmp", b"half"));
    set_age(&abandoned, 2 * ABANDONED.as_secs());
    make_room(&folder, LIMIT).unwrap();
    assert!(!abandoned.exists() && in_use.exists(), "only an old temporary file is abandoned");
}

#[test]
fn threads_that_want_one_image_compile_it_once() {
    let scratch = Scratch::new("cache-threads");
    let (cache, stamp) = cache(&scratch);
    let compilations = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let image = cache.image(key("a"), || {
                    compilations.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(20));
                    Ok((vec![3; 100_000], Some(stamp.clone())))
                });
                assert_eq!(&*image.unwrap(), [3; 100_000]);
            });
        }
    });
    assert_eq!(compilations.into_inner(), 1);
}

#[test]
#[ignore = "one of the processes of the test below"]
fn racing_process() {
    let folder = PathBuf::from(std::env::var_os("INSTEP_TEST_RACE").expect("set by the test that starts this process"));
    let stamp = Stamp::of(&folder.join("libnvrtc.so"), (13, 0)).unwrap();
    let expected = vec![0xA5; 300_000];
    let bytes = entry::encode(&key("raced"), &stamp, &expected);
    for round in 0..100 {
        write(&folder.join("cache"), &key("raced"), &bytes, LIMIT).unwrap();
        let image = Cache::new(Some(folder.join("cache")), LIMIT).image(key("raced"), never).unwrap();
        assert!(*image == *expected, "torn in round {round}");
    }
}

#[test]
fn processes_that_write_one_entry_at_once_do_not_tear_it() {
    let scratch = Scratch::new("cache-race");
    cache(&scratch);
    let race = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "device::cache::tests::racing_process", "--ignored", "--quiet"])
            .env("INSTEP_TEST_RACE", scratch.join(""))
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    let racers: Vec<_> = (0..4).map(|_| race()).collect();
    for mut racer in racers {
        assert!(racer.wait().unwrap().success());
    }
    let left: Vec<_> = fs::read_dir(scratch.join("cache")).unwrap().flatten().map(|file| file.file_name()).collect();
    assert_eq!(left, [file_name(&key("raced")).as_str()], "one entry, no temporary file");
}
