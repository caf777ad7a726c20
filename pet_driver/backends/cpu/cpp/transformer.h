// SPDX-License-Identifier: BSD-3-Clause
//
// One transformer layer on a block of atoms, and the update of node features between layers.

#ifndef PET_TRANSFORMER_H
#define PET_TRANSFORMER_H

#include "attention.h"
#include "graph.h"
#include "linear.h"
#include "pointwise.h"

#include <cmath>
#include <cstring>
#include <utility>

namespace pet::PET_INSTRUCTION_SET {

/// Temporary memory of one thread, reused for every block.
template <typename T> struct Scratch {
  enum Slot { NORMED, MIXED, OUT, HIDDEN, D_HIDDEN, ACTIVE, D_TOKENS, D_EDGES, D_QKV, BOTH, SLOTS };
  Buffer<T> slots[SLOTS];
  typename Attention<T>::Scratch attention;

  Rows<T> rows(Slot slot, int count, int width)
  {
    return {slots[slot].get(static_cast<std::size_t>(count) * width), width};
  }
};

/// The map W_out act(W_in x + b) + b, gated ("SwiGLU") or with SiLU.
template <typename T> class FeedForward {
 public:
  FeedForward() = default;
  FeedForward(const Weights &weights, const std::string &name, const std::string &norm = "")
      : in_(norm.empty() ? Linear<T>(weights, name + ".w_in")
                         : linear_behind<T>(weights, norm, name + ".w_in")),
        out_(weights, name + ".w_out"), gated_(in_.outputs() == 2 * out_.inputs())
  {
  }

  /// Number of hidden features that are stored for the backward pass.
  int kept() const { return in_.outputs(); }

  /// Computes y = start + the map of x; stores ``hidden``; ``start`` may be y.
  void apply(int rows, Rows<const T> x, Rows<const T> start, Rows<T> hidden, Rows<T> y,
             Scratch<T> &scratch) const
  {
    out_.apply(rows, activate(rows, x, hidden, scratch), start, y);
  }

  /// Computes ``hidden`` as ``apply`` does, and returns the activated features.
  Rows<T> activate(int rows, Rows<const T> x, Rows<T> hidden, Scratch<T> &scratch) const
  {
    const int width = out_.inputs();
    const Rows<T> active = scratch.rows(Scratch<T>::ACTIVE, rows, width);
    in_.apply(rows, x, hidden);
    for (int r = 0; r < rows; r++) {
      if (gated_) gate(width, hidden[r], active[r]);
      else silu(width, hidden[r], active[r]);
    }
    return active;
  }

  /// Computes dx from dy.
  void back(int rows, Rows<const T> hidden, Rows<const T> dy, Rows<T> dx, Scratch<T> &scratch) const
  {
    const int width = out_.inputs();
    const Rows<T> active = scratch.rows(Scratch<T>::ACTIVE, rows, width);
    out_.back(rows, dy, active);
    if (!gated_) {
      for (int r = 0; r < rows; r++) scale(width, hidden[r], active[r]);
      return in_.back(rows, active, dx);
    }
    const Rows<T> d_hidden = scratch.rows(Scratch<T>::D_HIDDEN, rows, in_.outputs());
    for (int r = 0; r < rows; r++) gate_back(width, hidden[r], active[r], d_hidden[r]);
    in_.back(rows, d_hidden, dx);
  }

 private:
  Linear<T> in_, out_;
  bool gated_ = false;
};

/// The update of node features, which may be wider than the central token, around a layer.
template <typename T> class Center {
 public:
  /// Stored for the backward pass.
  struct Kept {
    Buffer<T> sums, hidden;
  };

  Center() = default;
  Center(const Weights &weights, const std::string &name)
      : expanded_(weights.has(name + "center_contraction.weight"))
  {
    if (!expanded_) return;
    contraction_ = Linear<T>(weights, name + "center_contraction");
    expansion_ = Linear<T>(weights, name + "center_expansion");
    norm_ = Norm<T>(weights, name + "norm_center_features");
    mlp_ = FeedForward<T>(weights, name + "center_mlp", name + "norm_center_features");
  }

  void reserve(Kept &kept, std::int64_t n_atoms) const
  {
    if (!expanded_) return;
    kept.sums.get(n_atoms * contraction_.inputs());
    kept.hidden.get(n_atoms * mlp_.kept());
  }

  /// Computes tokens [rows, D] from nodes [rows, N].
  void contract(int rows, int width, Rows<const T> nodes, Rows<T> tokens) const
  {
    if (expanded_) contraction_.apply(rows, nodes, tokens);
    else copy<T>(rows, width, nodes, tokens);
  }

  /// Adds to dnodes from dtokens; without expansion it copies, because the token is the node.
  void contract_back(int rows, int width, Rows<const T> dtokens, Rows<T> dnodes) const
  {
    if (expanded_) contraction_.back(rows, dtokens, dnodes, dnodes);
    else copy<T>(rows, width, dtokens, dnodes);
  }

  /// Updates nodes by their tokens; ``atom`` is the index of the first one.
  void expand(std::int64_t atom, int rows, int width, Rows<const T> tokens, Rows<T> nodes,
              Kept &kept, Scratch<T> &scratch) const
  {
    if (!expanded_) return copy<T>(rows, width, tokens, nodes);
    const int wide = contraction_.inputs();
    const Rows<T> sums{kept.sums.data() + atom * wide, wide};
    expansion_.apply(rows, tokens, nodes, sums);
    const Rows<T> normed = scratch.rows(Scratch<T>::NORMED, rows, wide);
    norm_.apply(rows, sums, normed);
    mlp_.apply(rows, normed, sums, hidden(kept, atom), nodes, scratch);
  }

  /// Computes dtokens from dnodes, and replaces dnodes by the gradient by the nodes before.
  void expand_back(std::int64_t atom, int rows, int width, Rows<T> dnodes, Rows<T> dtokens,
                   Kept &kept, Scratch<T> &scratch) const
  {
    if (!expanded_) return copy<T>(rows, width, dnodes, dtokens);
    const int wide = contraction_.inputs();
    const Rows<T> d_normed = scratch.rows(Scratch<T>::NORMED, rows, wide);
    mlp_.back(rows, hidden(kept, atom), dnodes, d_normed, scratch);
    norm_.back_accumulate(rows, Rows<const T>{kept.sums.data() + atom * wide, wide}, d_normed,
                          dnodes);
    expansion_.back(rows, dnodes, dtokens);
  }

 private:
  bool expanded_ = false;
  Linear<T> contraction_, expansion_;
  Norm<T> norm_;
  FeedForward<T> mlp_;

  Rows<T> hidden(Kept &kept, std::int64_t atom) const
  {
    return {kept.hidden.data() + atom * mlp_.kept(), mlp_.kept()};
  }
};

/// Attention and feed-forward network on the tokens of a block.
template <typename T> class TransformerLayer {
 public:
  /// Stored for the backward pass: input tokens, queries, keys and values, attention weights, sums
  /// before and after the feed-forward network, and its hidden features.
  struct Kept {
    Buffer<T> tokens, qkv, weights, sums, hidden, outputs;
    typename Center<T>::Kept center;
  };

  TransformerLayer(const Weights &weights, const std::string &name, const Options &options)
      : width_(static_cast<int>(weights.at(name + "attention.output_linear.weight").rows)),
        pre_norm_(options.pre_norm), attention_(width_, options.num_heads),
        norm_attention_(make_norm(weights, name + "norm_attention")),
        norm_mlp_(make_norm(weights, name + "norm_mlp")), qkv_(scaled_qkv(weights, name, options)),
        out_(weights, name + "attention.output_linear"),
        mlp_(weights, name + "mlp", pre_norm_ ? name + "norm_mlp" : ""),
        center_(weights, name + "center.")
  {
  }

  const Center<T> &center() const { return center_; }
  const Attention<T> &attention() const { return attention_; }

  void reserve(Kept &kept, std::int64_t n_atoms, std::int64_t n_edges, std::size_t weights) const
  {
    const std::int64_t rows = n_atoms + n_edges;
    kept.tokens.get(rows * width_);
    kept.qkv.get(rows * 3 * width_);
    kept.weights.get(weights);
    kept.sums.get(rows * width_);
    if (!pre_norm_) kept.hidden.get(rows * mlp_.kept()), kept.outputs.get(rows * width_);
    center_.reserve(kept.center, n_atoms);
  }

  /// Returns the input tokens of the layer, from ``row`` on.
  Rows<T> tokens(Kept &kept, std::int64_t row) const
  {
    return {kept.tokens.data() + row * width_, width_};
  }

  /// Computes edges [edges, D] and central tokens [atoms, D] from the tokens in ``kept``.
  template <typename Visit>
  void forward(const Block &block, Kept &kept, Visit &&visit_atoms, Rows<T> edges, Rows<T> centers,
               Scratch<T> &scratch) const
  {
    using S = Scratch<T>;
    const int rows = block.rows(), atoms = block.atoms();
    const Rows<T> x = tokens(kept, block.first_row());
    const Rows<T> qkv = qkv_rows(kept, block), mixed = scratch.rows(S::MIXED, rows, width_);
    Rows<const T> input = x;
    if (pre_norm_) {
      const Rows<T> normed = scratch.rows(S::NORMED, rows, width_);
      norm_attention_.apply(rows, x, normed);
      input = normed;
    }
    qkv_.apply(rows, input, qkv);
    visit_atoms([&](Tokens tokens, const T *logs, T *, std::size_t offset) {
      attention_.forward(tokens, qkv, logs, kept.weights.data() + offset, mixed, scratch.attention);
    });
    const Rows<T> sums = sum_rows(kept, block);
    if (pre_norm_) {
      out_.apply(atoms, mixed, centers);
      out_.apply(block.edges(), mixed.from(atoms), x.from(atoms), sums.from(atoms));
      feed_forward_pre(block, sums.from(atoms), edges, scratch);
    } else {
      out_.apply(rows, mixed, x, sums);
      feed_forward_post(block, kept, sums, edges, centers, scratch);
    }
  }

  /// Computes dtokens [rows, D] from the gradients by edges and central tokens; overwrites dedges.
  template <typename Visit>
  void backward(const Block &block, Kept &kept, Visit &&visit_atoms, Rows<T> dedges,
                Rows<const T> dcenters, Rows<T> dtokens, Scratch<T> &scratch) const
  {
    using S = Scratch<T>;
    const int rows = block.rows(), atoms = block.atoms();
    const Rows<T> dout = scratch.rows(S::OUT, rows, width_);
    copy<T>(atoms, width_, dcenters, dout);
    copy<T>(block.edges(), width_, dedges, dout.from(atoms));
    if (pre_norm_) {
      feed_forward_pre_back(block, sum_rows(kept, block).from(atoms), dedges, dout.from(atoms),
                            scratch);
    } else {
      feed_forward_post_back(block, kept, dout, scratch);
    }
    const Rows<T> dmixed = scratch.rows(S::MIXED, rows, width_);
    const Rows<T> dqkv = scratch.rows(S::D_QKV, rows, 3 * width_);
    out_.back(rows, dout, dmixed);
    visit_atoms([&](Tokens tokens, const T *, T *dlogs, std::size_t offset) {
      attention_.backward(tokens, qkv_rows(kept, block), kept.weights.data() + offset, dmixed, dqkv,
                          dlogs, scratch.attention);
    });
    if (pre_norm_) {
      const Rows<T> dnormed = scratch.rows(S::NORMED, rows, width_);
      qkv_.back(rows, dqkv, dnormed);
      for (int r = 0; r < atoms; r++) std::memset(dtokens[r], 0, width_ * sizeof(T));
      copy<T>(block.edges(), width_, dout.from(atoms), dtokens.from(atoms));
      norm_attention_.back_accumulate(rows, tokens(kept, block.first_row()), dnormed, dtokens);
    } else {
      qkv_.back(rows, dqkv, dout, dtokens);
    }
  }

 private:
  int width_;
  bool pre_norm_;
  Attention<T> attention_;
  Norm<T> norm_attention_, norm_mlp_;
  Linear<T> qkv_, out_;
  FeedForward<T> mlp_;
  Center<T> center_;

  /// With PreLN, gain and shift are folded into the next linear map; with PostLN the norm has them.
  Norm<T> make_norm(const Weights &weights, const std::string &name) const
  {
    return pre_norm_ ? Norm<T>(weights, name) : Norm<T>::whole(weights, name);
  }

  /// Returns the input map of attention, with queries scaled by 1 / (sqrt(head size) temperature).
  static Linear<T> scaled_qkv(const Weights &weights, const std::string &name,
                              const Options &options)
  {
    Weights scaled;
    Matrix weight = weights.at(name + "attention.input_linear.weight");
    Matrix bias = weights.at(name + "attention.input_linear.bias");
    const std::int64_t width = weight.columns;
    const double scale =
        1.0 / (std::sqrt(static_cast<double>(width) / options.num_heads) * options.temperature);
    for (std::int64_t k = 0; k < width * width; k++) weight.values[k] *= scale;
    for (std::int64_t k = 0; k < width; k++) bias.values[k] *= scale;
    if (!options.pre_norm) return {weight, &bias};
    scaled.add("qkv.weight", std::move(weight));
    scaled.add("qkv.bias", std::move(bias));
    for (const char *part : {".weight", ".bias"})
      if (weights.has(name + "norm_attention" + part))
        scaled.add(std::string("norm") + part, weights.at(name + "norm_attention" + part));
    return linear_behind<T>(scaled, "norm", "qkv");
  }

  Rows<T> qkv_rows(Kept &kept, const Block &block) const
  {
    return {kept.qkv.data() + block.first_row() * 3 * width_, 3 * width_};
  }
  Rows<T> sum_rows(Kept &kept, const Block &block) const
  {
    return {kept.sums.data() + block.first_row() * width_, width_};
  }
  Rows<T> hidden_rows(Kept &kept, const Block &block) const
  {
    return {kept.hidden.data() + block.first_row() * mlp_.kept(), mlp_.kept()};
  }
  Rows<T> output_rows(Kept &kept, const Block &block) const
  {
    return {kept.outputs.data() + block.first_row() * width_, width_};
  }

  void feed_forward_pre(const Block &block, Rows<const T> sums, Rows<T> edges,
                        Scratch<T> &scratch) const
  {
    using S = Scratch<T>;
    const Rows<T> normed = scratch.rows(S::NORMED, block.edges(), width_);
    const Rows<T> hidden = scratch.rows(S::HIDDEN, block.edges(), mlp_.kept());
    norm_mlp_.apply(block.edges(), sums, normed);
    mlp_.apply(block.edges(), normed, sums, hidden, edges, scratch);
  }

  /// Adds to dsums from dedges.  Computes the hidden features again: storing them would take a
  /// quarter of all memory and save little time.
  void feed_forward_pre_back(const Block &block, Rows<const T> sums, Rows<const T> dedges,
                             Rows<T> dsums, Scratch<T> &scratch) const
  {
    using S = Scratch<T>;
    const Rows<T> normed = scratch.rows(S::NORMED, block.edges(), width_);
    const Rows<T> hidden = scratch.rows(S::HIDDEN, block.edges(), mlp_.kept());
    norm_mlp_.apply(block.edges(), sums, normed);
    mlp_.activate(block.edges(), normed, hidden, scratch);
    mlp_.back(block.edges(), hidden, dedges, normed, scratch);
    norm_mlp_.back_accumulate(block.edges(), sums, normed, dsums);
  }

  void feed_forward_post(const Block &block, Kept &kept, Rows<const T> sums, Rows<T> edges,
                         Rows<T> centers, Scratch<T> &scratch) const
  {
    const int rows = block.rows(), atoms = block.atoms();
    const Rows<T> normed = scratch.rows(Scratch<T>::NORMED, rows, width_);
    const Rows<T> outputs = output_rows(kept, block);
    norm_attention_.apply(rows, sums, normed);
    mlp_.apply(rows, normed, normed, hidden_rows(kept, block), outputs, scratch);
    norm_mlp_.apply(atoms, outputs, centers);
    norm_mlp_.apply(block.edges(), outputs.from(atoms), edges);
  }

  /// Replaces ``d`` [rows, D], the gradient by the outputs of the layer, by the gradient by the
  /// sums before its norms.
  void feed_forward_post_back(const Block &block, Kept &kept, Rows<T> d, Scratch<T> &scratch) const
  {
    using S = Scratch<T>;
    const int rows = block.rows();
    const Rows<T> doutputs = scratch.rows(S::D_TOKENS, rows, width_);
    const Rows<T> dnormed = scratch.rows(S::NORMED, rows, width_);
    std::memset(doutputs.data, 0, static_cast<std::size_t>(rows) * width_ * sizeof(T));
    norm_mlp_.back_accumulate(rows, output_rows(kept, block), d, doutputs);
    mlp_.back(rows, hidden_rows(kept, block), doutputs, dnormed, scratch);
    add<T>(rows, width_, doutputs, dnormed);
    std::memset(d.data, 0, static_cast<std::size_t>(rows) * width_ * sizeof(T));
    norm_attention_.back_accumulate(rows, sum_rows(kept, block), dnormed, d);
  }
};

}  // namespace pet::PET_INSTRUCTION_SET

#endif
