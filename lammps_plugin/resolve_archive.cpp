// From what the user wrote to a readable file, with the checks that need no torch.

#include "archive.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace fs = std::filesystem;

namespace {

#ifndef PET_DRIVER_MODELS
#define PET_DRIVER_MODELS ""
#endif

constexpr const char *ENSEMBLE = ".members";    // a file that names those of a shipped ensemble

fs::path models_folder()
{
  const char *folder = std::getenv("PET_DRIVER_MODELS");
  return folder != nullptr ? fs::path(folder) : fs::path(PET_DRIVER_MODELS);
}

std::string shipped_names()
{
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto &entry : fs::directory_iterator(models_folder(), ignored))
    if (const auto kind = entry.path().extension(); kind == ".pt" || kind == ENSEMBLE)
      names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  std::string text;
  for (const auto &name : names) text += (text.empty() ? "" : ", ") + name;
  return text.empty() ? "none" : text;
}

/// The file of that name, or else that of a shipped model, which need not exist.
fs::path place_of(const std::string &name)
{
  std::error_code ignored;
  if (fs::is_regular_file(name, ignored) || name.find('/') != std::string::npos) return name;
  return models_folder() / (name + ".pt");
}

/// The members of a shipped ensemble, with plus signs between; empty if there is none of that name.
std::string members_of(const std::string &name)
{
  std::error_code ignored;
  std::string members;
  if (name.find('/') == std::string::npos && !fs::is_regular_file(name, ignored)) {
    std::ifstream list(models_folder() / (name + ENSEMBLE));
    std::getline(list, members);
  }
  return members;
}

}    // namespace

std::string pet::resolve_archive(const std::string &name)
{
  std::error_code ignored;
  const fs::path path = place_of(name);
  if (!fs::exists(path, ignored) && fs::exists(name, ignored))
    throw std::runtime_error("'" + name + "' is not a file: give the path of an archive");
  if (!fs::exists(path, ignored))
    throw std::runtime_error("there is no archive '" + name + "': it is neither a file nor the "
                             "name of a shipped model (" + shipped_names() + ")");
  if (!fs::is_regular_file(path, ignored))
    throw std::runtime_error("'" + path.string() + "' is not a file: give the path of an archive");

  // TorchScript files are zip files; torch's own message about anything else helps nobody.
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
    // The longest name that exists: plus signs may stand in names of files and folders.
    std::error_code ignored;
    std::size_t end = names.size();
    const auto name = [&] { return names.substr(begin, end - begin); };
    while (name().find('+') != std::string::npos && !fs::is_regular_file(place_of(name()), ignored))
      end = begin + name().rfind('+');
    if (const std::string members = members_of(name()); members.empty())
      paths.push_back(resolve_archive(name()));
    else
      for (const std::string &path : resolve_archives(members)) paths.push_back(path);
    begin = end + 1;
  }
  return paths;
}
