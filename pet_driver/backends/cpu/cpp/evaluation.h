// SPDX-License-Identifier: BSD-3-Clause
//
// Energies and gradients: a forward and a backward pass over blocks of atoms.
//
// Atoms exchange information only through the reverse edges, once per message-passing layer.
// Between two such exchanges, a block of atoms passes through all operations while its data stay in
// the cache.  Node features are wider and their linear maps larger, so they use larger blocks.

#ifndef PET_EVALUATION_H
#define PET_EVALUATION_H

#include "network.h"
#include "remote.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>
#include <vector>
#include <omp.h>

namespace pet::PET_INSTRUCTION_SET {

template <typename T> class Evaluation {
 public:
  /// Computes energies [N] and gradients; see Engine::run.
  void run(const Network<T> &network, const Graph<T> &graph, int threads, double *energies,
           T *dvectors, T *dfactors)
  {
    network_ = &network;
    graph_ = &graph;
    energies_ = energies;
    dfactors_ = dfactors;
    prepare(threads);
    for (int g = 0; g < network.count(); g++) forward(g);
    for (int g = network.count() - 1; g >= 0; g--) backward(g);
    finish(dvectors);
  }

 private:
  // Rows for which the tables of a block fit into the level-2 cache.
  static constexpr std::int64_t BLOCK_ROWS = 160, NODE_ROWS = 96, THREAD_ROWS = 512;

  struct LayerKept {
    std::vector<typename TransformerLayer<T>::Kept> transformer;
    Buffer<T> compressed, edges, combined, dedges, dnodes, remote;
  };

  const Network<T> *network_ = nullptr;
  const Graph<T> *graph_ = nullptr;
  double *energies_ = nullptr;
  T *dfactors_ = nullptr;
  int threads_ = 1;
  Layout layout_;
  std::vector<Block> node_blocks_;
  std::vector<std::int64_t> center_rows_;    // [N] row of each central atom among all tokens
  std::vector<std::size_t> weight_offsets_;  // [N] offset of each atom's attention weights
  std::size_t weights_ = 0;
  std::vector<std::int32_t> species_;  // [E] species of the neighbours
  std::vector<LayerKept> kept_;
  std::vector<Scratch<T>> scratch_;
  Remote<T> remote_;
  Buffer<T> geometry_, dgeometry_, logs_, dlogs_, dremote_;
  Buffer<T> nodes_, dnodes_, centers_, dcenters_, messages_, dmessages_[2], dboth_, dbetween_;
  int current_ = 0;  // index of the dmessages_ that is read; the other one is written

  /// In the feedforward featurizer gradients overwrite the messages, edge by edge.
  Buffer<T> &message_gradients() { return network_->residual ? dmessages_[current_] : messages_; }

  int width() const { return network_->width; }
  int wide() const { return network_->wide; }

  Rows<T> rows(Buffer<T> &buffer, std::int64_t first, int width) const
  {
    return {buffer.data() + first * width, width};
  }

  /// Calls ``work`` for every block, distributed over all threads.
  template <typename Work> void over(const std::vector<Block> &blocks, Work &&work)
  {
    const auto count = static_cast<std::int64_t>(blocks.size());
    std::exception_ptr failure;
#pragma omp parallel for schedule(dynamic) num_threads(threads_) if (threads_ > 1 && count > 1)
    for (std::int64_t b = 0; b < count; b++) {
      try {
        work(blocks[b], scratch_[omp_get_thread_num()]);
      } catch (...) {
#pragma omp critical(pet_failure)
        failure = std::current_exception();
      }
    }
    if (failure) std::rethrow_exception(failure);
  }

  void prepare(int threads)
  {
    const std::int64_t n = graph_->n_atoms, e = graph_->n_edges;
    // With little work per thread, waiting at barriers costs more than the work itself, above all
    // when other processes use the same cores.
    threads_ = static_cast<int>(std::clamp<std::int64_t>((n + e) / THREAD_ROWS, 1, threads));
    if (static_cast<int>(scratch_.size()) < threads_) scratch_.resize(threads_);
    const std::int64_t share = (n + e) / (4 * threads_);
    layout_.build(n, e, graph_->centers, std::clamp<std::int64_t>(share, 32, BLOCK_ROWS));
    node_blocks_.clear();
    const std::int64_t step = std::clamp<std::int64_t>((n + threads_ - 1) / threads_, 1, NODE_ROWS);
    for (std::int64_t i = 0; i < n; i += step)
      node_blocks_.push_back({i, std::min(n, i + step), 0, 0});
    lay_out_atoms();
    reserve();
    remote_.build(*graph_);
    over(layout_.blocks(), [&](const Block &block, Scratch<T> &) { start(block); });
  }

  void lay_out_atoms()
  {
    const Attention<T> &attention = network_->layers[0].layers[0].attention();
    center_rows_.resize(graph_->n_atoms);
    weight_offsets_.resize(graph_->n_atoms);
    weights_ = 0;
    for (const Block &block : layout_.blocks())
      for (std::int64_t i = block.first_atom; i < block.last_atom; i++) {
        center_rows_[i] = block.first_row() + i - block.first_atom;
        weight_offsets_[i] = weights_;
        weights_ += attention.kept(1 + layout_.edges_of(i));
      }
  }

  void reserve()
  {
    const std::int64_t n = graph_->n_atoms, e = graph_->n_edges, d = width();
    species_.resize(e);
    for (Buffer<T> *buffer : {&geometry_, &dgeometry_}) buffer->get(4 * e);
    for (Buffer<T> *buffer : {&logs_, &dlogs_}) buffer->get(e);
    for (Buffer<T> *buffer : {&nodes_, &dnodes_}) buffer->get(n * wide());
    for (Buffer<T> *buffer : {&centers_, &dcenters_}) buffer->get(n * d);
    messages_.get(e * d);
    if (!network_->residual) dboth_.get(2 * e * d);
    else
      for (Buffer<T> &buffer : dmessages_) buffer.get(e * d);
    if (network_->layers[0].layers.size() > 1) dbetween_.get(e * d);
    kept_.resize(network_->count());
    for (int g = 0; g < network_->count(); g++) {
      const auto &layers = network_->layers[g].layers;
      LayerKept &kept = kept_[g];
      kept.transformer.resize(layers.size());
      for (std::size_t l = 0; l < layers.size(); l++)
        layers[l].reserve(kept.transformer[l], n, e, weights_);
      if (network_->layers[g].compress.keeps_hidden()) kept.compressed.get(e * d);
      kept.edges.get(e * d);
      if (network_->residual) kept.dedges.get(e * d), kept.dnodes.get(n * wide());
      else if (g + 1 < network_->count()) kept.combined.get(2 * e * d);
    }
  }

  void start(const Block &block)
  {
    for (std::int64_t e = block.first_edge; e < block.last_edge; e++) {
      const T *v = graph_->vectors + 3 * e;
      T *geometry = geometry_.data() + 4 * e;
      for (int axis = 0; axis < 3; axis++) geometry[axis] = v[axis];
      geometry[3] = std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2] + T(1e-15));
      for (int axis = 0; axis < 4; axis++) dgeometry_.data()[4 * e + axis] = 0;
      // The lower bound of 1e-15, as in training, keeps the gradient at a zero factor finite.
      logs_.data()[e] = std::log(std::max(graph_->factors[e], T(1e-15)));
      dlogs_.data()[e] = 0;
      dfactors_[e] = 0;
      const std::int64_t species = graph_->species[graph_->neighbors[e]];
      species_[e] = static_cast<std::int32_t>(species);
      std::memcpy(messages_.data() + e * width(), network_->edges[species], width() * sizeof(T));
    }
    for (std::int64_t i = block.first_atom; i < block.last_atom; i++) energies_[i] = 0;
  }

  /// Returns a function that calls a visitor for every atom of a block; for the attention.
  auto atoms_of(const Block &block)
  {
    return [this, &block](auto &&visit) {
      for (std::int64_t i = block.first_atom; i < block.last_atom; i++) {
        const std::int64_t edge = layout_.first_edge(i);
        const Tokens tokens{static_cast<int>(i - block.first_atom),
                            block.atoms() + static_cast<int>(edge - block.first_edge),
                            1 + layout_.edges_of(i)};
        visit(tokens, logs_.data() + edge, dlogs_.data() + edge, weight_offsets_[i]);
      }
    };
  }

  // forward.h
  void forward(int g);
  void embed(int g, const Block &block);
  /// Computes the tokens of central atoms for a layer from the node features.
  void contract(int g, int l, const Block &block, Scratch<T> &scratch);
  /// Returns the table for the hidden features of Compress in layer g: stored or temporary.
  Rows<T> compressed(int g, const Block &block, Scratch<T> &scratch)
  {
    if (network_->layers[g].compress.keeps_hidden())
      return rows(kept_[g].compressed, block.first_edge, width());
    return scratch.rows(Scratch<T>::HIDDEN, block.edges(), width());
  }
  /// Computes the messages into layer g and the tokens of its edges.
  void compress(int g, const Block &block, Scratch<T> &scratch);
  /// Returns the row of the reverse of edge ``e``: in ``table`` [E, D], or in ``received`` [remote,
  /// D] if another process computes the reverse edge.
  const T *reversed(std::int64_t e, Rows<const T> table, const Buffer<T> &received) const
  {
    const std::int64_t slot = remote_.slot(e);
    return slot < 0 ? table[graph_->reverse[e]] : received.data() + slot * width();
  }

  /// Updates the messages of a block from the output edges of layer g and their reverse edges.
  void exchange(int g, const Block &block, Rows<T> combined, Scratch<T> &scratch);
  /// Returns the output edges of layer g concatenated with their reverse edges [edges, 2 D].
  Rows<T> with_reverse(int g, const Block &block, Scratch<T> &scratch);
  void attend(int g, int l, const Block &block, Scratch<T> &scratch);
  void update_nodes(int g, int l, const Block &block, Scratch<T> &scratch);
  void read_nodes(int readout, const Block &block, Buffer<T> &dnodes, Scratch<T> &scratch);
  void read_edges(int readout, const Block &block, Rows<const T> edges, Rows<T> dedges,
                  Scratch<T> &scratch);

  // backward.h
  /// Ends the forward pass and begins the backward pass of the feedforward featurizer: computes the
  /// last messages, their energies, and the gradients by the edges of the last layer.
  void read_last_messages(const Block &block, Scratch<T> &scratch);
  void combine_back(int g, const Block &block, Rows<const T> combined, Rows<const T> dmessages,
                    Scratch<T> &scratch);
  void backward(int g);
  /// Propagates the gradient from the nodes after layer (g, l) to its central tokens and to the
  /// nodes before it, except for the part that passes through the tokens.
  void nodes_back(int g, int l, const Block &block, Scratch<T> &scratch);
  void attend_back(int g, int l, const Block &block, Scratch<T> &scratch);
  /// Computes the gradient with respect to the output edges of layer g.
  void edges_back(int g, const Block &block, Rows<T> dedges);
  void compress_back(int g, const Block &block, Rows<const T> dtokens, Scratch<T> &scratch);
  void finish(T *dvectors);
};

}  // namespace pet::PET_INSTRUCTION_SET

#include "backward.h"
#include "forward.h"

#endif
