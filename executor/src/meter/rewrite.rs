//! Writing the rules into a module that has been inspected.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "hundreds of operators, few of which are special"
)]

use std::convert::Infallible;

use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{
    BlockType, BranchHint, BranchHints, CodeSection, ConstExpr, Encode, ExportKind, ExportSection,
    Function, GlobalSection, GlobalType, Instruction as I, Module, SectionId, ValType,
};
use wasmparser::{FunctionBody, Operator as O, Parser};

use super::blocks::{Blocks, stretches};
use super::cost::{BULK_SHIFT, ENTRY};
use super::counted::{Counted, counted};
use super::emit::Emit;
use super::inspect::Facts;
use super::nan::{Shape, Touch};
use super::{FAULT, FAULT_STACK, LEASE, LEASE_FUEL, PAGE_FUEL, RESERVE, STACK_SLOTS_MAX, START};
use crate::ModuleError;

/// Slots of every frame, beside its locals and operands: return address, saved registers, the meter's own locals.
pub(super) const FRAME_SLOTS: u32 = 8;
/// Growth by more pages than any job may have fails anyway and pays for none.
const GROWTH_PAGES_MAX: usize = gongsuan_types::job::MEMORY_PAGES_MAX as usize;
/// The same for tables.
const GROWTH_ENTRIES_MAX: usize = super::TABLE_ENTRIES_MAX;

const NAN_F32: u32 = 0x7fc0_0000;
const NAN_F64: u64 = 0x7ff8_0000_0000_0000;
const NAN_F32X4: i128 = 0x7fc0_0000_7fc0_0000_7fc0_0000_7fc0_0000;
const NAN_F64X2: i128 = 0x7ff8_0000_0000_0000_7ff8_0000_0000_0000;

type Result<T> = std::result::Result<T, Error<Infallible>>;

pub(super) fn rewrite(module: &[u8], facts: &Facts) -> std::result::Result<Vec<u8>, ModuleError> {
    let mut out = Module::new();
    let mut writer = Writer { facts, body: 0, globals_written: false, hints: BranchHints::new() };
    writer.parse_core_module(&mut out, Parser::new(0), module).map_err(|error| {
        ModuleError::Invalid { offset: 0, reason: format!("cannot be rewritten: {error}") }
    })?;
    finish(&out.finish(), &writer.hints).map_err(ModuleError::from)
}

/// The module without its start section, since the start function runs when the host calls it, and with hints before its code.
fn finish(
    module: &[u8],
    hints: &BranchHints,
) -> std::result::Result<Vec<u8>, wasmparser::BinaryReaderError> {
    const HEADER_BYTES: usize = 8;
    let mut reader = wasmparser::BinaryReader::new(&module[HEADER_BYTES..], 0);
    let mut out = module[..HEADER_BYTES].to_vec();
    while !reader.eof() {
        let start = reader.current_position();
        let id = reader.read_u8()?;
        let bytes = reader.read_var_u32()?;
        reader.read_bytes(bytes as usize)?;
        if id == SectionId::Code as u8 && !hints.is_empty() {
            out.push(SectionId::Custom as u8);
            hints.encode(&mut out);
        }
        if id != SectionId::Start as u8 {
            out.extend_from_slice(
                &module[HEADER_BYTES + start..HEADER_BYTES + reader.current_position()],
            );
        }
    }
    Ok(out)
}

struct Writer<'a> {
    facts: &'a Facts,
    body: usize,
    globals_written: bool,
    hints: BranchHints,
}

/// The meter's globals, behind the module's own.
#[derive(Clone, Copy)]
struct Globals {
    reserve: u32,
    lease: u32,
    fault: u32,
    stack: u32,
}

impl Globals {
    fn of(facts: &Facts) -> Self {
        let first = facts.globals;
        Self { reserve: first, lease: first + 1, fault: first + 2, stack: first + 3 }
    }

