/* SPDX-License-Identifier: BSD-3-Clause */

/* The C interface of the kernels, for Python's ctypes and for programs built by other compilers.

   Conventions: edges are sorted by their central atom; edge vectors point from the central atom to
   the neighbour; "reverse" is the index of the same edge seen from its other end.  Functions that
   return int return 0, or 1 after a failure. */

#ifndef PET_INTERFACE_H
#define PET_INTERFACE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Create a network in single or double precision.  Weights have the names of the state dict of
   pet_driver.network.PET and are matrices [rows, columns] in double precision; a vector has one
   column.  "instruction_set" is a name such as "avx2", or empty for the fastest.  Returns null
   after a failure, with the reason in "error" [size]. */
void *pet_create(int single, int num_heads, double temperature, int pre_norm,
                 const char *instruction_set, int count, const char *const *names,
                 const double *const *values, const int64_t *rows, const int64_t *columns,
                 char *error, int64_t size);

void pet_destroy(void *network);

/* Return the name of the instruction set that the network uses. */
const char *pet_instruction_set(void *network);

/* Remote edges: another process computes their reverse edges.  "swap" is called once per exchange
   of messages between layers in the forward pass and once in the backward pass, in the same order
   in all processes.  It sends row s of "outgoing" [n_remote, row_bytes] to the process that
   computes the reverse of remote edge s, and writes the row received from there into row s of
   "incoming".  It returns null, or an error message. */
typedef struct {
  int64_t n_remote;
  void *context;
  const char *(*swap)(void *context, const void *outgoing, void *incoming, int64_t row_bytes);
} pet_exchange;

/* Compute energies [n_atoms], without scale and composition energies, and the gradients of
   sum_i grad_outputs[i] energies[i] by edge vectors [n_edges, 3] and cutoff factors [n_edges].
   Vectors, factors and gradients are in the precision of the network.  With an exchange, which may
   be null, the neighbour of remote edge s is n_atoms + s, which has a species; its reverse is not
   read.  After a failure the reason is in "error" [size]. */
int pet_run(void *network, int64_t n_atoms, int64_t n_edges, const int64_t *species,
            const void *vectors, const void *factors, const int64_t *centers,
            const int64_t *neighbors, const int64_t *reverse, const double *grad_outputs,
            const pet_exchange *exchange, int threads, double *energies, void *dvectors,
            void *dfactors, char *error, int64_t size);

/* Select from n_pairs directed pairs of atoms the edges shorter than "cutoff", both directions of a
   pair or neither.  Vectors are positions[neighbour] - positions[centre] + shift_vectors [n_pairs,
   3]; shift_vectors may be null.  A remote edge is its own reverse.  "place" [n_pairs + 1] receives
   the number of edges before each pair, and so the number of all edges last; the arrays of edges
   have space for n_pairs.  Fails only for lack of memory. */
int pet_near(int64_t n_pairs, const double *positions, const int64_t *centers,
             const int64_t *neighbors, const int64_t *reverse, const double *shift_vectors,
             double cutoff, int threads, int64_t *place, double *vectors, int64_t *near_centers,
             int64_t *near_neighbors, int64_t *near_reverse);

/* Compute forces [n_atoms, 3] and virials [n_structures, 3, 3], minus the derivative by a strain,
   from the gradients [n_edges, 3] by edge vectors [n_edges, 3].  Atoms are sorted by structure.  A
   remote edge is its own reverse, and its neighbour is an atom that has no other edge.
   "neighbors" is read for remote edges only, and may be null if there are none.  Fails only for
   lack of memory. */
int pet_forces(int64_t n_atoms, int64_t n_edges, int64_t n_structures, const int64_t *structures,
               const int64_t *centers, const int64_t *neighbors, const int64_t *reverse,
               const double *vectors, const double *gradients, int threads, double *forces,
               double *virials);

#ifdef __cplusplus
}
#endif

#endif
