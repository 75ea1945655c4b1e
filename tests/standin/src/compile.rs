//! Compiles `csrc/` into a folder of its own, named after the hash of all that decides the outcome. Safe to call from many
//! threads and processes at once: one builds under a file lock, and the finished folder appears by a rename.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

const COMPILERS: [&str; 3] = ["c++", "g++", "clang++"];
const FLAGS: [&str; 7] = ["-std=c++17", "-O2", "-g1", "-Wall", "-fPIC", "-fvisibility=hidden", "-pthread"];
/// Each library, and the name that other software also opens it by.
const LIBRARIES: [(&str, &str); 2] = [("libcuda.so", "libcuda.so.1"), ("libnvrtc.so", "libnvrtc.so.13")];

/// Compiles the stand-in, unless that was done before, and returns the folder with `libcuda.so` and `libnvrtc.so`.
/// The error names the missing compiler, or holds what it printed.
pub fn build() -> Result<PathBuf, String> {
    let compiler = find_compiler()?;
    let sources = Sources::read()?;
    let home = target_folder()?.join("cuda-on-cpu");
    fs::create_dir_all(&home).map_err(|e| failed("create", &home, e))?;
    let folder = home.join(format!("{:016x}", sources.hash(&compiler)));
    if folder.exists() {
        return Ok(folder);
    }
    let lock_path = home.join("lock");
    let lock = fs::File::create(&lock_path).map_err(|e| failed("create", &lock_path, e))?;
    lock.lock().map_err(|e| failed("lock", &lock_path, e))?;
    if folder.exists() {
        return Ok(folder);
    }
    let scratch = home.join(format!("building-{}", std::process::id()));
    let _ = fs::remove_dir_all(&scratch);
    fs::create_dir_all(&scratch).map_err(|e| failed("create", &scratch, e))?;
    sources.compile(&compiler.name, &scratch).inspect_err(|_| drop(fs::remove_dir_all(&scratch)))?;
    fs::rename(&scratch, &folder).map_err(|e| failed("rename", &scratch, e))?;
    Ok(folder)
}

struct Compiler {
    name: String,
    version: String,
}

fn find_compiler() -> Result<Compiler, String> {
    for name in COMPILERS {
        if let Ok(output) = Command::new(name).arg("--version").output()
            && output.status.success()
        {
            let version = String::from_utf8_lossy(&output.stdout).into_owned();
            return Ok(Compiler { name: name.to_owned(), version });
        }
    }
    Err(format!("no C++ compiler: tried {}", COMPILERS.join(", ")))
}

/// The `target` folder that the running test lies in; for a program from elsewhere, the folder for temporary files.
fn target_folder() -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(|e| format!("the running program has no path: {e}"))?;
    let tagged = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    Ok(tagged.map_or_else(std::env::temp_dir, Path::to_path_buf))
}

fn failed(verb: &str, path: &Path, error: Error) -> String {
    format!("cannot {verb} {}: {error}", path.display())
}

/// Names and contents of `csrc/`, in order.
struct Sources(Vec<(String, String)>);

impl Sources {
    fn read() -> Result<Self, String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("csrc");
        let mut files = Vec::new();
        for entry in fs::read_dir(&folder).map_err(|e| failed("read", &folder, e))? {
            let path = entry.map_err(|e| failed("read", &folder, e))?.path();
            if path.extension().is_some_and(|e| e == "cpp" || e == "h") {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                files.push((name, fs::read_to_string(&path).map_err(|e| failed("read", &path, e))?));
            }
        }
        files.sort();
        Ok(Self(files))
    }

    fn hash(&self, compiler: &Compiler) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.0, &compiler.name, &compiler.version, FLAGS).hash(&mut hasher);
        hasher.finish()
    }

    /// Compiles a copy of the sources in `folder`; the headers stay there, for kernels are compiled against them.
    fn compile(&self, compiler: &str, folder: &Path) -> Result<(), String> {
        for (name, text) in &self.0 {
            let path = folder.join(name);
            fs::write(&path, text).map_err(|e| failed("write", &path, e))?;
        }
        let sources: Vec<&str> = self.0.iter().map(|(name, _)| name.as_str()).filter(|n| n.ends_with(".cpp")).collect();
        let waiting = Mutex::new(sources.clone());
        let next = || waiting.lock().ok()?.pop();
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            let worker = || -> Result<(), String> {
                while let Some(source) = next() {
                    run(Command::new(compiler).args(FLAGS).args(["-c", source, "-o", &object(source)]), folder)?;
                }
                Ok(())
            };
            let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(worker)).collect();
            workers.into_iter().try_for_each(|w| w.join().map_err(|_| "a compiling thread died".to_owned())?)
        })?;
        for (library, alias) in LIBRARIES {
            let own = sources.iter().filter(|source| library_of(source) == library);
            let objects: Vec<String> = own.map(|source| object(source)).collect();
            link(compiler, library, &objects, &["-ldl"], folder)?;
            // Not a link to the file: a `dlopen` of this name must find a library whose SONAME it is.
            let through = ["-Wl,--no-as-needed", "-L.", &format!("-l:{library}"), "-Wl,-rpath,$ORIGIN"];
            link(compiler, alias, &[], &through, folder)?;
        }
        for source in sources {
            for path in [folder.join(source), folder.join(object(source))] {
                fs::remove_file(&path).map_err(|e| failed("remove", &path, e))?;
            }
        }
        Ok(())
    }
}

fn library_of(source: &str) -> &'static str {
    if source.starts_with("nvrtc") { "libnvrtc.so" } else { "libcuda.so" }
}

fn object(source: &str) -> String {
    format!("{source}.o")
}

fn link(compiler: &str, library: &str, objects: &[String], extra: &[&str], folder: &Path) -> Result<(), String> {
    let soname = format!("-Wl,-soname,{library}");
    run(Command::new(compiler).args(["-shared", "-pthread", "-o", library, &soname]).args(objects).args(extra), folder)
}

fn run(command: &mut Command, folder: &Path) -> Result<(), String> {
    let output = command.current_dir(folder).output().map_err(|e| format!("cannot run {command:?}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr)))
}
