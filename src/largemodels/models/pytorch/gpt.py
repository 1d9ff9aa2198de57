"""GPT in PyTorch: predict the next token from all tokens before it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from largemodels.models.pytorch.generation import next_token_probabilities

__all__ = ["GPT"]

KeysAndValues = tuple[Tensor, Tensor]


class CausalSelfAttention(nn.Module):
    """Multi-head self-attention in which no position sees a later one, with the names of PyTorch.

    Unlike `nn.MultiheadAttention`, it hands out its keys and values, and takes those of earlier
    tokens back: a text that grows by one token needs the keys and values of this token only.
    """

    def __init__(self, embed_dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * embed_dim, embed_dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * embed_dim))
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def forward(self, x: Tensor, past: KeysAndValues | None) -> tuple[Tensor, KeysAndValues]:
        projected = functional.linear(x, self.in_proj_weight, self.in_proj_bias)
        # (N, T, 3 D) -> (N, T, 3, H, D / H) -> (3, N, H, T, D / H)
        heads = projected.unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind()
        if past is not None:
            key = torch.cat([past[0], key], dim=2)  # (N, H, P, D / H) -> (N, H, P + T, D / H)
            value = torch.cat([past[1], value], dim=2)
        y = functional.scaled_dot_product_attention(
            query,
            key,
            value,
            is_causal=past is None,  # With a past, the one new token may look at all tokens.
            dropout_p=self.dropout if self.training else 0.0,
        )
        # (N, H, T, D / H) -> (N, T, H, D / H) -> (N, T, D)
        return self.out_proj(y.transpose(1, 2).flatten(2)), (key, value)


class GPTBlock(nn.Module):
    """A pre-norm block: h = x + A(norm₁(x)),  y = h + F(norm₂(h)), with the names of PyTorch."""

    def __init__(self, d_model: int, nhead: int, dim_feedforward: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = CausalSelfAttention(d_model, nhead, dropout)
        self.linear1 = nn.Linear(d_model, dim_feedforward)
        self.linear2 = nn.Linear(dim_feedforward, d_model)
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, past: KeysAndValues | None) -> tuple[Tensor, KeysAndValues]:
        attended, past = self.self_attn(self.norm1(x), past)
        h = x + self.dropout(attended)
        hidden = self.dropout(functional.gelu(self.linear1(self.norm2(h))))
        return h + self.dropout(self.linear2(hidden)), past


class GPT(nn.Module):
    """A language model, the twin of `largemodels.scratch.GPT` with the same names.

    x₀[n, t] = E[tokenₙₜ] + P[t],  xᵢ = blockᵢ(xᵢ₋₁),  logits = norm(x_k) W_headᵀ

    The blocks are pre-norm and causal. With tied weights, W_head is E. All weights start as
    N(0, 0.02²), those that end a sublayer as N(0, 0.02² / 2k), all biases at zero.

    Args:
        num_embeddings: the number V of different tokens.
        context_length: the largest number of tokens that the model reads.
        d_model: the number D of features.
        nhead: the number of heads; it divides D.
        num_layers: the number k of blocks.
        dim_feedforward: the features inside the feed-forward networks; `None` is 4 D.
        dropout: the probability of a zero in training: in x₀ and in the blocks.
        tie_weights: whether W_head is E; otherwise it is a parameter of its own, `head`.

    Shape:
        (N, T) -> (N, T, V)

    Raises:
        ValueError: if a size is out of its range, or the tokens have a wrong shape.

    Source:
        Radford, Wu, Child, Luan, Amodei and Sutskever, "Language models are unsupervised multitask
        learners", 2019, section 2.3. Tied weights: Press and Wolf, "Using the output embedding to
        improve language models", EACL 2017.

    Example:
        >>> with torch.device("meta"):  # Only the shapes: this is the smallest GPT-2.
        ...     model = GPT(50257, 1024, d_model=768, nhead=12, num_layers=12)
        >>> sum(parameter.numel() for parameter in model.parameters())
        124439808
        >>> model = GPT(5, 8, d_model=16, nhead=2, num_layers=2)
        >>> model(torch.tensor([[0, 1, 2, 3, 4, 0]])).shape
        torch.Size([1, 6, 5])
        >>> model.generate(torch.tensor([[0, 1, 2]]), 20).shape
        torch.Size([1, 23])

    Taught in: book/algorithms/attention_and_transformers.md
    """

    def __init__(
        self,
        num_embeddings: int,
        context_length: int,
        d_model: int,
        nhead: int,
        num_layers: int,
        *,
        dim_feedforward: int | None = None,
        dropout: float = 0.1,
        tie_weights: bool = True,
    ) -> None:
        super().__init__()
        sizes = {
            "num_embeddings": num_embeddings,
            "context_length": context_length,
            "d_model": d_model,
            "nhead": nhead,
            "num_layers": num_layers,
        }
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"`{name}` (={size}) must be at least 1.")
        if d_model % nhead:
            raise ValueError(f"`d_model` (={d_model}) must be divisible by `nhead` (={nhead}).")
        dim_feedforward = 4 * d_model if dim_feedforward is None else dim_feedforward
        self.token_embedding = nn.Embedding(num_embeddings, d_model)
        self.position_embedding = nn.Embedding(context_length, d_model)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            GPTBlock(d_model, nhead, dim_feedforward, dropout) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(d_model)
        self.head = None if tie_weights else nn.Linear(d_model, num_embeddings, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                ends_sublayer = name.endswith(("out_proj.weight", "linear2.weight"))
                std = 0.02 / math.sqrt(2 * num_layers) if ends_sublayer else 0.02
                nn.init.normal_(parameter, std=std)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of each next token, (N, T) -> (N, T, V)."""
        return self._read(tokens, None)[0]

    @torch.no_grad()
    def generate(
        self,
        tokens: Tensor,
        max_new_tokens: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        generator: torch.Generator | None = None,
        use_cache: bool = True,
    ) -> Tensor:
        """Continue texts by drawing one token after the other; `top_k=1` is the greedy choice.

        The model computes as in evaluation, without dropout. It reads the last `context_length`
        tokens.

        Args:
            tokens: the beginnings of the texts, shape (N, T).
            max_new_tokens: how many tokens to add.
            temperature: τ, above 0.
            top_k: how many tokens to keep at each draw; `None` keeps all.
            top_p: the probability to keep at each draw; `None` keeps all.
            generator: the random generator of the draws; `None` takes PyTorch's.
            use_cache: whether to keep the keys and values of the tokens that the model has read, as
                long as the text fits into the context. The result is the same, only slower without.

        Returns:
            The beginnings and their continuations, shape (N, T + max_new_tokens).

        Raises:
            ValueError: if an argument is out of its range or of a wrong shape.
        """
        if max_new_tokens < 1:
            raise ValueError(f"`max_new_tokens` (={max_new_tokens}) must be at least 1.")
        was_training = self.training
        self.eval()
        context_length = self.position_embedding.num_embeddings
        past = None
        for _ in range(max_new_tokens):
            if past is None or tokens.shape[1] > context_length or not use_cache:
                # When the window moves, each token moves to another position: nothing can be kept.
                logits, past = self._read(tokens[:, -context_length:], None)
            else:
                logits, past = self._read(tokens[:, -1:], past)
            p = next_token_probabilities(
                logits[:, -1], temperature=temperature, top_k=top_k, top_p=top_p
            )
            chosen = torch.multinomial(p, 1, generator=generator)  # (N, V) -> (N, 1)
            tokens = torch.cat([tokens, chosen], dim=1)  # (N, T) -> (N, T + 1)
        self.train(was_training)
        return tokens

    def _read(
        self, tokens: Tensor, past: list[KeysAndValues] | None
    ) -> tuple[Tensor, list[KeysAndValues]]:
        """Return the logits of new tokens, and all keys and values up to the last of them.

        The new tokens are a text from its beginning, or one token after the `past`.
        """
        context_length = self.position_embedding.num_embeddings
        if tokens.ndim != 2 or not 1 <= tokens.shape[1] <= context_length:
            raise ValueError(
                f"`tokens` must have shape (N, T) with T from 1 to {context_length}, "
                f"got {tuple(tokens.shape)}."
            )
        start = 0 if past is None else past[0][0].shape[2]
        positions = torch.arange(start, start + tokens.shape[1], device=tokens.device)
        # (N, T, D) + (T, D) -> (N, T, D)
        x = self.dropout(self.token_embedding(tokens) + self.position_embedding(positions))
        present = []
        for i, block in enumerate(self.blocks):
            x, keys_and_values = block(x, None if past is None else past[i])
            present.append(keys_and_values)
        head = self.token_embedding if self.head is None else self.head
        return functional.linear(self.norm(x), head.weight), present  # (N, T, D) -> (N, T, V)
