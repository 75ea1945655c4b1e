//! What is compiled for: the machine code of one architecture, or portable code. Start at [`Target`].

use std::fmt;

use crate::error::{Error, Result, quoted};

/// The architecture of an image; 90 stands for compute capability 9.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// Portable code, PTX, that the driver translates for this architecture or a later one.
    Ptx(u32),
    /// Machine code, a cubin, for this architecture and those of the same major version with a later minor one.
    Cubin(u32),
}

/// As NVRTC and nvcc write it: `sm_90`, `compute_90`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Cubin(architecture) => write!(f, "sm_{architecture}"),
            Target::Ptx(architecture) => write!(f, "compute_{architecture}"),
        }
    }
}

impl Target {
    /// Reads `sm_90` or `compute_90`.
    pub fn parse(text: &str) -> Result<Target> {
        let target = text.split_once('_').and_then(|(kind, digits)| {
            let plain = matches!(digits.len(), 2 | 3) && digits.bytes().all(|byte| byte.is_ascii_digit());
            let architecture = plain.then(|| digits.parse().ok()).flatten().filter(|number| *number >= 10)?;
            match kind {
                "sm" => Some(Target::Cubin(architecture)),
                "compute" => Some(Target::Ptx(architecture)),
                _ => None,
            }
        });
        let rule = "must be a compute capability of two or three digits behind sm_, for machine code, or compute_, for \
                    PTX: sm_90, compute_100";
        target.ok_or_else(|| Error::argument("architecture", quoted(text), rule))
    }

    /// For the device: a cubin where `known`, which is ascending, has it; else PTX for the newest before it. None where all of it
    /// is later than the device.
    pub fn of(known: &[u32], (major, minor): (u32, u32)) -> Option<Target> {
        let device = major * 10 + minor;
        let newest = known.iter().copied().take_while(|&architecture| architecture <= device).last()?;
        Some(if newest == device { Target::Cubin(device) } else { Target::Ptx(newest) })
    }

    /// The number of its architecture.
    pub fn architecture(self) -> u32 {
        match self {
            Target::Cubin(architecture) | Target::Ptx(architecture) => architecture,
        }
    }

    /// Whether a device of this compute capability runs it.
    pub fn runs_on(self, (major, minor): (u32, u32)) -> bool {
        match self {
            Target::Cubin(of) => of / 10 == major && of % 10 <= minor,
            Target::Ptx(of) => (of / 10, of % 10) <= (major, minor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_device_gets_a_cubin_and_a_later_one_gets_ptx() {
        let known = [75, 80, 90, 120];
        assert_eq!(Target::of(&known, (9, 0)), Some(Target::Cubin(90)));
        assert_eq!(Target::of(&known, (10, 3)), Some(Target::Ptx(90)));
        assert_eq!(Target::of(&known, (13, 0)), Some(Target::Ptx(120)));
        assert_eq!(Target::of(&known, (7, 0)), None, "PTX for a later architecture does not run on an earlier one");
    }

    #[test]
    fn machine_code_runs_within_its_major_version_and_ptx_on_all_that_is_later() {
        let runs = |text: &str, device| Target::parse(text).unwrap().runs_on(device);
        assert!(runs("sm_80", (8, 0)) && runs("sm_80", (8, 9)) && runs("sm_100", (10, 3)));
        assert!(!runs("sm_86", (8, 0)) && !runs("sm_80", (9, 0)) && !runs("sm_90", (8, 9)));
        assert!(runs("compute_80", (8, 0)) && runs("compute_80", (12, 0)) && runs("compute_90", (10, 0)));
        assert!(!runs("compute_90", (8, 9)) && !runs("compute_121", (12, 0)));
    }

    #[test]
    fn what_is_no_architecture_is_refused_as_it_was_written() {
        for text in ["sm_1", "sm_", "90", "sm_9x", "sm_90a", "ptx_90", "compute_1000", "", "SM_90", "sm_+90", "sm_05"] {
            let error = Target::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("architecture is {text:?}, but must be")), "{error}");
        }
        for text in ["sm_75", "sm_90", "compute_100"] {
            assert_eq!(Target::parse(text).unwrap().to_string(), text);
        }
    }
}
