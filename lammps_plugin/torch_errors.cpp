// SPDX-License-Identifier: BSD-3-Clause

#include "torch_errors.h"

#include "shared_rules.h"

std::string pet::error_line(const std::string &message)
{
  std::string last;
  std::size_t begin = 0;
  while (begin < message.size()) {
    std::size_t end = message.find('\n', begin);
    if (end == std::string::npos) end = message.size();
    const std::string line = message.substr(begin, end - begin);
    if (line.find("Error: ") != std::string::npos || last.empty()) last = line;
    begin = end + 1;
  }
  return last;
}

std::string pet::out_of_memory(const std::string &what)
{
  return "out of memory while " + what + ": lower max_edges; if that does not help, use a device "
         "with more memory, more ranks, or a smaller box";
}

std::string pet::explain(const std::string &what, const std::string &message)
{
  for (const char *text : OUT_OF_MEMORY_TEXTS)
    if (message.find(text) != std::string::npos) return out_of_memory(what);
  return "torch failed while " + what + ": " + error_line(message);
}
