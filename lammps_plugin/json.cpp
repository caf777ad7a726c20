// SPDX-License-Identifier: BSD-3-Clause
//
// Reads single entries of the metadata, without a JSON library.

#include "archive.h"

namespace {

/// Returns the index of the quote that ends the string that begins at `begin`.
std::size_t end_of_string(const std::string &text, std::size_t begin)
{
  std::size_t end = begin + 1;
  while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2 : 1;
  return end;
}

std::string trimmed(const std::string &text)
{
  const char *blanks = " \t\r\n";
  const std::size_t first = text.find_first_not_of(blanks), last = text.find_last_not_of(blanks);
  return first == std::string::npos ? "" : text.substr(first, last + 1 - first);
}

}    // namespace

std::string pet::json_entry(const std::string &object, const std::string &key)
{
  int depth = 0;       // of brackets
  std::string last;    // the last string of the object itself
  std::size_t begin = std::string::npos;    // of the value
  for (std::size_t k = 0; k < object.size(); k++) {
    const char c = object[k];
    const bool found = begin != std::string::npos;
    if (c == '"') {
      const std::size_t end = end_of_string(object, k);
      if (depth == 1) last = object.substr(k + 1, end - k - 1);
      k = end;
    } else if (depth == 1 && c == ':' && !found && last == key) {
      begin = k + 1;
    } else if (depth == 1 && found && (c == ',' || c == '}')) {
      return trimmed(object.substr(begin, k - begin));
    } else if (c == '{' || c == '[') {
      depth++;
    } else if (c == '}' || c == ']') {
      depth--;
    }
  }
  return "";
}
