// SPDX-License-Identifier: BSD-3-Clause
//
// From positions to edges, and from gradients by edges to forces and virials.

#include "interface.h"

#include <algorithm>
#include <cstdint>
#include <new>
#include <omp.h>
#include <vector>

namespace {

// Starting another thread costs more than the work on fewer pairs.
constexpr std::int64_t PAIRS_PER_THREAD = 8192;

int useful_threads(int threads, std::int64_t n_pairs)
{
  return static_cast<int>(std::min<std::int64_t>(threads, 1 + n_pairs / PAIRS_PER_THREAD));
}

/// Returns the first of the ``count`` items that ``thread`` works on.
std::int64_t begin_of(int thread, int threads, std::int64_t count)
{
  return count * thread / threads;
}

struct Pairs {
  const double *positions;
  const std::int64_t *centers, *neighbors;
  const double *shift_vectors;

  void vector(std::int64_t p, double *r) const
  {
    const double *from = positions + 3 * centers[p], *to = positions + 3 * neighbors[p];
    for (int k = 0; k < 3; k++)
      r[k] = to[k] - from[k] + (shift_vectors ? shift_vectors[3 * p + k] : 0.0);
  }
};

}  // namespace

extern "C" {

__attribute__((visibility("default"))) int
pet_near(std::int64_t n_pairs, const double *positions, const std::int64_t *centers,
         const std::int64_t *neighbors, const std::int64_t *reverse, const double *shift_vectors,
         double cutoff, int threads, std::int64_t *place, double *vectors,
         std::int64_t *near_centers, std::int64_t *near_neighbors, std::int64_t *near_reverse) try
{
  const Pairs pairs{positions, centers, neighbors, shift_vectors};
  threads = useful_threads(threads, n_pairs);
  std::vector<unsigned char> within(n_pairs);
  std::vector<std::int64_t> kept(threads + 1, 0);
#pragma omp parallel num_threads(threads)
  {
    const int thread = omp_get_thread_num(), team = omp_get_num_threads();
    const std::int64_t first = begin_of(thread, team, n_pairs);
    const std::int64_t last = begin_of(thread + 1, team, n_pairs);
    double r[3];
    for (std::int64_t p = first; p < last; p++) {
      pairs.vector(p, r);
      within[p] = r[0] * r[0] + r[1] * r[1] + r[2] * r[2] < cutoff * cutoff;
    }
#pragma omp barrier
    // Rounding may put the two directions of one pair on different sides of the cutoff.
    std::int64_t count = 0;
    for (std::int64_t p = first; p < last; p++) {
      place[p] = count;
      count += within[p] & within[reverse[p]];
    }
    kept[thread + 1] = count;
#pragma omp barrier
    std::int64_t before = 0;
    for (int t = 0; t <= thread; t++) before += kept[t];
    for (std::int64_t p = first; p < last; p++) {
      const std::int64_t edge = place[p] += before;
      if (!(within[p] & within[reverse[p]])) continue;
      pairs.vector(p, vectors + 3 * edge);
      near_centers[edge] = centers[p];
      near_neighbors[edge] = neighbors[p];
    }
    if (last == n_pairs) place[n_pairs] = before + count;
#pragma omp barrier
    for (std::int64_t p = first; p < last; p++)
      if (within[p] & within[reverse[p]]) near_reverse[place[p]] = place[reverse[p]];
  }
  return 0;
} catch (const std::bad_alloc &) {
  return 1;
}

__attribute__((visibility("default"))) int
pet_forces(std::int64_t n_atoms, std::int64_t n_edges, std::int64_t n_structures,
           const std::int64_t *structures, const std::int64_t *centers,
           const std::int64_t *neighbors, const std::int64_t *reverse, const double *vectors,
           const double *gradients, int threads, double *forces, double *virials) try
{
  threads = useful_threads(threads, n_edges);
  std::vector<double> parts(9 * n_structures * threads, 0.0);
#pragma omp parallel num_threads(threads)
  {
    const int thread = omp_get_thread_num(), team = omp_get_num_threads();
    const std::int64_t first = begin_of(thread, team, n_atoms);
    const std::int64_t last = begin_of(thread + 1, team, n_atoms);
    std::fill(forces + 3 * first, forces + 3 * last, 0.0);
#pragma omp barrier
    std::int64_t e = std::lower_bound(centers, centers + n_edges, first) - centers;
    for (std::int64_t i = first; i < last; i++) {
      double *force = forces + 3 * i;
      double *virial = parts.data() + 9 * (n_structures * thread + structures[i]);
      for (; e < n_edges && centers[e] == i; e++) {
        const double *r = vectors + 3 * e, *g = gradients + 3 * e;
        if (reverse[e] == e) {  // remote: no other edge has this neighbour
          double *other = forces + 3 * neighbors[e];
          for (int k = 0; k < 3; k++) force[k] += g[k], other[k] -= g[k];
        } else {
          const double *back = gradients + 3 * reverse[e];
          for (int k = 0; k < 3; k++) force[k] += g[k] - back[k];
        }
        for (int k = 0; k < 3; k++)
          for (int l = 0; l < 3; l++) virial[3 * k + l] -= r[k] * g[l];
      }
    }
  }
  // The fixed order of the sum makes results reproducible for the same number of threads.
  std::fill_n(virials, 9 * n_structures, 0.0);
  for (int t = 0; t < threads; t++)
    for (std::int64_t k = 0; k < 9 * n_structures; k++)
      virials[k] += parts[9 * n_structures * t + k];
  return 0;
} catch (const std::bad_alloc &) {
  return 1;
}
}
