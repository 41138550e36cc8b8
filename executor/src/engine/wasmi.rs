//! The interpreter.

#![expect(clippy::wildcard_enum_match_arm, reason = "the engine's enums are open")]

use gongsuan_types::receipt::Trap;
use wasmi::{
    Caller, CompilationMode, Config, Error, ExternType, FuncType, Global, Instance, Linker, Module,
    ResourceLimiter, Store, TrapCode, Val,
};
use wasmi_core::LimiterError;

use super::{Engine, EngineKind, Finish, Gauge, Prepared, Raw, Start, judge};
use crate::RunError;
use crate::meter::{self, Metered, TABLE_ENTRIES_MAX};
use crate::wasi::{self, FUNCTIONS, Function, Host, Meter, Stop};

const KIND: EngineKind = EngineKind::Wasmi;

pub(super) struct Wasmi {
    engine: wasmi::Engine,
}

struct Translated {
    engine: wasmi::Engine,
    module: Module,
    linker: Linker<State>,
}

/// The store's data.
struct State {
    host: Host,
    fuel: u64,
    limits: Bounds,
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

impl Engine for Wasmi {
    fn kind(&self) -> EngineKind {
        KIND
    }

    fn prepare(&self, metered: &Metered) -> Result<Box<dyn Prepared>, RunError> {
        let compile = |error: Error| RunError::Compile { engine: KIND, reason: error.to_string() };
        let module = Module::new(&self.engine, metered.bytes()).map_err(compile)?;
        let mut linker = Linker::new(&self.engine);
        let imported = module.imports().filter_map(|import| match import.ty() {
            ExternType::Func(ty) => Some((import.name().to_owned(), ty.clone())),
            ExternType::Global(_) | ExternType::Table(_) | ExternType::Memory(_) => None,
        });
        // A module may import the same function twice.
        let unique: std::collections::BTreeMap<String, FuncType> = imported.collect();
        for (name, ty) in unique {
            define(&mut linker, &name, ty).map_err(compile)?;
        }
        Ok(Box::new(Translated { engine: self.engine.clone(), module, linker }))
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
    let gauge = |name| caller.get_export(name).and_then(wasmi::Extern::into_global);
    let (Some(reserve), Some(lease)) = (gauge(meter::RESERVE), gauge(meter::LEASE)) else {
        return Err(Error::new("the meter's globals are missing"));
    };
    let leased = number(&lease, &caller);
    let left = u64::try_from(number(&reserve, &caller).saturating_add(leased)).unwrap_or(0);
    let used = caller.data().fuel.saturating_sub(left);
    let mut meter = Meter { left, used, spent: 0 };
    let memory = caller.get_export("memory").and_then(wasmi::Extern::into_memory);
    let answer = match memory {
        Some(memory) => {
            let (bytes, state) = memory.data_and_store_mut(&mut caller);
            state.host.call(function, &args, bytes, &mut meter)
        }
        None => caller.data_mut().host.call(function, &args, &mut [], &mut meter),
    };
    let spent = i64::try_from(meter.spent).unwrap_or(i64::MAX);
    lease.set(&mut caller, Val::I64(leased.saturating_sub(spent))).map_err(Error::from)?;
    answer.map_err(Error::host)
}

impl Prepared for Translated {
    fn execute(&self, start: Start) -> Result<Finish, RunError> {
        let engine = |reason: String| RunError::Engine { engine: KIND, reason };
        let limits = Bounds { memory_bytes: start.memory_pages as usize * meter::PAGE_BYTES };
        let state = State { host: start.host, fuel: start.fuel, limits };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.limits);
        let instance = self
            .linker
            .instantiate_and_start(&mut store, &self.module)
            .map_err(|error| engine(error.to_string()))?;
        let raw =
            run(&mut store, &instance, start.fuel).map_err(|error| engine(error.to_string()))?;
        let number = |name| match instance.get_global(&store, name).map(|global| global.get(&store))
        {
            Some(Val::I64(value)) => value,
            Some(Val::I32(value)) => i64::from(value),
            _ => 0,
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
    let reserve = instance.get_global(&*store, meter::RESERVE);
    let reserve = reserve.ok_or_else(|| Error::new("the meter's globals are missing"))?;
    reserve.set(&mut *store, Val::I64(i64::try_from(fuel).unwrap_or(i64::MAX)))?;
    for name in [meter::START, "_start"] {
        let Ok(function) = instance.get_typed_func::<(), ()>(&*store, name) else { continue };
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
    let trap = match error.as_trap_code() {
        Some(TrapCode::UnreachableCodeReached) => Trap::Unreachable,
        Some(TrapCode::MemoryOutOfBounds) => Trap::MemoryOutOfBounds,
        Some(TrapCode::TableOutOfBounds) => Trap::TableOutOfBounds,
        Some(TrapCode::IndirectCallToNull) => Trap::NullEntry,
        Some(TrapCode::IntegerDivisionByZero) => Trap::DivisionByZero,
        Some(TrapCode::IntegerOverflow) => Trap::IntegerOverflow,
        Some(TrapCode::BadConversionToInteger) => Trap::InvalidConversion,
        Some(TrapCode::BadSignature) => Trap::SignatureMismatch,
        // The interpreter's own limits: the meter should have stopped the program before.
        Some(_) | None => return Err(error),
    };
    Ok(Raw::Trapped(trap))
}

fn number(global: &Global, caller: &Caller<'_, State>) -> i64 {
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
    ) -> Result<bool, LimiterError> {
        Ok(desired <= self.memory_bytes && maximum.is_none_or(|maximum| desired <= maximum))
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
