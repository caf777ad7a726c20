"""Attention among the edges of each atom, on ragged rows.

Tokens live in rows without padding: first one row per atom (the centre), then one row per edge.
Every linear map and norm works on these rows; only the attention itself needs the tokens of one
atom side by side, and a ``Layout`` says where each row goes in that padded table.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pet_driver.network.hypers import Hypers


class Layout(NamedTuple):
    """Where rows stand in the padded table [n_atoms, width], and how much each key counts."""

    slots: Tensor  # [N + E] position of each row in the flattened table
    log_factors: Tensor  # [N, 1, 1, width] log of the cutoff factor of each key, -inf on padding
    width: int  # at least 1 + the largest number of neighbours


def count_edges(centers: Tensor, n_atoms: int) -> Tensor:
    """How many edges each atom has [N]."""
    counts = torch.zeros(n_atoms, dtype=torch.int64, device=centers.device)
    return counts.index_add(0, centers, torch.ones_like(centers))


def table_width(centers: Tensor, n_atoms: int) -> int:
    """The narrowest table that edges sorted by ``centers`` [E] fit in."""
    return 1 + int(count_edges(centers, n_atoms).max()) if n_atoms > 0 else 1


def places(centers: Tensor, n_atoms: int) -> Tensor:
    """Which of its atom's edges each edge is [E], from 0; edges are sorted by ``centers``."""
    counts = count_edges(centers, n_atoms)
    first = torch.cumsum(counts, 0) - counts
    return torch.arange(centers.shape[0], device=centers.device) - first[centers]


def make_layout(centers: Tensor, factors: Tensor, n_atoms: int, width: int) -> Layout:
    """Lay out edges sorted by ``centers`` [E] with cutoff ``factors`` [E]."""
    column = 1 + places(centers, n_atoms)
    atoms = torch.arange(n_atoms, device=centers.device)
    slots = torch.cat([atoms * width, centers * width + column])
    # A factor of zero is bounded by 1e-15, as in training, so that its gradient stays finite.
    logs = torch.cat(
        [
            torch.zeros(n_atoms, dtype=factors.dtype, device=factors.device),
            torch.log(factors.clamp(min=1e-15)),
        ]
    )
    table = torch.full((n_atoms * width,), -math.inf, dtype=factors.dtype, device=factors.device)
    return Layout(slots, table.index_copy(0, slots, logs).view(n_atoms, 1, 1, width), width)


class Attention(nn.Module):
    """Multi-head attention of every token of an atom to all tokens of that atom."""

    def __init__(self, hypers: Hypers) -> None:
        super().__init__()
        self.input_linear = nn.Linear(hypers.d_pet, 3 * hypers.d_pet)
        self.output_linear = nn.Linear(hypers.d_pet, hypers.d_pet)
        self.num_heads = hypers.num_heads
        self.head_dim = hypers.d_pet // hypers.num_heads
        self.scale = 1.0 / (math.sqrt(self.head_dim) * hypers.attention_temperature)

    def forward(self, tokens: Tensor, layout: Layout) -> Tensor:
        """tokens [N + E, D] -> the attended tokens [N + E, D]."""
        rows = self.input_linear(tokens)
        n_atoms = layout.log_factors.shape[0]
        table = torch.zeros(
            n_atoms * layout.width, rows.shape[1], dtype=rows.dtype, device=rows.device
        ).index_copy(0, layout.slots, rows)
        table = table.view(n_atoms, layout.width, 3, self.num_heads, self.head_dim)
        queries, keys, values = table.permute(2, 0, 3, 1, 4).unbind(0)
        logits = torch.matmul(queries * self.scale, keys.transpose(2, 3)) + layout.log_factors
        mixed = torch.matmul(torch.softmax(logits, dim=-1), values)
        mixed = mixed.transpose(1, 2).reshape(n_atoms * layout.width, tokens.shape[1])
        return self.output_linear(mixed.index_select(0, layout.slots))


