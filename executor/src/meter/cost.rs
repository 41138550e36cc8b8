//! What every operation costs, version 3.
//!
//! The table is coarse on purpose: it follows what Cranelift's code takes on a current machine (`gongsuan-bench calibrate` measures it) within a
//! factor of a few, so that fuel is a fair price: about three fuel a nanosecond for what waits, more for what does not. Names and
//! constants live in registers and cost nothing.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "hundreds of operators, few of which are special"
)]

use wasmparser::Operator;

/// Fuel of entering a function, beside the call.
pub(super) const ENTRY: i64 = 2;
/// Fuel of asking for a longer memory or table, whatever the answer: a few microseconds of the host's. It must not be less: every question
/// keeps a little of the interpreter's native stack until the run ends, and this price bounds how many there can be (see the interpreter).
pub(crate) const GROWTH: i64 = 25_000;
/// Four bytes of a bulk operation cost a fuel: memory that is not in a cache takes about so long.
pub(super) const BULK_SHIFT: i64 = 2;
/// Fuel of a data segment, beside its bytes: what a bulk operation costs.
pub(super) const DATA_SEGMENT_FUEL: u64 = 20;

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
        // Wrong guesses of the processor are in the price of whatever may be guessed wrong.
        O::If { .. } | O::BrIf { .. } => 3,
        O::BrTable { .. } => 24,
        O::Call { .. } => 6,
        O::CallIndirect { .. } => 24,
        O::I32DivS | O::I32DivU | O::I32RemS | O::I32RemU => 5,
        O::I64DivS | O::I64DivU | O::I64RemS | O::I64RemU => 8,
        O::F32Div | O::F32x4Div | O::F32Sqrt | O::F32x4Sqrt => 8,
        O::F64Div | O::F64x2Div | O::F64Sqrt | O::F64x2Sqrt => 12,
        // Floats that stand alone mostly wait for each other: compilers make vectors of those that do not, and vectors cost 1.
        O::F32Add
        | O::F32Sub
        | O::F32Mul
        | O::F32Min
        | O::F32Max
        | O::F32Ceil
        | O::F32Floor
        | O::F32Trunc
        | O::F32Nearest
        | O::F64Add
        | O::F64Sub
        | O::F64Mul
        | O::F64Min
        | O::F64Max
        | O::F64Ceil
        | O::F64Floor
        | O::F64Trunc
        | O::F64Nearest => 3,
        O::F32x4Min
        | O::F32x4Max
        | O::F64x2Min
        | O::F64x2Max
        | O::I8x16Shl
        | O::I8x16ShrS
        | O::I8x16ShrU
        | O::I8x16Popcnt
        | O::I8x16Shuffle { .. }
        | O::TableGet { .. }
        | O::TableSet { .. } => 2,
        // What makes a NaN canonical belongs to the store of a float. Long rows of vectors are written as fast as they are made.
        O::F32Store { .. }
        | O::F64Store { .. }
        | O::I32Store { .. }
        | O::I32Store8 { .. }
        | O::I32Store16 { .. }
        | O::I64Store { .. }
        | O::I64Store8 { .. }
        | O::I64Store16 { .. }
        | O::I64Store32 { .. } => 2,
        O::I64x2Mul => 4,
        O::MemoryCopy { .. }
        | O::MemoryFill { .. }
        | O::MemoryInit { .. }
        | O::TableCopy { .. }
        | O::TableFill { .. }
        | O::TableInit { .. } => 20,
        O::MemoryGrow { .. } | O::TableGrow { .. } => GROWTH,
        // Whatever computes on integers, loads, stores, compares or converts.
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use gongsuan_types::Hash;
    use wasm_encoder::Encode;
    use wasmparser::{BinaryReader, OperatorsReader};

    use super::*;
    use crate::meter::{
        LEASE_FUEL, METER_VERSION, PAGE_FUEL, STACK_SLOTS_MAX, rewrite::FRAME_SLOTS,
    };

    /// Every operation that a byte, or one behind a prefix, stands for, with its price.
    fn table() -> String {
        let single = (0..=0xff_u8).map(|code| vec![code]);
        let prefixed = |prefix: u8, last: u32| {
            (0..=last).map(move |code| {
                let mut bytes = vec![prefix];
                code.encode(&mut bytes);
                bytes
            })
        };
        let mut text = String::new();
        for mut code in single.chain(prefixed(0xfc, 17)).chain(prefixed(0xfd, 0xff)) {
            // Whatever follows an operation can be said with zeros.
            code.extend([0; 16]);
            let mut reader = OperatorsReader::new(BinaryReader::new(&code, 0));
            if let Ok(operator) = reader.read() {
                let words = format!("{operator:?}");
                let name = words.split([' ', '(']).next().unwrap_or_default();
                writeln!(text, "{name} {}", cost(&operator)).unwrap();
            }
        }
        let constants = [
            ENTRY,
            GROWTH,
            BULK_SHIFT,
            DATA_SEGMENT_FUEL.cast_signed(),
            LEASE_FUEL,
            PAGE_FUEL.cast_signed(),
            STACK_SLOTS_MAX.into(),
            FRAME_SLOTS.into(),
        ];
        writeln!(text, "{constants:?}").unwrap();
        text
    }

    #[test]
    fn the_table_belongs_to_its_version() {
        let table = table();
        // Silence is not success: the operations of the MVP and of 128-bit vectors are in it.
        assert!(table.lines().count() > 400, "{table}");
        assert_eq!(
            (METER_VERSION, Hash::of_content(table.as_bytes()).short().as_str()),
            (3, "962a9183"),
            "a table that was published never changes: give the new one a new METER_VERSION, and pin both here"
        );
    }
}
