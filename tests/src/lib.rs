//! What the tests of the whole workspace share.
//!
//! [`arbitrary`] makes values of any wire type from a seed; [`conformance`] hashes their encodings, so that an
//! accidental change of a format fails a test; [`fuzz`] feeds damaged bytes to every decoder; [`faults`] kills writers and
//! cuts the power of their disks; [`cluster`] puts faults on a network of real nodes.

pub mod arbitrary;
pub mod chain;
pub mod cluster;
pub mod conformance;
pub mod enclose;
pub mod faults;
pub mod fuzz;
pub mod sim;
