//! What a module must be before it is rewritten.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the rest of an open set is refused by the validator"
)]

use wasmparser::{
    BinaryReaderError, CompositeInnerType, DataKind, ElementItems, ElementKind, ExternalKind,
    FuncType, FuncValidator, FunctionBody, Import, Operator, Parser, Payload, TypeRef, ValType,
    Validator, ValidatorResources, WasmFeatures,
};

use gongsuan_types::job::MEMORY_PAGES_MAX;

use super::cost::{BULK_SHIFT, DATA_SEGMENT_FUEL};
use super::nan::{self, Effect, Kind, Touch};
use super::{MODULE_BYTES_MAX, PAGE_BYTES, PREFIX, TABLE_ENTRIES_MAX, TABLES_MAX};
use crate::ModuleError;
use crate::wasi;
use crate::wasi::files::{self, Tree};

const TYPES_MAX: u32 = 10_000;
const FUNCTIONS_MAX: u32 = 50_000;
const GLOBALS_MAX: u32 = 10_000;
const EXPORTS_MAX: u32 = 10_000;
/// Compilers cut data at every run of zeros: a `CPython` has 42,695 segments.
const SEGMENTS_MAX: u32 = 100_000;
const LOCALS_MAX: u32 = 10_000;
const PARAMS_MAX: usize = 128;
const BODY_BYTES_MAX: u64 = 1 << 20;
const BRANCH_TARGETS_MAX: u64 = 65_536;
/// What compiling a module may take, in units of about a microsecond of an unhurried machine: well below a worker's deadline, several
/// times what the largest real programs need.
const COMPILE_UNITS_MAX: u64 = 40_000_000;

/// What the rewriter needs to know about a module.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) types: Vec<FuncType>,
    /// The type of every function, imported ones first.
    pub(super) functions: Vec<u32>,
    pub(super) imported: u32,
    /// The imported functions, each once.
    pub(super) imports: Vec<&'static wasi::Function>,
    pub(super) globals: u32,
    pub(super) start: Option<u32>,
    pub(super) memory_minimum: u32,
    /// Fuel of writing the data segments into a fresh memory.
    pub(super) data_fuel: u64,
    /// The files that the module carries.
    pub(super) files: Option<Tree>,
    /// What is known of every body.
    pub(super) bodies: Vec<BodyFacts>,
    tables: Vec<u64>,
    /// What compiling is expected to take, in units of about a microsecond.
    compile: u64,
    starts_at: Option<u32>,
}

/// What the rewriter needs to know about a function's body.
#[derive(Debug)]
pub(super) struct BodyFacts {
    /// The deepest operand stack, in slots.
    pub(super) height: u32,
    /// Where NaNs are made canonical, by operation; empty where there are no floats.
    pub(super) touches: Vec<Touch>,
}

/// What may be used. References are references to functions: `GC_TYPES` would admit references to the host's things.
fn features() -> WasmFeatures {
    WasmFeatures::FLOATS
        | WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::REFERENCE_TYPES
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::SIMD
}

impl From<BinaryReaderError> for ModuleError {
    fn from(error: BinaryReaderError) -> Self {
        Self::Invalid { offset: error.offset(), reason: error.message().to_owned() }
    }
}

pub(super) fn inspect(module: &[u8]) -> Result<Facts, ModuleError> {
    let got = module.len() as u64;
    if module.len() > MODULE_BYTES_MAX {
        return Err(ModuleError::TooLarge { limit: MODULE_BYTES_MAX as u64, got });
    }
    if !module.starts_with(b"\0asm\x01\0\0\0") {
        let first = module.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>();
        return Err(ModuleError::BadMagic { got: first });
    }
    // Counts first: what is counted is bounded before it is validated.
    let mut facts = Facts::default();
    for payload in Parser::new(0).parse_all(module) {
        facts.take(&payload?)?;
    }
    facts.bodies = validate(module, &facts)?;
    facts.check_entry()?;
    Ok(facts)
}