    fn declare(section: &mut GlobalSection) {
        let i64 = GlobalType { val_type: ValType::I64, mutable: true, shared: false };
        let i32 = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
        section.global(i64, &ConstExpr::i64_const(0));
        section.global(i64, &ConstExpr::i64_const(0));
        section.global(i32, &ConstExpr::i32_const(0));
        section.global(i32, &ConstExpr::i32_const(0));
    }

    fn export(self, facts: &Facts, section: &mut ExportSection) {
        section.export(RESERVE, ExportKind::Global, self.reserve);
        section.export(LEASE, ExportKind::Global, self.lease);
        section.export(FAULT, ExportKind::Global, self.fault);
        if let Some(start) = facts.start {
            section.export(START, ExportKind::Func, start);
        }
    }
}

impl Reencode for Writer<'_> {
    type Error = Infallible;

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: wasmparser::GlobalSectionReader<'_>,
    ) -> Result<()> {
        utils::parse_global_section(self, globals, section)?;
        self.globals_written = true;
        Globals::declare(globals);
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: wasmparser::ExportSectionReader<'_>,
    ) -> Result<()> {
        utils::parse_export_section(self, exports, section)?;
        Globals::of(self.facts).export(self.facts, exports);
        Ok(())
    }

    fn intersperse_section_hook(
        &mut self,
        module: &mut Module,
        _after: Option<SectionId>,
        before: Option<SectionId>,
    ) -> Result<()> {
        let past_globals = matches!(
            before,
            Some(
                SectionId::Export
                    | SectionId::Start
                    | SectionId::Element
                    | SectionId::DataCount
                    | SectionId::Code
                    | SectionId::Data
            ) | None
        );
        if past_globals && !self.globals_written {
            self.globals_written = true;
            let mut globals = GlobalSection::new();
            Globals::declare(&mut globals);
            module.section(&globals);
        }
        // Every admitted module has an export section: `_start` is in it.
        Ok(())
    }

    fn parse_custom_section(
        &mut self,
        _module: &mut Module,
        _section: wasmparser::CustomSectionReader<'_>,
    ) -> Result<()> {
        Ok(())
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<()> {
        let (function, hints) = Body::new(self, &body)?.write(self)?;
        if !hints.is_empty() {
            let index = self.facts.imported as usize + self.body;
            self.hints.function_hints(u32::try_from(index).expect("bounded by inspection"), hints);
        }
        self.body += 1;
        code.function(&function);
        Ok(())
    }
}

/// One function on its way.
struct Body<'a> {
    operators: Vec<O<'a>>,
    /// The cost of the stretch that begins before an operation, where one does.
    stretches: Vec<Option<i64>>,
    touches: &'a [Touch],
    globals: Globals,
    locals: Vec<(u32, ValType)>,
    fuel: u32,
    number: u32,
    frame: u32,
    limit: u32,
    f32: u32,
    f64: u32,
    v128: u32,
    frame_slots: u32,
    calls: bool,
    loops: bool,
}

