// SPDX-License-Identifier: BSD-3-Clause

#include "settings.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <stdexcept>

namespace {

constexpr std::array<const char *, 8> KEYWORDS{"device", "grid", "max_edges", "threads",
                                               "warn",   "stop", "exchange",  "masses"};

void check_keyword(const std::string &word)
{
  std::string known;
  for (const char *keyword : KEYWORDS) {
    if (word == keyword) return;
    known += (known.empty() ? "" : ", ") + std::string(keyword);
  }
  throw std::runtime_error("unknown keyword '" + word + "': it must be one of " + known);
}

std::int64_t positive_integer(const std::string &keyword, const std::string &word)
{
  char *end = nullptr;
  const long long value = std::strtoll(word.c_str(), &end, 10);
  if (word.empty() || *end != '\0' || value < 1)
    throw std::runtime_error(keyword + " needs a whole number above zero, not '" + word + "'");
  return value;
}

double positive_number(const std::string &keyword, const std::string &word)
{
  char *end = nullptr;
  const double value = std::strtod(word.c_str(), &end);
  if (word.empty() || *end != '\0' || !std::isfinite(value) || value <= 0.0)
    throw std::runtime_error(keyword + " needs a force standard deviation above zero, not '" +
                             word + "'");
  return value;
}

std::string checked_device(const std::string &word)
{
  const bool numbered = word.rfind("cuda:", 0) == 0 && word.size() > 5 && word.size() < 9 &&
      std::all_of(word.begin() + 5, word.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (word == "auto" || word == "cpu" || word == "cuda" || numbered) return word;
  throw std::runtime_error("unknown device '" + word + "': use cpu, cuda, cuda:N or auto");
}

pet::ExchangeMode exchange_mode(const std::string &word)
{
  if (word == "auto") return pet::ExchangeMode::AUTO;
  if (word == "on") return pet::ExchangeMode::ON;
  if (word == "off") return pet::ExchangeMode::OFF;
  throw std::runtime_error("exchange is auto, on or off, not '" + word + "'");
}

pet::MassCheck mass_check(const std::string &word)
{
  if (word == "checked") return pet::MassCheck::CHECKED;
  if (word == "free") return pet::MassCheck::FREE;
  throw std::runtime_error("masses is checked or free, not '" + word + "'");
}

}    // namespace

pet::Settings pet::parse_settings(const std::vector<std::string> &words)
{
  if (words.empty())
    throw std::runtime_error("no archive given: pair_style pet <path or name of an archive> "
                             "[device D] [grid G] [max_edges N] [threads N] [warn F] [stop F] "
                             "[exchange E] [masses M]");
  Settings settings;
  OpenOptions &options = settings.open;
  Thresholds &thresholds = settings.thresholds;
  options.name = words[0];
  options.threads = 0;
  for (std::size_t k = 1; k < words.size(); k += 2) {
    const std::string &keyword = words[k];
    check_keyword(keyword);
    if (k + 1 == words.size())
      throw std::runtime_error("keyword " + keyword + " needs a value");
    const std::string &value = words[k + 1];
    if (keyword == "device") options.device = checked_device(value);
    else if (keyword == "grid") options.grid = value;
    else if (keyword == "max_edges") options.max_edges = positive_integer(keyword, value);
    else if (keyword == "warn") thresholds.warn = positive_number(keyword, value);
    else if (keyword == "exchange") settings.exchange = exchange_mode(value);
    else if (keyword == "masses") settings.masses = mass_check(value);
    else if (keyword == "stop") thresholds.stop = positive_number(keyword, value);
    else options.threads = static_cast<int>(std::min<std::int64_t>(
             positive_integer(keyword, value), 4096));
  }
  if (thresholds.stop > 0.0 && thresholds.warn > thresholds.stop)
    throw std::runtime_error("warn is above stop: choose a smaller one");
  return settings;
}