/// Validates the whole module and looks at its bodies.
fn validate(module: &[u8], facts: &Facts) -> Result<Vec<BodyFacts>, ModuleError> {
    let mut validator = Validator::new_with_features(features());
    let mut bodies = Vec::new();
    let mut allocations = wasmparser::FuncValidatorAllocations::default();
    for payload in Parser::new(0).parse_all(module) {
        if let wasmparser::ValidPayload::Func(function, body) = validator.payload(&payload?)? {
            let params = usize::try_from(function.index).ok().and_then(|index| {
                let ty = facts.types.get(*facts.functions.get(index)? as usize)?;
                Some(ty.params().len())
            });
            let mut function = function.into_validator(allocations);
            bodies.push(validate_body(&mut function, &body, params.unwrap_or(0))?);
            allocations = function.into_allocations();
        }
    }
    Ok(bodies)
}

fn validate_body(
    function: &mut FuncValidator<ValidatorResources>,
    body: &FunctionBody<'_>,
    params: usize,
) -> Result<BodyFacts, ModuleError> {
    let mut floats = false;
    for operator in body.get_operators_reader()? {
        floats |= nan::concerns(&operator?);
    }
    let mut reader = body.get_binary_reader();
    function.read_locals(&mut reader)?;
    let locals = (0..function.len_locals()).map(|local| function.get_local_type(local));
    let locals: Vec<Kind> = locals.map(|ty| ty.map_or(Kind::Other, Kind::from)).collect();
    let mut reader = wasmparser::OperatorsReader::new(reader);
    let mut height = 0;
    let (mut operators, mut effects) = (Vec::new(), Vec::new());
    while !reader.eof() {
        let offset = reader.original_position();
        let operator = reader.read()?;
        let arity = if floats { operator.operator_arity(function) } else { None };
        function.op(offset, &operator)?;
        height = height.max(function.operand_stack_height());
        if floats {
            effects.push(effect(function, arity.ok_or_else(|| unknown(offset, &operator))?));
            operators.push(operator);
        }
    }
    reader.finish()?;
    let touches =
        if floats { nan::touches(&operators, &effects, &locals, params) } else { Vec::new() };
    Ok(BodyFacts { height, touches })
}

fn unknown(offset: u64, operator: &Operator<'_>) -> ModuleError {
    ModuleError::Invalid { offset, reason: format!("{operator:?} is not admitted") }
}

/// What the operation that was just validated took and left.
fn effect(function: &FuncValidator<ValidatorResources>, (pops, pushes): (u32, u32)) -> Effect {
    let kind = |depth: u32| match function.get_operand_type(depth as usize) {
        Some(Some(ty)) => Kind::from(ty),
        // Nothing arrives here.
        Some(None) | None => Kind::Other,
    };
    Effect { pops: pops as usize, pushes: (0..pushes).rev().map(kind).collect() }
}

fn bounded(what: &str, got: u64, limit: u64) -> Result<(), ModuleError> {
    if got > limit {
        Err(ModuleError::TooMany { what: what.to_owned(), limit, got })
    } else {
        Ok(())
    }
}

