"""Recurrent networks in PyTorch: one names the class of a text, one turns a text into another."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["LSTMClassifier", "Seq2Seq"]

POOLINGS = ("last", "mean")


class LSTMClassifier(nn.Module):
    """A text classifier: read the whole text, then decide from the states of the LSTM.

    eₜ = E[tokenₜ],  hₜ = LSTM(eₜ, hₜ₋₁),  logits = W p + b,  p = h_T or p = Σₜ hₜ / T,
    T the last step that is no padding

    A batch holds texts of different lengths, filled up at the end with `padding_idx`. A state knows
    only the tokens up to its step, and p takes no state of the padding: padding changes nothing.
    `pack_padded_sequence` gives the same numbers; on a CPU it takes PyTorch's slow way through the
    LSTM.

    With `pooling="last"` and without dropout, equal to `largemodels.scratch.LSTMClassifier`, with
    the same names.

    Args:
        num_embeddings: the number V of different tokens.
        embedding_dim: the size D of a token's row in the table E.
        hidden_size: the size H of the state.
        num_classes: the number C of classes.
        padding_idx: the token that fills up short texts; `None` if all texts are equally long.
        pooling: p, the "last" state or the "mean" of all states. The mean of a long text learns
            faster: its gradient reaches each step without passing all later ones.
        dropout: the probability with which each number of e and of p is set to zero in training.
            The `dropout` of `nn.LSTM` acts between stacked layers only; here it would do nothing.

    Shape:
        (N, T), integers -> (N, C), logits

    Raises:
        ValueError: if a size is below 1, `pooling` is unknown, the tokens have a wrong shape, or a
            text is nothing but padding.

    Source:
        Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 9, 1997.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model = LSTMClassifier(100, 8, 16, num_classes=2, padding_idx=0)
        >>> logits = model(torch.tensor([[7, 42, 9, 0, 0], [7, 42, 9, 13, 2]]))
        >>> logits.shape
        torch.Size([2, 2])
        >>> torch.allclose(logits[:1], model(torch.tensor([[7, 42, 9]])), atol=1e-6)
        True
        >>> sum(parameter.numel() for parameter in model.parameters())
        2498

    Taught in: book/algorithms/recurrent_networks.md
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        hidden_size: int,
        num_classes: int,
        *,
        padding_idx: int | None = None,
        pooling: str = "last",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _check_sizes(
            num_embeddings=num_embeddings,
            embedding_dim=embedding_dim,
            hidden_size=hidden_size,
            num_classes=num_classes,
        )
        if pooling not in POOLINGS:
            raise ValueError(f"`pooling` (={pooling!r}) must be one of: {', '.join(POOLINGS)}.")
        self.padding_idx = padding_idx
        self.pooling = pooling
        self.embedding = nn.Embedding(num_embeddings, embedding_dim, padding_idx)
        self.recurrent = nn.LSTM(embedding_dim, hidden_size, batch_first=True)
        self.linear = nn.Linear(hidden_size, num_classes)
        self.dropout = nn.Dropout(dropout)
        _xavier_initialize(self.linear)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of the classes, (N, T) -> (N, C)."""
        lengths = _lengths("tokens", tokens, self.padding_idx)
        h, _ = self.recurrent(self.dropout(self.embedding(tokens)))  # (N, T, H)
        pooled = _last(h, lengths) if self.pooling == "last" else _mean(h, lengths)  # (N, H)
        return self.linear(self.dropout(pooled))  # (N, H) -> (N, C)


class Seq2Seq(nn.Module):
    """An encoder and a decoder: read one text, then write another and look back while writing.

    encoder:    hₛ = GRU(E_source[sourceₛ], hₛ₋₁)
    decoder:    dₜ = GRU(E_target[targetₜ], dₜ₋₁),  d₀ = the encoder's last state
    attention:  aₜₛ = exp(dₜ · hₛ) / Σₖ exp(dₜ · hₖ),  cₜ = Σₛ aₜₛ hₛ
    output:     logitsₜ = W tanh(W_c [cₜ; dₜ] + b_c) + b,  of the token after targetₜ

    Without attention, d₀ alone would have to hold the whole source. In training, the decoder reads
    the right target, not its own guesses (teacher forcing): all steps at once. `generate` writes
    token by token.

    Sources of different lengths are filled up at the end with `padding_idx`. No state and no
    attention weight of the padding counts, so padding changes nothing. Filling up targets is safe
    too, since the decoder does not look ahead; the loss must leave those steps out:
    `nn.CrossEntropyLoss(ignore_index=padding_idx)`.

    Args:
        source_tokens: the number of different tokens of the source.
        target_tokens: the number V of different tokens of the target.
        embedding_dim: the size D of a token's row in the tables E.
        hidden_size: the size H of both states.
        padding_idx: the token that fills up short sources and targets.

    Shape:
        source (N, S), target (N, T), integers -> logits (N, T, V), attention weights (N, T, S)

    Raises:
        ValueError: if a size is below 1, `padding_idx` is no token, the tokens have a wrong shape,
            or a source is nothing but padding.

    Source:
        Sutskever, Vinyals and Le, "Sequence to sequence learning with neural networks", NeurIPS
        2014; Luong, Pham and Manning, "Effective approaches to attention-based neural machine
        translation", EMNLP 2015, equations 5 to 8 with the score "dot". The first attention, with
        another score: Bahdanau, Cho and Bengio, "Neural machine translation by jointly learning to
        align and translate", ICLR 2015.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model = Seq2Seq(10, 12, 8, 16)
        >>> source, target = torch.tensor([[3, 4, 5], [6, 7, 0]]), torch.tensor([[1, 5], [1, 7]])
        >>> logits, attention_weights = model(source, target)
        >>> logits.shape, attention_weights.shape
        (torch.Size([2, 2, 12]), torch.Size([2, 2, 3]))
        >>> attention_weights[1, :, 2]  # No weight on the padding.
        tensor([0., 0.], grad_fn=<SelectBackward0>)
        >>> tokens, _ = model.generate(source, start_token=1, max_new_tokens=4)
        >>> tokens.shape
        torch.Size([2, 4])

    Taught in: book/algorithms/recurrent_networks.md
    """

    def __init__(
        self,
        source_tokens: int,
        target_tokens: int,
        embedding_dim: int,
        hidden_size: int,
        *,
        padding_idx: int = 0,
    ) -> None:
        super().__init__()
        _check_sizes(
            source_tokens=source_tokens,
            target_tokens=target_tokens,
            embedding_dim=embedding_dim,
            hidden_size=hidden_size,
        )
        if not 0 <= padding_idx < min(source_tokens, target_tokens):
            raise ValueError(
                f"`padding_idx` (={padding_idx}) must be a token of source and target, from 0 to "
                f"{min(source_tokens, target_tokens) - 1}."
            )
        self.padding_idx = padding_idx
        self.source_embedding = nn.Embedding(source_tokens, embedding_dim, padding_idx)
        self.encoder = nn.GRU(embedding_dim, hidden_size, batch_first=True)
        self.target_embedding = nn.Embedding(target_tokens, embedding_dim, padding_idx)
        self.decoder = nn.GRU(embedding_dim, hidden_size, batch_first=True)
        self.combine = nn.Linear(2 * hidden_size, hidden_size)
        self.linear = nn.Linear(hidden_size, target_tokens)
        _xavier_initialize(self.combine)
        _xavier_initialize(self.linear)

    def forward(self, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of each next token, and where the decoder looked.

        Args:
            source: the texts to read, shape (N, S).
            target: the texts to write, each from the start token to the last token but one,
                shape (N, T).

        Returns:
            For each token of the target, the logits of the token after it, shape (N, T, V), and the
            attention weights, shape (N, T, S).
        """
        h, is_text, state = self._encode(source)
        logits, weights, _ = self._decode(target, state, h, is_text)
        return logits, weights

    @torch.no_grad()
    def generate(
        self,
        source: Tensor,
        *,
        start_token: int,
        max_new_tokens: int,
        end_token: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Write a text for each source, always with the most probable next token.

        Args:
            source: the texts to read, shape (N, S).
            start_token: the token that each target starts with; it is not in the result.
            max_new_tokens: how many tokens to write at most, M.
            end_token: the token that ends a text. What follows it is padding, and the writing stops
                when all texts have ended. `None` always writes M tokens.

        Returns:
            The tokens, shape (N, L) with L at most M, and the attention weights, (N, L, S).

        Raises:
            ValueError: if `max_new_tokens` is below 1.
        """
        _check_sizes(max_new_tokens=max_new_tokens)
        h, is_text, state = self._encode(source)
        token = torch.full_like(source[:, :1], start_token)  # (N, 1)
        has_ended = torch.zeros_like(token, dtype=torch.bool)
        tokens, weights = [], []
        for _ in range(max_new_tokens):
            logits, step_weights, state = self._decode(token, state, h, is_text)
            token = logits.argmax(dim=-1)  # (N, 1, V) -> (N, 1)
            token = token.masked_fill(has_ended, self.padding_idx)
            tokens.append(token)
            weights.append(step_weights)
            if end_token is not None:
                has_ended = has_ended | (token == end_token)
                if has_ended.all():
                    break
        return torch.cat(tokens, dim=1), torch.cat(weights, dim=1)  # L × (N, 1, …) -> (N, L, …)

    def _encode(self, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the encoder's states (N, S, H), where they count (N, S), and the last (N, H)."""
        lengths = _lengths("source", source, self.padding_idx)
        h, _ = self.encoder(self.source_embedding(source))
        return h, _is_text(source.shape[1], lengths), _last(h, lengths)

    def _decode(
        self, target: Tensor, state: Tensor, h: Tensor, is_text: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits (N, T, V), attention weights (N, T, S) and the decoder's state (N, H)."""
        d, last = self.decoder(self.target_embedding(target), state[None])  # (N, H) -> (1, N, H)
        scores = d @ h.mT  # (N, T, H) @ (N, H, S) -> (N, T, S)
        weights = scores.masked_fill(~is_text[:, None], -torch.inf).softmax(dim=-1)
        context = weights @ h  # (N, T, S) @ (N, S, H) -> (N, T, H)
        combined = self.combine(torch.cat([context, d], dim=-1)).tanh()  # (N, T, 2 H) -> (N, T, H)
        return self.linear(combined), weights, last[0]


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"`{name}` (={size}) must be at least 1.")


def _xavier_initialize(linear: nn.Linear) -> None:
    """Start as scratch does: variance 2 / (fan_in + fan_out), bias zero."""
    nn.init.xavier_normal_(linear.weight)
    nn.init.zeros_(linear.bias)


def _lengths(name: str, tokens: Tensor, padding_idx: int | None) -> Tensor:
    """Return how long each text is without the padding at its end, (N, T) -> (N,)."""
    if tokens.ndim != 2 or tokens.shape[1] == 0:
        raise ValueError(
            f"`{name}` must have shape (N, T) with T at least 1, got {tuple(tokens.shape)}."
        )
    steps = torch.arange(1, tokens.shape[1] + 1, device=tokens.device)  # (T,)
    if padding_idx is None:
        return steps[-1].expand(len(tokens))
    lengths = (steps * (tokens != padding_idx)).amax(dim=1)  # (N, T) -> (N,)
    empty = (lengths == 0).nonzero()
    if len(empty) > 0:
        raise ValueError(f"`{name}` holds nothing but padding in row {empty[0].item()}.")
    return lengths


def _last(h: Tensor, lengths: Tensor) -> Tensor:
    """Return each text's last state that is no padding, (N, T, H) -> (N, H)."""
    return h[torch.arange(len(h), device=h.device), lengths - 1]


def _mean(h: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean of each text's states without the padding, (N, T, H) -> (N, H)."""
    is_text = _is_text(h.shape[1], lengths)
    # (N, 1, T) @ (N, T, H) -> (N, 1, H) -> (N, H)
    return (is_text[:, None].to(h.dtype) @ h).squeeze(1) / lengths[:, None]


def _is_text(steps: int, lengths: Tensor) -> Tensor:
    """Return where a text has a token that is no padding, boolean, (N, T)."""
    return torch.arange(steps, device=lengths.device) < lengths[:, None]
