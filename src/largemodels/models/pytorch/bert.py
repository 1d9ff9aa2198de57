"""BERT in PyTorch: understand each token from all tokens around it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["BERT", "BERTForMaskedLM", "BERTForSequenceClassification"]


class BERT(nn.Module):
    """A transformer encoder of texts: one vector of features for each token, from both sides.

    x₀[n, t] = norm(E[tokenₙₜ] + P[t] + S[segmentₙₜ]),  xᵢ = blockᵢ(xᵢ₋₁),  y = x_k

    The blocks are post-norm with GELU. Weights start as N(0, 0.02²), biases at zero.

    Args:
        num_embeddings: the number V of different tokens.
        context_length: the largest number of tokens that the model reads.
        d_model: the number D of features.
        nhead: the number of heads; it divides D.
        num_layers: the number k of blocks.
        dim_feedforward: the features inside the feed-forward networks; `None` is 4 D.
        dropout: the probability of a zero in training: in x₀ and in the blocks.
        num_segments: the number of different segments, for example question and answer.
        padding_idx: the token that fills short texts up: no token looks at it.

    Shape:
        (N, T) -> (N, T, D)

    Raises:
        ValueError: if a size is out of its range, or the tokens or segments have a wrong shape.

    Source:
        Devlin, Chang, Lee and Toutanova, "BERT: Pre-training of deep bidirectional transformers for
        language understanding", NAACL 2019, section 3 and figure 2.

    Example:
        >>> model = BERT(30, 16, d_model=8, nhead=2, num_layers=2, dropout=0.0)
        >>> tokens = torch.tensor([[7, 8, 9], [7, 8, 0]])
        >>> features = model(tokens)
        >>> features.shape
        torch.Size([2, 3, 8])
        >>> torch.allclose(features[1, :2], model(tokens[1:, :2])[0], atol=1e-6)  # 0 only fills up.
        True

    Taught in: book/case_studies/bert.md
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
        num_segments: int = 2,
        padding_idx: int = 0,
    ) -> None:
        super().__init__()
        _check_sizes(
            num_embeddings=num_embeddings,
            context_length=context_length,
            d_model=d_model,
            nhead=nhead,
            num_layers=num_layers,
            num_segments=num_segments,
        )
        if d_model % nhead:
            raise ValueError(f"`d_model` (={d_model}) must be divisible by `nhead` (={nhead}).")
        self.padding_idx = padding_idx
        self.token_embedding = nn.Embedding(num_embeddings, d_model)
        self.position_embedding = nn.Embedding(context_length, d_model)
        self.segment_embedding = nn.Embedding(num_segments, d_model)
        self.norm = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)
        block = nn.TransformerEncoderLayer(
            d_model,
            nhead,
            4 * d_model if dim_feedforward is None else dim_feedforward,
            dropout,
            functional.gelu,
            batch_first=True,
        )
        # Nested tensors would return zeros for padding, and other shapes.
        self.blocks = nn.TransformerEncoder(block, num_layers, enable_nested_tensor=False)
        _initialize(self)

    def forward(
        self, tokens: Tensor, segments: Tensor | None = None, *, is_causal: bool = False
    ) -> Tensor:
        """Return the features of each token.

        Args:
            tokens: the texts, shape (N, T).
            segments: to which part of its text each token belongs, shape (N, T); `None` is 0.
            is_causal: whether a token may look at earlier ones only. BERT looks at all; this is to
                see what it gains from that.
        """
        context_length = self.position_embedding.num_embeddings
        if tokens.ndim != 2 or not 1 <= tokens.shape[1] <= context_length:
            raise ValueError(
                f"`tokens` must have shape (N, T) with T from 1 to {context_length}, "
                f"got {tuple(tokens.shape)}."
            )
        if segments is None:
            segments = torch.zeros_like(tokens)
        if segments.shape != tokens.shape:
            raise ValueError(
                f"`segments` must have the shape of `tokens`, {tuple(tokens.shape)}, "
                f"got {tuple(segments.shape)}."
            )
        steps = tokens.shape[1]
        positions = self.position_embedding(torch.arange(steps, device=tokens.device))
        # (N, T, D) + (T, D) + (N, T, D) -> (N, T, D)
        x = self.token_embedding(tokens) + positions + self.segment_embedding(segments)
        # True says here where not to look.
        later = torch.ones(steps, steps, dtype=torch.bool, device=tokens.device).triu(1)
        return self.blocks(
            self.dropout(self.norm(x)),
            mask=later if is_causal else None,
            src_key_padding_mask=tokens == self.padding_idx,
        )


