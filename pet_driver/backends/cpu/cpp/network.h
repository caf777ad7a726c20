// SPDX-License-Identifier: BSD-3-Clause
//
// The layers of PET, with all products of constant weights computed in advance.

#ifndef PET_NETWORK_H
#define PET_NETWORK_H

#include "transformer.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace pet::PET_INSTRUCTION_SET {

/// One vector per species.
template <typename T> struct Embedding {
  int width = 0;
  std::vector<T> values;

  Embedding() = default;
  explicit Embedding(const Matrix &matrix)
      : width(static_cast<int>(matrix.columns)), values(matrix.values.begin(), matrix.values.end())
  {
  }
  const T *operator[](std::int64_t species) const { return values.data() + species * width; }
};

/// The map from geometry, species and incoming messages to the tokens of edges.
///
/// The linear map of the geometry is multiplied into the first map of "compress", and the
/// contribution of the neighbour's species becomes a table of biases.
template <typename T> class Compress {
 public:
  Compress(const Weights &weights, const std::string &name, const Matrix *first_messages)
      : second_(weights, name + "compress.2")
  {
    const Matrix &first = weights.at(name + "compress.0.weight");
    const Matrix &bias = weights.at(name + "compress.0.bias");
    const Matrix &embedder = weights.at(name + "edge_embedder.weight");
    const Matrix &embedder_bias = weights.at(name + "edge_embedder.bias");
    const std::int64_t width = first.rows;
    const Matrix geometric = first.slice(0, width);
    const Matrix map = geometric * embedder;
    for (int axis = 0; axis < 4; axis++)
      for (std::int64_t c = 0; c < width; c++) geometry_.push_back(static_cast<T>(map(c, axis)));

    const Matrix constant = geometric * embedder_bias;
    const Matrix &species =
        first_messages ? *first_messages : weights.at(name + "neighbor_embedder.weight");
    const Matrix part = first.slice(width, width);
    Matrix table{species.rows, width, {}};
    for (std::int64_t s = 0; s < species.rows; s++)
      for (std::int64_t c = 0; c < width; c++) {
        double value = bias.values[c] + constant.values[c];
        for (std::int64_t k = 0; k < width; k++) value += part(c, k) * species(s, k);
        table.values.push_back(value);
      }
    table_ = Embedding<T>(table);
    has_messages_ = first_messages == nullptr;
    if (has_messages_) messages_ = Linear<T>(first.slice(2 * width, width), nullptr);
  }

  /// Whether ``hidden`` is stored: without messages it is cheaper to compute it again.
  bool keeps_hidden() const { return has_messages_; }

  /// Computes tokens [rows, D] from geometry [rows, 4], neighbour species [rows] and messages
  /// [rows, D]; stores ``hidden``.
  void forward(int rows, const T *geometry, const std::int32_t *species, Rows<const T> messages,
               Rows<T> hidden, Rows<T> tokens, Scratch<T> &scratch) const
  {
    const Rows<T> active = scratch.rows(Scratch<T>::ACTIVE, rows, table_.width);
    activate(rows, geometry, species, messages, hidden, active);
    second_.apply(rows, active, tokens);
  }

  /// Adds to dgeometry and dmessages from dtokens; overwrites ``hidden`` if it was not stored.
  void back(int rows, const T *geometry, const std::int32_t *species, Rows<T> hidden,
            Rows<const T> dtokens, T *dgeometry, Rows<T> dmessages, Scratch<T> &scratch) const
  {
    const int width = table_.width;
    const Rows<T> d = scratch.rows(Scratch<T>::ACTIVE, rows, width);
    if (!keeps_hidden()) activate(rows, geometry, species, {nullptr, 0}, hidden, d);
    second_.back(rows, dtokens, d);
    for (int r = 0; r < rows; r++) {
      scale(width, hidden[r], d[r]);
      const T *x = geometry_.data(), *y = x + width, *z = y + width, *length = z + width;
      const T *by = d[r];
      T dx = 0, dy = 0, dz = 0, dl = 0;
#pragma omp simd reduction(+ : dx, dy, dz, dl)
      for (int c = 0; c < width; c++) {
        dx += by[c] * x[c];
        dy += by[c] * y[c];
        dz += by[c] * z[c];
        dl += by[c] * length[c];
      }
      T *to = dgeometry + 4 * r;
      to[0] += dx, to[1] += dy, to[2] += dz, to[3] += dl;
    }
    if (has_messages_) messages_.back(rows, d, dmessages, dmessages);
  }

 private:
  std::vector<T> geometry_;  // [4, D]
  Embedding<T> table_;
  bool has_messages_;
  Linear<T> messages_, second_;

  /// Computes the first map and its activation; ``hidden`` receives the derivative.
  void activate(int rows, const T *geometry, const std::int32_t *species, Rows<const T> messages,
                Rows<T> hidden, Rows<T> active) const
  {
    const int width = table_.width;
    const T *x = geometry_.data(), *y = x + width, *z = y + width, *length = z + width;
    for (int r = 0; r < rows; r++) {
      const T *bias = table_[species[r]], *g = geometry + 4 * r;
      T *row = hidden[r];
#pragma omp simd
      for (int c = 0; c < width; c++)
        row[c] = bias[c] + g[0] * x[c] + g[1] * y[c] + g[2] * z[c] + g[3] * length[c];
    }
    if (has_messages_) messages_.apply(rows, messages, hidden, hidden);
    for (int r = 0; r < rows; r++) silu(width, hidden[r], active[r]);
  }
};

