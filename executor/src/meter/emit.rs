//! A function body on its way out, with hints about the branches that the meter adds.

use wasm_encoder::{BlockType, BranchHint, Function, Instruction as I, ValType};

/// Instructions so far, and where compilers are told that a branch goes one way.
///
/// Hints change the layout of compiled code and nothing else. They are the meter's own: what a module says about its branches is left out with
/// its other custom sections.
pub(super) struct Emit {
    function: Function,
    hints: Vec<BranchHint>,
}

impl Emit {
    pub(super) fn new(locals: impl ExactSizeIterator<Item = (u32, ValType)>) -> Self {
        Self { function: Function::new(locals), hints: Vec::new() }
    }

    pub(super) fn instruction(&mut self, instruction: &I<'_>) -> &mut Self {
        self.function.instruction(instruction);
        self
    }

    /// `if` of something that hardly ever happens.
    pub(super) fn seldom_if(&mut self) -> &mut Self {
        self.hint(false);
        self.instruction(&I::If(BlockType::Empty))
    }

    /// `br_if` out of the innermost block, nearly always taken.
    pub(super) fn mostly_leave(&mut self) -> &mut Self {
        self.hint(true);
        self.instruction(&I::BrIf(0))
    }

    fn hint(&mut self, taken: bool) {
        let offset = u32::try_from(self.function.byte_len()).expect("bodies are bounded");
        self.hints.push(BranchHint { branch_func_offset: offset, branch_hint_value: taken.into() });
    }

    pub(super) fn finish(self) -> (Function, Vec<BranchHint>) {
        (self.function, self.hints)
    }
}
