//! The compiler: wasmtime with Cranelift and little else.

#![expect(clippy::wildcard_enum_match_arm, reason = "the engine's enums are open")]

use gongsuan_types::receipt::Trap;
use wasmtime::{
    Caller, Config, Error, Extern, ExternType, FuncType, Global, Instance, Linker, Module,
    OptLevel, ResourceLimiter, Store, Val,
};

use super::{
    Engine, EngineKind, Finish, Gauge, Prepared, Raw, STACK_BYTES, Start, judge, with_big_stack,
};
use crate::RunError;
use crate::meter::{self, Metered, TABLE_ENTRIES_MAX};
use crate::wasi::{self, FUNCTIONS, Function, Host, Meter, Stop};

const KIND: EngineKind = EngineKind::Cranelift;
/// Native stack for compiled code; the rest of the thread's stack is the host's.
const WASM_STACK_BYTES: usize = STACK_BYTES - (8 << 20);

pub(super) struct Cranelift {
    engine: wasmtime::Engine,
}

struct Compiled {
    engine: wasmtime::Engine,
    module: Module,
    linker: Linker<State>,
}

/// The store's data.
struct State {
    host: Host,
    fuel: u64,
    limits: Bounds,
}

impl Cranelift {
    pub(super) fn new() -> Result<Self, RunError> {
        let mut config = Config::new();
        config
            .cranelift_opt_level(OptLevel::Speed)
            .max_wasm_stack(WASM_STACK_BYTES)
            // Nothing is asynchronous here; this only must not be less.
            .async_stack_size(STACK_BYTES)
            // Memory images would need files in memory, which the cage forbids.
            .memory_init_cow(false)
            .wasm_relaxed_simd(false)
            .wasm_multi_memory(false)
            .wasm_memory64(false)
            .wasm_tail_call(false);
        let engine = wasmtime::Engine::new(&config).map_err(|error| failed(&error))?;
        Ok(Self { engine })
    }
}

fn failed(error: &Error) -> RunError {
    RunError::Engine { engine: KIND, reason: format!("{error:#}") }
}

impl Engine for Cranelift {
    fn kind(&self) -> EngineKind {
        KIND
    }

    fn prepare(&self, metered: &Metered) -> Result<Box<dyn Prepared>, RunError> {
        let compile =
            |error: &Error| RunError::Compile { engine: KIND, reason: format!("{error:#}") };
        let module = Module::new(&self.engine, metered.bytes()).map_err(|error| compile(&error))?;
        let mut linker = Linker::new(&self.engine);
        linker.allow_shadowing(true);
        for import in module.imports() {
            let ExternType::Func(ty) = import.ty() else { continue };
            define(&mut linker, import.name(), ty).map_err(|error| compile(&error))?;
        }
        Ok(Box::new(Compiled { engine: self.engine.clone(), module, linker }))
    }
}

fn define(linker: &mut Linker<State>, name: &str, ty: FuncType) -> Result<(), Error> {
    let Some(function) = FUNCTIONS.iter().find(|function| function.name == name) else {
        return Ok(());
    };
    linker.func_new(wasi::MODULE, name, ty, move |caller, params, results| {
        let errno = call(caller, function, params)?;
        if let Some(result) = results.first_mut() {
            *result = Val::I32(errno);
        }
        Ok(())
    })?;
    Ok(())
}

fn call(mut caller: Caller<'_, State>, function: &Function, params: &[Val]) -> Result<i32, Error> {
    let args: Vec<u64> = params
        .iter()
        .map(|value| match value {
            Val::I32(value) => u64::from(value.cast_unsigned()),
            Val::I64(value) => value.cast_unsigned(),
            _ => 0,
        })
        .collect();
    let mut gauge = |name| caller.get_export(name).and_then(Extern::into_global);
    let (Some(reserve), Some(lease)) = (gauge(meter::RESERVE), gauge(meter::LEASE)) else {
        return Err(Error::msg("the meter's globals are missing"));
    };
    let leased = number(lease, &mut caller);
    let left = u64::try_from(number(reserve, &mut caller).saturating_add(leased)).unwrap_or(0);
    let used = caller.data().fuel.saturating_sub(left);
    let mut meter = Meter { left, used, spent: 0 };
    let memory = caller.get_export("memory").and_then(Extern::into_memory);
    let answer = match memory {
        Some(memory) => {
            let (bytes, state) = memory.data_and_store_mut(&mut caller);
            state.host.call(function, &args, bytes, &mut meter)
        }
        None => caller.data_mut().host.call(function, &args, &mut [], &mut meter),
    };
    let spent = i64::try_from(meter.spent).unwrap_or(i64::MAX);
    lease.set(&mut caller, Val::I64(leased.saturating_sub(spent)))?;
    answer.map_err(Error::from)
}

