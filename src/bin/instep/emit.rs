//! `instep emit`: the CUDA text of the groups' schedules and rules, as it would be given to NVRTC; or the schedules alone, as a
//! header for kernels of one's own.

use instep::{Device, Tensor};

use crate::commands::Emit;
use crate::{Result, input};

pub fn run(options: &Emit) -> Result<String> {
    let mut config = input::read(&options.file, &options.facts)?.config;
    if options.header {
        return Ok(config.header().map_err(|e| input::at(&options.file, e))?);
    }
    input::name_rules(&mut config, options.rule);
    let no_tensors: Vec<&[Tensor]> = config.groups.iter().map(|_| &[][..]).collect();
    let text = config.builder(&Device::host(), &no_tensors).and_then(|builder| builder.emit());
    Ok(text.map_err(|e| input::at(&options.file, e))?)
}
