//! What may be imported.

use super::{MODULE, NATIVE_MODULE};

/// A function that may be imported: its module and name, its parameters (`i` for i32, `I` for i64) and what stands behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Function {
    pub(crate) module: &'static str,
    pub(crate) name: &'static str,
    pub(crate) params: &'static str,
    pub(super) call: Call,
}

impl Function {
    /// Whether it returns an error number; `proc_exit` returns nothing.
    pub(crate) fn returns(&self) -> bool {
        !matches!(self.call, Call::ProcExit)
    }

    /// The type in the words of error messages, such as `(i32, i32) -> i32`.
    pub(crate) fn type_text(&self) -> String {
        let words = self.params.chars().map(|c| if c == 'I' { "i64" } else { "i32" });
        let params = words.collect::<Vec<_>>().join(", ");
        if self.returns() { format!("({params}) -> i32") } else { format!("({params})") }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Call {
    ArgsGet,
    ArgsSizesGet,
    EnvironGet,
    EnvironSizesGet,
    ClockResGet,
    ClockTimeGet,
    FdAdvise,
    FdClose,
    FdFdstatGet,
    FdFilestatGet,
    FdPread,
    FdPrestatGet,
    FdPrestatDirName,
    FdRead,
    FdReaddir,
    FdSeek,
    FdTell,
    FdWrite,
    PathFilestatGet,
    PathOpen,
    PathReadlink,
    ProcExit,
    RandomGet,
    SchedYield,
    MatrixCheck,
    /// Would change what stands under a folder.
    Changes,
    /// No descriptor can do this.
    NoDescriptor,
    /// A part of the world that does not exist.
    Absent,
}

const fn function(name: &'static str, params: &'static str, call: Call) -> Function {
    Function { module: MODULE, name, params, call }
}

/// The function of this name.
pub(crate) fn find(module: &str, name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.module == module && function.name == name)
}

/// Everything that may be imported.
pub(crate) const FUNCTIONS: &[Function] = &[
    function("args_get", "ii", Call::ArgsGet),
    function("args_sizes_get", "ii", Call::ArgsSizesGet),
    function("environ_get", "ii", Call::EnvironGet),
    function("environ_sizes_get", "ii", Call::EnvironSizesGet),
    function("clock_res_get", "ii", Call::ClockResGet),
    function("clock_time_get", "iIi", Call::ClockTimeGet),
    function("fd_read", "iiii", Call::FdRead),
    function("fd_write", "iiii", Call::FdWrite),
    function("fd_close", "i", Call::FdClose),
    function("fd_seek", "iIii", Call::FdSeek),
    function("fd_tell", "ii", Call::FdTell),
    function("fd_fdstat_get", "ii", Call::FdFdstatGet),
    function("fd_filestat_get", "ii", Call::FdFilestatGet),
    function("proc_exit", "i", Call::ProcExit),
    function("random_get", "ii", Call::RandomGet),
    function("sched_yield", "", Call::SchedYield),
    function("fd_advise", "iIIi", Call::FdAdvise),
    function("fd_allocate", "iII", Call::NoDescriptor),
    function("fd_datasync", "i", Call::NoDescriptor),
    function("fd_fdstat_set_flags", "ii", Call::NoDescriptor),
    function("fd_fdstat_set_rights", "iII", Call::NoDescriptor),
    function("fd_filestat_set_size", "iI", Call::NoDescriptor),
    function("fd_filestat_set_times", "iIIi", Call::NoDescriptor),
    function("fd_pread", "iiiIi", Call::FdPread),
    function("fd_prestat_get", "ii", Call::FdPrestatGet),
    function("fd_prestat_dir_name", "iii", Call::FdPrestatDirName),
    function("fd_pwrite", "iiiIi", Call::NoDescriptor),
    function("fd_readdir", "iiiIi", Call::FdReaddir),
    function("fd_renumber", "ii", Call::NoDescriptor),
    function("fd_sync", "i", Call::NoDescriptor),
    function("path_create_directory", "iii", Call::Changes),
    function("path_filestat_get", "iiiii", Call::PathFilestatGet),
    function("path_filestat_set_times", "iiiiIIi", Call::Changes),
    function("path_link", "iiiiiii", Call::Changes),
    function("path_open", "iiiiiIIii", Call::PathOpen),
    function("path_readlink", "iiiiii", Call::PathReadlink),
    function("path_remove_directory", "iii", Call::Changes),
    function("path_rename", "iiiiii", Call::Changes),
    function("path_symlink", "iiiii", Call::NoDescriptor),
    function("path_unlink_file", "iii", Call::Changes),
    function("sock_accept", "iii", Call::NoDescriptor),
    function("sock_recv", "iiiiii", Call::NoDescriptor),
    function("sock_send", "iiiii", Call::NoDescriptor),
    function("sock_shutdown", "ii", Call::NoDescriptor),
    function("poll_oneoff", "iiii", Call::Absent),
    function("proc_raise", "i", Call::Absent),
    Function {
        module: NATIVE_MODULE,
        name: "matrix_check",
        params: "iiiiii",
        call: Call::MatrixCheck,
    },
];
