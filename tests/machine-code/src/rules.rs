//! What each update rule costs: a unit of each group of `tests/every_rule.toml` in each precision, units of rules that share a
//! launch, and the table of them that `cargo xtask rules` makes. Start at [`all`].

use std::fmt;

use instep::{Buffer, Config, GroupConfig, OptimizerBuilder, ParamForm, Precision, StateForm};
use rayon::prelude::*;

use crate::forms::{Of, tensor};
use crate::report::widths;
use crate::sass::{Direction, Stretch};
use crate::units::{self, Unit, builder};
use crate::usage::Usage;
use crate::{Compiled, Tools};

/// The architecture that the table is of.
pub const ARCHITECTURE: u32 = 90;

/// In what precision the tensors of a rule are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// All in f32.
    F32,
    /// bf16 parameters and gradients, f32 masters and states.
    Master,
    /// Parameters, gradients and states in bf16, rounded stochastically.
    Bf16,
    /// bf16 parameters and gradients; 8-bit codes for each state that may be codes, f32 for the others.
    EightBit,
}

impl Stored {
    /// In the order of the table.
    pub const ALL: [Stored; 4] = [Stored::F32, Stored::Master, Stored::Bf16, Stored::EightBit];

    fn elements(self) -> Of {
        match self {
            Stored::F32 => Buffer::f32,
            _ => Buffer::bf16,
        }
    }

    /// None for codes where `group` keeps nothing that may be codes.
    fn precision(self, group: &GroupConfig) -> Option<Precision> {
        let stochastic = || Precision::new().param(ParamForm::Stochastic).quantize_from(0);
        match self {
            Stored::F32 | Stored::Master => Some(Precision::new()),
            Stored::Bf16 => Some(stochastic().states(StateForm::Bf16)),
            Stored::EightBit => {
                let codes = codes_of(group);
                let precision =
                    codes.iter().fold(stochastic(), |precision, name| precision.state(name, StateForm::EightBit));
                (!codes.is_empty()).then_some(precision)
            }
        }
    }
}

/// As the table calls it.
impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stored::F32 => "f32",
            Stored::Master => "bf16, f32 master",
            Stored::Bf16 => "all bf16",
            Stored::EightBit => "bf16, 8-bit states",
        })
    }
}

/// The names of the states of `group` that a build lets be codes.
fn codes_of(group: &GroupConfig) -> Vec<String> {
    let plain = added(builder(), group, Stored::F32, Precision::new()).build().expect("the CPU backend takes it");
    let states: Vec<String> =
        plain.tensors().flat_map(|tensor| tensor.states).map(|state| state.name.to_owned()).collect();
    let is_allowed = |name: &String| {
        let precision = Precision::new().state(name, StateForm::EightBit).quantize_from(0);
        added(builder(), group, Stored::F32, precision).build().is_ok()
    };
    states.into_iter().filter(is_allowed).collect()
}

/// `builder` with `group` and a tensor for it.
fn added(builder: OptimizerBuilder, group: &GroupConfig, stored: Stored, precision: Precision) -> OptimizerBuilder {
    builder.group_in(precision, group.clone(), &[tensor(stored.elements())])
}

/// One row of the table: rules of one launch, each in its precision.
#[derive(Clone, Debug)]
pub struct Row {
    groups: Vec<(GroupConfig, Stored)>,
}

impl Row {
    /// The names of its rules.
    pub fn name(&self) -> String {
        let names: Vec<String> = self.groups.iter().map(|(group, _)| name_of(group)).collect();
        names.join(" beside ")
    }

    /// How they are stored.
    pub fn stored(&self) -> String {
        let mut forms: Vec<String> = self.groups.iter().map(|(_, stored)| stored.to_string()).collect();
        forms.dedup();
        forms.join("; ")
    }

    /// What is compiled. None where a rule has no such precision.
    pub fn unit(&self) -> Option<Unit> {
        let groups: Option<Vec<_>> =
            self.groups.iter().map(|(group, stored)| Some((group, *stored, stored.precision(group)?))).collect();
        let groups = groups?;
        let all = || {
            groups.iter().fold(builder(), |builder, (group, stored, precision)| {
                added(builder, group, *stored, precision.clone())
            })
        };
        Some(units::unit(format!("{}, {}", self.name(), self.stored()), all))
    }
}

/// Rules that share a launch, and how each is stored in one row after the other.
const TOGETHER: [(&[&str], &[&[Stored]]); 3] = {
    use Stored::{Bf16, EightBit, F32, Master};
    [
        (&["AdamW", "Adan"], &[&[F32, F32], &[Master, F32], &[EightBit, Bf16]]),
        (&["Lion", "Prodigy"], &[&[F32, F32], &[Master, Bf16], &[EightBit, F32]]),
        (&["SGD, Nesterov", "AdamW", "AdEMAMix"], &[&[F32, F32, F32], &[Bf16, EightBit, Master]]),
    ]
};

