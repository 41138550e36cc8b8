//! The interpreter.
//!
//! It dispatches by tail calls, which keep its native stack flat whatever a program does, with two exceptions in wasmi 2.0: `memory.grow` and
//! `table.grow` pass the address of a local variable on, so the compiler has to make a call of the dispatch that follows them, and a frame
//! stays until the run ends (176 and 160 bytes on x86-64, in debug and release builds alike). The meter's price of growing bounds how
//! many there can be, and every run gets a stack on which that many fit.

#![expect(clippy::wildcard_enum_match_arm, reason = "the engine's enums are open")]

use gongsuan_types::job::SEGMENT_FUEL_MAX;
use wasmi::{
    Caller, CompilationMode, Config, Error, FuncType, Global, Instance, Linker, Memory, Module,
    ResourceLimiter, Store, Val, ValType,
};
use wasmi_core::LimiterError;

use super::guest::{self, Gauge, Guest, admits_table, serve};
use super::{Engine, EngineKind, Finish, Prepared, Raw, STACK_BYTES, Start, on_enough_stack};
use crate::RunError;
use crate::meter::{self, Metered};
use crate::wasi::{self, Function, Stop};

const KIND: EngineKind = EngineKind::Wasmi;

/// What one growth keeps of the native stack, at most; a test measures it.
const GROWTH_STACK_BYTES: u64 = 256;
/// What else a run takes of it.
const RUN_STACK_BYTES: u64 = 4 << 20;
/// Growths that one segment can pay for.
const GROWTHS_MAX: u64 = SEGMENT_FUEL_MAX.0 / meter::GROWTH_FUEL;
const _: () = assert!(GROWTHS_MAX * GROWTH_STACK_BYTES + RUN_STACK_BYTES <= STACK_BYTES as u64);

type State = guest::State<Handles>;

pub(super) struct Wasmi {
    engine: wasmi::Engine,
}

struct Translated {
    engine: wasmi::Engine,
    module: Module,
    linker: Linker<State>,
}

/// What a host call reaches of its instance.
#[derive(Clone, Copy)]
struct Handles {
    reserve: Global,
    lease: Global,
    fault: Global,
    memory: Option<Memory>,
}

impl wasmi::errors::HostError for Stop {}

impl Wasmi {
    pub(super) fn new() -> Self {
        let mut config = Config::default();
        // The meter's stack limit comes long before these.
        config.set_max_recursion_depth(1 << 20);
        config.set_max_stack_height(256 << 20);
        config.compilation_mode(CompilationMode::LazyTranslation);
        config.wasm_multi_memory(false).wasm_tail_call(false).wasm_extended_const(false);
        config.wasm_custom_page_sizes(false).wasm_wide_arithmetic(false).wasm_relaxed_simd(false);
        Self { engine: wasmi::Engine::new(&config) }
    }
}

fn failed(error: &Error) -> RunError {
    RunError::Engine { engine: KIND, reason: error.to_string() }
}

impl Engine for Wasmi {
    fn kind(&self) -> EngineKind {
        KIND
    }

    fn prepare(&self, metered: &Metered) -> Result<Box<dyn Prepared>, RunError> {
        let compile = |error: Error| RunError::Compile { engine: KIND, reason: error.to_string() };
        let module = Module::new(&self.engine, metered.bytes()).map_err(compile)?;
        let mut linker = Linker::new(&self.engine);
        for function in metered.imports() {
            define(&mut linker, function).map_err(compile)?;
        }
        Ok(Box::new(Translated { engine: self.engine.clone(), module, linker }))
    }
}

fn define(linker: &mut Linker<State>, function: &'static Function) -> Result<(), Error> {
    let params = function.params.bytes().map(|kind| match kind {
        b'I' => ValType::I64,
        _ => ValType::I32,
    });
    let results: &[ValType] = if function.returns() { &[ValType::I32] } else { &[] };
    let ty = FuncType::new(params, results.iter().copied());
    linker.func_new(function.module, function.name, ty, move |mut caller, params, results| {
        let mut args = [0; wasi::PARAMS_MAX];
        for (arg, value) in args.iter_mut().zip(params) {
            *arg = match value {
                Val::I32(value) => guest::widen(*value),
                Val::I64(value) => value.cast_unsigned(),
                _ => 0,
            };
        }
        let errno = serve(&mut caller, function, &args[..params.len()]).map_err(Error::host)?;
        if let Some(result) = results.first_mut() {
            *result = Val::I32(errno);
        }
        Ok(())
    })?;
    Ok(())
}

