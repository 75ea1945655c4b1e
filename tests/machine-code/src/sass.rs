//! Memory accesses of a kernel, read from nvdisasm's listing: which space, how wide, in which loop.

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

/// A loop's instructions, counted, and its accesses to memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loop {
    /// In the listing: those of branches that are rarely taken, too.
    pub instructions: usize,
    /// In the order of the listing.
    pub accesses: Vec<Access>,
}

impl Loop {
    /// Bytes that one thread moves in one round.
    pub fn bytes(&self) -> u32 {
        self.accesses.iter().map(|access| access.bits / 8).sum()
    }
}

/// A kernel's instructions and labels, in the order of the listing.
#[derive(Debug)]
pub struct Listing<'a> {
    lines: Vec<Line<'a>>,
}

#[derive(Debug)]
enum Line<'a> {
    Label(&'a str),
    Instruction { access: Option<Access>, branch: Option<&'a str> },
}

impl<'a> Listing<'a> {
    /// The section of `kernel` in all that `nvdisasm -c` printed.
    pub fn of(disassembly: &'a str, kernel: &str) -> Result<Self, String> {
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

    /// Each innermost loop, a loop being what lies between a label and a later branch back to it.
    pub fn innermost_loops(&self) -> Vec<Loop> {
        let label_of =
            |target: &str| self.lines.iter().position(|line| matches!(line, Line::Label(name) if *name == target));
        let back_edge = |(end, line): (usize, &Line<'a>)| match line {
            Line::Instruction { branch: Some(target), .. } => {
                Some((label_of(target).filter(|start| *start < end)?, end))
            }
            _ => None,
        };
        let loops: Vec<(usize, usize)> = self.lines.iter().enumerate().filter_map(back_edge).collect();
        let holds =
            |outer: &(usize, usize), inner: &(usize, usize)| outer != inner && outer.0 <= inner.0 && inner.1 <= outer.1;
        let innermost = loops.iter().filter(|outer| !loops.iter().any(|inner| holds(outer, inner)));
        let read = |(start, end): &(usize, usize)| {
            let lines = &self.lines[*start..=*end];
            let instructions = lines.iter().filter(|line| matches!(line, Line::Instruction { .. })).count();
            Loop { instructions, accesses: accesses(lines) }
        };
        innermost.map(read).collect()
    }
}

fn accesses(lines: &[Line<'_>]) -> Vec<Access> {
    let access = |line: &Line<'_>| match line {
        Line::Instruction { access, .. } => *access,
        Line::Label(_) => None,
    };
    lines.iter().filter_map(access).collect()
}

/// `.L_x_3:` is a label; `/*0080*/  @!P0 LDG.E.64 R2, desc[UR4][R4.64] ;` is an instruction.
fn parse_line(line: &str) -> Option<Line<'_>> {
    let line = line.trim();
    if let Some(label) = line.strip_suffix(':') {
        return Some(Line::Label(label));
    }
    let (_, instruction) = line.strip_prefix("/*")?.split_once("*/")?;
    let mut words = instruction.split_whitespace();
    let opcode = words.find(|word| !word.starts_with('@'))?;
    let branch = if opcode.starts_with("BRA") { quoted_label(instruction) } else { None };
    Some(Line::Instruction { access: parse_access(opcode), branch })
}

fn quoted_label(instruction: &str) -> Option<&str> {
    let (_, from_label) = instruction.split_once("`(")?;
    from_label.split_once(')').map(|(label, _)| label)
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
fn accesses_are_read_with_space_width_and_loop() {
    let disassembly = "
.text.other:
        /*0000*/                   LDL R0, [R1] ;
//--------------------- .text.step  --------
.text.step:
        /*0000*/                   LDG.E.64 R18, desc[UR8][R2.64] ;
.L_x_1:
        /*0010*/               @P2 BRA `(.L_x_2) ;
.L_x_3:
        /*0020*/                   LDG.E.EF.128 R24, desc[UR8][R24.64] ;
        /*0030*/              @!P0 STG.E.128 desc[UR8][R36.64], R20 ;
        /*0040*/               @P0 BRA `(.L_x_3) ;
        /*0050*/                   LD.E.U8 R0, [R4.64] ;
        /*0060*/              @!P4 BRA `(.L_x_1) ;
.L_x_2:
        /*0070*/                   ST.E [R4.64], R0 ;
//--------------------- .debug_frame  ------
";
    let access = |space, direction, bits| Access { space, direction, bits };
    let listing = Listing::of(disassembly, "step").unwrap();
    let main_loop = [access(Space::Global, Direction::Load, 128), access(Space::Global, Direction::Store, 128)];
    let innermost = Loop { instructions: 3, accesses: main_loop.to_vec() };
    assert_eq!(innermost.bytes(), 32);
    assert_eq!(listing.innermost_loops(), [innermost]);
    let around = [access(Space::Generic, Direction::Load, 8), access(Space::Generic, Direction::Store, 32)];
    let first = access(Space::Global, Direction::Load, 64);
    assert_eq!(listing.accesses(), [&[first][..], &main_loop, &around].concat());
    assert!(Listing::of(disassembly, "absent").is_err());
}
