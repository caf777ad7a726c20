"""Transformer layers over the edges of each atom.

Tokens are stored as a list without padding [N + E, D]: first one token for each atom (its centre
token), then one for each edge. Linear maps and norms act on this list. Only the attention needs the
tokens of one atom next to each other, as padded rows [N, width, D]; a ``Layout`` gives the place of
each token there.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pet_driver.network.hypers import Hypers


class Layout(NamedTuple):
    """Places of tokens in the padded rows [N, width], and the weights of keys."""

    slots: Tensor  # [N + E] place of each token in the flattened padded rows
    log_factors: Tensor  # [N, 1, 1, width] log of the cutoff factor of each key, -inf on padding
    width: int  # tokens in a row: at least 1 + the largest number of neighbours


def count_edges(centers: Tensor, n_atoms: int) -> Tensor:
    """Return the number of edges of each atom [N]."""
    counts = torch.zeros(n_atoms, dtype=torch.int64, device=centers.device)
    return counts.index_add(0, centers, torch.ones_like(centers))


def table_width(centers: Tensor, n_atoms: int) -> int:
    """Return the least width of padded rows for edges sorted by ``centers`` [E]."""
    return 1 + int(count_edges(centers, n_atoms).max()) if n_atoms > 0 else 1


def edge_positions(centers: Tensor, n_atoms: int) -> Tensor:
    """Return the position of each edge among those of its centre [E], for sorted ``centers``."""
    counts = count_edges(centers, n_atoms)
    first = torch.cumsum(counts, 0) - counts
    return torch.arange(centers.shape[0], device=centers.device) - first[centers]


def make_layout(centers: Tensor, factors: Tensor, n_atoms: int, width: int) -> Layout:
    """Return the layout of edges sorted by ``centers`` [E], with cutoff ``factors`` [E]."""
    column = 1 + edge_positions(centers, n_atoms)
    atoms = torch.arange(n_atoms, device=centers.device)
    slots = torch.cat([atoms * width, centers * width + column])
    # A factor of zero is bounded by 1e-15, as in training, so that its gradient stays finite.
    logs = torch.cat(
        [
            torch.zeros(n_atoms, dtype=factors.dtype, device=factors.device),
            torch.log(factors.clamp(min=1e-15)),
        ]
    )
    padded = torch.full((n_atoms * width,), -math.inf, dtype=factors.dtype, device=factors.device)
    return Layout(slots, padded.index_copy(0, slots, logs).view(n_atoms, 1, 1, width), width)


class Attention(nn.Module):
    """Multi-head attention among the tokens of each atom, weighted by cutoff factors."""

    def __init__(self, hypers: Hypers) -> None:
        super().__init__()
        self.input_linear = nn.Linear(hypers.d_pet, 3 * hypers.d_pet)
        self.output_linear = nn.Linear(hypers.d_pet, hypers.d_pet)
        self.num_heads = hypers.num_heads
        self.head_dim = hypers.d_pet // hypers.num_heads
        self.scale = 1.0 / (math.sqrt(self.head_dim) * hypers.attention_temperature)

    def forward(self, tokens: Tensor, layout: Layout) -> Tensor:
        """Return the result of attention for ``tokens`` [N + E, D], in the same shape."""
        mapped = self.input_linear(tokens)
        n_atoms = layout.log_factors.shape[0]
        padded = torch.zeros(
            n_atoms * layout.width, mapped.shape[1], dtype=mapped.dtype, device=mapped.device
        ).index_copy(0, layout.slots, mapped)
        padded = padded.view(n_atoms, layout.width, 3, self.num_heads, self.head_dim)
        queries, keys, values = padded.permute(2, 0, 3, 1, 4).unbind(0)
        logits = torch.matmul(queries * self.scale, keys.transpose(2, 3)) + layout.log_factors
        mixed = torch.matmul(torch.softmax(logits, dim=-1), values)
        mixed = mixed.transpose(1, 2).reshape(n_atoms * layout.width, tokens.shape[1])
        return self.output_linear(mixed.index_select(0, layout.slots))


class SwiGLU(nn.Module):
    """Feed-forward network w_out(v sigmoid(g)): PET gates with a sigmoid, despite the name."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w_in = nn.Linear(width, 2 * hidden)
        self.w_out = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.w_in(x).chunk(2, dim=-1)
        return self.w_out(value * torch.sigmoid(gate))


