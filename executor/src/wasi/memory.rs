//! The guest's memory as a slice: nothing is read or written outside it.

use super::{IOVECS_MAX, Refused, errno};

/// The low half of a parameter; 32-bit ones have nothing above it.
pub(super) fn low(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).expect("masked")
}

pub(super) fn span(
    memory: &[u8],
    pointer: u32,
    length: u32,
) -> Result<std::ops::Range<usize>, Refused> {
    let start = pointer as usize;
    let end = start.checked_add(length as usize).filter(|end| *end <= memory.len());
    end.map(|end| start..end).ok_or(Refused::Errno(errno::FAULT))
}

pub(super) fn range(memory: &[u8], pointer: u32, length: u32) -> Result<&[u8], Refused> {
    Ok(&memory[span(memory, pointer, length)?])
}

pub(super) fn range_mut(
    memory: &mut [u8],
    pointer: u32,
    length: u32,
) -> Result<&mut [u8], Refused> {
    let span = span(memory, pointer, length)?;
    Ok(&mut memory[span])
}

pub(super) fn put(memory: &mut [u8], pointer: u32, bytes: &[u8]) -> Result<(), Refused> {
    let length = u32::try_from(bytes.len()).map_err(|_| Refused::Errno(errno::INVAL))?;
    range_mut(memory, pointer, length)?.copy_from_slice(bytes);
    Ok(())
}

/// Pointer and length of each buffer of a scatter list, read before any is used.
pub(super) fn buffers(memory: &[u8], iovecs: u32, count: u32) -> Result<Vec<(u32, u32)>, Refused> {
    if count > IOVECS_MAX {
        return Err(Refused::Errno(errno::INVAL));
    }
    let bytes = range(memory, iovecs, count * 8)?;
    let (pairs, _) = bytes.as_chunks::<8>();
    let pair = |&[a, b, c, d, e, f, g, h]: &[u8; 8]| {
        (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
    };
    Ok(pairs.iter().map(pair).collect())
}

pub(super) fn put_sizes(
    memory: &mut [u8],
    list: &[Vec<u8>],
    count: u32,
    bytes: u32,
) -> Result<(), Refused> {
    let total: usize = list.iter().map(|item| item.len() + 1).sum();
    let number = |n: usize| u32::try_from(n).expect("arguments are bounded").to_le_bytes();
    put(memory, count, &number(list.len()))?;
    put(memory, bytes, &number(total))
}

pub(super) fn put_strings(
    memory: &mut [u8],
    list: &[Vec<u8>],
    mut pointers: u32,
    mut bytes: u32,
) -> Result<(), Refused> {
    for item in list {
        put(memory, pointers, &bytes.to_le_bytes())?;
        put(memory, bytes, &[item.as_slice(), &[0]].concat())?;
        let length = u32::try_from(item.len() + 1).expect("arguments are bounded");
        // In bounds so far, so neither sum can overflow by more than the memory's end.
        pointers = pointers.checked_add(4).ok_or(Refused::Errno(errno::FAULT))?;
        bytes = bytes.checked_add(length).ok_or(Refused::Errno(errno::FAULT))?;
    }
    Ok(())
}
