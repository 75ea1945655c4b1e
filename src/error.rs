//! The one [`Error`] of this crate. Knows nothing of the other rooms. `number` is how values are written in messages.

mod number;

pub(crate) use number::{number, quoted};

/// What is added to a rule that a schedule keeps at first, and breaks at a later step.
pub(crate) const CURE: &str = ": end it before that with `over`, or bound it with `clamp`";

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, and what to do about it.
///
/// Bad input is always [`Error::Argument`], or [`Error::Differs`] where it is the state of another optimizer, and is found before anything is
/// enqueued or changed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value that the caller gave breaks a rule.
    #[error("{argument} is {value}, but {rule}")]
    Argument {
        /// The argument, as a path where it is nested, e.g. `groups[1].lr`.
        argument: String,
        /// Its value, as given.
        value: String,
        /// The rule that it breaks, a clause that completes "…, but".
        rule: String,
    },
    /// A text that was to be read is not in the format that was asked for.
    #[error("{place}: {detail}")]
    Format {
        /// Where in the text, as a path such as `groups[1].lr.then[0]`.
        place: String,
        /// What is wrong there, and the line where it is known.
        detail: String,
    },
    /// A state block is of an optimizer that differs, in more than was allowed: everything that differs, at once.
    #[error("the state is of another optimizer:\n{}", Difference::lines(differences))]
    Differs {
        /// What is not allowed.
        differences: Vec<Difference>,
    },
    /// No CUDA driver library could be loaded.
    #[error("no CUDA driver: {detail}; install the NVIDIA driver, or use Device::host()")]
    NoDriver {
        /// What was tried.
        detail: String,
    },
    /// The CUDA driver is there, but offers no usable device.
    #[error("no CUDA device: {detail}; check `nvidia-smi` and CUDA_VISIBLE_DEVICES, or use Device::host()")]
    NoDevice {
        /// What the driver said.
        detail: String,
    },
    /// NVRTC, CUDA's run-time compiler, could not be loaded.
    #[error(
        "no NVRTC: {detail}; install the CUDA toolkit or the Python package nvidia-cuda-nvrtc, or name the library in INSTEP_NVRTC"
    )]
    NoNvrtc {
        /// What was tried.
        detail: String,
    },
    /// NVRTC refused a kernel or failed. The log is printed as it is.
    #[error("NVRTC could not compile {name} ({detail}); its log:\n{log}")]
    Compile {
        /// The name of the kernel unit.
        name: String,
        /// NVRTC's own name of the error.
        detail: String,
        /// NVRTC's log, unchanged.
        log: String,
    },
    /// A call of the CUDA driver failed. The failure of a kernel comes from whichever call is made next.
    #[error("{call} failed: {name} ({code}){}", hint(*code))]
    Driver {
        /// The driver function, e.g. `cuLaunchKernel`.
        call: &'static str,
        /// The `CUresult` code.
        code: u32,
        /// The name of that code, e.g. `CUDA_ERROR_INVALID_CONTEXT`.
        name: &'static str,
    },
    /// Every slot from which a change is sent to the device is in flight, and the call was not to wait.
    #[error(
        "busy: all {slots} slots are in flight; call again later, build with more (Dynamic::slots), or let such calls wait (WhenBusy::Wait)"
    )]
    Busy {
        /// How many there are.
        slots: usize,
    },
    /// This thread's floating-point unit flushes subnormal numbers to zero, so results would differ from the device's.
    #[error("the CPU backend needs subnormal numbers, but a thread flushes them to zero; clear FTZ and DAZ in MXCSR")]
    FlushedSubnormals,
}

/// One point in which a state block and the optimizer that loads it differ.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// What differs, e.g. `groups[0].lr`: places are those of the optimizer that loads.
    pub place: String,
    /// What the block has.
    pub stored: String,
    /// What the optimizer has; empty where the block's breaks a rule by itself.
    pub here: String,
    /// The method of [`LoadOptions`](crate::LoadOptions) that allows it. None: there is no need for one, or, in an error, no method does.
    pub word: Option<&'static str>,
    /// What follows from it, or why nothing allows it; may be empty.
    pub note: String,
}

