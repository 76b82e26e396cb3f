//! The heap, as what is counted finds it.

use std::hint::black_box;

/// More than the allocator keeps in its lists of small blocks.
const LARGE_BYTES: usize = 4096;

/// Ends the preparation of a benchmark. The C library's allocator gathers small blocks that were freed, and
/// joins them at the next large one: whatever the preparation has freed is joined here, and not in the midst
/// of what is counted.
pub fn settled<T>(ready: T) -> T {
    drop(black_box(Vec::<u8>::with_capacity(LARGE_BYTES)));
    ready
}