impl<'a> Body<'a> {
    fn new<'w: 'a>(writer: &mut Writer<'w>, body: &FunctionBody<'a>) -> Result<Self> {
        let facts = writer.facts;
        let index = facts.imported as usize + writer.body;
        let ty = u32::try_from(index).ok().and_then(|index| facts.function_type(index));
        let params = ty.map_or(&[][..], wasmparser::FuncType::params);
        let mut slots: u32 = params.iter().map(|ty| slots_of(*ty)).sum();
        let mut count = u32::try_from(params.len()).expect("bounded by inspection");
        let mut locals = Vec::new();
        for group in body.get_locals_reader()? {
            let (many, ty) = group?;
            count += many;
            slots += many * slots_of(ty);
            locals.push((many, writer.val_type(ty)?));
        }
        // Operands are counted as if each were a vector.
        let known = &facts.bodies[writer.body];
        let height = known.height;
        locals.push((1, ValType::I64));
        locals.push((3, ValType::I32));
        for ty in [ValType::F32, ValType::F64, ValType::V128] {
            locals.push((1, ty));
        }
        let operators: Vec<O<'a>> =
            body.get_operators_reader()?.into_iter().collect::<std::result::Result<_, _>>()?;
        let stretches = stretches(&operators);
        let calls = operators.iter().any(|o| matches!(o, O::Call { .. } | O::CallIndirect { .. }));
        let loops = operators.iter().any(|o| matches!(o, O::Loop { .. }));
        Ok(Self {
            operators,
            stretches,
            touches: &known.touches,
            globals: Globals::of(facts),
            locals,
            fuel: count,
            number: count + 1,
            frame: count + 2,
            limit: count + 3,
            f32: count + 4,
            f64: count + 5,
            v128: count + 6,
            frame_slots: FRAME_SLOTS + slots + height * 2,
            calls,
            loops,
        })
    }

    fn write(&self, writer: &mut Writer<'_>) -> Result<(Function, Vec<BranchHint>)> {
        let mut f = Emit::new(self.locals.iter().copied());
        self.enter(&mut f);
        let mut blocks = Blocks::new();
        let mut counting: Option<Counted> = None;
        for (index, operator) in self.operators.iter().enumerate() {
            let alive = blocks.alive();
            let mut replaced = false;
            if alive {
                if index > 0
                    && counting.is_none()
                    && let Some(fuel) = self.stretches[index]
                {
                    let header = matches!(self.operators[index - 1], O::Loop { .. });
                    self.charge(&mut f, fuel, header);
                }
                self.before(&mut f, index, blocks.outermost());
                if let Some(found) = counted(&self.operators, index) {
                    let cost = self.stretches[index + 1].expect("a loop begins a stretch");
                    let locals = (self.fuel, self.number, self.limit);
                    found.open(&mut f, cost, locals, |f| self.look(f));
                    (counting, replaced) = (Some(found), true);
                }
                if let Some(counting) = counting.filter(|counting| counting.test == index) {
                    replaced = counting.test(&mut f, self.limit);
                }
            }
            if !replaced {
                f.instruction(&writer.instruction(operator.clone())?);
            }
            if alive {
                self.after(&mut f, index);
            }
            if let Some(counting) = counting.take_if(|counting| counting.end == index) {
                counting.close(&mut f);
                // What follows the loop begins behind its last test, and so within it.
                self.charge(&mut f, self.stretches[index].expect("a test ends a stretch"), false);
            }
            blocks.step(operator);
        }
        Ok(f.finish())
    }

    fn enter(&self, f: &mut Emit) {
        f.instruction(&I::GlobalGet(self.globals.lease)).instruction(&I::LocalSet(self.fuel));
        let first = self.stretches.first().copied().flatten().unwrap_or(0) + ENTRY;
        // A leaf without loops is over soon; its caller looks.
        self.charge(f, first, self.calls || self.loops);
        if self.calls {
            let slots = i32::try_from(self.frame_slots).expect("bounded by inspection");
            let max = i32::try_from(STACK_SLOTS_MAX).expect("a small constant");
            f.instruction(&I::GlobalGet(self.globals.stack))
                .instruction(&I::I32Const(slots))
                .instruction(&I::I32Add)
                .instruction(&I::LocalTee(self.frame))
                .instruction(&I::I32Const(max))
                .instruction(&I::I32GtU)
                .seldom_if();
            self.save(f);
            f.instruction(&I::I32Const(FAULT_STACK))
                .instruction(&I::GlobalSet(self.globals.fault))
                .instruction(&I::Unreachable)
                .instruction(&I::End);
        }
    }

    /// Pays for a stretch, and looks whether there was enough where `look` says so.
    fn charge(&self, f: &mut Emit, fuel: i64, look: bool) {
        if fuel != 0 {
            f.instruction(&I::LocalGet(self.fuel))
                .instruction(&I::I64Const(fuel))
                .instruction(&I::I64Sub)
                .instruction(&I::LocalSet(self.fuel));
        }
        if look {
            self.look(f);
        }
    }

