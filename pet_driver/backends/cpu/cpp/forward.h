// SPDX-License-Identifier: BSD-3-Clause
//
// The forward pass: from edges to energies.

#ifndef PET_FORWARD_H
#define PET_FORWARD_H

#include "evaluation.h"

#include <cstring>

namespace pet::PET_INSTRUCTION_SET {

template <typename T> void Evaluation<T>::forward(int g)
{
  const MessagePassing<T> &layer = network_->layers[g];
  if (g == 0 || network_->residual)
    over(node_blocks_, [&](const Block &block, Scratch<T> &scratch) {
      embed(g, block);
      contract(g, 0, block, scratch);
    });
  for (int l = 0; l < static_cast<int>(layer.layers.size()); l++) {
    over(layout_.blocks(), [&](const Block &block, Scratch<T> &scratch) {
      if (l == 0) compress(g, block, scratch);
      attend(g, l, block, scratch);
    });
    over(node_blocks_,
         [&](const Block &block, Scratch<T> &scratch) { update_nodes(g, l, block, scratch); });
  }
  if (!network_->residual || g + 1 < network_->count())
    remote_.swap({kept_[g].edges.data(), width()}, width(), kept_[g].remote);
}

template <typename T> void Evaluation<T>::embed(int g, const Block &block)
{
  for (std::int64_t i = block.first_atom; i < block.last_atom; i++)
    std::memcpy(nodes_.data() + i * wide(), network_->nodes[g][graph_->species[i]],
                wide() * sizeof(T));
}

template <typename T>
void Evaluation<T>::contract(int g, int l, const Block &block, Scratch<T> &scratch)
{
  const TransformerLayer<T> &layer = network_->layers[g].layers[l];
  const Rows<T> tokens = scratch.rows(Scratch<T>::OUT, block.atoms(), width());
  layer.center().contract(block.atoms(), width(), rows(nodes_, block.first_atom, wide()), tokens);
  for (int r = 0; r < block.atoms(); r++) {
    const std::int64_t row = center_rows_[block.first_atom + r];
    std::memcpy(layer.tokens(kept_[g].transformer[l], row).data, tokens[r], width() * sizeof(T));
  }
}

template <typename T> void Evaluation<T>::compress(int g, const Block &block, Scratch<T> &scratch)
{
  const std::int64_t first = block.first_edge;
  const Rows<T> messages = rows(messages_, first, width());
  if (g > 0) exchange(g - 1, block, rows(kept_[g - 1].combined, first, 2 * width()), scratch);
  const TransformerLayer<T> &layer = network_->layers[g].layers[0];
  network_->layers[g].compress.forward(
      block.edges(), geometry_.data() + 4 * first, species_.data() + first, messages,
      compressed(g, block, scratch),
      layer.tokens(kept_[g].transformer[0], block.first_row() + block.atoms()), scratch);
}

template <typename T>
void Evaluation<T>::exchange(int g, const Block &block, Rows<T> combined, Scratch<T> &scratch)
{
  const Rows<T> messages = rows(messages_, block.first_edge, width());
  const Rows<const T> edges{kept_[g].edges.data(), width()};
  if (network_->residual) {
    for (int r = 0; r < block.edges(); r++) {
      const T *back = reversed(block.first_edge + r, edges, kept_[g].remote);
      T *message = messages[r];
#pragma omp simd
      for (int c = 0; c < width(); c++) message[c] = T(0.5) * (message[c] + back[c]);
    }
    return;
  }
  add<T>(block.edges(), width(), rows(kept_[g].edges, block.first_edge, width()), messages);
  network_->combinations[g].accumulate(block.edges(), with_reverse(g, block, scratch), combined,
                                       messages, scratch);
}

template <typename T>
Rows<T> Evaluation<T>::with_reverse(int g, const Block &block, Scratch<T> &scratch)
{
  const Rows<T> both = scratch.rows(Scratch<T>::BOTH, block.edges(), 2 * width());
  const Rows<const T> edges{kept_[g].edges.data(), width()};
  for (int r = 0; r < block.edges(); r++) {
    const std::int64_t e = block.first_edge + r;
    std::memcpy(both[r], edges[e], width() * sizeof(T));
    std::memcpy(both[r] + width(), reversed(e, edges, kept_[g].remote), width() * sizeof(T));
  }
  return both;
}

template <typename T>
void Evaluation<T>::attend(int g, int l, const Block &block, Scratch<T> &scratch)
{
  const auto &layers = network_->layers[g].layers;
  LayerKept &kept = kept_[g];
  const bool last = l + 1 == static_cast<int>(layers.size());
  const Rows<T> edges =
      last ? rows(kept.edges, block.first_edge, width())
           : layers[l + 1].tokens(kept.transformer[l + 1], block.first_row() + block.atoms());
  layers[l].forward(block, kept.transformer[l], atoms_of(block), edges,
                    rows(centers_, block.first_atom, width()), scratch);
  if (last && network_->residual)
    read_edges(g, block, edges, rows(kept.dedges, block.first_edge, width()), scratch);
}

template <typename T>
void Evaluation<T>::update_nodes(int g, int l, const Block &block, Scratch<T> &scratch)
{
  const auto &layers = network_->layers[g].layers;
  const Rows<T> nodes = rows(nodes_, block.first_atom, wide());
  layers[l].center().expand(block.first_atom, block.atoms(), width(),
                            rows(centers_, block.first_atom, width()), nodes,
                            kept_[g].transformer[l].center, scratch);
  if (l + 1 < static_cast<int>(layers.size())) contract(g, l + 1, block, scratch);
  else if (network_->residual) read_nodes(g, block, kept_[g].dnodes, scratch);
  else if (g + 1 < network_->count()) contract(g + 1, 0, block, scratch);
  else read_nodes(0, block, dnodes_, scratch);
}

template <typename T>
void Evaluation<T>::read_nodes(int readout, const Block &block, Buffer<T> &dnodes,
                               Scratch<T> &scratch)
{
  const std::int64_t first = block.first_atom;
  network_->readouts[readout].node(
      block.atoms(), rows(nodes_, first, wide()), rows(dnodes, first, wide()),
      [&](int r) { return static_cast<T>(graph_->grad_outputs[first + r]); },
      [&](int r, T energy) { energies_[first + r] += energy; }, scratch);
}

template <typename T>
void Evaluation<T>::read_edges(int readout, const Block &block, Rows<const T> edges, Rows<T> dedges,
                               Scratch<T> &scratch)
{
  const std::int64_t first = block.first_edge;
  const std::int64_t *centers = graph_->centers + first;
  const auto grad_output = [&](int r) {
    return static_cast<T>(graph_->grad_outputs[centers[r]]);
  };
  network_->readouts[readout].edge(
      block.edges(), edges, dedges,
      [&](int r) { return grad_output(r) * graph_->factors[first + r]; },
      [&](int r, T energy) {
        energies_[centers[r]] += graph_->factors[first + r] * energy;
        dfactors_[first + r] += grad_output(r) * energy;
      },
      scratch);
}

}  // namespace pet::PET_INSTRUCTION_SET

#endif
