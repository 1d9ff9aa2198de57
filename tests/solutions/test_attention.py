"""PyTorch works the exercise on attention, and what the text promises is true.

The checks hold literal numbers, so that a student needs NumPy only. Here PyTorch answers every task
in float64, by its own layers and its own automatic differentiation, and must pass all of them.
"""

import ast
import math
import re

import numpy as np
import pytest
import torch
from torch.nn import functional

import largemodels.check.comparison
from coursekit.exercises import find_exercises


def tensor(array):
    return torch.as_tensor(np.array(array))


def causal_mask(length):
    return torch.ones(length, length, dtype=torch.bool).tril().numpy()


def padding_mask(lengths, size):
    return (torch.arange(size) < tensor(lengths)[:, None, None, None]).numpy()


def masked_softmax(scores, mask=None):
    scores = tensor(scores)
    if mask is None:
        return scores.softmax(-1).numpy()
    # PyTorch's own rule for a query that may look at nothing: attention with an identity as values.
    allowed = tensor(mask).expand(scores.shape)
    weights = scores.masked_fill(~allowed, -math.inf).softmax(-1)
    return torch.where(allowed.any(-1, keepdim=True), weights, 0).numpy()


def attention(query, key, value, mask=None):
    query, key, value = tensor(query), tensor(key), tensor(value)
    mask = None if mask is None else tensor(mask)
    # With an identity as values, the output is the weights.
    identity = torch.eye(key.shape[-2], dtype=key.dtype).expand(*key.shape[:-1], -1)
    attend = functional.scaled_dot_product_attention
    return attend(query, key, value, mask).numpy(), attend(query, key, identity, mask).numpy()


def attention_backward(grad_output, query, key, value, mask=None):
    inputs = [tensor(array).requires_grad_() for array in (query, key, value)]
    mask = None if mask is None else tensor(mask)
    output = functional.scaled_dot_product_attention(*inputs, mask)
    return tuple(g.numpy() for g in torch.autograd.grad(output, inputs, tensor(grad_output)))


def split_heads(x, num_heads):
    return tensor(x).unflatten(2, (num_heads, -1)).transpose(1, 2).numpy()


def merge_heads(heads):
    return tensor(heads).transpose(1, 2).flatten(2).numpy()


def multi_head_attention(parameters, query, key, value, num_heads, mask=None):
    features = query.shape[2]
    layer = torch.nn.MultiheadAttention(features, num_heads, batch_first=True, dtype=torch.float64)
    layer.load_state_dict({name: tensor(array) for name, array in parameters.items()})
    if mask is not None:
        shape = (len(query), num_heads, query.shape[1], key.shape[1])
        # This layer wants one mask for each sentence and head, and True where not to look.
        mask = ~tensor(np.broadcast_to(mask, shape)).flatten(0, 1)
    output, weights = layer(
        tensor(query), tensor(key), tensor(value), attn_mask=mask, average_attn_weights=False
    )
    return output.detach().numpy(), weights.detach().numpy()


def positional_encoding(positions, d_model, base=10000.0):
    exponents = torch.arange(0, d_model, 2, dtype=torch.float64) / d_model
    times = torch.arange(positions, dtype=torch.float64)
    angles = torch.outer(times, torch.exp(-math.log(base) * exponents))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1).numpy()


def layer_norm(x, weight, bias, eps=1e-5):
    normed = functional.layer_norm(tensor(x), weight.shape, tensor(weight), tensor(bias), eps)
    return normed.numpy()


def encoder_layer(parameters, num_heads):
    """Return the block as a practitioner builds it, with these parameters."""
    hidden, features = parameters["linear1"]["weight"].shape
    layer = torch.nn.TransformerEncoderLayer(
        features,
        num_heads,
        hidden,
        dropout=0.0,
        batch_first=True,
        norm_first=True,
        dtype=torch.float64,
    )
    layer.load_state_dict(
        {
            f"{part}.{name}": tensor(array)
            for part, arrays in parameters.items()
            for name, array in arrays.items()
        }
    )
    return layer


def block(parameters, x, num_heads, mask=None):
    mask = None if mask is None else ~tensor(mask)
    return encoder_layer(parameters, num_heads)(tensor(x), mask).detach().numpy()


