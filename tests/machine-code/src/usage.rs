//! What ptxas reports, in the log of NVRTC, of a kernel: registers, stack and spills.

/// One kernel and the functions that it calls without inlining.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// A thread's.
    pub registers: u32,
    /// Bytes of local memory of the kernel and of every function compiled with it.
    pub stack: u32,
    /// Bytes of spill stores and loads in the code.
    pub spilled: u32,
}

/// Reads the report on `kernel` out of the whole log.
pub fn of(report: &str, kernel: &str) -> Result<Usage, String> {
    let opening = format!("Compiling entry function '{kernel}'");
    let start = report.find(&opening).ok_or_else(|| format!("ptxas says nothing of {kernel}:\n{report}"))?;
    let rest = &report[start + opening.len()..];
    let section = &rest[..rest.find("Compiling entry function").unwrap_or(rest.len())];

    let registers = number_before(section, " registers").first().copied();
    let frames = number_before(section, " bytes stack frame");
    let spills =
        [" bytes spill stores", " bytes spill loads"].map(|what| number_before(section, what).iter().sum::<u32>());
    match registers {
        Some(registers) if !frames.is_empty() => {
            Ok(Usage { registers, stack: frames.iter().sum(), spilled: spills.iter().sum() })
        }
        _ => Err(format!("ptxas reports {kernel} in a form that is not known here:\n{section}")),
    }
}

fn number_before(text: &str, what: &str) -> Vec<u32> {
    let word = |(end, _)| {
        text[..end].rsplit(|c: char| !c.is_ascii_digit()).next().and_then(|digits: &str| digits.parse().ok())
    };
    text.match_indices(what).filter_map(word).collect()
}

#[test]
fn a_report_is_read_kernel_by_kernel_with_the_functions_it_calls() {
    let report = "\
ptxas info    : Compiling entry function 'one' for 'sm_90'
ptxas info    : Function properties for one
    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 62 registers, used 1 barriers, 8 bytes cumulative stack size
ptxas info    : Function properties for helper
    32 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Compiling entry function 'two' for 'sm_90'
ptxas info    : Function properties for two
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 9 registers";
    assert_eq!(of(report, "one"), Ok(Usage { registers: 62, stack: 40, spilled: 16 }));
    assert_eq!(of(report, "two"), Ok(Usage { registers: 9, stack: 0, spilled: 0 }));
    assert!(of(report, "three").is_err());
}
