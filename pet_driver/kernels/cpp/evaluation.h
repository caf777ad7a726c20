// Energies and gradients: forward through the layers, and back, block of atoms by block of atoms.
//
// Atoms know of each other through the reverse edges alone, once in a layer of message passing.
// Between two such exchanges a block of atoms goes through everything while it stays in the cache.
// Features of atoms are wider and their maps larger, so these take larger blocks of their own.

#ifndef PET_EVALUATION_H
#define PET_EVALUATION_H

#include "network.h"

#include <exception>
#include <omp.h>

namespace pet::PET_LEVEL {

template <typename T> class Evaluation {
 public:
  /// Energies [N], without scale and composition, and the gradients by vectors [E, 3] and factors
  /// [E] of the sum of seeds times energies.
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
  // About as many rows as keep a block's tables in the second level of cache.
  static constexpr std::int64_t BLOCK_ROWS = 160, NODE_ROWS = 96;

  struct LayerKept {
    std::vector<typename TransformerLayer<T>::Kept> transformer;
    Buffer<T> compressed, edges, combined, dedges, dnodes;
  };

  const Network<T> *network_ = nullptr;
  const Graph<T> *graph_ = nullptr;
  double *energies_ = nullptr;
  T *dfactors_ = nullptr;
  int threads_ = 1;
  Layout layout_;
  std::vector<Block> node_blocks_;
  std::vector<std::int64_t> center_rows_;    // [N] row of each centre among all tokens
  std::vector<std::size_t> weight_offsets_;  // [N] where each atom's attention weights are kept
  std::size_t weights_ = 0;
  std::vector<std::int32_t> species_;        // [E] of the neighbours
  std::vector<LayerKept> kept_;
  std::vector<Scratch<T>> scratch_;
  Buffer<T> geometry_, dgeometry_, logs_, dlogs_;
  Buffer<T> nodes_, dnodes_, centers_, dcenters_, messages_, dmessages_[2], dboth_, dbetween_;
  int current_ = 0;  // which of dmessages_ is read

  int width() const { return network_->width; }
  int wide() const { return network_->wide; }

  Rows<T> rows(Buffer<T> &buffer, std::int64_t first, int width) const
  {
    return {buffer.data() + first * width, width};
  }

  /// Calls ``work`` for every block, by all threads.
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
    threads_ = std::max(1, threads);
    if (static_cast<int>(scratch_.size()) < threads_) scratch_.resize(threads_);
    const std::int64_t share = (n + e) / (4 * threads_);
    layout_.build(n, e, graph_->centers, std::clamp<std::int64_t>(share, 32, BLOCK_ROWS));
    node_blocks_.clear();
    const std::int64_t step = std::clamp<std::int64_t>((n + threads_ - 1) / threads_, 1, NODE_ROWS);
    for (std::int64_t i = 0; i < n; i += step)
      node_blocks_.push_back({i, std::min(n, i + step), 0, 0});
    lay_out_atoms();
    reserve();
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
    for (Buffer<T> *buffer : {&messages_, &dmessages_[0]}) buffer->get(e * d);
    if (network_->residual) dmessages_[1].get(e * d);
    else dboth_.get(2 * e * d);
    if (network_->layers[0].layers.size() > 1) dbetween_.get(e * d);
    kept_.resize(network_->count());
    for (int g = 0; g < network_->count(); g++) {
      const auto &layers = network_->layers[g].layers;
      LayerKept &kept = kept_[g];
      kept.transformer.resize(layers.size());
      for (std::size_t l = 0; l < layers.size(); l++)
        layers[l].reserve(kept.transformer[l], n, e, weights_);
      kept.compressed.get(e * d);
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
      // A factor of zero is bounded by 1e-15, as in training, so that its gradient stays finite.
      logs_.data()[e] = std::log(std::max(graph_->factors[e], T(1e-15)));
      dlogs_.data()[e] = 0;
      dfactors_[e] = 0;
      const std::int64_t species = graph_->species[graph_->neighbors[e]];
      species_[e] = static_cast<std::int32_t>(species);
      std::memcpy(messages_.data() + e * width(), network_->edges[species], width() * sizeof(T));
    }
    for (std::int64_t i = block.first_atom; i < block.last_atom; i++) energies_[i] = 0;
  }

  /// Visits the atoms of a block, for the attention.
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

