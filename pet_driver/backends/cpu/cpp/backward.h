// SPDX-License-Identifier: BSD-3-Clause
//
// The backward pass: from energies to gradients by edge vectors and cutoff factors.

#ifndef PET_BACKWARD_H
#define PET_BACKWARD_H

#include "evaluation.h"

namespace pet::PET_INSTRUCTION_SET {

template <typename T>
void Evaluation<T>::read_last_messages(const Block &block, Scratch<T> &scratch)
{
  const int g = network_->count() - 1;
  const Rows<T> messages = rows(messages_, block.first_edge, width());
  const Rows<T> dmessages = rows(message_gradients(), block.first_edge, width());
  const Rows<T> combined = scratch.rows(Scratch<T>::D_QKV, block.edges(), 2 * width());
  exchange(g, block, combined, scratch);
  read_edges(0, block, messages, dmessages, scratch);
  combine_back(g, block, combined, dmessages, scratch);
}

template <typename T>
void Evaluation<T>::combine_back(int g, const Block &block, Rows<const T> combined,
                                 Rows<const T> dmessages, Scratch<T> &scratch)
{
  network_->combinations[g].back(block.edges(), with_reverse(g, block, scratch), combined,
                                 dmessages, rows(dboth_, block.first_edge, 2 * width()), scratch);
}

template <typename T> void Evaluation<T>::backward(int g)
{
  const auto &layers = network_->layers[g].layers;
  const bool last_layer = g + 1 == network_->count();
  if (last_layer && !network_->residual)
    over(layout_.blocks(), [&](const Block &block, Scratch<T> &scratch) {
      read_last_messages(block, scratch);
    });
  if (!network_->residual)
    remote_.swap({dboth_.data() + width(), 2 * width()}, width(), dremote_);
  else if (!last_layer)
    remote_.swap({dmessages_[current_].data(), width()}, width(), dremote_);
  for (int l = static_cast<int>(layers.size()) - 1; l >= 0; l--) {
    over(node_blocks_,
         [&](const Block &block, Scratch<T> &scratch) { nodes_back(g, l, block, scratch); });
    over(layout_.blocks(),
         [&](const Block &block, Scratch<T> &scratch) { attend_back(g, l, block, scratch); });
  }
  // The residual featurizer swaps the tables that it reads and writes.  The feedforward featurizer
  // reads and writes the same rows, but may overwrite dboth_ only after all blocks have read it.
  if (network_->residual) current_ = 1 - current_;
  else if (g > 0)
    over(layout_.blocks(), [&](const Block &block, Scratch<T> &scratch) {
      combine_back(g - 1, block, rows(kept_[g - 1].combined, block.first_edge, 2 * width()),
                   rows(message_gradients(), block.first_edge, width()), scratch);
    });
}

template <typename T>
void Evaluation<T>::nodes_back(int g, int l, const Block &block, Scratch<T> &scratch)
{
  const auto &layers = network_->layers[g].layers;
  const Rows<T> dnodes = rows(dnodes_, block.first_atom, wide());
  const Rows<T> dcenters = rows(dcenters_, block.first_atom, width());
  const bool last = l + 1 == static_cast<int>(layers.size());
  if (!last) layers[l + 1].center().contract_back(block.atoms(), width(), dcenters, dnodes);
  else if (network_->residual)
    copy<T>(block.atoms(), wide(), rows(kept_[g].dnodes, block.first_atom, wide()), dnodes);
  else if (g + 1 < network_->count())
    network_->layers[g + 1].layers[0].center().contract_back(block.atoms(), width(), dcenters,
                                                             dnodes);
  layers[l].center().expand_back(block.first_atom, block.atoms(), width(), dnodes, dcenters,
                                 kept_[g].transformer[l].center, scratch);
}

template <typename T>
void Evaluation<T>::attend_back(int g, int l, const Block &block, Scratch<T> &scratch)
{
  using S = Scratch<T>;
  const auto &layers = network_->layers[g].layers;
  const bool last = l + 1 == static_cast<int>(layers.size());
  Rows<T> dedges = rows(dbetween_, block.first_edge, width());
  if (last) {
    dedges = scratch.rows(S::D_EDGES, block.edges(), width());
    edges_back(g, block, dedges);
  }
  const Rows<T> dtokens = scratch.rows(S::D_TOKENS, block.rows(), width());
  const Rows<T> dcenters = rows(dcenters_, block.first_atom, width());
  layers[l].backward(block, kept_[g].transformer[l], atoms_of(block), dedges, dcenters, dtokens,
                     scratch);
  copy<T>(block.atoms(), width(), dtokens, dcenters);
  const Rows<T> by_edge = dtokens.from(block.atoms());
  if (l > 0) copy<T>(block.edges(), width(), by_edge, rows(dbetween_, block.first_edge, width()));
  else compress_back(g, block, by_edge, scratch);
}

template <typename T> void Evaluation<T>::edges_back(int g, const Block &block, Rows<T> dedges)
{
  const bool last = g + 1 == network_->count();
  for (int r = 0; r < block.edges(); r++) {
    const std::int64_t e = block.first_edge + r;
    const T *own, *other;
    T weight = 1;
    T *to = dedges[r];
    if (network_->residual) {
      own = kept_[g].dedges.data() + e * width();
      other = last ? own : reversed(e, {dmessages_[current_].data(), width()}, dremote_);
      weight = last ? T(0) : T(0.5);
    } else {
      own = dboth_.data() + e * 2 * width();
      other = reversed(e, {dboth_.data() + width(), 2 * width()}, dremote_);
    }
#pragma omp simd
    for (int c = 0; c < width(); c++) to[c] = own[c] + weight * other[c];
  }
  if (!network_->residual)
    add<T>(block.edges(), width(), rows(message_gradients(), block.first_edge, width()), dedges);
}

template <typename T>
void Evaluation<T>::compress_back(int g, const Block &block, Rows<const T> dtokens,
                                  Scratch<T> &scratch)
{
  const std::int64_t first = block.first_edge;
  Rows<T> dmessages = rows(message_gradients(), first, width());
  if (network_->residual) {
    const T weight = g + 1 == network_->count() ? T(0) : T(0.5);
    const Rows<T> written = rows(dmessages_[1 - current_], first, width());
    for (int r = 0; r < block.edges(); r++)
      for (int c = 0; c < width(); c++)
        written[r][c] = weight == T(0) ? T(0) : weight * dmessages[r][c];
    dmessages = written;
  }
  network_->layers[g].compress.back(block.edges(), geometry_.data() + 4 * first,
                                    species_.data() + first, compressed(g, block, scratch), dtokens,
                                    dgeometry_.data() + 4 * first, dmessages, scratch);
}

template <typename T> void Evaluation<T>::finish(T *dvectors)
{
  over(layout_.blocks(), [&](const Block &block, Scratch<T> &) {
    for (std::int64_t e = block.first_edge; e < block.last_edge; e++) {
      const T *geometry = geometry_.data() + 4 * e, *d = dgeometry_.data() + 4 * e;
      for (int axis = 0; axis < 3; axis++)
        dvectors[3 * e + axis] = d[axis] + d[3] * geometry[axis] / geometry[3];
      if (graph_->factors[e] >= T(1e-15)) dfactors_[e] += dlogs_.data()[e] / graph_->factors[e];
    }
  });
}

}  // namespace pet::PET_INSTRUCTION_SET

#endif
