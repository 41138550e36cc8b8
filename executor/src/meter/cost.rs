//! What every operation costs, version 1.
//!
//! The table is coarse on purpose: it follows what Cranelift's code costs on a current machine within a factor of a
//! few, so that fuel is a fair price. Names and constants live in registers and cost nothing.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "hundreds of operators, few of which are special"
)]

use wasmparser::Operator;

/// Fuel of entering a function, beside the call.
pub(super) const ENTRY: i64 = 2;
/// A byte of a bulk operation costs half a fuel.
pub(super) const BULK_SHIFT: i64 = 1;

/// Fuel of one operation. Bulk operations and growth pay for their length beside this.
pub(super) fn cost(operator: &Operator<'_>) -> i64 {
    use Operator as O;
    match operator {
        O::Nop
        | O::Block { .. }
        | O::Loop { .. }
        | O::Else
        | O::End
        | O::Drop
        | O::LocalGet { .. }
        | O::LocalSet { .. }
        | O::LocalTee { .. }
        | O::I32Const { .. }
        | O::I64Const { .. }
        | O::F32Const { .. }
        | O::F64Const { .. }
        | O::V128Const { .. } => 0,
        O::Call { .. } => 6,
        O::CallIndirect { .. } => 12,
        O::BrTable { .. } => 4,
        O::I32DivS
        | O::I32DivU
        | O::I32RemS
        | O::I32RemU
        | O::I64DivS
        | O::I64DivU
        | O::I64RemS
        | O::I64RemU => 12,
        O::F32Div | O::F32x4Div => 6,
        O::F64Div | O::F64x2Div => 8,
        O::F32Sqrt | O::F32x4Sqrt => 8,
        O::F64Sqrt | O::F64x2Sqrt => 12,
        O::F32Ceil
        | O::F32Floor
        | O::F32Trunc
        | O::F32Nearest
        | O::F64Ceil
        | O::F64Floor
        | O::F64Trunc
        | O::F64Nearest
        | O::F32Min
        | O::F32Max
        | O::F64Min
        | O::F64Max => 4,
        O::F32Add
        | O::F32Sub
        | O::F32Mul
        | O::F64Add
        | O::F64Sub
        | O::F64Mul
        | O::I32Mul
        | O::I64Mul
        | O::GlobalSet { .. }
        | O::MemorySize { .. }
        | O::TableSize { .. }
        | O::TableGet { .. }
        | O::TableSet { .. } => 2,
        O::I32Load { .. }
        | O::I64Load { .. }
        | O::F32Load { .. }
        | O::F64Load { .. }
        | O::V128Load { .. }
        | O::I32Store { .. }
        | O::I64Store { .. }
        | O::V128Store { .. } => 2,
        O::F32Store { .. } | O::F64Store { .. } => 3,
        O::MemoryCopy { .. }
        | O::MemoryFill { .. }
        | O::MemoryInit { .. }
        | O::TableCopy { .. }
        | O::TableFill { .. }
        | O::TableInit { .. } => 40,
        O::MemoryGrow { .. } => 400,
        // As much as a page: a table may have to move, and the interpreter keeps a little native stack for each.
        O::TableGrow { .. } => 16_384,
        O::F32x4Add
        | O::F32x4Sub
        | O::F32x4Mul
        | O::F32x4Min
        | O::F32x4Max
        | O::F32x4Ceil
        | O::F32x4Floor
        | O::F32x4Trunc
        | O::F32x4Nearest
        | O::F64x2Add
        | O::F64x2Sub
        | O::F64x2Mul
        | O::F64x2Min
        | O::F64x2Max
        | O::F64x2Ceil
        | O::F64x2Floor
        | O::F64x2Trunc
        | O::F64x2Nearest => 4,
        O::I64x2Mul | O::I8x16Shl | O::I8x16ShrS | O::I8x16ShrU | O::I8x16Popcnt => 6,
        // Whatever computes on integers, compares, converts or branches.
        _ => 1,
    }
}