/// The map of the feedforward featurizer from an edge and its reverse to a message.
template <typename T> class Combination {
 public:
  Combination(const Weights &weights, const std::string &norm, const std::string &mlp)
      : norm_(weights, norm), first_(linear_behind<T>(weights, norm, mlp + ".0")),
        second_(weights, mlp + ".2")
  {
  }

  /// Adds to messages from ``both`` [rows, 2D], each edge concatenated with its reverse; stores
  /// ``hidden``.
  void accumulate(int rows, Rows<const T> both, Rows<T> hidden, Rows<T> messages,
                  Scratch<T> &scratch) const
  {
    const int width = first_.inputs();
    const Rows<T> normed = scratch.rows(Scratch<T>::NORMED, rows, width);
    norm_.apply(rows, both, normed);
    first_.apply(rows, normed, hidden);
    for (int r = 0; r < rows; r++) silu(width, hidden[r], normed[r]);
    second_.apply(rows, normed, messages, messages);
  }

  /// Computes dboth from dmessages.
  void back(int rows, Rows<const T> both, Rows<const T> hidden, Rows<const T> dmessages,
            Rows<T> dboth, Scratch<T> &scratch) const
  {
    const int width = first_.inputs();
    const Rows<T> d = scratch.rows(Scratch<T>::ACTIVE, rows, width);
    const Rows<T> dnormed = scratch.rows(Scratch<T>::NORMED, rows, width);
    second_.back(rows, dmessages, d);
    for (int r = 0; r < rows; r++) scale(width, hidden[r], d[r]);
    first_.back(rows, d, dnormed);
    for (int r = 0; r < rows; r++) std::memset(dboth[r], 0, width * sizeof(T));
    norm_.back_accumulate(rows, both, dnormed, dboth);
  }

 private:
  Norm<T> norm_;
  Linear<T> first_, second_;
};