impl Facts {
    fn take(&mut self, payload: &Payload<'_>) -> Result<(), ModuleError> {
        match payload {
            Payload::TypeSection(section) => {
                bounded("types", section.count().into(), TYPES_MAX.into())?;
                for group in section.clone() {
                    for sub in group?.into_types() {
                        let CompositeInnerType::Func(ty) = sub.composite_type.inner else {
                            let reason = "only function types are admitted".to_owned();
                            return Err(ModuleError::Invalid {
                                offset: section.range().start,
                                reason,
                            });
                        };
                        bounded(
                            "parameters in a type",
                            ty.params().len() as u64,
                            PARAMS_MAX as u64,
                        )?;
                        bounded("results in a type", ty.results().len() as u64, PARAMS_MAX as u64)?;
                        self.types.push(ty);
                    }
                }
            }
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    self.import(&import?)?;
                }
            }
            Payload::FunctionSection(section) => {
                bounded("functions", section.count().into(), FUNCTIONS_MAX.into())?;
                for ty in section.clone() {
                    self.functions.push(ty?);
                }
            }
            Payload::TableSection(section) => {
                bounded("tables", section.count().into(), TABLES_MAX as u64)?;
                for table in section.clone() {
                    let entries = table?.ty.initial;
                    bounded("entries in a table", entries, TABLE_ENTRIES_MAX as u64)?;
                    self.tables.push(entries);
                }
            }
            Payload::MemorySection(section) => {
                bounded("memories", section.count().into(), 1)?;
                for memory in section.clone() {
                    let pages = memory?.initial;
                    // No job may have more, and engines set aside room for no more.
                    bounded("pages of memory at its start", pages, MEMORY_PAGES_MAX.into())?;
                    self.memory_minimum = u32::try_from(pages).expect("just bounded");
                }
            }
            Payload::GlobalSection(section) => {
                bounded("globals", section.count().into(), GLOBALS_MAX.into())?;
                self.globals = section.count();
            }
            Payload::ExportSection(section) => {
                bounded("exports", section.count().into(), EXPORTS_MAX.into())?;
                for export in section.clone() {
                    self.export(&export?)?;
                }
            }
            Payload::StartSection { func, .. } => self.start = Some(*func),
            Payload::ElementSection(section) => self.elements(section)?,
            Payload::DataSection(section) => self.data(section)?,
            Payload::CustomSection(section) if section.name() == files::SECTION => {
                bounded("sections of files", 1 + u64::from(self.files.is_some()), 1)?;
                self.files = Some(Tree::read(section.data())?);
            }
            Payload::CodeSectionEntry(body) => {
                self.compile += check_body(body)?;
                let what =
                    "units of compiler's work (branches, loops and bulk operations weigh most)";
                bounded(what, self.compile, COMPILE_UNITS_MAX)?;
            }
            // Counted by the sections they come with, or refused by the validator.
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, import: &Import<'_>) -> Result<(), ModuleError> {
        let forbidden = || ModuleError::ForbiddenImport {
            module: import.module.to_owned(),
            name: import.name.to_owned(),
        };
        let known = wasi::find(import.module, import.name);
        let (Some(function), TypeRef::Func(ty)) = (known, import.ty) else {
            return Err(forbidden());
        };
        let got = usize::try_from(ty).ok().and_then(|ty| self.types.get(ty)).map(type_text);
        let limit = function.type_text();
        match got {
            Some(got) if got == limit => {}
            got => {
                let got = got.unwrap_or_else(|| "a type that does not exist".to_owned());
                return Err(ModuleError::ImportType { name: import.name.to_owned(), limit, got });
            }
        }
        // A module may import the same function twice.
        if !self.imports.contains(&function) {
            self.imports.push(function);
        }
        self.imported += 1;
        bounded("imports", self.imported.into(), 1_000)?;
        self.functions.push(ty);
        Ok(())
    }

    fn export(&mut self, export: &wasmparser::Export<'_>) -> Result<(), ModuleError> {
        let fault = |limit: &str, got: String| ModuleError::Export {
            name: export.name.to_owned(),
            limit: limit.to_owned(),
            got,
        };
        if export.name.starts_with(PREFIX) {
            return Err(fault("another name: this prefix is the meter's", export.name.to_owned()));
        }
        match (export.name, export.kind) {
            ("_start", ExternalKind::Func) => self.starts_at = Some(export.index),
            ("_start", kind) => return Err(fault("a function", format!("{kind:?}"))),
            ("memory", ExternalKind::Memory) => {}
            ("memory", kind) => return Err(fault("a memory", format!("{kind:?}"))),
            _ => {}
        }
        Ok(())
    }

    /// `_start` must be a function without parameters and results.
    fn check_entry(&self) -> Result<(), ModuleError> {
        let fault = |got: String| ModuleError::Export {
            name: "_start".to_owned(),
            limit: "()".to_owned(),
            got,
        };
        let index = self.starts_at.ok_or_else(|| fault("nothing".to_owned()))?;
        let ty = self.function_type(index).ok_or_else(|| fault("nothing".to_owned()))?;
        if index < self.imported {
            return Err(fault("an import".to_owned()));
        }
        if ty.params().is_empty() && ty.results().is_empty() {
            Ok(())
        } else {
            Err(fault(type_text(ty)))
        }
    }

    /// The type of a function, by its index.
    pub(super) fn function_type(&self, index: u32) -> Option<&FuncType> {
        let ty = self.functions.get(usize::try_from(index).ok()?)?;
        self.types.get(usize::try_from(*ty).ok()?)
    }

    /// Segments outside the initial table would trap before the first instruction, and engines word that differently.
    fn elements(&self, section: &wasmparser::ElementSectionReader<'_>) -> Result<(), ModuleError> {
        bounded("element segments", section.count().into(), SEGMENTS_MAX.into())?;
        for element in section.clone() {
            let element = element?;
            let count = match &element.items {
                ElementItems::Functions(items) => items.count(),
                ElementItems::Expressions(_, items) => items.count(),
            };
            bounded("entries in an element segment", count.into(), TABLE_ENTRIES_MAX as u64)?;
            if let ElementKind::Active { table_index, offset_expr } = element.kind {
                let table = usize::try_from(table_index.unwrap_or(0)).unwrap_or(usize::MAX);
                let limit = self.tables.get(table).copied().unwrap_or(0);
                let got = constant(&offset_expr)? + u64::from(count);
                if got > limit {
                    let what = "an element segment".to_owned();
                    return Err(ModuleError::SegmentOutOfBounds { what, limit, got });
                }
            }
        }
        Ok(())
    }

    fn data(&mut self, section: &wasmparser::DataSectionReader<'_>) -> Result<(), ModuleError> {
        bounded("data segments", section.count().into(), SEGMENTS_MAX.into())?;
        for data in section.clone() {
            let data = data?;
            if let DataKind::Active { offset_expr, .. } = &data.kind {
                let limit = u64::from(self.memory_minimum) * PAGE_BYTES as u64;
                let bytes = data.data.len() as u64;
                self.data_fuel += DATA_SEGMENT_FUEL + (bytes >> BULK_SHIFT);
                let got = constant(offset_expr)? + bytes;
                if got > limit {
                    let what = "a data segment".to_owned();
                    return Err(ModuleError::SegmentOutOfBounds { what, limit, got });
                }
            }
        }
        Ok(())
    }
}

