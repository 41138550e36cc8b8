//! Where NaNs must be made canonical: by following values from where their bits may differ to where bits can be seen.
//!
//! Arithmetic may give any NaN it likes, so its results are *loose*: the same everywhere but for the bits of a NaN. A loose value may be
//! computed with, compared, kept in locals and passed on. It is made canonical where its bits would show: when it is stored, becomes an
//! integer, lends its sign, or meets an operation on vectors that does not read it as floats of the same size.
//!
//! - **Scalars** are touched at the place where they show, which finds them on top of the stack. What crosses a join, a call or a global is
//!   loose by its type.
//! - **Vectors** have no type that says how they are to be read, so a loose one never crosses a join, a call or a global: it is touched
//!   before. Where it is not on top of the stack when it shows, it is touched right after the operation that made it.
//! - **Locals** have one class for the whole function, the join of all that is written to them. Vectors that do not agree on how they are
//!   read are touched before they are written.
//!
//! Classes and touches only ever grow, so going over the body again until nothing changes ends; a body that takes more rounds than
//! [`ROUNDS_MAX`] is treated as if every vector operation showed its bits at once.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "hundreds of operators, few of which are special"
)]

use wasmparser::Operator as O;

use super::blocks::Blocks;

/// Rounds over one body, at most: real ones take two or three.
const ROUNDS_MAX: u32 = 8;

/// How a value is read when its NaNs are made canonical.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    F32,
    F64,
    F32x4,
    F64x2,
}

/// Where NaNs are made canonical around one operation, always in the value on top of the stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Touch {
    pub(super) before: Option<Shape>,
    pub(super) after: Option<Shape>,
}

/// What kind of value: all others have no NaNs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Other,
    F32,
    F64,
    V128,
}

impl From<wasmparser::ValType> for Kind {
    fn from(ty: wasmparser::ValType) -> Self {
        match ty {
            wasmparser::ValType::F32 => Self::F32,
            wasmparser::ValType::F64 => Self::F64,
            wasmparser::ValType::V128 => Self::V128,
            _ => Self::Other,
        }
    }
}

/// What an operation takes from the stack and leaves there.
#[derive(Clone, Debug, Default)]
pub(super) struct Effect {
    pub(super) pops: usize,
    pub(super) pushes: Vec<Kind>,
}

/// Whether an operation concerns floats, so that its body has to be looked at.
pub(super) fn concerns(operator: &O<'_>) -> bool {
    let replaces = matches!(operator, O::F32x4ReplaceLane { .. } | O::F64x2ReplaceLane { .. });
    replaces || !matches!(made(operator), Made::Nothing)
}

/// What is known of a value's bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bits {
    /// Not a NaN, however it is read.
    Number,
    /// The same everywhere.
    Fixed,
    /// The same everywhere but for those of a NaN, when read so.
    Loose(Shape),
}

/// Who can be told to touch a value that is not on top of the stack any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    Nobody,
    Operation(usize),
    Local(u32),
}

#[derive(Clone, Copy, Debug)]
struct Value {
    bits: Bits,
    source: Source,
}

impl Value {
    const fn of(bits: Bits) -> Self {
        Self { bits, source: Source::Nobody }
    }

    /// What is known of a value of which only the kind is known.
    fn by_kind(kind: Kind) -> Self {
        Self::of(match kind {
            Kind::Other | Kind::V128 => Bits::Fixed,
            Kind::F32 => Bits::Loose(Shape::F32),
            Kind::F64 => Bits::Loose(Shape::F64),
        })
    }
}

#[derive(Clone, Copy, Debug)]
struct Local {
    bits: Bits,
    /// Whether what is written is touched before.
    strict: bool,
}

