//! Loops whose number of rounds is known when they are entered, so that they pay for many rounds at once.
//!
//! ```text
//! loop                        loop                                   ;; portions
//!   …                           n = min((bound - i) / step, most)    ;; at least 1
//!   i = i + step        ──►     fuel -= n * cost;  look
//!   br_if 0 (i != bound)        limit = i + n * step
//! end                           loop  …  i = i + step;  br_if 0 (i != limit)  end
//!                               br_if 0 (i != bound)
//!                             end
//! ```
//!
//! The rounds of a portion all run, or one of them traps: a portion is a longer stretch. So a loop burns what it would burn round by round,
//! and the price of many rounds is one subtraction and one look. Taken are loops of straight code without calls and without operations that
//! pay for a length. A division that leaves a rest gives a portion too short, never one too long: between `i` and `bound` there is no other
//! multiple of the step at which `i` could meet it.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "hundreds of operators, few of which are special"
)]

use wasm_encoder::{BlockType, Instruction as I};
use wasmparser::{BlockType as Type, Operator as O};

use super::emit::Emit;

/// Fuel of a portion, at most: a few microseconds.
pub(super) const PORTION_FUEL: i64 = 65_536;

/// A loop that counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Counted {
    /// The local that counts.
    pub(super) counter: u32,
    /// What is added to it in a round; not zero.
    step: i32,
    bound: Bound,
    /// The operation that pushes the bound for the last test, or the test itself where the bound is not pushed.
    pub(super) test: usize,
    /// The loop's end.
    pub(super) end: usize,
}

/// What the counter is compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bound {
    Constant(i32),
    Local(u32),
    /// Zero, by testing the counter itself.
    Unsaid,
}