def gpt(parameters, tokens, num_heads):
    table, steps = tensor(parameters["token_embedding"]), tokens.shape[1]
    x = functional.embedding(tensor(tokens), table)
    x = x + tensor(parameters["position_embedding"])[:steps]
    mask = torch.nn.Transformer.generate_square_subsequent_mask(steps, dtype=torch.float64)
    for one in parameters["blocks"]:
        x = encoder_layer(one, num_heads)(x, mask)
    norm = {name: tensor(array) for name, array in parameters["norm"].items()}
    normed = functional.layer_norm(x, x.shape[-1:], **norm)
    return functional.linear(normed, table).detach().numpy()


def sample(logits, temperature, rng):
    logits = tensor(logits)
    if temperature == 0:
        return int(logits.argmax())
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    return int(torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator))


def generate(next_logits, tokens, steps, temperature=0.0, rng=None):
    tokens = tensor(tokens)
    for _ in range(steps):
        token = sample(next_logits(tokens.numpy()), temperature, rng)
        tokens = torch.cat([tokens, tensor([token])])
    return tokens.numpy()


PYTORCH = {
    "masked_softmax": [causal_mask, padding_mask, masked_softmax],
    "attention": [attention],
    "attention_backward": [attention_backward],
    "multi_head_attention": [split_heads, merge_heads, multi_head_attention],
    "positional_encoding": [positional_encoding],
    "layer_norm": [layer_norm],
    "gpt": [block, gpt],
    "generate": [sample, generate],
}


@pytest.fixture(scope="module")
def exercise_06(repository):
    [exercise] = find_exercises(repository, ["06_attention"])
    return exercise


@pytest.fixture(scope="module")
def answers(exercise_06, namespace):
    return namespace(exercise_06)


@pytest.fixture(scope="module")
def names(answers):
    functions = {function.__name__: function for task in PYTORCH.values() for function in task}
    return answers | functions


def test_pytorch_works_every_task(exercise_06):
    assert {cell.grade_id for cell in exercise_06.solution_cells} == PYTORCH.keys()


def test_the_softmax_of_this_oracle_treats_a_query_without_keys_as_pytorch_does():
    scores, mask = np.random.default_rng(0).normal(size=(2, 4, 3)), np.eye(4, 3, dtype=bool)
    # One feature with 1: a product with it is the score itself, and its root is 1.
    attend = functional.scaled_dot_product_attention
    for table in scores:
        for row, allowed in zip(table, mask, strict=True):
            weights = attend(
                tensor([[1.0]]), tensor(row[:, None]), torch.eye(3).double(), tensor([allowed])
            )
            np.testing.assert_allclose(masked_softmax(row[None], allowed), weights, atol=1e-15)


@pytest.mark.parametrize("task", PYTORCH)
def test_the_recorded_numbers_are_those_of_pytorch(task, exercise_06, names, run_cell, monkeypatch):
    # Ten decimals are written down.
    monkeypatch.setattr(largemodels.check.comparison, "TOLERANCE", (0.0, 1.5e-10))
    error = run_cell(exercise_06.cells[f"test_{task}"].visible, dict(names))
    assert error is None, str(error)


@pytest.mark.parametrize("secret", ["", "spring term", "autumn term"])
@pytest.mark.parametrize("task", PYTORCH)
def test_the_hidden_oracles_agree_with_pytorch(
    task, secret, exercise_06, names, run_cell, monkeypatch
):
    monkeypatch.setenv("COURSE_SECRET", secret)
    error = run_cell(exercise_06.cells[f"test_{task}"].source, dict(names))
    assert error is None, str(error)


@pytest.mark.parametrize(
    "task", ["attention", "attention_backward", "multi_head_attention", "layer_norm", "gpt"]
)
def test_the_gate_fails_when_a_digit_is_wrong(task, exercise_06, names, run_cell):
    source = exercise_06.cells[f"test_{task}"].visible
    # The first number with ten decimals of a visible check is expected, not one of a slip.
    match = re.search(r"\d\.\d{9}\d", source)
    changed = source[: match.start()] + "7" + source[match.start() + 1 :]
    assert run_cell(changed, dict(names)) is not None


