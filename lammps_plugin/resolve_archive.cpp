// SPDX-License-Identifier: BSD-3-Clause
//
// Finds the file of a model by its name, by the rules of pet_driver/model/shipped.py.

#include "archive.h"
#include "ensemble.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace fs = std::filesystem;

namespace {

const fs::path SHIPPED = PET_DRIVER_MODELS;     // folder of the shipped models
constexpr const char *ENSEMBLE = ".members";    // a file with the names of the members

std::string shipped_names()
{
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto &entry : fs::directory_iterator(SHIPPED, ignored))
    if (const auto kind = entry.path().extension(); kind == ".pt" || kind == ENSEMBLE)
      names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names.empty() ? "none" : pet::joined(names);
}

/// Replaces "~/" at the beginning of a path by the home folder.
fs::path expand_user(const std::string &name)
{
  const char *home = std::getenv("HOME");
  if (name.rfind("~/", 0) != 0 || home == nullptr) return name;
  return fs::path(home) / name.substr(2);
}

/// Returns the file of that name, or else that of the shipped model, which may not exist.
fs::path path_of(const std::string &name)
{
  std::error_code ignored;
  const fs::path path = expand_user(name);
  if (fs::is_regular_file(path, ignored) || name.find('/') != std::string::npos) return path;
  return SHIPPED / (name + ".pt");
}

/// Returns the members of a shipped ensemble, joined by plus signs, or nothing without such
/// ensemble.
std::string members_of(const std::string &name)
{
  std::error_code ignored;
  std::string members;
  if (name.find('/') == std::string::npos && !fs::is_regular_file(name, ignored)) {
    std::ifstream list(SHIPPED / (name + ENSEMBLE));
    std::getline(list, members);
  }
  return members;
}

}    // namespace

std::string pet::resolve_archive(const std::string &name)
{
  std::error_code ignored;
  const fs::path path = path_of(name);
  if (!fs::is_regular_file(path, ignored))
    throw std::runtime_error("'" + name + "' is neither a file nor a shipped model; shipped are: " +
                             shipped_names());

  // TorchScript files are zip files; torch's own message about any other file does not help.
  std::ifstream stream(path, std::ios::binary);
  if (!stream)
    throw std::runtime_error("cannot read '" + path.string() + "': check its permissions");
  char magic[4] = {0, 0, 0, 0};
  stream.read(magic, 4);
  if (magic[0] != 'P' || magic[1] != 'K')
    throw std::runtime_error("'" + path.string() + "' is not a TorchScript archive: write one from "
                             "a checkpoint with `pet-driver export`");
  return path.string();
}

std::vector<std::string> pet::resolve_archives(const std::string &names)
{
  std::vector<std::string> paths;
  std::size_t begin = 0;
  while (begin <= names.size()) {
    // Take the longest name that exists: names of files and folders may contain plus signs.
    std::error_code ignored;
    std::size_t end = names.size();
    const auto name = [&] { return names.substr(begin, end - begin); };
    while (name().find('+') != std::string::npos && !fs::is_regular_file(path_of(name()), ignored))
      end = begin + name().rfind('+');
    if (const std::string members = members_of(name()); members.empty())
      paths.push_back(resolve_archive(name()));
    else
      for (const std::string &path : resolve_archives(members)) paths.push_back(path);
    begin = end + 1;
  }
  return paths;
}