impl Difference {
    /// A line for each, with what would allow it.
    fn lines(differences: &[Difference]) -> String {
        let line = |difference: &Difference| match difference.word {
            Some(word) => format!("{difference} [allowed by LoadOptions::{word}()]"),
            None => format!("{difference} [nothing allows this]"),
        };
        differences.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// Without what would allow it.
impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.stored)?;
        for (between, text) in [(", here ", &self.here), ("; ", &self.note)] {
            if !text.is_empty() {
                write!(f, "{between}{text}")?;
            }
        }
        Ok(())
    }
}

impl Error {
    /// An [`Error::Argument`]. `rule` completes the sentence "`argument` is `value`, but …".
    pub(crate) fn argument(
        argument: impl Into<String>,
        value: impl std::fmt::Display,
        rule: impl Into<String>,
    ) -> Self {
        Error::Argument { argument: argument.into(), value: value.to_string(), rule: rule.into() }
    }

    /// The same error with `prefix` put before the argument's name, e.g. `groups[1].` before `lr`.
    pub(crate) fn within(self, prefix: &str) -> Self {
        match self {
            Error::Argument { argument, value, rule } => {
                Error::Argument { argument: format!("{prefix}{argument}"), value, rule }
            }
            other => other,
        }
    }

    /// The same rule about `argument`, which is `value`, if it is about `former`, whose value follows from that.
    #[cfg(feature = "serde")]
    pub(crate) fn about(self, former: &str, argument: &str, value: impl std::fmt::Display) -> Self {
        match self {
            Error::Argument { argument: known, rule, .. } if known == former => Error::argument(argument, value, rule),
            other => other,
        }
    }

    /// The same error about `argument` if it is about `former`.
    pub(crate) fn renamed(self, former: &str, argument: &str) -> Self {
        match self {
            Error::Argument { argument: known, value, rule } if known == former => {
                Error::argument(argument, value, rule)
            }
            other => other,
        }
    }
}

/// What to look for where a result code alone says little: nothing, or a clause that follows it.
fn hint(code: u32) -> &'static str {
    match code {
        // ILLEGAL_ADDRESS
        700 => {
            "; a kernel that ran before, ours or the engine's, touched memory that is not there: an address or a length that \
             was registered may be wrong, or memory was freed while a step still used it. The context is lost. \
             compute-sanitizer names the kernel, and INSTEP_CHECK=1 looks for steps that are not ordered"
        }
        // HARDWARE_STACK_ERROR to LAUNCH_FAILED
        714..=719 => {
            "; a kernel that ran before, ours or the engine's, failed, and the context is lost: compute-sanitizer names the \
             kernel"
        }
        // STREAM_CAPTURE_UNSUPPORTED, STREAM_CAPTURE_INVALIDATED, STREAM_CAPTURE_IMPLICIT
        900 | 901 | 906 => "; something was called that a capture forbids, and the graph that was captured is lost",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(code: u32, name: &'static str) -> String {
        Error::Driver { call: "cuStreamSynchronize", code, name }.to_string()
    }

    #[test]
    fn a_failed_kernel_and_a_lost_capture_come_with_a_hint() {
        assert_eq!(
            text(700, "CUDA_ERROR_ILLEGAL_ADDRESS"),
            "cuStreamSynchronize failed: CUDA_ERROR_ILLEGAL_ADDRESS (700); a kernel that ran before, ours or the engine's, \
             touched memory that is not there: an address or a length that was registered may be wrong, or memory was freed \
             while a step still used it. The context is lost. compute-sanitizer names the kernel, and INSTEP_CHECK=1 looks for \
             steps that are not ordered"
        );
        for (code, name) in [(716, "CUDA_ERROR_MISALIGNED_ADDRESS"), (719, "CUDA_ERROR_LAUNCH_FAILED")] {
            let hint = "a kernel that ran before, ours or the engine's, failed, and the context is lost: compute-sanitizer \
                        names the kernel";
            assert_eq!(text(code, name), format!("cuStreamSynchronize failed: {name} ({code}); {hint}"));
        }
        assert_eq!(
            text(901, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"),
            "cuStreamSynchronize failed: CUDA_ERROR_STREAM_CAPTURE_INVALIDATED (901); something was called that a capture \
             forbids, and the graph that was captured is lost"
        );
    }

    #[test]
    fn what_says_enough_by_itself_has_no_hint() {
        for (code, name) in [(2, "CUDA_ERROR_OUT_OF_MEMORY"), (600, "CUDA_ERROR_NOT_READY"), (713, "a"), (720, "b")] {
            assert_eq!(text(code, name), format!("cuStreamSynchronize failed: {name} ({code})"));
        }
    }
}
