//! Error numbers of WASI preview 1.

pub(super) const SUCCESS: i32 = 0;
/// Not WASI's: the answer "no" of `matrix_check`.
pub(super) const NOT_EQUAL: i32 = 1;
pub(super) const BADF: i32 = 8;
pub(super) const EXIST: i32 = 20;
pub(super) const FAULT: i32 = 21;
pub(super) const ILSEQ: i32 = 25;
pub(super) const INVAL: i32 = 28;
pub(super) const ISDIR: i32 = 31;
pub(super) const MFILE: i32 = 33;
pub(super) const NAMETOOLONG: i32 = 37;
pub(super) const NOENT: i32 = 44;
pub(super) const NOSYS: i32 = 52;
pub(super) const NOTDIR: i32 = 54;
pub(super) const ROFS: i32 = 69;
pub(super) const SPIPE: i32 = 70;
pub(super) const NOTCAPABLE: i32 = 76;