impl Prepared for Compiled {
    fn execute(&self, start: Start) -> Result<Finish, RunError> {
        let body = || self.execute_here(start);
        with_big_stack(body).unwrap_or_else(|error| {
            Err(RunError::Engine { engine: KIND, reason: format!("no thread: {error}") })
        })
    }
}

impl Compiled {
    fn execute_here(&self, start: Start) -> Result<Finish, RunError> {
        let limits = Bounds { memory_bytes: start.memory_pages as usize * meter::PAGE_BYTES };
        let state = State { host: start.host, fuel: start.fuel, limits };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.limits);
        let instance =
            self.linker.instantiate(&mut store, &self.module).map_err(|error| failed(&error))?;
        let raw = run(&mut store, &instance, start.fuel).map_err(|error| failed(&error))?;
        let mut number = |name| match instance.get_global(&mut store, name) {
            Some(global) => match global.get(&mut store) {
                Val::I64(value) => value,
                Val::I32(value) => i64::from(value),
                _ => 0,
            },
            None => 0,
        };
        let gauge = Gauge {
            reserve: number(meter::RESERVE),
            lease: number(meter::LEASE),
            fault: i32::try_from(number(meter::FAULT)).unwrap_or(0),
        };
        let (ending, fuel) = judge(start.fuel, &raw, gauge);
        Ok(Finish { host: store.into_data().host, ending, fuel })
    }
}

/// `Err` is the engine's fault.
fn run(store: &mut Store<State>, instance: &Instance, fuel: u64) -> Result<Raw, Error> {
    let reserve = instance.get_global(&mut *store, meter::RESERVE);
    let reserve = reserve.ok_or_else(|| Error::msg("the meter's globals are missing"))?;
    reserve.set(&mut *store, Val::I64(i64::try_from(fuel).unwrap_or(i64::MAX)))?;
    for name in [meter::START, "_start"] {
        let Ok(function) = instance.get_typed_func::<(), ()>(&mut *store, name) else { continue };
        if let Err(error) = function.call(&mut *store, ()) {
            return reason(error);
        }
    }
    Ok(Raw::Returned)
}

fn reason(error: Error) -> Result<Raw, Error> {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return Ok(Raw::Stopped(*stop));
    }
    use wasmtime::Trap as T;
    let trap = match error.downcast_ref::<T>() {
        Some(T::UnreachableCodeReached) => Trap::Unreachable,
        Some(T::MemoryOutOfBounds) => Trap::MemoryOutOfBounds,
        Some(T::TableOutOfBounds) => Trap::TableOutOfBounds,
        Some(T::IndirectCallToNull) => Trap::NullEntry,
        Some(T::IntegerDivisionByZero) => Trap::DivisionByZero,
        Some(T::IntegerOverflow) => Trap::IntegerOverflow,
        Some(T::BadConversionToInteger) => Trap::InvalidConversion,
        Some(T::BadSignature) => Trap::SignatureMismatch,
        // The engine's own limits: the meter should have stopped the program before.
        Some(_) | None => return Err(error),
    };
    Ok(Raw::Trapped(trap))
}

fn number(global: Global, caller: &mut Caller<'_, State>) -> i64 {
    match global.get(caller) {
        Val::I64(value) => value,
        _ => 0,
    }
}

struct Bounds {
    memory_bytes: usize,
}

impl ResourceLimiter for Bounds {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool, Error> {
        Ok(desired <= self.memory_bytes && maximum.is_none_or(|maximum| desired <= maximum))
    }

    fn memory_grow_failed(&mut self, error: Error) -> Result<(), Error> {
        // Growth within all limits failed: this machine has no memory, which must not reach the program.
        Err(error)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool, Error> {
        Ok(desired <= TABLE_ENTRIES_MAX && maximum.is_none_or(|maximum| desired <= maximum))
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
