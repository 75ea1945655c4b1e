//! Where NVRTC may lie, in order: the library that `INSTEP_NVRTC` names, and nothing else where it is set; one that the
//! process has loaded already; the system's loader; CUDA's folders; the NVIDIA packages in Python's folders.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

/// The variable that names NVRTC, as a file or a folder.
pub(super) const OVERRIDE: &str = "INSTEP_NVRTC";

/// What the search, or the system's loader, looks at.
const VARIABLES: [&str; 7] =
    [OVERRIDE, "LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_PATH", "VIRTUAL_ENV", "CONDA_PREFIX", "HOME"];

/// The newest first; the bare name first, as it is what an administrator points at the preferred version.
const NAMES: &[&str] = if cfg!(windows) {
    &["nvrtc64_130_0.dll", "nvrtc64_120_0.dll", "nvrtc64_112_0.dll"]
} else {
    &["libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11", "libnvrtc.so.11.2"]
};

/// One library to try.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Candidate {
    /// Already in the process, under this name.
    Loaded(&'static str),
    /// A name for the system's loader.
    Name(&'static str),
    /// A file that exists, or that the user named.
    File(PathBuf),
}

/// The environment that decides which NVRTC is found.
#[derive(Debug, Clone)]
pub(super) struct Environment {
    variables: Vec<(&'static str, OsString)>,
    /// The name under which the process has an NVRTC that we did not load.
    loaded: Option<&'static str>,
    /// `/`, save in tests.
    root: PathBuf,
}

impl Environment {
    /// Of this process. `is_loaded` tells whether a library of that name is in the process.
    pub(super) fn of_process(is_loaded: impl Fn(&'static str) -> bool) -> Self {
        let variables = VARIABLES.iter().filter_map(|&name| Some((name, std::env::var_os(name)?))).collect();
        Self { variables, loaded: NAMES.iter().copied().find(|name| is_loaded(name)), root: PathBuf::from("/") }
    }

    /// The value of `name`, where it is set and not empty.
    fn get(&self, name: &str) -> Option<&OsStr> {
        let (_, value) = self.variables.iter().find(|(n, _)| *n == name)?;
        (!value.is_empty()).then_some(value)
    }

    /// The value of `INSTEP_NVRTC`.
    pub(super) fn override_path(&self) -> Option<&Path> {
        self.get(OVERRIDE).map(Path::new)
    }

    /// Everything that the search depends on but the files, as bytes for a cache key.
    pub(super) fn fingerprint(&self) -> Vec<u8> {
        format!("{:?} {:?}", self.variables, self.loaded).into_bytes()
    }

    /// What to try, in order.
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        if let Some(path) = self.override_path() {
            return if path.is_dir() {
                in_folder(path).map(Candidate::File).collect()
            } else {
                vec![Candidate::File(path.to_path_buf())]
            };
        }
        let names = NAMES.iter().copied().map(Candidate::Name);
        let files = self.folders().into_iter().flat_map(|folder| in_folder(&folder).collect::<Vec<_>>());
        self.loaded.map(Candidate::Loaded).into_iter().chain(names).chain(files.map(Candidate::File)).collect()
    }

    /// Folders that may hold the library, CUDA's before Python's.
    fn folders(&self) -> Vec<PathBuf> {
        let mut toolkits: Vec<PathBuf> = ["CUDA_HOME", "CUDA_PATH"].iter().filter_map(|n| self.path(n)).collect();
        toolkits.extend(children(&self.root.join("usr/local"), "cuda"));
        let mut folders: Vec<PathBuf> =
            toolkits.iter().flat_map(|t| ["lib64", "lib", "bin"].map(|lib| t.join(lib))).collect();

        let environments: Vec<PathBuf> = ["VIRTUAL_ENV", "CONDA_PREFIX"].iter().filter_map(|n| self.path(n)).collect();
        folders.extend(environments.iter().map(|e| e.join("lib")));
        let mut prefixes: Vec<PathBuf> = environments.iter().map(|e| e.join("lib")).collect();
        prefixes.extend(self.path("HOME").map(|home| home.join(".local/lib")));
        prefixes.extend(["usr/local/lib", "usr/lib"].map(|lib| self.root.join(lib)));
        for python in prefixes.iter().flat_map(|prefix| children(prefix, "python3")) {
            for packages in ["site-packages", "dist-packages"] {
                let nvidia = python.join(packages).join("nvidia");
                folders.extend(["cu13/lib", "cuda_nvrtc/lib"].map(|lib| nvidia.join(lib)));
            }
        }
        folders
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }
}

/// The libraries that exist in `folder`, in the order of [`NAMES`].
fn in_folder(folder: &Path) -> impl Iterator<Item = PathBuf> {
    NAMES.iter().map(move |name| folder.join(name)).filter(|path| path.is_file())
}

/// NVRTC's own companions in the folder of `library`, which the loader does not find by itself in such a place.
pub(super) fn builtins_beside(library: &Path) -> Vec<PathBuf> {
    library.parent().map(|folder| children(folder, "libnvrtc-builtins.so.")).unwrap_or_default()
}

/// The entries of `folder` whose name is `prefix` or begins with it: the bare name first, then the newest version.
fn children(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<(Vec<u32>, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(prefix)?;
            let numbers = version.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
            Some((if version.is_empty() { vec![u32::MAX] } else { numbers }, entry.path()))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, path)| path).collect()
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::super::scratch::Scratch;
    use super::*;

    fn environment(scratch: &Scratch, variables: &[(&'static str, &str)]) -> Environment {
        let variables = variables.iter().map(|&(name, path)| (name, scratch.join(path).into_os_string())).collect();
        Environment { variables, loaded: None, root: scratch.join("") }
    }

    fn files(environment: &Environment) -> Vec<PathBuf> {
        let files = environment.candidates().into_iter();
        files.filter_map(|c| if let Candidate::File(path) = c { Some(path) } else { None }).collect()
    }

    #[test]
    fn the_override_excludes_every_other_place() {
        let scratch = Scratch::new("search-override");
        scratch.write("usr/local/cuda/lib64/libnvrtc.so", b"");
        scratch.write("mine/libnvrtc.so.12", b"");
        scratch.write("mine/libnvrtc.so.13", b"");
        let folder = environment(&scratch, &[(OVERRIDE, "mine")]);
        let expected = ["mine/libnvrtc.so.13", "mine/libnvrtc.so.12"].map(|p| Candidate::File(scratch.join(p)));
        assert_eq!(folder.candidates(), expected);

        let absent = environment(&scratch, &[(OVERRIDE, "gone/libnvrtc.so")]);
        assert_eq!(absent.candidates(), [Candidate::File(scratch.join("gone/libnvrtc.so"))]);
        let empty = Environment { variables: vec![(OVERRIDE, OsString::new())], ..absent };
        assert_eq!(files(&empty), [scratch.join("usr/local/cuda/lib64/libnvrtc.so")], "an empty value is no override");
    }

    #[test]
    fn loaded_then_names_then_toolkits_then_python() {
        let scratch = Scratch::new("search-order");
        let in_order = [
            "home-cuda/lib64/libnvrtc.so.12",
            "usr/local/cuda/lib64/libnvrtc.so",
            "usr/local/cuda-13.0/lib64/libnvrtc.so",
            "usr/local/cuda-12.10/lib64/libnvrtc.so",
            "usr/local/cuda-12.9/lib64/libnvrtc.so",
            "venv/lib/python3.12/site-packages/nvidia/cu13/lib/libnvrtc.so.13",
            "venv/lib/python3.9/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12",
            "home/.local/lib/python3.11/site-packages/nvidia/cu13/lib/libnvrtc.so.13",
            "usr/lib/python3.11/dist-packages/nvidia/cu13/lib/libnvrtc.so.13",
        ];
        for path in in_order.iter().rev() {
            scratch.write(path, b"");
        }
        let variables = [("HOME", "home"), ("VIRTUAL_ENV", "venv"), ("CUDA_HOME", "home-cuda")];
        let environment = environment(&scratch, &variables);
        assert_eq!(files(&environment), in_order.map(|path| scratch.join(path)));

        let with_loaded = Environment { loaded: Some("libnvrtc.so.12"), ..environment };
        let candidates = with_loaded.candidates();
        assert_eq!(candidates[..2], [Candidate::Loaded("libnvrtc.so.12"), Candidate::Name("libnvrtc.so")]);
        assert!(matches!(candidates[1 + NAMES.len()], Candidate::File(_)), "names come before files");
    }

    #[test]
    fn the_fingerprint_changes_with_what_decides_the_search() {
        let scratch = Scratch::new("search-fingerprint");
        let plain = environment(&scratch, &[("HOME", "home")]);
        let moved = environment(&scratch, &[("HOME", "home"), ("LD_LIBRARY_PATH", "lib")]);
        let loaded = Environment { loaded: Some("libnvrtc.so"), ..plain.clone() };
        assert_ne!(plain.fingerprint(), moved.fingerprint());
        assert_ne!(plain.fingerprint(), loaded.fingerprint());
    }

    #[test]
    fn builtins_are_those_of_the_same_folder() {
        let scratch = Scratch::new("search-builtins");
        for name in ["libnvrtc-builtins.so.13.0", "libnvrtc-builtins.alt.so.13.0", "libnvrtc.so.13"] {
            scratch.write(name, b"");
        }
        let found = builtins_beside(&scratch.join("libnvrtc.so.13"));
        assert_eq!(found, [scratch.join("libnvrtc-builtins.so.13.0")]);
    }
}