    /// Below zero: a new lease, what is left, or the end. In line and without a call, so that the loop keeps its registers; and without a
    /// branch inside, so that all of it is one block, which the hint moves out of the loop's way.
    fn look(&self, f: &mut Emit) {
        let Globals { reserve, lease, fault, .. } = self.globals;
        f.instruction(&I::LocalGet(self.fuel))
            .instruction(&I::I64Const(0))
            .instruction(&I::I64LtS)
            .seldom_if()
            // All there is: reserve + fuel.
            .instruction(&I::GlobalGet(reserve))
            .instruction(&I::LocalGet(self.fuel))
            .instruction(&I::I64Add)
            .instruction(&I::LocalTee(self.fuel))
            .instruction(&I::GlobalSet(reserve))
            // Still below zero: says so, and divides by zero, which is a trap without a branch.
            .instruction(&I::LocalGet(self.fuel))
            .instruction(&I::GlobalSet(lease))
            .instruction(&I::LocalGet(self.fuel))
            .instruction(&I::I64Const(0))
            .instruction(&I::I64LtS)
            .instruction(&I::GlobalSet(fault))
            .instruction(&I::I32Const(1))
            .instruction(&I::GlobalGet(fault))
            .instruction(&I::I32Eqz)
            .instruction(&I::I32DivU)
            .instruction(&I::Drop)
            // A lease, or what there is.
            .instruction(&I::LocalGet(self.fuel))
            .instruction(&I::I64Const(LEASE_FUEL))
            .instruction(&I::LocalGet(self.fuel))
            .instruction(&I::I64Const(LEASE_FUEL))
            .instruction(&I::I64LtS)
            .instruction(&I::Select)
            .instruction(&I::LocalSet(self.fuel))
            .instruction(&I::GlobalGet(reserve))
            .instruction(&I::LocalGet(self.fuel))
            .instruction(&I::I64Sub)
            .instruction(&I::GlobalSet(reserve))
            .instruction(&I::End);
    }

    fn save(&self, f: &mut Emit) {
        f.instruction(&I::LocalGet(self.fuel)).instruction(&I::GlobalSet(self.globals.lease));
    }

    fn before(&self, f: &mut Emit, index: usize, outermost: u32) {
        let operator = &self.operators[index];
        if let Some(shape) = self.touches.get(index).and_then(|touch| touch.before) {
            self.canonical(f, shape);
        }
        match operator {
            O::Call { .. } | O::CallIndirect { .. } => {
                self.save(f);
                f.instruction(&I::LocalGet(self.frame))
                    .instruction(&I::GlobalSet(self.globals.stack));
            }
            O::Return => self.save(f),
            O::End if outermost == 0 => self.save(f),
            O::Br { relative_depth } | O::BrIf { relative_depth }
                if *relative_depth == outermost =>
            {
                self.save(f);
            }
            O::BrTable { targets } => {
                let mut all = targets.targets().chain(std::iter::once(Ok(targets.default())));
                if all.any(|target| target.is_ok_and(|target| target == outermost)) {
                    self.save(f);
                }
            }
            O::MemoryCopy { .. } | O::MemoryFill { .. } | O::MemoryInit { .. } => {
                self.pay(f, BULK_SHIFT);
            }
            O::TableCopy { .. } | O::TableFill { .. } | O::TableInit { .. } => self.pay(f, 0),
            O::TableGrow { .. } => self.pay_growth(f, GROWTH_ENTRIES_MAX, 1),
            O::MemoryGrow { .. } => self.pay_growth(f, GROWTH_PAGES_MAX, PAGE_FUEL),
            _ => {}
        }
    }

