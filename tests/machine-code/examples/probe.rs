//! Probe.
use machine_code::{Compiled, Tools, forms, report, units};
fn main() {
    let dir = std::path::PathBuf::from(std::env::var("INSTEP_NVRTC").unwrap());
    let programs = std::path::PathBuf::from(std::env::var("INSTEP_CUDA_TOOLS").unwrap());
    let tools = Tools { nvrtc: machine_code::nvrtc::Nvrtc::load(&dir).unwrap(), programs };
    let filter = std::env::args().nth(1).unwrap_or_default();
    let arch: u32 = std::env::args().nth(2).map_or(90, |a| a.parse().unwrap());
    let mut all = vec![units::adamw(), units::adam(), units::momentum(), units::closed_loop()];
    all.extend(forms::all());
    all.push(units::every_form());
    all.push(units::everything());
    for unit in all.into_iter().filter(|u| u.name.contains(&filter)) {
        let c = match Compiled::of(&unit, arch, &tools.nvrtc) {
            Ok(c) => c,
            Err(log) => {
                println!("{log}");
                continue;
            }
        };
        if !c.complaints().is_empty() {
            println!("complaints {:?}", c.complaints());
        }
        let u = c.usage("update").unwrap();
        let paths = c.main_paths("update", &unit.main_accesses(), &tools.programs).unwrap();
        let main = paths.iter().max_by_key(|p| p.instructions);
        println!(
            "{:50} {u:?} paths {} instr/el {:?} B {:?}",
            unit.name,
            paths.len(),
            main.map(|m| report::instructions_per_element(m, unit.bytes_per_param[0])),
            unit.bytes_per_param
        );
        if std::env::var_os("DUMP").is_some() {
            std::fs::write("/tmp/probe.cubin", &c.cubin).unwrap();
        }
    }
}
