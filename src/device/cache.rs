//! Compiled images, in memory for the process and on disk for the next one. Start at [`Cache::image`].
//!
//! **What an entry stands for.** The key holds all that decides the image save NVRTC itself. To ask NVRTC for its version
//! it would have to be loaded, which takes 5 ms where the system has its 100 MB at hand and 150 ms where not, as long as a
//! small compilation. So the key holds what decides *which* NVRTC is found, and the entry holds that NVRTC's version, path,
//! length and time: it counts only while that very file is there. A newer NVRTC that appears in a place that is searched
//! earlier is first used for the next new key; the images of the old one stay right.
//!
//! **On disk** an entry is one file, written under a temporary name and renamed, so a reader sees a whole file or none.
//! What does not decode is compiled again and replaced. A folder that cannot be read or written costs time, never an error.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use etcetera::BaseStrategy;

use super::entry::{self, Key, Stamp};
use crate::error::Result;

/// Beyond this many bytes on disk, the oldest entries go.
const LIMIT: u64 = 256 << 20;

/// A temporary file this old belongs to a process that died while it wrote.
const ABANDONED: Duration = Duration::from_secs(3_600);

type Slot = Arc<Mutex<Option<Arc<[u8]>>>>;

/// The images of one folder, or of no folder.
#[derive(Debug)]
pub(super) struct Cache {
    folder: Option<PathBuf>,
    limit: u64,
    /// A slot is locked while its image is compiled, so that threads that want the same one wait for it.
    slots: Mutex<HashMap<Key, Slot>>,
}

/// A freshly compiled image, and the compiler that made it where its file is known.
pub(super) type Compiled = (Vec<u8>, Option<Stamp>);

impl Cache {
    /// The process's cache, in `INSTEP_CACHE_DIR` or else in the user's cache folder. The value `0`, or an empty one, keeps
    /// it off the disk.
    pub(super) fn of_process() -> &'static Self {
        static CACHE: LazyLock<Cache> = LazyLock::new(|| {
            let folder = match std::env::var_os("INSTEP_CACHE_DIR") {
                Some(value) if value.is_empty() || value == "0" => None,
                Some(value) => Some(PathBuf::from(value)),
                None => etcetera::choose_base_strategy().ok().map(|user| user.cache_dir().join("instep")),
            };
            Cache::new(folder, LIMIT)
        });
        &CACHE
    }

    /// A cache of this process alone.
    #[cfg(test)]
    pub(super) fn in_memory() -> Self {
        Self::new(None, 0)
    }

    fn new(folder: Option<PathBuf>, limit: u64) -> Self {
        Self { folder, limit, slots: Mutex::default() }
    }

    /// Where the images are kept; None where they are not.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// The image of `key`: from memory, else from disk, else from `compile`. A failure is not remembered.
    pub(super) fn image(&self, key: Key, compile: impl FnOnce() -> Result<Compiled>) -> Result<Arc<[u8]>> {
        let slot = self.slots.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone();
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(image) = &*slot {
            return Ok(image.clone());
        }
        let image = match self.read(&key) {
            Some(image) => image,
            None => {
                let (image, stamp) = compile()?;
                if let (Some(folder), Some(stamp)) = (&self.folder, stamp) {
                    // The image is there; that the next process has to compile again is no reason to fail.
                    let _ = write(folder, &key, &entry::encode(&key, &stamp, &image), self.limit);
                }
                image.into()
            }
        };
        *slot = Some(image.clone());
        Ok(image)
    }

    fn read(&self, key: &Key) -> Option<Arc<[u8]>> {
        let bytes = fs::read(self.folder.as_ref()?.join(file_name(key))).ok()?;
        let (stamp, image) = entry::decode(key, &bytes)?;
        stamp.is_current().then(|| image.into())
    }
}

fn file_name(key: &Key) -> String {
    format!("{key}.bin")
}

/// Puts `bytes` in the place of `key`, whole or not at all, and makes room for them.
fn write(folder: &Path, key: &Key, bytes: &[u8], limit: u64) -> io::Result<()> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    fs::create_dir_all(folder)?;
    make_room(folder, limit.saturating_sub(bytes.len() as u64))?;
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let temporary = folder.join(format!("{key}.{}.{number}.tmp", std::process::id()));
    let written = File::create_new(&temporary)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&temporary, folder.join(file_name(key))));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Deletes the oldest entries until the others have at most `limit` bytes, and files that a dead process left half-written.
fn make_room(folder: &Path, limit: u64) -> io::Result<()> {
    let now = SystemTime::now();
    let mut entries = Vec::new();
    for file in fs::read_dir(folder)?.flatten() {
        let (path, Ok(metadata)) = (file.path(), file.metadata()) else { continue };
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("bin") => entries.push((modified, metadata.len(), path)),
            Some("tmp") if now.duration_since(modified).is_ok_and(|age| age > ABANDONED) => {
                let _ = fs::remove_file(path);
            }
            _ => {}
        }
    }
    entries.sort();
    let mut total: u64 = entries.iter().map(|(_, len, _)| len).sum();
    for (_, len, path) in entries {
        if total <= limit {
            break;
        }
        // Another process may have deleted it meanwhile, which frees the same bytes.
        let _ = fs::remove_file(path);
        total -= len;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