# Slips that the visible checks name, beside those of the mutants: cell, text to replace, new text.
SLIPS = {
    "first mask, then look for the largest": (
        "masked_softmax",
        """    if mask is not None:
        scores = np.where(mask, scores, -np.inf)
    highest = scores.max(axis=-1, keepdims=True)  # (..., L, S) -> (..., L, 1)
    highest = np.where(np.isfinite(highest), highest, 0)  # Where nothing is allowed: −∞.
    exponentials = np.exp(scores - highest)
    total = exponentials.sum(axis=-1, keepdims=True)
    return exponentials / np.where(total == 0, 1, total)""",
        """    highest = scores.max(axis=-1, keepdims=True)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf)
    exponentials = np.exp(scores - highest)
    return exponentials / exponentials.sum(axis=-1, keepdims=True)""",
    ),
    "subtract the largest score of each row first": (
        "masked_softmax",
        """    exponentials = np.exp(scores - highest)
    total = exponentials.sum(axis=-1, keepdims=True)
    return exponentials / np.where(total == 0, 1, total)""",
        """    exponentials = np.exp(scores)
    return exponentials / exponentials.sum(axis=-1, keepdims=True)""",
    ),
    "the mask acts on weights that are ready": (
        "attention",
        "masked_softmax(scores, mask)",
        "masked_softmax(scores) * (1 if mask is None else mask)",
    ),
    "the softmax runs over the queries": (
        "attention",
        "masked_softmax(scores, mask)",
        "masked_softmax(scores.swapaxes(-1, -2)).swapaxes(-1, -2)",
    ),
    "columns 2i and 2i + 1 share one": (
        "positional_encoding",
        "    return encoding",
        """    columns = np.arange(d_model)
    angles = np.arange(positions)[:, None] / base ** (columns / d_model)
    return np.where(columns % 2, np.cos(angles), np.sin(angles))""",
    ),
    "norm2 reads x": ("gpt", "layer_norm(h,", "layer_norm(x,"),
}


def patched(exercise, cell, old, new):
    answer = exercise.cells[cell].answer
    assert answer.count(old) == 1, f"{old!r} occurs {answer.count(old)} times in `{cell}`"
    return answer.replace(old, new)


def complaint(exercise, names, run_cell, cell, old, new):
    """What the checks of a cell say about a slip in it."""
    names = dict(names)
    assert run_cell(patched(exercise, cell, old, new), names) is None
    errors = [run_cell(check.source, names) for check in exercise.checks_of(exercise.cells[cell])]
    return " ".join(str(error) for error in errors)


@pytest.mark.parametrize("says", SLIPS)
def test_a_slip_is_named(says, exercise_06, answers, run_cell):
    assert says in complaint(exercise_06, answers, run_cell, *SLIPS[says])


def test_no_explanation_in_a_check_is_dead(exercise_06, answers, run_cell):
    heard = [
        complaint(exercise_06, answers, run_cell, *slip)
        for slip in [
            *SLIPS.values(),
            *((one.cell, one.replace, one.replacement) for one in exercise_06.mutants),
        ]
    ]
    written = [
        key.value
        for cell in exercise_06.graded_cells
        for node in ast.walk(ast.parse(cell.visible))
        if isinstance(node, ast.keyword) and node.arg == "slips"
        for inner in ast.walk(node.value)
        if isinstance(inner, ast.Dict)
        for key in inner.keys
        if isinstance(key, ast.Constant)
    ]
    assert len(written) > 60
    dead = [text for text in written if not any(text in message for message in heard)]
    assert not dead, "no mutant and no slip here makes a check say: " + "; ".join(dead)


@pytest.fixture(scope="module")
def studio(exercise_06, answers, run_cell):
    """The functions around the run at the end."""
    names = dict(answers)
    assert run_cell(exercise_06.cells["train"].source, names) is None
    for cell in exercise_06.notebook.cells:
        if cell.cell_type == "code" and cell.source.startswith("def attention_maps("):
            assert run_cell(cell.source, names) is None
    return names


