// SPDX-License-Identifier: BSD-3-Clause
//
// Readable messages for errors of torch.

#ifndef PET_TORCH_ERRORS_H
#define PET_TORCH_ERRORS_H

#include <c10/util/Exception.h>

#include <exception>
#include <new>
#include <stdexcept>
#include <string>

namespace pet {

/// Returns the last line of a message that names an error: torch adds pages of traceback.
std::string error_line(const std::string &message);

/// Returns the message for a lack of memory while doing `what`.
std::string out_of_memory(const std::string &what);

/// Returns the message for an error of torch while doing `what`.  A lack of memory is recognised by
/// the text, because TorchScript turns every error into a std::runtime_error.
std::string explain(const std::string &what, const std::string &message);

/// Calls a function that uses torch.  Throws a std::runtime_error with one readable line.
template <typename Function> auto guarded(const std::string &what, Function &&function)
{
  try {
    return function();
  } catch (const c10::Error &error) {
    throw std::runtime_error(explain(what, error.what_without_backtrace()));
  } catch (const std::bad_alloc &) {
    throw std::runtime_error(out_of_memory(what));
  } catch (const std::exception &error) {
    throw std::runtime_error(explain(what, error.what()));
  }
}

}    // namespace pet

#endif
