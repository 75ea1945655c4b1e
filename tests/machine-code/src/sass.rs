//! Memory accesses of a kernel, read from nvdisasm's listing: which space, how wide, on which path.

use crate::units::Expected;

/// Address space that an access names. A generic one costs a look-up of the space on every access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// `LDG`, `STG`.
    Global,
    /// `LD`, `ST`.
    Generic,
    /// `LDL`, `STL`: a thread's own, for spills and arrays.
    Local,
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From memory.
    Load,
    /// To memory.
    Store,
}

/// One access, as its opcode says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Where.
    pub space: Space,
    /// Which way.
    pub direction: Direction,
    /// How wide, for one thread.
    pub bits: u32,
}

/// A stretch of the listing that loads vectors and then stores some: the main path over elements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stretch {
    /// In the listing: those of branches that are rarely taken, too.
    pub instructions: usize,
    /// In the order of the listing.
    pub accesses: Vec<Access>,
}

impl Stretch {
    /// Bytes that one thread moves.
    pub fn bytes(&self) -> u32 {
        self.accesses.iter().map(|access| access.bits / 8).sum()
    }
}

/// A kernel's instructions and labels, in the order of the listing.
#[derive(Debug)]
pub struct Listing {
    lines: Vec<Line>,
}

#[derive(Debug)]
enum Line {
    Label,
    Instruction(Option<Access>),
}

impl Listing {
    /// The section of `kernel` in all that `nvdisasm -c` printed.
    pub fn of(disassembly: &str, kernel: &str) -> Result<Self, String> {
        let opening = format!("\n.text.{kernel}:");
        let start = disassembly.find(&opening).ok_or_else(|| format!("nvdisasm lists no {kernel}"))?;
        let section = &disassembly[start + opening.len()..];
        let section = &section[..section.find("\n//---").unwrap_or(section.len())];
        Ok(Self { lines: section.lines().filter_map(parse_line).collect() })
    }

    /// All accesses of the kernel.
    pub fn accesses(&self) -> Vec<Access> {
        accesses(&self.lines)
    }

    /// Each stretch whose accesses are global and of the expected widths: all loads, and then all stores. Loads of table rows
    /// may come right before; they do not belong to it.
    pub fn main_paths(&self, expected: &Expected) -> Vec<Stretch> {
        let at = |(i, line): (usize, &Line)| match line {
            Line::Instruction(Some(access)) => Some((i, *access)),
            _ => None,
        };
        let accesses: Vec<(usize, Access)> = self.lines.iter().enumerate().filter_map(at).collect();
        let bits = |some: &[(usize, Access)], direction| {
            let fits = |(_, access): &(usize, Access)| access.space == Space::Global && access.direction == direction;
            let mut bits: Vec<u32> = some.iter().filter(|access| fits(access)).map(|(_, access)| access.bits).collect();
            bits.sort_unstable();
            bits
        };
        let (loads, stores) = (expected.loads.len(), expected.stores.len());
        let mut stretches = Vec::new();
        for first in loads..(accesses.len() + 1).saturating_sub(stores) {
            let whole = &accesses[first - loads..first + stores];
            let (before, after) = whole.split_at(loads);
            if bits(before, Direction::Load) == expected.loads && bits(after, Direction::Store) == expected.stores {
                let lines = &self.lines[whole[0].0..=whole[whole.len() - 1].0];
                let instructions = lines.iter().filter(|line| matches!(line, Line::Instruction(_))).count();
                stretches.push(Stretch { instructions, accesses: whole.iter().map(|(_, access)| *access).collect() });
            }
        }
        stretches
    }
}

fn accesses(lines: &[Line]) -> Vec<Access> {
    let access = |line: &Line| match line {
        Line::Instruction(access) => *access,
        Line::Label => None,
    };
    lines.iter().filter_map(access).collect()
}

/// `.L_x_3:` is a label; `/*0080*/  @!P0 LDG.E.64 R2, desc[UR4][R4.64] ;` is an instruction.
fn parse_line(line: &str) -> Option<Line> {
    let line = line.trim();
    if line.ends_with(':') {
        return Some(Line::Label);
    }
    let (_, instruction) = line.strip_prefix("/*")?.split_once("*/")?;
    let mut words = instruction.split_whitespace();
    let opcode = words.find(|word| !word.starts_with('@'))?;
    Some(Line::Instruction(parse_access(opcode)))
}

fn parse_access(opcode: &str) -> Option<Access> {
    let mut parts = opcode.split('.');
    let (space, direction) = match parts.next()? {
        "LDG" => (Space::Global, Direction::Load),
        "STG" => (Space::Global, Direction::Store),
        "LD" => (Space::Generic, Direction::Load),
        "ST" => (Space::Generic, Direction::Store),
        "LDL" => (Space::Local, Direction::Load),
        "STL" => (Space::Local, Direction::Store),
        _ => return None,
    };
    let width = |part: &str| part.trim_start_matches(['U', 'S']).parse().ok();
    Some(Access { space, direction, bits: parts.find_map(width).unwrap_or(32) })
}

#[test]
fn accesses_are_read_with_space_and_width_and_the_main_path_is_found() {
    let disassembly = "
.text.other:
        /*0000*/                   LDL R0, [R1] ;
//--------------------- .text.step  --------
.text.step:
        /*0000*/                   LDG.E.64 R18, desc[UR8][R2.64] ;
        /*0010*/                   LDG.E.128 R4, desc[UR8][R2.64] ;
.L_x_1:
        /*0020*/                   LDG.E.EF.128 R24, desc[UR8][R24.64] ;
        /*0030*/               @P2 BRA `(.L_x_2) ;
        /*0040*/              @!P0 STG.E.128 desc[UR8][R36.64], R20 ;
        /*0050*/                   LD.E.U8 R0, [R4.64] ;
        /*0060*/                   LDG.E.128 R24, desc[UR8][R24.64] ;
        /*0070*/                   LDG.E R24, desc[UR8][R24.64] ;
        /*0080*/                   STG.E.128 desc[UR8][R36.64], R20 ;
.L_x_2:
        /*0090*/                   ST.E [R4.64], R0 ;
//--------------------- .debug_frame  ------
";
    let access = |space, direction, bits| Access { space, direction, bits };
    let (load, store) = (access(Space::Global, Direction::Load, 128), access(Space::Global, Direction::Store, 128));
    let listing = Listing::of(disassembly, "step").unwrap();
    let path = Stretch { instructions: 3, accesses: vec![load, store] };
    assert_eq!(path.bytes(), 32);
    let wide = |loads, stores| Expected { loads: vec![128; loads], stores: vec![128; stores] };
    assert_eq!(listing.main_paths(&wide(1, 1)), [path]);
    assert_eq!(listing.main_paths(&wide(3, 1)), []);
    assert_eq!(listing.main_paths(&wide(1, 2)), []);
    let mixed = Expected { loads: vec![32, 128], stores: vec![128] };
    assert_eq!(listing.main_paths(&mixed).len(), 1);
    let byte = access(Space::Generic, Direction::Load, 8);
    let (first, narrow) = (access(Space::Global, Direction::Load, 64), access(Space::Global, Direction::Load, 32));
    let last = access(Space::Generic, Direction::Store, 32);
    assert_eq!(listing.accesses(), [first, load, load, store, byte, load, narrow, store, last]);
    assert!(Listing::of(disassembly, "absent").is_err());
}
