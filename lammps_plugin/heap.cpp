#include "heap.h"

#include <cstdlib>

#ifdef __GLIBC__
#include <malloc.h>
#include <unistd.h>

#include <limits>
#include <string>
#endif

void pet::keep_freed_memory()
{
#ifdef __GLIBC__
  for (char **variable = environ; *variable != nullptr; variable++) {
    const std::string text = *variable;
    if (text.rfind("MALLOC_", 0) == 0 || text.rfind("GLIBC_TUNABLES=", 0) == 0) return;
  }
  // The heap serves smaller buffers, and does not shrink.  Older libraries allow 32 MB at most.
  if (mallopt(M_MMAP_THRESHOLD, std::numeric_limits<int>::max()) ||
      mallopt(M_MMAP_THRESHOLD, 32 << 20))
    mallopt(M_TRIM_THRESHOLD, -1);
#endif
}
