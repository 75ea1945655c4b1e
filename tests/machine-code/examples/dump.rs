//! scratch
use machine_code::{nvrtc::Nvrtc, units, Compiled};
fn main() {
    let nvrtc = Nvrtc::load(std::path::Path::new(&std::env::var("INSTEP_NVRTC").unwrap())).unwrap();
    let arch: u32 = std::env::args().nth(1).unwrap().parse().unwrap();
    for unit in units::all() {
        let name = unit.name;
        if let Some(only) = std::env::args().nth(2) && !name.contains(&only) { continue; }
        let c = match Compiled::of(&unit, arch, &nvrtc) { Ok(c) => c, Err(e) => { println!("{e}"); return; } };
        for k in unit.kernels() { println!("{name} {k} {:?}", c.usage(k).unwrap()); }
        for l in c.complaints() { println!("  {l}"); }
        std::fs::write(format!("/tmp/{}.cubin", name.replace([' ', ','], "_")), &c.cubin).unwrap();
    }
}