/// The map from features to energies, evaluated together with the gradient of their weighted sum.
template <typename T> class Head {
 public:
  Head(const Weights &weights, const std::string &head, const std::string &last)
      : first_(weights, head + ".0"), second_(weights, head + ".2"),
        bias_(weights.at(last + ".bias").values[0])
  {
    for (const double value : weights.at(last + ".weight").values)
      last_.push_back(static_cast<T>(value));
  }

  /// Calls ``add_energy(row, energy)`` for every row, and computes dx, the gradient of the sum of
  /// ``grad_output(row)`` times energy.
  template <typename GradOutput, typename AddEnergy>
  void operator()(int rows, Rows<const T> x, Rows<T> dx, GradOutput &&grad_output,
                  AddEnergy &&add_energy, Scratch<T> &scratch) const
  {
    using S = Scratch<T>;
    const int width = first_.outputs(), deep = second_.outputs();
    const Rows<T> one = scratch.rows(S::HIDDEN, rows, width);
    const Rows<T> two = scratch.rows(S::D_HIDDEN, rows, deep);
    const Rows<T> active = scratch.rows(S::ACTIVE, rows, std::max(width, deep));
    first_.apply(rows, x, one);
    for (int r = 0; r < rows; r++) silu(width, one[r], active[r]);
    second_.apply(rows, active, two);
    for (int r = 0; r < rows; r++) {
      T *row = active[r];
      silu(deep, two[r], row);
      T sum = bias_;
#pragma omp simd reduction(+ : sum)
      for (int c = 0; c < deep; c++) sum += row[c] * last_[c];
      add_energy(r, sum);
      const T weight = grad_output(r);
#pragma omp simd
      for (int c = 0; c < deep; c++) row[c] = weight * last_[c];
      scale(deep, two[r], row);
    }
    const Rows<T> back = scratch.rows(S::OUT, rows, width);
    second_.back(rows, active, back);
    for (int r = 0; r < rows; r++) scale(width, one[r], back[r]);
    first_.back(rows, back, dx);
  }

 private:
  Linear<T> first_, second_;
  std::vector<T> last_;
  T bias_;
};

template <typename T> struct Readout {
  Head<T> node, edge;

  Readout(const Weights &weights, const std::string &name)
      : node(weights, name + "node_head", name + "node_last"),
        edge(weights, name + "edge_head", name + "edge_last")
  {
  }
};

/// One message-passing layer.
template <typename T> struct MessagePassing {
  Compress<T> compress;
  std::vector<TransformerLayer<T>> layers;

  MessagePassing(const Weights &weights, const std::string &name, const Matrix *first_messages,
                 const Options &options)
      : compress(weights, name, first_messages)
  {
    for (int l = 0; weights.has(layer(name, l) + "norm_mlp.weight"); l++)
      layers.emplace_back(weights, layer(name, l), options);
  }

 private:
  static std::string layer(const std::string &name, int index)
  {
    return name + "layers." + std::to_string(index) + ".";
  }
};

template <typename T> struct Network {
  int width, wide;  // number of features of edges and of nodes
  bool residual;
  std::vector<MessagePassing<T>> layers;
  std::vector<Combination<T>> combinations;
  std::vector<Embedding<T>> nodes;
  Embedding<T> edges;
  std::vector<Readout<T>> readouts;

  /// ``weights`` has the names of the state dict of pet_driver.network.PET.
  Network(const Weights &weights, const Options &options)
      : edges(weights.at("featurizer.edge_embedder.weight"))
  {
    const std::string root = "featurizer.";
    width = edges.width;
    for (int g = 0; weights.has(indexed("gnn_layers", g) + "compress.0.weight"); g++)
      layers.emplace_back(weights, indexed("gnn_layers", g),
                          g == 0 ? &weights.at(root + "edge_embedder.weight") : nullptr, options);
    residual = !weights.has(root + "combination_norms.0.weight");
    for (int g = 0; g < count() && !residual; g++)
      combinations.emplace_back(weights, root + "combination_norms." + std::to_string(g),
                                root + "combination_mlps." + std::to_string(g));
    for (int g = 0; g < (residual ? count() : 1); g++) {
      nodes.emplace_back(weights.at(indexed("node_embedders", g) + "weight"));
      readouts.emplace_back(weights, indexed("readouts", g));
    }
    wide = nodes[0].width;
  }

  int count() const { return static_cast<int>(layers.size()); }

 private:
  static std::string indexed(const std::string &part, int index)
  {
    return "featurizer." + part + "." + std::to_string(index) + ".";
  }
};

}  // namespace pet::PET_INSTRUCTION_SET

#endif