def solved(studio, parameters, count=100):
    """Share of new random words that a model writes backwards without a mistake."""
    texts = studio["random_texts"](count, np.random.default_rng(99))
    written = texts[:, : studio["LONGEST"] + 1]
    for _ in range(studio["LONGEST"]):
        best = studio["gpt"](parameters, written, 2)[:, -1].argmax(axis=-1)
        written = np.hstack([written, best[:, None]])
    return float(np.mean((written == texts).all(axis=1)))


@pytest.fixture(scope="module")
def trained(studio):
    return studio["train"]()


def test_the_given_backward_passes_are_right(studio):
    rng = np.random.default_rng(3)
    parameters = studio["new_gpt"](rng, features=4, hidden=5, blocks=2)
    for array in studio["arrays_of"](parameters):
        array += 0.1 * rng.normal(size=array.shape)
    texts = studio["random_texts"](3, rng)
    _, gradients = studio["loss_and_gradients"](parameters, texts, 2)
    pairs = zip(studio["arrays_of"](parameters), studio["arrays_of"](gradients), strict=True)
    for array, gradient in pairs:
        assert array.shape == gradient.shape
        index = np.unravel_index(np.abs(gradient).argmax(), array.shape)
        value, losses = array[index], []
        for step in (1e-6, -1e-6):
            array[index] = value + step
            losses.append(studio["loss_and_gradients"](parameters, texts, 2)[0])
        array[index] = value
        slope = (losses[0] - losses[1]) / 2e-6
        assert gradient[index] == pytest.approx(slope, rel=1e-4, abs=1e-8)


def test_the_trained_model_is_the_students_gpt(studio, trained):
    texts = studio["random_texts"](20, np.random.default_rng(5))
    logits = studio["gpt"](trained[0], texts[:, :-1], 2)[:, studio["LONGEST"] :]
    loss = functional.cross_entropy(
        tensor(logits).flatten(0, 1), tensor(texts[:, studio["LONGEST"] + 1 :]).flatten()
    )
    mine, _ = studio["loss_and_gradients"](trained[0], texts, 2)
    assert mine == pytest.approx(loss.item(), rel=1e-9)


def test_the_model_reads_backwards(studio, trained):
    parameters, losses = trained
    assert losses[0] > 2.5
    assert losses[-1] < 0.02
    assert solved(studio, parameters) > 0.95
    for word in ("student", "gpt", "forward", "drawer", "numpy", "stressed"):
        assert studio["backwards"](parameters, word) == word[::-1]


def test_the_result_does_not_hang_on_the_seed(studio):
    assert solved(studio, studio["train"](seed=1)[0]) > 0.95


def test_the_map_shows_the_diagonal_of_which_the_text_speaks(studio, trained):
    maps = studio["attention_maps"](trained[0], "stressed").mean(axis=0)
    assert maps.argmax(axis=1).tolist() == list(range(7, -1, -1))


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("masked", [True, False])
def test_the_model_answer_about_forgotten_positions_is_true(blocks, masked, studio, monkeypatch):
    model = studio["new_gpt"](np.random.default_rng(0), blocks=blocks)
    model["position_embedding"][:] = 0
    words = ["..drawer=", "..reward="]
    texts = np.array([[studio["LETTERS"].index(letter) for letter in word] for word in words])
    if not masked:
        everything = np.ones((texts.shape[1],) * 2, dtype=bool)
        names = studio["gpt"].__globals__
        monkeypatch.setitem(names, "causal_mask", lambda length: everything)
    first, second = studio["gpt"](model, texts, 2)[:, -1]
    difference = np.abs(first - second).max()
    if masked and blocks == 2:
        assert difference > 1e-3
    else:
        assert difference < 1e-12


@pytest.mark.parametrize("features", [64, 1024])
def test_without_the_root_of_e_a_query_gives_nearly_all_to_one_key(features, answers):
    asks, offers = np.random.default_rng(0).normal(size=(2, 200, 16, features))
    divided = answers["attention"](asks, offers, offers)[1].max(axis=-1).mean()
    plain = answers["attention"](asks * features**0.5, offers, offers)[1].max(axis=-1).mean()
    assert divided < 0.4
    assert plain > 0.7