impl Guest for Caller<'_, State> {
    type Handles = Handles;

    fn state(&mut self) -> &mut State {
        self.data_mut()
    }

    fn memory(&mut self) -> (&mut [u8], &mut State) {
        match self.data().handles.and_then(|handles| handles.memory) {
            Some(memory) => memory.data_and_store_mut(self),
            None => (&mut [], self.data_mut()),
        }
    }

    fn fuel(&mut self) -> (i64, i64) {
        let handles = self.data().handles.expect("nothing runs before the instance stands");
        let number = |global: Global| global.get(&*self).i64().unwrap_or(0);
        (number(handles.reserve), number(handles.lease))
    }

    fn set_lease(&mut self, lease: i64) {
        let handles = self.data().handles.expect("nothing runs before the instance stands");
        handles.lease.set(self, Val::I64(lease)).expect("a mutable global of this type");
    }
}

impl Prepared for Translated {
    fn execute(&self, start: Start) -> Result<Finish, RunError> {
        on_enough_stack(|| self.execute_here(start), KIND)
    }
}

impl Translated {
    fn execute_here(&self, start: Start) -> Result<Finish, RunError> {
        let mut store = Store::new(&self.engine, State::new(start));
        store.limiter(|state| state);
        let instance = self
            .linker
            .instantiate_and_start(&mut store, &self.module)
            .map_err(|error| failed(&error))?;
        let (raw, handles) = run(&mut store, &instance).map_err(|error| failed(&error))?;
        let number = |global: Global| match global.get(&store) {
            Val::I64(value) => value,
            Val::I32(value) => i64::from(value),
            _ => 0,
        };
        let gauge = Gauge {
            reserve: number(handles.reserve),
            lease: number(handles.lease),
            fault: number(handles.fault),
        };
        Ok(store.into_data().finish(&raw, gauge))
    }
}

/// `Err` is the engine's fault.
fn run(store: &mut Store<State>, instance: &Instance) -> Result<(Raw, Handles), Error> {
    let global = |name| {
        let global = instance.get_global(&*store, name);
        global.ok_or_else(|| Error::new("the meter's globals are missing"))
    };
    let handles = Handles {
        reserve: global(meter::RESERVE)?,
        lease: global(meter::LEASE)?,
        fault: global(meter::FAULT)?,
        memory: instance.get_memory(&*store, "memory"),
    };
    let reserve = store.data().reserve();
    store.data_mut().handles = Some(handles);
    handles.reserve.set(&mut *store, Val::I64(reserve))?;
    for name in [meter::START, "_start"] {
        let Ok(function) = instance.get_typed_func::<(), ()>(&*store, name) else { continue };
        if let Err(error) = function.call(&mut *store, ()) {
            return reason(error).map(|raw| (raw, handles));
        }
    }
    Ok((Raw::Returned, handles))
}

fn reason(error: Error) -> Result<Raw, Error> {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return Ok(Raw::Stopped(*stop));
    }
    error.as_trap_code().and_then(guest::wasmi_trap).map(Raw::Trapped).ok_or(error)
}

impl ResourceLimiter for State {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool, LimiterError> {
        Ok(self.admits_memory(desired, maximum))
    }

    fn memory_grow_failed(
        &mut self,
        _error: &wasmi::errors::MemoryError,
    ) -> Result<(), LimiterError> {
        // Growth within all limits failed: this machine has no memory, which must not reach the program.
        Err(LimiterError::ResourceLimiterDeniedAllocation)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool, LimiterError> {
        Ok(admits_table(desired, maximum))
    }

    fn instances(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        meter::TABLES_MAX
    }

    fn memories(&self) -> usize {
        1
    }
}