  void forward(int g)
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
      over(node_blocks_, [&](const Block &block, Scratch<T> &scratch) {
        update_nodes(g, l, block, scratch);
      });
    }
  }

  void embed(int g, const Block &block)
  {
    for (std::int64_t i = block.first_atom; i < block.last_atom; i++)
      std::memcpy(nodes_.data() + i * wide(), network_->nodes[g][graph_->species[i]],
                  wide() * sizeof(T));
  }

  /// The centres' tokens for a layer, from the nodes.
  void contract(int g, int l, const Block &block, Scratch<T> &scratch)
  {
    const TransformerLayer<T> &layer = network_->layers[g].layers[l];
    const Rows<T> tokens = scratch.rows(Scratch<T>::OUT, block.atoms(), width());
    layer.center().contract(block.atoms(), width(), rows(nodes_, block.first_atom, wide()), tokens);
    for (int r = 0; r < block.atoms(); r++) {
      const std::int64_t row = center_rows_[block.first_atom + r];
      std::memcpy(layer.tokens(kept_[g].transformer[l], row).data, tokens[r], width() * sizeof(T));
    }
  }

  /// The messages into layer g, and the tokens of its edges.
  void compress(int g, const Block &block, Scratch<T> &scratch)
  {
    const std::int64_t first = block.first_edge;
    const Rows<T> messages = rows(messages_, first, width());
    if (g > 0) exchange(g - 1, block, rows(kept_[g - 1].combined, first, 2 * width()), scratch);
    const TransformerLayer<T> &layer = network_->layers[g].layers[0];
    network_->layers[g].compress.forward(
        block.edges(), geometry_.data() + 4 * first, species_.data() + first, messages,
        rows(kept_[g].compressed, first, width()),
        layer.tokens(kept_[g].transformer[0], block.first_row() + block.atoms()), scratch);
  }

  /// Messages of a block, from the edges that layer g gave out and their reverse edges.
  void exchange(int g, const Block &block, Rows<T> combined, Scratch<T> &scratch)
  {
    const Rows<T> messages = rows(messages_, block.first_edge, width());
    const T *edges = kept_[g].edges.data();
    if (network_->residual) {
      for (int r = 0; r < block.edges(); r++) {
        const T *back = edges + graph_->reverse[block.first_edge + r] * width();
        T *message = messages[r];
#pragma omp simd
        for (int c = 0; c < width(); c++) message[c] = T(0.5) * (message[c] + back[c]);
      }
      return;
    }
    add<T>(block.edges(), width(), rows(kept_[g].edges, block.first_edge, width()), messages);
    network_->combinations[g].accumulate(block.edges(), both_ways(g, block, scratch), combined,
                                         messages, scratch);
  }

  /// Each edge that layer g gave out beside its reverse edge [edges, 2 D].
  Rows<T> both_ways(int g, const Block &block, Scratch<T> &scratch)
  {
    const Rows<T> both = scratch.rows(Scratch<T>::BOTH, block.edges(), 2 * width());
    const T *edges = kept_[g].edges.data();
    for (int r = 0; r < block.edges(); r++) {
      const std::int64_t e = block.first_edge + r;
      std::memcpy(both[r], edges + e * width(), width() * sizeof(T));
      std::memcpy(both[r] + width(), edges + graph_->reverse[e] * width(), width() * sizeof(T));
    }
    return both;
  }

  void attend(int g, int l, const Block &block, Scratch<T> &scratch)
  {
    const auto &layers = network_->layers[g].layers;
    LayerKept &kept = kept_[g];
    const bool last = l + 1 == static_cast<int>(layers.size());
    const Rows<T> edges = last
        ? rows(kept.edges, block.first_edge, width())
        : layers[l + 1].tokens(kept.transformer[l + 1], block.first_row() + block.atoms());
    layers[l].forward(block, kept.transformer[l], atoms_of(block), edges,
                      rows(centers_, block.first_atom, width()), scratch);
    if (last && network_->residual)
      read_edges(g, block, edges, rows(kept.dedges, block.first_edge, width()), scratch);
  }

  void update_nodes(int g, int l, const Block &block, Scratch<T> &scratch)
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

  void read_nodes(int readout, const Block &block, Buffer<T> &dnodes, Scratch<T> &scratch)
  {
    const std::int64_t first = block.first_atom;
    network_->readouts[readout].node(
        block.atoms(), rows(nodes_, first, wide()), rows(dnodes, first, wide()),
        [&](int r) { return static_cast<T>(graph_->seeds[first + r]); },
        [&](int r, T energy) { energies_[first + r] += energy; }, scratch);
  }

  void read_edges(int readout, const Block &block, Rows<const T> edges, Rows<T> dedges,
                  Scratch<T> &scratch)
  {
    const std::int64_t first = block.first_edge;
    const std::int64_t *centers = graph_->centers + first;
    const auto seed = [&](int r) { return static_cast<T>(graph_->seeds[centers[r]]); };
    network_->readouts[readout].edge(
        block.edges(), edges, dedges, [&](int r) { return seed(r) * graph_->factors[first + r]; },
        [&](int r, T energy) {
          energies_[centers[r]] += graph_->factors[first + r] * energy;
          dfactors_[first + r] += seed(r) * energy;
        },
        scratch);
  }

  /// The end of the way forward and the beginning of the way back for the feedforward featurizer:
  /// the last messages, their energies, and the gradients by the edges of the last layer.
  void turn(const Block &block, Scratch<T> &scratch)
  {
    const int g = network_->count() - 1;
    const Rows<T> messages = rows(messages_, block.first_edge, width());
    const Rows<T> dmessages = rows(dmessages_[current_], block.first_edge, width());
    const Rows<T> combined = scratch.rows(Scratch<T>::D_QKV, block.edges(), 2 * width());
    exchange(g, block, combined, scratch);
    read_edges(0, block, messages, dmessages, scratch);
    combine_back(g, block, combined, dmessages, scratch);
  }

  void combine_back(int g, const Block &block, Rows<const T> combined, Rows<const T> dmessages,
                    Scratch<T> &scratch)
  {
    network_->combinations[g].back(block.edges(), both_ways(g, block, scratch), combined, dmessages,
                                   rows(dboth_, block.first_edge, 2 * width()), scratch);
  }

  void backward(int g)
  {
    const auto &layers = network_->layers[g].layers;
    const bool last_layer = g + 1 == network_->count();
    if (last_layer && !network_->residual)
      over(layout_.blocks(), [&](const Block &block, Scratch<T> &scratch) { turn(block, scratch); });
    for (int l = static_cast<int>(layers.size()) - 1; l >= 0; l--) {
      over(node_blocks_, [&](const Block &block, Scratch<T> &scratch) {
        nodes_back(g, l, block, scratch);
      });
      over(layout_.blocks(), [&](const Block &block, Scratch<T> &scratch) {
        attend_back(g, l, block, scratch);
      });
    }
    // What was written is read from now on; the feedforward featurizer reads and writes its own
    // rows alone, and dboth_ must not be touched before all blocks have read it.
    if (network_->residual) current_ = 1 - current_;
    else if (g > 0)
      over(layout_.blocks(), [&](const Block &block, Scratch<T> &scratch) {
        combine_back(g - 1, block, rows(kept_[g - 1].combined, block.first_edge, 2 * width()),
                     rows(dmessages_[current_], block.first_edge, width()), scratch);
      });
  }

  /// From the gradient by the nodes behind layer (g, l) to those by its centres and the nodes
  /// before it, but for what goes through its tokens.
  void nodes_back(int g, int l, const Block &block, Scratch<T> &scratch)
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

  void attend_back(int g, int l, const Block &block, Scratch<T> &scratch)
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

  /// The gradient by the edges that layer g gives out.
  void edges_back(int g, const Block &block, Rows<T> dedges)
  {
    const bool last = g + 1 == network_->count();
    for (int r = 0; r < block.edges(); r++) {
      const std::int64_t e = block.first_edge + r, back = graph_->reverse[e];
      const T *own, *other;
      T weight = 1;
      T *to = dedges[r];
      if (network_->residual) {
        own = kept_[g].dedges.data() + e * width();
        other = last ? own : dmessages_[current_].data() + back * width();
        weight = last ? T(0) : T(0.5);
      } else {
        own = dboth_.data() + e * 2 * width();
        other = dboth_.data() + back * 2 * width() + width();
      }
#pragma omp simd
      for (int c = 0; c < width(); c++) to[c] = own[c] + weight * other[c];
    }
    if (!network_->residual)
      add<T>(block.edges(), width(), rows(dmessages_[current_], block.first_edge, width()), dedges);
  }

  void compress_back(int g, const Block &block, Rows<const T> dtokens, Scratch<T> &scratch)
  {
    const std::int64_t first = block.first_edge;
    Rows<T> dmessages = rows(dmessages_[current_], first, width());
    if (network_->residual) {
      const T weight = g + 1 == network_->count() ? T(0) : T(0.5);
      const Rows<T> written = rows(dmessages_[1 - current_], first, width());
      for (int r = 0; r < block.edges(); r++)
        for (int c = 0; c < width(); c++)
          written[r][c] = weight == T(0) ? T(0) : weight * dmessages[r][c];
      dmessages = written;
    }
    network_->layers[g].compress.back(block.edges(), rows(kept_[g].compressed, first, width()),
                                      dtokens, dgeometry_.data() + 4 * first, dmessages, scratch);
  }

  void finish(T *dvectors)
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
};

}    // namespace pet::PET_LEVEL

#endif
