//! The shape of a function's body: open blocks, code that nothing reaches, stretches of straight code.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "hundreds of operators, few of which are special"
)]

use wasmparser::Operator as O;

use super::cost::cost;

/// How control arrives at a block's end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arrival {
    /// It is a loop: branches go to its beginning, the end is reached from before only.
    Loop,
    /// From the operation before, as far as is known.
    Before,
    /// From somewhere else too.
    Elsewhere,
}

struct Open {
    arrival: Arrival,
    /// Whether the operation before is one after which nothing follows.
    dead: bool,
    /// Whether the block itself stands where nothing arrives.
    dead_outside: bool,
}

/// The open blocks while a body is walked, operation by operation.
pub(super) struct Blocks(Vec<Open>);

impl Blocks {
    pub(super) fn new() -> Self {
        Self(vec![Open { arrival: Arrival::Elsewhere, dead: false, dead_outside: false }])
    }

    /// Whether the next operation can be reached.
    pub(super) fn alive(&self) -> bool {
        self.0.last().is_some_and(|block| !block.dead)
    }

    /// The depth of the function's own block: a branch there returns.
    pub(super) fn outermost(&self) -> u32 {
        u32::try_from(self.0.len().saturating_sub(1)).expect("nesting is bounded by the body")
    }

    /// Whether the block that would end here can be left from somewhere else.
    fn joins(&self) -> bool {
        self.0.last().is_some_and(|block| block.arrival == Arrival::Elsewhere)
    }

    pub(super) fn step(&mut self, operator: &O<'_>) {
        match operator {
            O::Block { .. } => self.open(Arrival::Before),
            O::Loop { .. } => self.open(Arrival::Loop),
            // The condition alone can lead to the end.
            O::If { .. } => self.open(Arrival::Elsewhere),
            O::Else => {
                if let Some(block) = self.0.last_mut() {
                    block.dead = block.dead_outside;
                }
            }
            O::End => {
                if let Some(closed) = self.0.pop()
                    && let Some(outer) = self.0.last_mut()
                {
                    let joined = closed.arrival == Arrival::Elsewhere;
                    outer.dead = closed.dead_outside || (closed.dead && !joined);
                }
            }
            O::Br { relative_depth } => {
                self.join(*relative_depth);
                self.kill();
            }
            O::BrIf { relative_depth } => self.join(*relative_depth),
            O::BrTable { targets } => {
                self.join(targets.default());
                for target in targets.targets().flatten() {
                    self.join(target);
                }
                self.kill();
            }
            O::Return | O::Unreachable => self.kill(),
            _ => {}
        }
    }

    fn open(&mut self, arrival: Arrival) {
        let dead = !self.alive();
        self.0.push(Open { arrival, dead, dead_outside: dead });
    }

    fn join(&mut self, depth: u32) {
        let alive = self.alive();
        let place = self.0.len().checked_sub(1 + depth as usize);
        let block = place.and_then(|place| self.0.get_mut(place));
        if let Some(block) = block
            && alive
            && block.arrival == Arrival::Before
        {
            block.arrival = Arrival::Elsewhere;
        }
    }

    fn kill(&mut self) {
        if let Some(block) = self.0.last_mut() {
            block.dead = true;
        }
    }
}

/// Cuts a body into stretches of straight code: before which operation each begins, and what it costs. The one before
/// operation 0 is the function's entry.
pub(super) fn stretches(operators: &[O<'_>]) -> Vec<Option<i64>> {
    let mut begins = vec![None; operators.len() + 1];
    let mut blocks = Blocks::new();
    let (mut current, mut sum) = (0, 0);
    for (index, operator) in operators.iter().enumerate() {
        if blocks.alive() {
            sum += cost(operator);
        }
        let joined = matches!(operator, O::End) && blocks.joins();
        blocks.step(operator);
        if joined || cuts(operator) {
            begins[current] = Some(sum);
            (current, sum) = (index + 1, 0);
        }
    }
    begins[current] = Some(sum);
    // A loop must cost something, or an empty one would never end.
    for (index, operator) in operators.iter().enumerate() {
        if let (O::Loop { .. }, Some(fuel)) = (operator, &mut begins[index + 1]) {
            *fuel = (*fuel).max(1);
        }
    }
    begins
}

fn cuts(operator: &O<'_>) -> bool {
    matches!(
        operator,
        O::Loop { .. }
            | O::If { .. }
            | O::Else
            | O::Br { .. }
            | O::BrIf { .. }
            | O::BrTable { .. }
            | O::Return
            | O::Unreachable
    )
}
