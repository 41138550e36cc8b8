//! The compiler: wasmtime with Cranelift and little else.

#![expect(clippy::wildcard_enum_match_arm, reason = "the engine's enums are open")]

use std::sync::OnceLock;

use crossbeam_channel::{Receiver, Sender, bounded};
use wasmtime::{
    Caller, Config, Enabled, Error, Extern, FuncType, Global, Instance, InstancePre, Linker,
    Memory, Module, ModuleExport, OptLevel, PoolingAllocationConfig, ResourceLimiter, Store, Val,
    ValType,
};

use super::guest::{self, Gauge, Guest, admits_table, serve};
use super::{Engine, EngineKind, Finish, Prepared, Raw, STACK_BYTES, Start, on_enough_stack};
use crate::RunError;
use crate::meter::{self, Metered, PAGE_BYTES, TABLE_ENTRIES_MAX, TABLES_MAX};
use crate::wasi::{self, Function, Stop};

const KIND: EngineKind = EngineKind::Cranelift;
/// Native stack for compiled code; the rest of the thread's stack is the host's.
const WASM_STACK_BYTES: usize = STACK_BYTES - (8 << 20);
/// Memory that a slot keeps between two instances and clears by hand: cheaper than giving it back to the system.
const KEEP_RESIDENT_BYTES: usize = 64 << 10;
/// The engine's own description of an instance, at most; a module at the meter's bounds stays far below.
const INSTANCE_BYTES_MAX: usize = 16 << 20;

type State = guest::State<Handles>;

/// The engine of this process, with room for so many instances at once.
#[derive(Clone)]
pub(super) struct Cranelift {
    engine: wasmtime::Engine,
    slots: Slots,
}

struct Compiled {
    engine: wasmtime::Engine,
    slots: Slots,
    instance: InstancePre<State>,
    exports: Exports,
}

/// Where the exports that the host uses stand in the module, so that no instance looks for names.
struct Exports {
    reserve: ModuleExport,
    lease: ModuleExport,
    fault: ModuleExport,
    memory: Option<ModuleExport>,
    /// The start function, where there is one, and `_start`.
    calls: Vec<ModuleExport>,
}

impl Exports {
    fn find(module: &Module) -> Result<Self, Error> {
        let needed = |name| {
            let found = module.get_export_index(name);
            found.ok_or_else(|| Error::msg(format!("the export {name} is missing")))
        };
        let is_memory =
            |_: &ModuleExport| module.get_export("memory").is_some_and(|ty| ty.memory().is_some());
        Ok(Self {
            reserve: needed(meter::RESERVE)?,
            lease: needed(meter::LEASE)?,
            fault: needed(meter::FAULT)?,
            memory: module.get_export_index("memory").filter(is_memory),
            calls: module
                .get_export_index(meter::START)
                .into_iter()
                .chain([needed("_start")?])
                .collect(),
        })
    }
}

/// What a host call reaches of its instance.
#[derive(Clone, Copy)]
struct Handles {
    reserve: Global,
    lease: Global,
    fault: Global,
    memory: Option<Memory>,
}

/// Slots of the pool: a run waits for a free one, so that many threads never become an engine's error.
#[derive(Clone)]
struct Slots {
    take: Sender<()>,
    give: Receiver<()>,
}

impl Slots {
    fn new(count: usize) -> Self {
        let (take, give) = bounded(count);
        Self { take, give }
    }

    fn with<T>(&self, body: impl FnOnce() -> T) -> T {
        struct Slot<'a>(&'a Receiver<()>);
        impl Drop for Slot<'_> {
            fn drop(&mut self) {
                let _ = self.0.try_recv();
            }
        }
        self.take.send(()).expect("both ends are here");
        let _slot = Slot(&self.give);
        body()
    }
}

static SHARED: OnceLock<Result<Cranelift, String>> = OnceLock::new();
static WIDTH: OnceLock<u32> = OnceLock::new();

/// Says that this process runs one segment at a time, before the engine is first used: a smaller pool then.
pub(super) fn expect_one_thread() {
    let _ = WIDTH.set(1);
}

impl Cranelift {
    /// The engine of this process: one for all, since its pool of instances is address space set aside.
    pub(super) fn shared() -> Result<Self, RunError> {
        let shared = SHARED.get_or_init(|| {
            let cores = || std::thread::available_parallelism().map_or(1, usize::from);
            let width = WIDTH.get_or_init(|| u32::try_from(2 * cores()).unwrap_or(2));
            Self::new(*width).map_err(|error| format!("{error:#}"))
        });
        shared.clone().map_err(|reason| RunError::Engine { engine: KIND, reason })
    }

    fn new(width: u32) -> Result<Self, Error> {
        let mut pool = PoolingAllocationConfig::default();
        let tables = u32::try_from(TABLES_MAX).expect("a small constant");
        let pages = gongsuan_types::job::MEMORY_PAGES_MAX as usize;
        pool.total_core_instances(width)
            .total_memories(width)
            .total_tables(width * tables)
            .max_tables_per_module(tables)
            .table_elements(TABLE_ENTRIES_MAX)
            .max_memory_size(pages * PAGE_BYTES)
            .max_core_instance_size(INSTANCE_BYTES_MAX)
            .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
            .table_keep_resident(KEEP_RESIDENT_BYTES)
            // Clears only what was touched, where the kernel tells and the cage lets us ask.
            .pagemap_scan(Enabled::Auto);
        let mut config = Config::new();
        config
            .allocation_strategy(pool)
            .cranelift_opt_level(OptLevel::Speed)
            .max_wasm_stack(WASM_STACK_BYTES)
            // Nothing is asynchronous here; this only must not be less.
            .async_stack_size(STACK_BYTES)
            // The meter says which of its branches are hardly ever taken. Hints of the renter's never get here.
            .wasm_branch_hinting(true)
            // Memory images would need files in memory, which the cage forbids.
            .memory_init_cow(false)
            .wasm_relaxed_simd(false)
            .wasm_multi_memory(false)
            .wasm_memory64(false)
            .wasm_tail_call(false);
        let slots = Slots::new(width as usize);
        Ok(Self { engine: wasmtime::Engine::new(&config)?, slots })
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
        let module = self.compile(metered.bytes())?;
        self.assemble(&module, metered.imports())
    }
}