/// The counting loop that begins at `operators[start]`, if one does.
pub(super) fn counted(operators: &[O<'_>], start: usize) -> Option<Counted> {
    let O::Loop { blockty: Type::Empty } = operators[start] else { return None };
    let body = &operators[start + 1..];
    let length = body.iter().position(|o| !is_straight(o))?;
    let [O::BrIf { relative_depth: 0 }, O::End, ..] = body[length..] else { return None };
    let body = &body[..length];
    let (counter, step, bound, test) = last_tests(body).into_iter().flatten().find_map(|test| {
        let (counter, bound, test) = test;
        let fixed = match bound {
            Bound::Local(local) => local != counter && writes(body, local).next().is_none(),
            Bound::Constant(_) | Bound::Unsaid => true,
        };
        Some((counter, only_step(body, counter).filter(|_| fixed)?, bound, test))
    })?;
    Some(Counted { counter, step, bound, test: start + 1 + test, end: start + 2 + length })
}

/// Whether an operation neither leaves the straight path nor pays for a length.
fn is_straight(operator: &O<'_>) -> bool {
    !matches!(
        operator,
        O::Block { .. }
            | O::Loop { .. }
            | O::If { .. }
            | O::Else
            | O::End
            | O::Br { .. }
            | O::BrIf { .. }
            | O::BrTable { .. }
            | O::Return
            | O::Unreachable
            | O::Call { .. }
            | O::CallIndirect { .. }
            | O::MemoryCopy { .. }
            | O::MemoryFill { .. }
            | O::MemoryInit { .. }
            | O::MemoryGrow { .. }
            | O::TableCopy { .. }
            | O::TableFill { .. }
            | O::TableInit { .. }
            | O::TableGrow { .. }
    )
}

/// How the last test may be read: the counter, what it is compared with, and where that is pushed. Of two locals, either may be the counter.
fn last_tests(body: &[O<'_>]) -> [Option<(u32, Bound, usize)>; 2] {
    let Some(last) = body.len().checked_sub(1) else { return [None; 2] };
    let named = |at: usize, counter: &u32, bound: &O<'_>| Some((*counter, bound_of(bound)?, at));
    match body {
        [
            ..,
            first @ O::LocalGet { local_index: one },
            second @ O::LocalGet { local_index: other },
            O::I32Ne,
        ] => [named(last - 1, one, second), named(last - 2, other, first)],
        // What was just counted, against the bound.
        [
            ..,
            O::LocalTee { local_index: counter } | O::LocalGet { local_index: counter },
            bound @ (O::LocalGet { .. } | O::I32Const { .. }),
            O::I32Ne,
        ] => [named(last - 1, counter, bound), None],
        // The bound, against what is being counted.
        [
            ..,
            bound,
            O::LocalGet { local_index: from },
            O::I32Const { .. },
            O::I32Add,
            O::LocalTee { local_index: counter },
            O::I32Ne,
        ] if from == counter => [named(last - 5, counter, bound), None],
        [.., O::LocalTee { local_index: counter } | O::LocalGet { local_index: counter }] => {
            [Some((*counter, Bound::Unsaid, last + 1)), None]
        }
        _ => [None; 2],
    }
}

fn bound_of(operator: &O<'_>) -> Option<Bound> {
    match operator {
        O::I32Const { value } => Some(Bound::Constant(*value)),
        O::LocalGet { local_index } => Some(Bound::Local(*local_index)),
        _ => None,
    }
}

fn writes<'a>(body: &'a [O<'_>], local: u32) -> impl Iterator<Item = usize> + 'a {
    let is = move |operator: &O<'_>| matches!(operator, O::LocalSet { local_index } | O::LocalTee { local_index } if *local_index == local);
    body.iter().enumerate().filter(move |(_, operator)| is(operator)).map(|(index, _)| index)
}

/// What a round adds to the counter, if it is written once, as itself and a constant.
fn only_step(body: &[O<'_>], counter: u32) -> Option<i32> {
    let mut writes = writes(body, counter);
    let (write, None) = (writes.next()?, writes.next()) else { return None };
    let (O::LocalGet { local_index }, O::I32Const { value }, O::I32Add) =
        (&body[write.checked_sub(3)?], &body[write - 2], &body[write - 1])
    else {
        return None;
    };
    (*local_index == counter && *value != 0 && *value != i32::MIN).then_some(*value)
}

impl Counted {
    /// Opens the loop: pays for a portion of rounds of `cost` each, and begins it. `fuel` (i64), `number` and `limit` (i32) are the meter's
    /// locals; `look` looks at the fuel.
    pub(super) fn open(
        self,
        f: &mut Emit,
        cost: i64,
        (fuel, number, limit): (u32, u32, u32),
        look: impl FnOnce(&mut Emit),
    ) {
        let most = i32::try_from((PORTION_FUEL / cost.max(1)).max(1)).expect("a small number");
        f.instruction(&I::Loop(BlockType::Empty));
        // How far it is.
        if self.step > 0 {
            f.instruction(&self.bound()).instruction(&I::LocalGet(self.counter));
        } else {
            f.instruction(&I::LocalGet(self.counter)).instruction(&self.bound());
        }
        f.instruction(&I::I32Sub);
        let size = self.step.unsigned_abs();
        if size.is_power_of_two() {
            f.instruction(&I::I32Const(size.trailing_zeros().cast_signed()))
                .instruction(&I::I32ShrU);
        } else {
            f.instruction(&I::I32Const(self.step.abs())).instruction(&I::I32DivU);
        }
        // Rounds of this portion: no more than `most`, and at least one.
        f.instruction(&I::LocalTee(number))
            .instruction(&I::I32Const(most))
            .instruction(&I::LocalGet(number))
            .instruction(&I::I32Const(most))
            .instruction(&I::I32LtU)
            .instruction(&I::Select)
            .instruction(&I::LocalTee(number))
            .instruction(&I::I32Eqz)
            .instruction(&I::LocalGet(number))
            .instruction(&I::I32Or)
            .instruction(&I::LocalSet(number));
        f.instruction(&I::LocalGet(fuel))
            .instruction(&I::LocalGet(number))
            .instruction(&I::I64ExtendI32U)
            .instruction(&I::I64Const(cost))
            .instruction(&I::I64Mul)
            .instruction(&I::I64Sub)
            .instruction(&I::LocalSet(fuel));
        look(f);
        f.instruction(&I::LocalGet(self.counter))
            .instruction(&I::LocalGet(number))
            .instruction(&I::I32Const(self.step))
            .instruction(&I::I32Mul)
            .instruction(&I::I32Add)
            .instruction(&I::LocalSet(limit))
            .instruction(&I::Loop(BlockType::Empty));
    }

    /// Stands for the operation [`Counted::test`]: the portion's limit instead of the bound. Says whether the operation is replaced.
    pub(super) fn test(self, f: &mut Emit, limit: u32) -> bool {
        f.instruction(&I::LocalGet(limit));
        if self.bound == Bound::Unsaid {
            f.instruction(&I::I32Ne);
        }
        self.bound != Bound::Unsaid
    }

    /// Closes the loop of portions, after the end of the one inside.
    pub(super) fn close(self, f: &mut Emit) {
        f.instruction(&I::LocalGet(self.counter));
        if self.bound != Bound::Unsaid {
            f.instruction(&self.bound()).instruction(&I::I32Ne);
        }
        f.instruction(&I::BrIf(0)).instruction(&I::End);
    }

    fn bound(self) -> I<'static> {
        match self.bound {
            Bound::Constant(value) => I::I32Const(value),
            Bound::Local(local) => I::LocalGet(local),
            Bound::Unsaid => I::I32Const(0),
        }
    }
}
