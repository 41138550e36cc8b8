//! Adds a `_start` to a module that makes calls and compares their results. Nothing else of the module changes.

use std::collections::BTreeMap;

use wasm_encoder::{BlockType, Encode, Function, Instruction as I, Module, RawSection, ValType};
use wasmparser::{ExternalKind, FuncType, Parser, Payload, TypeRef};
use wast::WastArg;
use wast::core::{NanPattern, V128Pattern, WastArgCore, WastRetCore};

/// A call with what it should return; `None` drops what it returns.
pub(super) struct Call<'a> {
    pub(super) name: &'a str,
    pub(super) args: &'a [WastArg<'a>],
    pub(super) results: Option<Vec<&'a WastRetCore<'a>>>,
}

/// What calls need to know of a module.
pub(super) struct Facts {
    types: Vec<FuncType>,
    functions: Vec<u32>,
    exports: BTreeMap<String, u32>,
}

impl Facts {
    /// `None` for what this project does not run anyway.
    pub(super) fn of(module: &[u8]) -> Option<Self> {
        let mut facts = Self { types: Vec::new(), functions: Vec::new(), exports: BTreeMap::new() };
        for payload in Parser::new(0).parse_all(module) {
            match payload.ok()? {
                Payload::TypeSection(section) => {
                    facts.types =
                        section.into_iter_err_on_gc_types().collect::<Result<_, _>>().ok()?;
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let TypeRef::Func(ty) = import.ok()?.ty else { return None };
                        facts.functions.push(ty);
                    }
                }
                Payload::FunctionSection(section) => {
                    facts.functions.extend(section.into_iter().filter_map(Result::ok));
                }
                Payload::ExportSection(section) => {
                    let all = section.into_iter().filter_map(Result::ok);
                    let functions = all.filter(|export| export.kind == ExternalKind::Func);
                    facts.exports.extend(functions.map(|e| (e.name.to_owned(), e.index)));
                }
                _ => {}
            }
        }
        Some(facts)
    }

    fn results(&self, function: u32) -> Option<&[wasmparser::ValType]> {
        let ty = *self.functions.get(function as usize)?;
        Some(self.types.get(ty as usize)?.results())
    }
}

