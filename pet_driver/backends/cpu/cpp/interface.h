/* The kernels as functions of C: for Python's ctypes, and for programs built by other compilers. */

#ifndef PET_INTERFACE_H
#define PET_INTERFACE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A network in single or double precision.  Weights have the names of the state dict of
   pet_driver.network.PET and come as matrices [rows, columns] in double precision; a vector has one
   column.  "level" names an instruction set, or is empty for the best.  Null if something failed,
   with the reason in "error" [size]. */
void *pet_create(int single, int num_heads, double temperature, int pre_norm, const char *level,
                 int count, const char *const *names, const double *const *values,
                 const int64_t *rows, const int64_t *columns, char *error, int64_t size);

void pet_destroy(void *network);

/* The instruction set in use. */
const char *pet_level(void *network);

/* Edges whose reverse edge is computed elsewhere, by another process for one.  "swap" is called once
   for every exchange of messages between layers on the way forward and once on the way back, in the
   same order everywhere.  It hands over row s of "outgoing" [n_remote, row_bytes] to where the
   reverse of edge s is, and puts what comes from there into row s of "incoming".  0, or what went
   wrong. */
typedef struct {
  int64_t n_remote;
  void *context;
  const char *(*swap)(void *context, const void *outgoing, void *incoming, int64_t row_bytes);
} pet_exchange;

/* Energies [n_atoms], without scale and composition, and the gradients by vectors [n_edges, 3] and
   cutoff factors [n_edges] of the sum of seeds [n_atoms] times energies.  Edges are sorted by
   centre.  Vectors, factors and gradients are in the precision of the network.  With an exchange,
   which may be null, the neighbour of remote edge s is n_atoms + s, which has a species, and its
   reverse is not read.  0, or 1 with the reason in "error" [size]. */
int pet_run(void *network, int64_t n_atoms, int64_t n_edges, const int64_t *species,
            const void *vectors, const void *factors, const int64_t *centers,
            const int64_t *neighbors, const int64_t *reverse, const double *seeds,
            const pet_exchange *exchange, int threads, double *energies, void *dvectors,
            void *dfactors, char *error, int64_t size);

/* Of n_pairs directed pairs of atoms, in the order of their centres, those that are nearer than
   "cutoff" now, both directions of a pair or none.  Vectors are positions[neighbour] -
   positions[centre] plus shift_vectors [n_pairs, 3], may be null.  "place" [n_pairs + 1] receives
   how many of them come before each pair; the other results have room for n_pairs.  0, or 1 if
   memory is out. */
int pet_near(int64_t n_pairs, const double *positions, const int64_t *centers,
             const int64_t *neighbors, const int64_t *reverse, const double *shift_vectors,
             double cutoff, int threads, int64_t *place, double *vectors, int64_t *near_centers,
             int64_t *near_neighbors, int64_t *near_reverse);

/* Forces [n_atoms, 3] and virials [n_structures, 3, 3], minus the derivatives by a strain, from the
   gradients [n_edges, 3] by vectors [n_edges, 3].  Edges are sorted by centre, and atoms by
   structure.  0, or 1 if memory is out. */
int pet_forces(int64_t n_atoms, int64_t n_edges, int64_t n_structures, const int64_t *structures,
               const int64_t *centers, const int64_t *reverse, const double *vectors,
               const double *gradients, int threads, double *forces, double *virials);

#ifdef __cplusplus
}
#endif

#endif