class SwiGLU(nn.Module):
    """w_out(v sigmoid(g)): PET gates with the plain sigmoid, whatever the name suggests."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w_in = nn.Linear(width, 2 * hidden)
        self.w_out = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.w_in(x).chunk(2, dim=-1)
        return self.w_out(value * torch.sigmoid(gate))


class SiLUFeedForward(nn.Module):
    """w_out(SiLU(w_in(x)))."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w_in = nn.Linear(width, hidden)
        self.w_out = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.w_out(nn.functional.silu(self.w_in(x)))


def make_norm(hypers: Hypers, width: int) -> nn.Module:
    return nn.RMSNorm(width) if hypers.normalization == "RMSNorm" else nn.LayerNorm(width)


def make_feed_forward(hypers: Hypers, width: int, hidden: int) -> nn.Module:
    kind = SwiGLU if hypers.activation == "SwiGLU" else SiLUFeedForward
    return kind(width, hidden)


class CenterExpansion(nn.Module):
    """Between the atom's own features (width d_node) and its token (width d_pet)."""

    def __init__(self, hypers: Hypers) -> None:
        super().__init__()
        self.center_contraction = nn.Linear(hypers.d_node, hypers.d_pet)
        self.center_expansion = nn.Linear(hypers.d_pet, hypers.d_node)
        self.norm_center_features = make_norm(hypers, hypers.d_node)
        self.center_mlp = make_feed_forward(hypers, hypers.d_node, 2 * hypers.d_node)

    def contract(self, nodes: Tensor) -> Tensor:
        return self.center_contraction(nodes)

    def expand(self, nodes: Tensor, token: Tensor) -> Tensor:
        nodes = nodes + self.center_expansion(token)
        return nodes + self.center_mlp(self.norm_center_features(nodes))


class SameWidthCenter(nn.Module):
    """d_node = d_pet: the token is the feature."""

    def contract(self, nodes: Tensor) -> Tensor:
        return nodes

    def expand(self, nodes: Tensor, token: Tensor) -> Tensor:
        return token


class TransformerLayer(nn.Module):
    """What the two kinds of layer share: attention, two norms, a feed-forward, the centre."""

    def __init__(self, hypers: Hypers) -> None:
        super().__init__()
        self.attention = Attention(hypers)
        self.norm_attention = make_norm(hypers, hypers.d_pet)
        self.norm_mlp = make_norm(hypers, hypers.d_pet)
        self.mlp = make_feed_forward(hypers, hypers.d_pet, hypers.d_feedforward)
        expanded = hypers.d_node != hypers.d_pet
        self.center = CenterExpansion(hypers) if expanded else SameWidthCenter()


class PreNormLayer(TransformerLayer):
    """Norms before attention and feed-forward; the residual stream stays on the edges."""

    def forward(self, nodes: Tensor, edges: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        n_atoms = nodes.shape[0]
        tokens = torch.cat([self.center.contract(nodes), edges])
        attended = self.attention(self.norm_attention(tokens), layout)
        edges = edges + attended[n_atoms:]
        edges = edges + self.mlp(self.norm_mlp(edges))
        return self.center.expand(nodes, attended[:n_atoms]), edges


class PostNormLayer(TransformerLayer):
    """Norms after each residual sum, on the centre and the edges alike."""

    def forward(self, nodes: Tensor, edges: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        n_atoms = nodes.shape[0]
        tokens = torch.cat([self.center.contract(nodes), edges])
        tokens = self.norm_attention(tokens + self.attention(tokens, layout))
        tokens = self.norm_mlp(tokens + self.mlp(tokens))
        return self.center.expand(nodes, tokens[:n_atoms]), tokens[n_atoms:]


def make_layer(hypers: Hypers) -> nn.Module:
    return PreNormLayer(hypers) if hypers.transformer_type == "PreLN" else PostNormLayer(hypers)