class BERTForMaskedLM(nn.Module):
    """BERT that predicts hidden tokens, see `largemodels.models.masking.mask_tokens`.

    logits = norm(gelu(W y + b)) Eᵀ + bias,  y: the features of each token, E: its own embedding

    Args:
        bert: the encoder.

    Shape:
        (N, T) -> (N, T, V)

    Source:
        Devlin et al., see `BERT`, section 3.1, task 1.

    Example:
        >>> with torch.device("meta"):  # Only the shapes: this is BERT base.
        ...     model = BERTForMaskedLM(BERT(30522, 512, d_model=768, nhead=12, num_layers=12))
        >>> sum(parameter.numel() for parameter in model.parameters())
        109514298

    Taught in: book/case_studies/bert.md
    """

    def __init__(self, bert: BERT) -> None:
        super().__init__()
        vocabulary, d_model = bert.token_embedding.weight.shape
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        self.bert = bert
        self.dense = nn.Linear(d_model, d_model)
        self.norm = nn.LayerNorm(d_model)
        _initialize(self.dense)

    def forward(
        self, tokens: Tensor, segments: Tensor | None = None, *, is_causal: bool = False
    ) -> Tensor:
        """Return the logits of each token, (N, T) -> (N, T, V); the arguments are BERT's."""
        features = self.bert(tokens, segments, is_causal=is_causal)
        hidden = self.norm(functional.gelu(self.dense(features)))
        # (N, T, D) -> (N, T, V)
        return functional.linear(hidden, self.bert.token_embedding.weight, self.bias)


class BERTForSequenceClassification(nn.Module):
    """BERT that names the class of a text, from the features of its first token.

    logits = W₂ dropout(tanh(W₁ y₀ + b₁)) + b₂

    In BERT every text starts with a token of its own, [CLS], so that position 0 is free for this.

    Args:
        bert: the encoder, best one that has learned to predict hidden tokens.
        num_classes: the number C of classes.
        dropout: the probability of a zero in training, before the last layer.

    Shape:
        (N, T) -> (N, C), logits

    Source:
        Devlin et al., see `BERT`, section 3.2 and appendix A.3.

    Example:
        >>> bert = BERT(30, 16, d_model=8, nhead=2, num_layers=2)
        >>> model = BERTForSequenceClassification(bert, 3)
        >>> model(torch.tensor([[7, 8, 9], [7, 8, 0]])).shape
        torch.Size([2, 3])

    Taught in: book/case_studies/bert.md
    """

    def __init__(self, bert: BERT, num_classes: int, dropout: float = 0.1) -> None:
        super().__init__()
        _check_sizes(num_classes=num_classes)
        d_model = bert.token_embedding.embedding_dim
        self.bert = bert
        self.pooler = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(d_model, num_classes)
        _initialize(self.pooler)
        _initialize(self.classifier)

    def forward(self, tokens: Tensor, segments: Tensor | None = None) -> Tensor:
        """Return the logits of each text, (N, T) -> (N, C); the arguments are BERT's."""
        first = self.bert(tokens, segments)[:, 0]  # (N, T, D) -> (N, D)
        return self.classifier(self.dropout(self.pooler(first).tanh()))


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"`{name}` (={size}) must be at least 1.")


def _initialize(module: nn.Module) -> None:
    """Draw all matrices from N(0, 0.02²), and set all biases to zero."""
    for name, parameter in module.named_parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.02)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