    /// Pays for the length on top of the stack, and looks: lengths are large.
    fn pay(&self, f: &mut Emit, shift: i64) {
        f.instruction(&I::LocalTee(self.number))
            .instruction(&I::LocalGet(self.fuel))
            .instruction(&I::LocalGet(self.number))
            .instruction(&I::I64ExtendI32U)
            .instruction(&I::I64Const(shift))
            .instruction(&I::I64ShrU)
            .instruction(&I::I64Sub)
            .instruction(&I::LocalSet(self.fuel));
        self.look(f);
    }

    /// Pays `fuel` for each that is asked for; for more than `most`, which is refused anyway, nothing.
    fn pay_growth(&self, f: &mut Emit, most: usize, fuel: u64) {
        let most = i32::try_from(most).expect("a small constant");
        let fuel = i64::try_from(fuel).expect("a small constant");
        f.instruction(&I::LocalTee(self.number))
            .instruction(&I::LocalGet(self.fuel))
            .instruction(&I::LocalGet(self.number))
            .instruction(&I::I32Const(0))
            .instruction(&I::LocalGet(self.number))
            .instruction(&I::I32Const(most))
            .instruction(&I::I32LeU)
            .instruction(&I::Select)
            .instruction(&I::I64ExtendI32U)
            .instruction(&I::I64Const(fuel))
            .instruction(&I::I64Mul)
            .instruction(&I::I64Sub)
            .instruction(&I::LocalSet(self.fuel));
        self.look(f);
    }

    fn after(&self, f: &mut Emit, index: usize) {
        if matches!(self.operators[index], O::Call { .. } | O::CallIndirect { .. }) {
            f.instruction(&I::GlobalGet(self.globals.lease)).instruction(&I::LocalSet(self.fuel));
        }
        if let Some(shape) = self.touches.get(index).and_then(|touch| touch.after) {
            self.canonical(f, shape);
        }
    }

    /// Makes NaNs canonical in the value on top of the stack.
    fn canonical(&self, f: &mut Emit, shape: Shape) {
        match shape {
            Shape::F32 => {
                let nan = I::F32Const(f32::from_bits(NAN_F32).into());
                Self::canonical_scalar(f, self.f32, &I::F32Ge, &nan);
            }
            Shape::F64 => {
                let nan = I::F64Const(f64::from_bits(NAN_F64).into());
                Self::canonical_scalar(f, self.f64, &I::F64Ge, &nan);
            }
            Shape::F32x4 => self.canonical_vector(f, &I::F32x4Eq, NAN_F32X4),
            Shape::F64x2 => self.canonical_vector(f, &I::F64x2Eq, NAN_F64X2),
        }
    }

    /// A branch that is never taken where there are no NaNs: nothing waits for it. "Not less than itself" takes one flag on x86, where "equal
    /// to itself" takes two.
    fn canonical_scalar(f: &mut Emit, local: u32, not_less: &I<'_>, nan: &I<'_>) {
        f.instruction(&I::LocalSet(local))
            .instruction(&I::Block(BlockType::Empty))
            .instruction(&I::LocalGet(local))
            .instruction(&I::LocalGet(local))
            .instruction(not_less)
            .mostly_leave()
            .instruction(nan)
            .instruction(&I::LocalSet(local))
            .instruction(&I::End)
            .instruction(&I::LocalGet(local));
    }

    /// A comparison and a choice by lanes, which compilers make one instruction each.
    fn canonical_vector(&self, f: &mut Emit, equal: &I<'_>, nan: i128) {
        f.instruction(&I::LocalTee(self.v128))
            .instruction(&I::V128Const(nan))
            .instruction(&I::LocalGet(self.v128))
            .instruction(&I::LocalGet(self.v128))
            .instruction(equal)
            .instruction(&I::V128Bitselect);
    }
}

fn slots_of(ty: wasmparser::ValType) -> u32 {
    if ty == wasmparser::ValType::V128 { 2 } else { 1 }
}