impl Cranelift {
    /// The engine itself.
    #[cfg(feature = "cache")]
    pub(super) fn engine(&self) -> &wasmtime::Engine {
        &self.engine
    }

    /// Compiles a metered module.
    pub(super) fn compile(&self, metered: &[u8]) -> Result<Module, RunError> {
        Module::new(&self.engine, metered).map_err(|error| compile_error(&error))
    }

    /// Gives a compiled module its imports.
    pub(super) fn assemble(
        &self,
        module: &Module,
        imports: &[&'static Function],
    ) -> Result<Box<dyn Prepared>, RunError> {
        let mut linker = Linker::new(&self.engine);
        for function in imports {
            define(&mut linker, function).map_err(|error| compile_error(&error))?;
        }
        let instance = linker.instantiate_pre(module).map_err(|error| compile_error(&error))?;
        let exports = Exports::find(module).map_err(|error| compile_error(&error))?;
        let (engine, slots) = (self.engine.clone(), self.slots.clone());
        Ok(Box::new(Compiled { engine, slots, instance, exports }))
    }
}

fn compile_error(error: &Error) -> RunError {
    RunError::Compile { engine: KIND, reason: format!("{error:#}") }
}

fn define(linker: &mut Linker<State>, function: &'static Function) -> Result<(), Error> {
    let params = function.params.bytes().map(|kind| match kind {
        b'I' => ValType::I64,
        _ => ValType::I32,
    });
    let results = function.returns().then_some(ValType::I32);
    let ty = FuncType::new(linker.engine(), params, results);
    linker.func_new(function.module, function.name, ty, move |mut caller, params, results| {
        let mut args = [0; wasi::PARAMS_MAX];
        for (arg, value) in args.iter_mut().zip(params) {
            *arg = match value {
                Val::I32(value) => guest::widen(*value),
                Val::I64(value) => value.cast_unsigned(),
                _ => 0,
            };
        }
        let errno = serve(&mut caller, function, &args[..params.len()])?;
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
        let mut number = |global: Global| global.get(&mut *self).i64().unwrap_or(0);
        (number(handles.reserve), number(handles.lease))
    }

    fn set_lease(&mut self, lease: i64) {
        let handles = self.data().handles.expect("nothing runs before the instance stands");
        handles.lease.set(self, Val::I64(lease)).expect("a mutable global of this type");
    }
}

impl Prepared for Compiled {
    fn execute(&self, start: Start) -> Result<Finish, RunError> {
        on_enough_stack(|| self.slots.with(|| self.execute_here(start)), KIND)
    }
}

impl Compiled {
    fn execute_here(&self, start: Start) -> Result<Finish, RunError> {
        let mut store = Store::new(&self.engine, State::new(start));
        store.limiter(|state| state);
        let (raw, handles) = self.run(&mut store).map_err(|error| failed(&error))?;
        let mut number = |global: Global| match global.get(&mut store) {
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

    /// `Err` is the engine's fault.
    fn run(&self, store: &mut Store<State>) -> Result<(Raw, Handles), Error> {
        let instance = self.instance.instantiate(&mut *store)?;
        let handles = self.exports.handles(&mut *store, &instance)?;
        let reserve = store.data().reserve();
        store.data_mut().handles = Some(handles);
        handles.reserve.set(&mut *store, Val::I64(reserve))?;
        for call in &self.exports.calls {
            let function = instance.get_module_export(&mut *store, call);
            let function = function.and_then(Extern::into_func).ok_or_else(missing)?;
            if let Err(error) = function.typed::<(), ()>(&*store)?.call(&mut *store, ()) {
                return reason(error).map(|raw| (raw, handles));
            }
        }
        Ok((Raw::Returned, handles))
    }
}

impl Exports {
    fn handles(&self, store: &mut Store<State>, instance: &Instance) -> Result<Handles, Error> {
        let mut global = |export| {
            let found = instance.get_module_export(&mut *store, export);
            found.and_then(Extern::into_global).ok_or_else(missing)
        };
        Ok(Handles {
            reserve: global(&self.reserve)?,
            lease: global(&self.lease)?,
            fault: global(&self.fault)?,
            memory: self
                .memory
                .as_ref()
                .and_then(|export| instance.get_module_export(&mut *store, export))
                .and_then(Extern::into_memory),
        })
    }
}

fn missing() -> Error {
    Error::msg("an export of the module is missing from its instance")
}

fn reason(error: Error) -> Result<Raw, Error> {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return Ok(Raw::Stopped(*stop));
    }
    let trap = error.downcast_ref::<wasmtime::Trap>().copied();
    trap.and_then(guest::cranelift_trap).map(Raw::Trapped).ok_or(error)
}

impl ResourceLimiter for State {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool, Error> {
        Ok(self.admits_memory(desired, maximum))
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
