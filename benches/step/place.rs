//! Where the rows can be measured, and the processes of their own that this needs: a driver library that was opened once
//! stays, so whether there is a GPU is asked in one, and the stand-in for CUDA is loaded in another.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use instep::Device;

/// The variable that makes this program do one job for another process of itself.
const JOB: &str = "INSTEP_BENCH_JOB";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Says whether a driver with a device is here.
    Probe,
    /// Counts driver calls, on the stand-in, for at most as many tensors as its argument says.
    Counts,
    /// Builds optimizers on the GPU and times that; its argument says where the first one's kernels come from.
    Builds,
    /// Checks answers, on the stand-in or on the GPU.
    Answers,
}

impl Job {
    const ALL: [Job; 4] = [Job::Probe, Job::Counts, Job::Builds, Job::Answers];

    fn name(self) -> &'static str {
        match self {
            Job::Probe => "probe",
            Job::Counts => "counts",
            Job::Builds => "builds",
            Job::Answers => "answers",
        }
    }

    /// The job that this process was started for, if it was.
    pub fn of_process() -> Option<Job> {
        let name = std::env::var(JOB).ok()?;
        Job::ALL.into_iter().find(|job| job.name() == name)
    }

    /// A process for this job, on a real driver.
    pub fn command(self, argument: &str) -> Result<Command, String> {
        let mut command = Command::new(std::env::current_exe().map_err(|e| e.to_string())?);
        command.env(JOB, self.name()).arg(argument).stdin(Stdio::null());
        Ok(command)
    }

    /// A process for this job, in which the stand-in is loaded.
    pub fn command_on_standin(self, argument: &str) -> Result<Command, String> {
        cuda_on_cpu::build()?;
        let mut command = self.command(argument)?;
        // A real NVRTC beside the stand-in driver, or cached images of one, would be taken for its own.
        command.env(STANDIN, "1").env("INSTEP_CACHE_DIR", "0").env_remove("INSTEP_NVRTC");
        Ok(command)
    }
}

const STANDIN: &str = "INSTEP_BENCH_STANDIN";

/// Loads the stand-in if this process is to work on it.
pub fn standin_of_process() -> Result<Option<&'static cuda_on_cpu::Standin>, String> {
    std::env::var_os(STANDIN).map(|_| cuda_on_cpu::load()).transpose()
}

/// Whether there is a GPU to measure on, or why not. `INSTEP_TEST_DEVICE` may say `standin`: then there is none.
pub fn gpu() -> Result<(), String> {
    if std::env::var_os("INSTEP_TEST_DEVICE").is_some_and(|wish| wish == "standin") {
        return Err("INSTEP_TEST_DEVICE=standin".to_owned());
    }
    let output = Job::Probe.command("")?.output().map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().find_map(|line| line.strip_prefix("probe: ")) {
        Some("found") => Ok(()),
        Some(why) => Err(why.to_owned()),
        None => Err("the probe said nothing".to_owned()),
    }
}

/// The probe's own half of [`gpu`].
pub fn probe() {
    match Device::cuda(0) {
        // Found through the loader's path, it would be timed as if it were a GPU.
        Ok(device) if device.name() == "CUDA on the CPU" => {
            println!("probe: the driver is a stand-in, CUDA on the CPU")
        }
        Ok(_) => println!("probe: found"),
        Err(why) => println!("probe: {}", why.to_string().replace('\n', " ")),
    }
}

/// What is known before anything is measured: date, revision, machine.
pub fn head() -> Vec<(String, String)> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu = std::fs::read_to_string("/proc/cpuinfo").ok();
    let cpu = cpu.as_deref().and_then(|text| text.lines().find_map(|line| line.strip_prefix("model name")));
    let cpu = cpu.map_or("unknown", |name| name.trim_start_matches([' ', '\t', ':'])).to_owned();
    let pairs = [
        ("date", date()),
        ("revision", revision().unwrap_or_else(|| "unknown".to_owned())),
        ("CPU", format!("{cpu}, {threads} threads")),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

fn revision() -> Option<String> {
    let arguments = ["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty", "--exclude", "*"];
    let output = Command::new("git").args(arguments).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

/// Today in UTC, as year-month-day. Source: Howard Hinnant, "chrono-compatible low-level date algorithms".
fn date() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let days = (seconds / 86_400) as i64 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153; // months since March
    let (day, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    format!("{:04}-{month:02}-{day:02}", year_of_era + era * 400 + i64::from(month <= 2))
}

/// The folder that `INSTEP_BENCH_RESULTS` names; else `target/bench`, beside the running program; in the current folder for
/// a program from elsewhere.
pub fn results_folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("INSTEP_BENCH_RESULTS").filter(|folder| !folder.is_empty()) {
        return folder.into();
    }
    let program = std::env::current_exe().unwrap_or_default();
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    target.map_or_else(|| PathBuf::from("target"), PathBuf::from).join("bench")
}

/// The release of the GPU's kernel driver, where the system tells it.
pub fn driver_release() -> String {
    let text = std::fs::read_to_string("/proc/driver/nvidia/version").unwrap_or_default();
    let number = |word: &&str| word.contains('.') && word.split('.').all(|part| part.parse::<u32>().is_ok());
    text.split_whitespace().find(number).unwrap_or("unknown release").to_owned()
}
