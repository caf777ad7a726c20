// SPDX-License-Identifier: BSD-3-Clause
//
// Allocator settings of the process.

#ifndef PET_ALLOCATOR_H
#define PET_ALLOCATOR_H

namespace pet {

/// Makes the GNU C library keep freed memory for the next step.  By default it returns large
/// buffers to the system and gets them back page by page, filled with zeros, which takes half of
/// the time of a step for some thousand atoms.  Does nothing if the user has set the environment
/// variables of the library, or with another C library.  pet_driver.backends.memory does the same
/// in Python.
void keep_freed_memory();

}    // namespace pet

#endif
