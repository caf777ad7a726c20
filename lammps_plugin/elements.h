// SPDX-License-Identifier: BSD-3-Clause
//
// Atomic weights, to find elements and masses that do not belong together.

#ifndef PET_ELEMENTS_H
#define PET_ELEMENTS_H

#include <string>
#include <vector>

namespace pet {

/// Returns the symbols of all elements, in the order of their atomic numbers.
const std::vector<std::string> &all_symbols();

/// Returns the distance of a mass in amu from the standard atomic weight of an element, which must
/// exist.  For hydrogen, the masses of deuterium and tritium count as well.
double mass_deviation(double mass, const std::string &symbol);

/// Returns the element that has the smallest mass deviation.
std::string nearest_element(double mass, const std::vector<std::string> &symbols);

}    // namespace pet

#endif