class SiLUFeedForward(nn.Module):
    """Feed-forward network w_out(SiLU(w_in(x)))."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w_in = nn.Linear(width, hidden)
        self.w_out = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.w_out(nn.functional.silu(self.w_in(x)))


def make_norm(hypers: Hypers, width: int) -> nn.Module:
    """Return the normalization layer that the hyper-parameters name."""
    return nn.RMSNorm(width) if hypers.normalization == "RMSNorm" else nn.LayerNorm(width)


def make_feed_forward(hypers: Hypers, width: int, hidden: int) -> nn.Module:
    """Return the feed-forward network that the hyper-parameters name."""
    kind = SwiGLU if hypers.activation == "SwiGLU" else SiLUFeedForward
    return kind(width, hidden)


class CenterExpansion(nn.Module):
    """Maps between the features of an atom (width d_node) and its centre token (width d_pet)."""

    def __init__(self, hypers: Hypers) -> None:
        super().__init__()
        self.center_contraction = nn.Linear(hypers.d_node, hypers.d_pet)
        self.center_expansion = nn.Linear(hypers.d_pet, hypers.d_node)
        self.norm_center_features = make_norm(hypers, hypers.d_node)
        self.center_mlp = make_feed_forward(hypers, hypers.d_node, 2 * hypers.d_node)

    def contract(self, nodes: Tensor) -> Tensor:
        """Return the centre tokens [N, d_pet] of features [N, d_node]."""
        return self.center_contraction(nodes)

    def expand(self, nodes: Tensor, token: Tensor) -> Tensor:
        """Return features [N, d_node] updated by the centre tokens [N, d_pet]."""
        nodes = nodes + self.center_expansion(token)
        return nodes + self.center_mlp(self.norm_center_features(nodes))


class SameWidthCenter(nn.Module):
    """Identity map, for d_node = d_pet: the centre token is the feature of the atom."""

    def contract(self, nodes: Tensor) -> Tensor:
        return nodes

    def expand(self, nodes: Tensor, token: Tensor) -> Tensor:
        return token


class TransformerLayer(nn.Module):
    """Parts of a transformer layer; subclasses define the order of norms and sums."""

    def __init__(self, hypers: Hypers) -> None:
        super().__init__()
        self.attention = Attention(hypers)
        self.norm_attention = make_norm(hypers, hypers.d_pet)
        self.norm_mlp = make_norm(hypers, hypers.d_pet)
        self.mlp = make_feed_forward(hypers, hypers.d_pet, hypers.d_feedforward)
        expanded = hypers.d_node != hypers.d_pet
        self.center = CenterExpansion(hypers) if expanded else SameWidthCenter()


class PreNormLayer(TransformerLayer):
    """Layer with norms before attention and feed-forward; edges alone have residual sums."""

    def forward(self, nodes: Tensor, edges: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        n_atoms = nodes.shape[0]
        tokens = torch.cat([self.center.contract(nodes), edges])
        attended = self.attention(self.norm_attention(tokens), layout)
        edges = edges + attended[n_atoms:]
        edges = edges + self.mlp(self.norm_mlp(edges))
        return self.center.expand(nodes, attended[:n_atoms]), edges


class PostNormLayer(TransformerLayer):
    """Layer with norms after each residual sum, for centre tokens and edges."""

    def forward(self, nodes: Tensor, edges: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        n_atoms = nodes.shape[0]
        tokens = torch.cat([self.center.contract(nodes), edges])
        tokens = self.norm_attention(tokens + self.attention(tokens, layout))
        tokens = self.norm_mlp(tokens + self.mlp(tokens))
        return self.center.expand(nodes, tokens[:n_atoms]), tokens[n_atoms:]


def make_layer(hypers: Hypers) -> nn.Module:
    """Return a transformer layer of the kind that the hyper-parameters name."""
    return PreNormLayer(hypers) if hypers.transformer_type == "PreLN" else PostNormLayer(hypers)
