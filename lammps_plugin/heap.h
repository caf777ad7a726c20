// How the process deals with memory that is freed.

#ifndef PET_HEAP_H
#define PET_HEAP_H

namespace pet {

/// Memory that one step frees serves the next.  The GNU C library gives large buffers back to the
/// system, which hands them out again page by page, filled with zeros: from some thousand atoms on
/// that takes half of the time.  Its environment variables are obeyed where they say otherwise, and
/// other C libraries are left as they are.
void keep_freed_memory();

}    // namespace pet

#endif