/// Every row: each rule in each precision, then rules that share a launch.
pub fn all() -> Vec<Row> {
    let groups = groups();
    let alone = groups
        .iter()
        .flat_map(|group| Stored::ALL.into_iter().map(move |stored| Row { groups: vec![(group.clone(), stored)] }));
    let group = |name: &&str| groups.iter().find(|group| name_of(group) == *name).expect("a group of the file").clone();
    let together = TOGETHER.iter().flat_map(|(names, forms)| {
        forms.iter().map(move |forms| Row { groups: names.iter().map(group).zip(forms.iter().copied()).collect() })
    });
    alone.chain(together).collect()
}

/// The unit of one rule, by its name in the file.
pub fn unit_of(name: &str, stored: Stored) -> Unit {
    let group = groups().into_iter().find(|group| name_of(group) == name);
    let row = Row { groups: vec![(group.unwrap_or_else(|| panic!("no group {name:?}")), stored)] };
    row.unit().unwrap_or_else(|| panic!("{name:?} has no state that may be codes"))
}

fn groups() -> Vec<GroupConfig> {
    let config = Config::from_toml(include_str!("../../every_rule.toml")).expect("a configuration of the tests");
    config.groups
}

fn name_of(group: &GroupConfig) -> String {
    group.name.clone().expect("every group of the file has a name")
}

const COLUMNS: [&str; 10] = [
    "rule",
    "precision",
    "B per parameter",
    "launches",
    "registers",
    "stack, spills (B)",
    "loads",
    "stores",
    "measuring: registers",
    "measuring: stack, spills (B)",
];

/// The table's lines: of the rules whose names hold one of `names`, of all without any. `done` is told each one as it is made.
pub fn table(tools: &Tools, names: &[&str], done: impl Fn(&str) + Sync) -> Result<Vec<String>, String> {
    let mut rows = all();
    rows.retain(|row| names.is_empty() || names.iter().any(|name| row.name().contains(name)));
    let made = rows.par_iter().filter_map(|row| {
        let line = line(row, &row.unit()?, tools);
        line.iter().for_each(|line| done(line));
        Some(line)
    });
    let lines: Vec<String> = made.collect::<Result<_, _>>()?;
    let head = [joined(COLUMNS.map(str::to_owned)), joined(COLUMNS.map(|_| "---".to_owned()))];
    Ok(head.into_iter().chain(lines).collect())
}

/// The page with the whole table, in Markdown.
pub fn page(tools: &Tools, done: impl Fn(&str) + Sync) -> Result<String, String> {
    let table = table(tools, &[], done)?;
    Ok(format!("{}\n{}\n", include_str!("rules.md"), table.join("\n")))
}

fn line(row: &Row, unit: &Unit, tools: &Tools) -> Result<String, String> {
    let compiled = Compiled::of(unit, ARCHITECTURE, &tools.nvrtc)?;
    let of = |kernel| -> Result<[String; 2], String> {
        let Usage { registers, stack, spilled } = compiled.usage(kernel)?;
        Ok([registers.to_string(), format!("{stack}, {spilled}")])
    };
    let [registers, local] = of("update")?;
    let [measuring_registers, measuring_local] = if unit.measures() { of("measure")? } else { Default::default() };
    let [loads, stores] = match (&row.groups[..], main_path(unit, &compiled, tools)?) {
        ([_], Some(main)) => [Direction::Load, Direction::Store]
            .map(|direction| widths(main.accesses.iter().filter(|access| access.direction == direction))),
        _ => Default::default(),
    };
    let bytes: Vec<String> = unit.bytes_per_param.iter().map(f64::to_string).collect();
    let launches = if unit.measures() { "2" } else { "1" };
    Ok(joined([
        row.name(),
        row.stored(),
        bytes.join(", "),
        launches.to_owned(),
        registers,
        local,
        loads,
        stores,
        measuring_registers,
        measuring_local,
    ]))
}

/// The longest path over whole vectors of the unit's only rule. None if there is none of the widths of its streams: of several rules,
/// and where other accesses stand between.
fn main_path(unit: &Unit, compiled: &Compiled, tools: &Tools) -> Result<Option<Stretch>, String> {
    for expected in [unit.main_accesses_at_first(), unit.main_accesses()] {
        let paths = compiled.main_paths("update", &expected, &tools.programs)?;
        if let Some(main) = paths.into_iter().max_by_key(|path| path.instructions) {
            return Ok(Some(main));
        }
    }
    Ok(None)
}

fn joined(cells: [String; 10]) -> String {
    format!("| {} |", cells.join(" | "))
}