/// The touches of one body. `locals` are the kinds of all locals, of which the first `params` come from the caller.
pub(super) fn touches(
    operators: &[O<'_>],
    effects: &[Effect],
    locals: &[Kind],
    params: usize,
) -> Vec<Touch> {
    let local = |(index, kind): (usize, &Kind)| {
        let bits = if index < params { Value::by_kind(*kind).bits } else { Bits::Number };
        Local { bits, strict: false }
    };
    let locals = locals.iter().enumerate().map(local).collect();
    let mut flow = Flow { locals, eager: vec![false; operators.len()], ..Flow::default() };
    for round in 1.. {
        flow.changed = false;
        flow.walk(operators, effects);
        if !flow.changed {
            break;
        }
        if round >= ROUNDS_MAX {
            flow.eager.fill(true);
            flow.locals.iter_mut().for_each(|local| local.give_up());
        }
    }
    flow.touches
}

#[derive(Default)]
struct Flow {
    locals: Vec<Local>,
    /// Operations whose result is touched at once.
    eager: Vec<bool>,
    /// Whether this round found something that the one before did not know.
    changed: bool,
    stack: Vec<Value>,
    touches: Vec<Touch>,
}

impl Local {
    /// The class that agrees with everything.
    fn give_up(&mut self) {
        match self.bits {
            Bits::Loose(Shape::F32 | Shape::F64) => {}
            Bits::Loose(Shape::F32x4 | Shape::F64x2) | Bits::Number | Bits::Fixed => {
                *self = Self { bits: Bits::Fixed, strict: true };
            }
        }
    }
}

impl Flow {
    fn walk(&mut self, operators: &[O<'_>], effects: &[Effect]) {
        let mut blocks = Blocks::new();
        let mut heights = Vec::new();
        self.stack.clear();
        self.touches = vec![Touch::default(); operators.len()];
        for (index, (operator, effect)) in operators.iter().zip(effects).enumerate() {
            let alive = blocks.alive();
            blocks.step(operator);
            match operator {
                O::Block { .. } | O::Loop { .. } | O::If { .. } => {
                    if alive {
                        self.plain(index, effect);
                    }
                    heights.push(self.stack.len() - if alive { effect.pushes.len() } else { 0 });
                }
                O::Else | O::End => {
                    if alive {
                        self.plain(index, effect);
                    }
                    let height = if matches!(operator, O::End) {
                        heights.pop()
                    } else {
                        heights.last().copied()
                    };
                    self.stack.truncate(height.unwrap_or(0));
                    if blocks.alive() {
                        self.stack.extend(effect.pushes.iter().copied().map(Value::by_kind));
                    }
                }
                _ if alive => self.step(index, operator, effect),
                _ => {}
            }
        }
    }

    fn pop(&mut self) -> Value {
        self.stack.pop().expect("the body is valid")
    }

    fn push(&mut self, bits: Bits) {
        self.stack.push(Value::of(bits));
    }

    /// Makes the value on top canonical before the operation, if it is loose.
    fn touch_top(&mut self, index: usize) {
        let Some(top) = self.stack.last_mut() else { return };
        if let Bits::Loose(shape) = top.bits {
            self.touches[index].before = Some(shape);
            top.bits = Bits::Fixed;
        }
    }

    /// Lets whoever made a vector touch it at once, if it is loose.
    fn demand(&mut self, value: Value) {
        if !matches!(value.bits, Bits::Loose(Shape::F32x4 | Shape::F64x2)) {
            return;
        }
        let known = match value.source {
            Source::Nobody => unreachable!("a loose vector has a source"),
            Source::Operation(index) => &mut self.eager[index],
            Source::Local(index) => &mut self.locals[index as usize].strict,
        };
        self.changed |= !std::mem::replace(known, true);
        if let Source::Local(index) = value.source {
            self.locals[index as usize].bits = Bits::Fixed;
        }
    }

    /// An operation of which nothing special is known: it sees the bits of vectors, and not those of scalars.
    fn plain(&mut self, index: usize, effect: &Effect) {
        if let Some(Value { bits: Bits::Loose(Shape::F32x4 | Shape::F64x2), .. }) =
            self.stack.last()
            && effect.pops > 0
        {
            self.touch_top(index);
        }
        for _ in 0..effect.pops {
            let value = self.pop();
            self.demand(value);
        }
        self.stack.extend(effect.pushes.iter().copied().map(Value::by_kind));
    }

    /// The result of arithmetic on vectors.
    fn push_vector(&mut self, index: usize, shape: Shape) {
        if self.eager[index] {
            self.touches[index].after = Some(shape);
            self.push(Bits::Fixed);
        } else {
            self.stack.push(Value { bits: Bits::Loose(shape), source: Source::Operation(index) });
        }
    }

    /// Takes operands that are read as vectors of floats of this shape.
    fn take_vectors(&mut self, index: usize, count: usize, shape: Shape) {
        if let Some(Value { bits: Bits::Loose(top), .. }) = self.stack.last()
            && *top != shape
        {
            self.touch_top(index);
        }
        for _ in 0..count {
            let value = self.pop();
            if value.bits != Bits::Loose(shape) {
                self.demand(value);
            }
        }
    }

    fn step(&mut self, index: usize, operator: &O<'_>, effect: &Effect) {
        match operator {
            O::Drop => {
                self.pop();
            }
            O::LocalGet { local_index } => {
                let bits = self.locals[*local_index as usize].bits;
                self.stack.push(Value { bits, source: Source::Local(*local_index) });
            }
            O::LocalSet { local_index } => {
                self.write(index, *local_index);
                self.pop();
            }
            O::LocalTee { local_index } => self.write(index, *local_index),
            O::Select | O::TypedSelect { .. } => self.select(),
            O::F32x4ReplaceLane { .. } => self.replace(index, Shape::F32x4),
            O::F64x2ReplaceLane { .. } => self.replace(index, Shape::F64x2),
            _ => match made(operator) {
                Made::Nothing => self.plain(index, effect),
                Made::Scalar(bits) => {
                    // What scalars are read for does not show their bits.
                    self.plain(index, effect);
                    if let Some(value) = self.stack.last_mut() {
                        value.bits = bits;
                    }
                }
                Made::Shown => {
                    self.touch_top(index);
                    self.plain(index, effect);
                }
                Made::Signed => {
                    self.touch_top(index);
                    self.pop();
                }
                Made::SameScalar => {}
                Made::SameVector(shape) => {
                    let loose = self.stack.last().is_some_and(|v| v.bits == Bits::Loose(shape));
                    self.take_vectors(index, 1, shape);
                    if loose { self.push_vector(index, shape) } else { self.push(Bits::Fixed) }
                }
                Made::Vector { from, to } => {
                    self.take_vectors(index, effect.pops, from);
                    self.push_vector(index, to);
                }
                Made::Compared(shape) => {
                    self.take_vectors(index, effect.pops, shape);
                    self.push(Bits::Fixed);
                }
                Made::Splat(shape) => {
                    let value = self.pop();
                    match value.bits {
                        Bits::Loose(_) => self.push_vector(index, shape),
                        Bits::Number | Bits::Fixed => self.push(Bits::Fixed),
                    }
                }
                Made::Lane { from, to } => {
                    let loose = self.stack.last().is_some_and(|v| v.bits == Bits::Loose(from));
                    self.take_vectors(index, 1, from);
                    self.push(if loose { Bits::Loose(to) } else { Bits::Fixed });
                }
            },
        }
    }

    fn write(&mut self, index: usize, local: u32) {
        let number = local as usize;
        if self.locals[number].strict {
            self.touch_top(index);
        }
        let Some(&value) = self.stack.last() else { return };
        let Local { bits: known, strict } = self.locals[number];
        let joined = match (known, value.bits) {
            (one, other) if one == other => one,
            (Bits::Number, other) | (other, Bits::Number) => other,
            // A scalar's NaN may change its bits where it meets a loose one.
            (Bits::Loose(shape @ (Shape::F32 | Shape::F64)), _)
            | (_, Bits::Loose(shape @ (Shape::F32 | Shape::F64))) => Bits::Loose(shape),
            _ => {
                self.changed |= !strict;
                self.locals[number].strict = true;
                Bits::Fixed
            }
        };
        self.changed |= joined != known;
        self.locals[number].bits = joined;
    }

    /// One of two values: loose if one of two scalars is. Vectors are touched first.
    fn select(&mut self) {
        self.pop();
        let (one, other) = (self.pop(), self.pop());
        self.demand(one);
        self.demand(other);
        let bits = match (one.bits, other.bits) {
            (Bits::Loose(shape @ (Shape::F32 | Shape::F64)), _)
            | (_, Bits::Loose(shape @ (Shape::F32 | Shape::F64))) => Bits::Loose(shape),
            (Bits::Number, Bits::Number) => Bits::Number,
            _ => Bits::Fixed,
        };
        self.push(bits);
    }

    /// A scalar on top becomes a lane of the vector below.
    fn replace(&mut self, index: usize, shape: Shape) {
        let height = self.stack.len();
        let (vector, scalar) = (self.stack[height - 2], self.stack[height - 1]);
        // A scalar whose bits are fixed must not lose them later, together with the loose lanes.
        if vector.bits == Bits::Loose(shape) && scalar.bits != Bits::Fixed {
            self.stack.truncate(height - 2);
            self.push_vector(index, shape);
            return;
        }
        self.demand(vector);
        self.touch_top(index);
        self.stack.truncate(height - 2);
        self.push(Bits::Fixed);
    }
}

/// What an operation does with floats.
enum Made {
    /// Nothing that is not true of every operation.
    Nothing,
    /// A scalar, of which this is known.
    Scalar(Bits),
    /// The scalar on top shows its bits.
    Shown,
    /// The scalar on top lends its sign to the one below.
    Signed,
    /// A scalar that is as loose as its operand.
    SameScalar,
    /// A vector that is as loose as its operand.
    SameVector(Shape),
    /// Arithmetic on vectors.
    Vector { from: Shape, to: Shape },
    /// Vectors of floats in, a vector of integers out.
    Compared(Shape),
    /// A scalar in all lanes.
    Splat(Shape),
    /// A lane as a scalar.
    Lane { from: Shape, to: Shape },
}

fn number(is_nan: bool) -> Made {
    Made::Scalar(if is_nan { Bits::Fixed } else { Bits::Number })
}

fn made(operator: &O<'_>) -> Made {
    use Shape::{F32, F32x4, F64, F64x2};
    match operator {
        O::F32Const { value } => number(f32::from_bits(value.bits()).is_nan()),
        O::F64Const { value } => number(f64::from_bits(value.bits()).is_nan()),
        O::V128Const { value } => {
            let (singles, _) = value.bytes().as_chunks::<4>();
            let (doubles, _) = value.bytes().as_chunks::<8>();
            let single = singles.iter().any(|lane| f32::from_le_bytes(*lane).is_nan());
            let double = doubles.iter().any(|lane| f64::from_le_bytes(*lane).is_nan());
            number(single || double)
        }
        O::F32Load { .. } | O::F64Load { .. } | O::F32ReinterpretI32 | O::F64ReinterpretI64 => {
            Made::Scalar(Bits::Fixed)
        }
        O::F32ConvertI32S
        | O::F32ConvertI32U
        | O::F32ConvertI64S
        | O::F32ConvertI64U
        | O::F64ConvertI32S
        | O::F64ConvertI32U
        | O::F64ConvertI64S
        | O::F64ConvertI64U => Made::Scalar(Bits::Number),
        O::F32Add
        | O::F32Sub
        | O::F32Mul
        | O::F32Div
        | O::F32Sqrt
        | O::F32Min
        | O::F32Max
        | O::F32Ceil
        | O::F32Floor
        | O::F32Trunc
        | O::F32Nearest
        | O::F32DemoteF64 => Made::Scalar(Bits::Loose(F32)),
        O::F64Add
        | O::F64Sub
        | O::F64Mul
        | O::F64Div
        | O::F64Sqrt
        | O::F64Min
        | O::F64Max
        | O::F64Ceil
        | O::F64Floor
        | O::F64Trunc
        | O::F64Nearest
        | O::F64PromoteF32 => Made::Scalar(Bits::Loose(F64)),
        O::F32Store { .. } | O::F64Store { .. } | O::I32ReinterpretF32 | O::I64ReinterpretF64 => {
            Made::Shown
        }
        O::F32Copysign | O::F64Copysign => Made::Signed,
        O::F32Neg | O::F32Abs | O::F64Neg | O::F64Abs => Made::SameScalar,
        O::F32x4Neg | O::F32x4Abs => Made::SameVector(F32x4),
        O::F64x2Neg | O::F64x2Abs => Made::SameVector(F64x2),
        O::F32x4Add
        | O::F32x4Sub
        | O::F32x4Mul
        | O::F32x4Div
        | O::F32x4Sqrt
        | O::F32x4Min
        | O::F32x4Max
        | O::F32x4Ceil
        | O::F32x4Floor
        | O::F32x4Trunc
        | O::F32x4Nearest => Made::Vector { from: F32x4, to: F32x4 },
        O::F64x2Add
        | O::F64x2Sub
        | O::F64x2Mul
        | O::F64x2Div
        | O::F64x2Sqrt
        | O::F64x2Min
        | O::F64x2Max
        | O::F64x2Ceil
        | O::F64x2Floor
        | O::F64x2Trunc
        | O::F64x2Nearest => Made::Vector { from: F64x2, to: F64x2 },
        O::F32x4DemoteF64x2Zero => Made::Vector { from: F64x2, to: F32x4 },
        O::F64x2PromoteLowF32x4 => Made::Vector { from: F32x4, to: F64x2 },
        O::F32x4Eq
        | O::F32x4Ne
        | O::F32x4Lt
        | O::F32x4Gt
        | O::F32x4Le
        | O::F32x4Ge
        | O::I32x4TruncSatF32x4S
        | O::I32x4TruncSatF32x4U => Made::Compared(F32x4),
        O::F64x2Eq
        | O::F64x2Ne
        | O::F64x2Lt
        | O::F64x2Gt
        | O::F64x2Le
        | O::F64x2Ge
        | O::I32x4TruncSatF64x2SZero
        | O::I32x4TruncSatF64x2UZero => Made::Compared(F64x2),
        O::F32x4Splat => Made::Splat(F32x4),
        O::F64x2Splat => Made::Splat(F64x2),
        O::F32x4ExtractLane { .. } => Made::Lane { from: F32x4, to: F32 },
        O::F64x2ExtractLane { .. } => Made::Lane { from: F64x2, to: F64 },
        _ => Made::Nothing,
    }
}