/// The module with a `_start` that makes the calls in order; a wrong result ends in endless recursion, which nothing else does.
/// `None` if a call uses what cannot be said here.
pub(super) fn with_start(module: &[u8], facts: &Facts, calls: &[Call<'_>]) -> Option<Vec<u8>> {
    let ty = u32::try_from(facts.types.len()).ok()?;
    let mismatch = u32::try_from(facts.functions.len()).ok()?;
    let mut start = Function::new([(1, ValType::F32), (1, ValType::F64), (1, ValType::V128)]);
    for call in calls {
        write(&mut start, facts, call, mismatch)?;
    }
    start.instruction(&I::End);
    let mut recursion = Function::new([]);
    recursion.instruction(&I::Call(mismatch)).instruction(&I::End);

    let mut code = Vec::new();
    recursion.encode(&mut code);
    start.encode(&mut code);
    let mut export = Vec::new();
    "_start".encode(&mut export);
    export.push(0);
    (mismatch + 1).encode(&mut export);
    let mut types = Vec::new();
    ty.encode(&mut types);
    ty.encode(&mut types);
    append(module, &[(1, 1, &[0x60, 0, 0]), (3, 2, &types), (7, 1, &export), (10, 2, &code)])
}

/// Appends entries (section, how many, their bytes) to sections, which are made where they are missing.
fn append(module: &[u8], additions: &[(u8, u32, &[u8])]) -> Option<Vec<u8>> {
    let mut out = Module::new();
    let mut reader = wasmparser::BinaryReader::new(module.get(8..)?, 0);
    let mut pending = additions.iter().peekable();
    let emit = |out: &mut Module, id: u8, old: &[u8], extra: Option<&(u8, u32, &[u8])>| {
        let Some((_, count, bytes)) = extra else {
            out.section(&RawSection { id, data: old });
            return Some(());
        };
        let mut reader = wasmparser::BinaryReader::new(old, 0);
        let before = if old.is_empty() { 0 } else { reader.read_var_u32().ok()? };
        let mut data = Vec::new();
        (before + count).encode(&mut data);
        data.extend_from_slice(&old[reader.current_position()..]);
        data.extend_from_slice(bytes);
        out.section(&RawSection { id, data: &data });
        Some(())
    };
    // The order of sections; custom ones are left out, and 12 (data count) stands before 10.
    let rank = |id: u8| if id == 12 { 19 } else { u32::from(id) * 2 };
    while !reader.eof() {
        let id = reader.read_u8().ok()?;
        let bytes = reader.read_var_u32().ok()? as usize;
        let content = reader.read_bytes(bytes).ok()?;
        if id == 0 {
            continue;
        }
        while let Some(extra) = pending.next_if(|extra| rank(extra.0) < rank(id)) {
            emit(&mut out, extra.0, &[], Some(extra))?;
        }
        let extra = pending.next_if(|extra| extra.0 == id);
        emit(&mut out, id, content, extra)?;
    }
    for extra in pending {
        emit(&mut out, extra.0, &[], Some(extra))?;
    }
    Some(out.finish())
}

const F32: u32 = 0;
const F64: u32 = 1;
const V128: u32 = 2;

fn write(f: &mut Function, facts: &Facts, call: &Call<'_>, mismatch: u32) -> Option<()> {
    let function = *facts.exports.get(call.name)?;
    for arg in call.args {
        let WastArg::Core(arg) = arg else { return None };
        match arg {
            WastArgCore::I32(value) => f.instruction(&I::I32Const(*value)),
            WastArgCore::I64(value) => f.instruction(&I::I64Const(*value)),
            WastArgCore::F32(value) => {
                f.instruction(&I::F32Const(f32::from_bits(value.bits).into()))
            }
            WastArgCore::F64(value) => {
                f.instruction(&I::F64Const(f64::from_bits(value.bits).into()))
            }
            WastArgCore::V128(value) => {
                f.instruction(&I::V128Const(i128::from_le_bytes(value.to_le_bytes())))
            }
            _ => return None,
        };
    }
    f.instruction(&I::Call(function));
    let Some(results) = &call.results else {
        for _ in facts.results(function)? {
            f.instruction(&I::Drop);
        }
        return Some(());
    };
    for result in results.iter().rev() {
        compare(f, result)?;
        f.instruction(&I::If(BlockType::Empty))
            .instruction(&I::Else)
            .instruction(&I::Call(mismatch))
            .instruction(&I::End);
    }
    Some(())
}

/// Leaves 1 if the value on top is what it should be.
fn compare(f: &mut Function, expected: &WastRetCore<'_>) -> Option<()> {
    match expected {
        WastRetCore::I32(value) => f.instruction(&I::I32Const(*value)).instruction(&I::I32Eq),
        WastRetCore::I64(value) => f.instruction(&I::I64Const(*value)).instruction(&I::I64Eq),
        WastRetCore::F32(pattern) => match pattern {
            NanPattern::Value(value) if !f32::from_bits(value.bits).is_nan() => f
                .instruction(&I::I32ReinterpretF32)
                .instruction(&I::I32Const(value.bits.cast_signed()))
                .instruction(&I::I32Eq),
            _ => f
                .instruction(&I::LocalTee(F32))
                .instruction(&I::LocalGet(F32))
                .instruction(&I::F32Ne),
        },
        WastRetCore::F64(pattern) => match pattern {
            NanPattern::Value(value) if !f64::from_bits(value.bits).is_nan() => f
                .instruction(&I::I64ReinterpretF64)
                .instruction(&I::I64Const(value.bits.cast_signed()))
                .instruction(&I::I64Eq),
            _ => f
                .instruction(&I::LocalTee(F64))
                .instruction(&I::LocalGet(F64))
                .instruction(&I::F64Ne),
        },
        WastRetCore::V128(pattern) => return compare_lanes(f, pattern),
        WastRetCore::RefNull(_) => f.instruction(&I::RefIsNull),
        WastRetCore::RefFunc(_) => f.instruction(&I::RefIsNull).instruction(&I::I32Eqz),
        _ => return None,
    };
    Some(())
}

fn compare_lanes(f: &mut Function, pattern: &V128Pattern) -> Option<()> {
    // Lanes that must be NaN are compared as such, the others bit by bit.
    let (bits, nan_lanes): (Vec<u8>, [bool; 16]) = match pattern {
        V128Pattern::F32x4(lanes) => {
            let nan = |at: usize| !matches!(lanes[at], NanPattern::Value(v) if !f32::from_bits(v.bits).is_nan());
            let bits = (0..4).flat_map(|at| match lanes[at] {
                NanPattern::Value(v) if !nan(at) => v.bits.to_le_bytes(),
                _ => [0; 4],
            });
            (bits.collect(), std::array::from_fn(|at| nan(at / 4)))
        }
        V128Pattern::F64x2(lanes) => {
            let nan = |at: usize| !matches!(lanes[at], NanPattern::Value(v) if !f64::from_bits(v.bits).is_nan());
            let bits = (0..2).flat_map(|at| match lanes[at] {
                NanPattern::Value(v) if !nan(at) => v.bits.to_le_bytes(),
                _ => [0; 8],
            });
            (bits.collect(), std::array::from_fn(|at| nan(at / 8)))
        }
        V128Pattern::I8x16(lanes) => (lanes.map(i8::cast_unsigned).to_vec(), [false; 16]),
        V128Pattern::I16x8(lanes) => {
            (lanes.iter().flat_map(|l| l.to_le_bytes()).collect(), [false; 16])
        }
        V128Pattern::I32x4(lanes) => {
            (lanes.iter().flat_map(|l| l.to_le_bytes()).collect(), [false; 16])
        }
        V128Pattern::I64x2(lanes) => {
            (lanes.iter().flat_map(|l| l.to_le_bytes()).collect(), [false; 16])
        }
    };
    let mask = nan_lanes.map(|nan| if nan { 0xff } else { 0 });
    let constant = |bytes: [u8; 16]| I::V128Const(i128::from_le_bytes(bytes));
    let unequal = if matches!(pattern, V128Pattern::F64x2(_)) { I::F64x2Ne } else { I::F32x4Ne };
    // bitselect(a, b, mask) takes a where the mask is set: in the lanes that must be NaN.
    f.instruction(&I::LocalTee(V128))
        .instruction(&I::LocalGet(V128))
        .instruction(&unequal)
        .instruction(&I::LocalGet(V128))
        .instruction(&constant(bits.try_into().ok()?))
        .instruction(&I::I8x16Eq)
        .instruction(&constant(mask))
        .instruction(&I::V128Bitselect)
        .instruction(&I::I8x16AllTrue);
    Some(())
}