/// The offset of a segment: without imported globals it can only be a constant.
fn constant(expression: &wasmparser::ConstExpr<'_>) -> Result<u64, ModuleError> {
    let mut reader = expression.get_operators_reader();
    let offset = reader.original_position();
    match reader.read()? {
        Operator::I32Const { value } => Ok(value.cast_unsigned().into()),
        other => {
            let reason = format!("a segment's offset must be an i32 constant, not {other:?}");
            Err(ModuleError::Invalid { offset, reason })
        }
    }
}

/// Checks a body's bounds and returns what compiling it is expected to take.
fn check_body(body: &FunctionBody<'_>) -> Result<u64, ModuleError> {
    let range = body.range();
    bounded("bytes in a function", range.end - range.start, BODY_BYTES_MAX)?;
    let mut locals = 0u64;
    for group in body.get_locals_reader()? {
        locals += u64::from(group?.0);
        bounded("locals in a function", locals, LOCALS_MAX.into())?;
    }
    let mut work = CompileWork::default();
    for operator in body.get_operators_reader()? {
        let operator = operator?;
        if let Operator::BrTable { targets } = &operator {
            bounded("targets of a br_table", targets.len().into(), BRANCH_TARGETS_MAX)?;
        }
        work.add(&operator);
    }
    Ok(work.units())
}

/// What a body asks of the compiler, as measured with Cranelift: places where control meets cost most, and cost more the more
/// of them one function has.
#[derive(Default)]
struct CompileWork {
    operations: u64,
    branches: u64,
    /// Where the meter looks at the fuel: loops, and what pays for a length.
    looks: u64,
}

impl CompileWork {
    fn add(&mut self, operator: &Operator<'_>) {
        use Operator as O;
        match operator {
            O::If { .. } | O::Else | O::Br { .. } | O::BrIf { .. } | O::Return => {
                self.branches += 1;
            }
            O::BrTable { targets } => self.operations += u64::from(targets.len()),
            O::Loop { .. }
            | O::MemoryCopy { .. }
            | O::MemoryFill { .. }
            | O::MemoryInit { .. }
            | O::MemoryGrow { .. }
            | O::TableCopy { .. }
            | O::TableFill { .. }
            | O::TableInit { .. }
            | O::TableGrow { .. } => self.looks += 1,
            _ => {}
        }
        self.operations += 1;
    }

    fn units(&self) -> u64 {
        let places = self.branches + 2 * self.looks;
        300 + 4 * self.operations + 60 * self.branches + 200 * self.looks + places * places / 16
    }
}

fn type_text(ty: &FuncType) -> String {
    let list =
        |types: &[ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match ty.results() {
        [] => format!("({})", list(ty.params())),
        [one] => format!("({}) -> {one}", list(ty.params())),
        many => format!("({}) -> ({})", list(ty.params()), list(many)),
    }
}
