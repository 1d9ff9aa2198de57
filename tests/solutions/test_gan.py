"""PyTorch works the exercise on adversarial networks, and what its text promises is true."""

import ast
import copy

import numpy as np
import pytest
import torch
from torch.nn import functional

import largemodels.check.comparison
from coursekit.exercises import find_exercises

# Slips that the visible checks name, beside those of the mutants: cell, text to replace, new text.
SLIPS = {
    "this walks towards a no": (
        "generator_loss",
        "return -np.exp(-np.logaddexp(0, signed))",
        "return np.exp(-np.logaddexp(0, -signed))",
    ),
    "this is the non-saturating loss": (
        "generator_step",
        "return generator_loss(fake_logits, saturating)",
        "return generator_loss(fake_logits)",
    ),
    "this is the saturating loss": (
        "generator_step",
        "return generator_loss(fake_logits, saturating)",
        "return generator_loss(fake_logits, True)",
    ),
    "only the earlier gradients count: run the discriminator": (
        "discriminator_step",
        """    optimizer.zero_grad()
    fake = generator(noise)
    logits = discriminator(np.concatenate([real, fake]))  # (N + M, features) -> (N + M, 1)
    real_logits, fake_logits = logits[: len(real)], logits[len(real) :]
    # The gradient of the fakes, which this returns, goes nowhere: the fakes are detached.
    discriminator.backward(np.concatenate(discriminator_loss_backward(real_logits, fake_logits)))
""",
        """    logits = discriminator(np.concatenate([real, generator(noise)]))
    real_logits, fake_logits = logits[: len(real)], logits[len(real) :]
""",
    ),
    "the step goes uphill": (
        "discriminator_step",
        "np.concatenate(discriminator_loss_backward(real_logits, fake_logits))",
        "-np.concatenate(discriminator_loss_backward(real_logits, fake_logits))",
    ),
    "the labels are swapped: real deserves yes": (
        "discriminator_step",
        "return discriminator_loss(real_logits, fake_logits)",
        "return discriminator_loss(-real_logits, -fake_logits)",
    ),
    "the real samples stand in for them": (
        "discriminator_step",
        "np.concatenate(discriminator_loss_backward(real_logits, fake_logits))",
        """np.concatenate(
            [grad * 0 for grad in discriminator_loss_backward(real_logits, fake_logits)]
        )
    )
    discriminator(real)
    discriminator.backward(sum(discriminator_loss_backward(real_logits, real_logits))""",
    ),
    "only the earlier gradients count: run the generator": (
        "generator_step",
        """    optimizer.zero_grad()
    fake_logits = discriminator(generator(noise))
    grad_logits = generator_loss_backward(fake_logits, saturating)
    grad_fake = discriminator.backward(grad_logits)
    generator.backward(grad_fake)
""",
        "    fake_logits = discriminator(generator(noise))\n",
    ),
    "`minimum` is ignored": ("count_modes", ">= minimum", ">= 1"),
    "the mean number of samples decides": (
        "count_modes",
        "int(np.sum(count_modes(samples, centers, radius) >= minimum))",
        "2 * (minimum == 2) or int(np.mean(count_modes(samples, centers, radius)) >= minimum)",
    ),
    "the discriminator's loss comes first": (
        "torch_train_step",
        "return d_loss.item(), g_loss.item()",
        "return g_loss.item(), d_loss.item()",
    ),
}


@pytest.fixture(scope="module")
def gan(repository):
    [exercise] = find_exercises(repository, ["05_gan"])
    return exercise


def complaint(exercise, names, run_cell, cell, old, new):
    """What the checks of a cell say about a slip in it."""
    answer = exercise.cells[cell].answer
    assert answer.count(old) == 1, f"{old!r} occurs {answer.count(old)} times in `{cell}`"
    assert run_cell(answer.replace(old, new), names) is None
    errors = [run_cell(check.source, names) for check in exercise.checks_of(exercise.cells[cell])]
    return " ".join(str(error) for error in errors)


@pytest.mark.parametrize("says", SLIPS)
def test_a_slip_is_named(says, gan, namespace, run_cell):
    assert says in complaint(gan, namespace(gan), run_cell, *SLIPS[says])


def tensor(array):
    return torch.tensor(np.asarray(array, dtype=np.float64), requires_grad=True)


def cross_entropy(logits, label):
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def both_losses(real_logits, fake_logits):
    return cross_entropy(real_logits, 1.0) + cross_entropy(fake_logits, 0.0)


def deception(fake_logits, saturating):
    return -cross_entropy(fake_logits, 0.0) if saturating else cross_entropy(fake_logits, 1.0)


def discriminator_loss(real_logits, fake_logits):
    return both_losses(tensor(real_logits), tensor(fake_logits)).item()


def discriminator_loss_backward(real_logits, fake_logits):
    logits = tensor(real_logits), tensor(fake_logits)
    return tuple(grad.numpy() for grad in torch.autograd.grad(both_losses(*logits), logits))


def generator_loss(fake_logits, saturating=False):
    return deception(tensor(fake_logits), saturating).item()


def generator_loss_backward(fake_logits, saturating=False):
    logits = tensor(fake_logits)
    return torch.autograd.grad(deception(logits, saturating), logits)[0].numpy()


def twin(network):
    """Return the network in PyTorch."""
    model = torch.nn.Sequential()
    for layer in network.layers:
        if hasattr(layer, "slope"):
            model.append(torch.nn.LeakyReLU(layer.slope))
        else:
            model.append(torch.nn.Linear(*layer.weight.data.shape[::-1], dtype=torch.float64))
    model.load_state_dict({key: tensor(value) for key, value in network.state().items()})
    return model


def take_step(network, model, optimizer, loss):
    """Hand the gradients of PyTorch to the optimizer of the exercise."""
    grads = torch.autograd.grad(loss, list(model.parameters()))
    network.fill(grads=[grad.numpy() for grad in grads])
    optimizer.step()
    return loss.item()


def discriminator_step(generator, discriminator, optimizer, real, noise):
    model = twin(discriminator)
    fake = tensor(generator(noise)).detach()
    loss = both_losses(model(tensor(real)), model(fake))
    return take_step(discriminator, model, optimizer, loss)


def generator_step(generator, discriminator, optimizer, noise, saturating=False):
    model = twin(generator)
    loss = deception(twin(discriminator)(model(tensor(noise))), saturating)
    return take_step(generator, model, optimizer, loss)


def count_modes(samples, centers, radius):
    distances, nearest = torch.cdist(tensor(samples), tensor(centers)).min(dim=1)
    return torch.bincount(nearest[distances <= radius], minlength=len(centers)).numpy()


PYTORCH = {
    "discriminator_loss": [discriminator_loss, discriminator_loss_backward],
    "generator_loss": [generator_loss, generator_loss_backward],
    "discriminator_step": [discriminator_step],
    "generator_step": [generator_step],
    "count_modes": [count_modes],
}
# The first only draws noise and calls two other tasks; the second is PyTorch itself.
OTHERS = ("train_step", "torch_train_step")


@pytest.fixture(scope="module")
def names(gan, namespace):
    functions = {function.__name__: function for task in PYTORCH.values() for function in task}
    return namespace(gan) | functions


def test_pytorch_works_every_task(gan):
    assert {cell.grade_id for cell in gan.solution_cells} == PYTORCH.keys() | OTHERS


@pytest.mark.parametrize("task", [*PYTORCH, *OTHERS])
def test_the_recorded_numbers_are_those_of_pytorch(task, gan, names, run_cell, monkeypatch):
    # Ten decimals are written down.
    monkeypatch.setattr(largemodels.check.comparison, "TOLERANCE", (0.0, 1.5e-10))
    # In these checks float32 is allowed; here it is not.
    source = gan.cells[f"test_{task}"].visible
    for loose, strict in [
        ("rtol=1e-4", "rtol=0.0"),
        ("rtol=1e-5", "rtol=0.0"),
        ("atol=1e-6", "atol=2e-10"),
    ]:
        source = source.replace(loose, strict)
    error = run_cell(source, dict(names))
    assert error is None, str(error)


@pytest.mark.parametrize("secret", ["", "spring term", "autumn term"])
@pytest.mark.parametrize("task", [*PYTORCH, *OTHERS])
def test_the_hidden_oracles_agree_with_pytorch(task, secret, gan, names, run_cell, monkeypatch):
    monkeypatch.setenv("COURSE_SECRET", secret)
    error = run_cell(gan.cells[f"test_{task}"].source, dict(names))
    assert error is None, str(error)


@pytest.fixture(scope="module")
def trained(gan, namespace, run_cell):
    names = namespace(gan)
    assert run_cell(gan.cells["train"].source, names) is None
    return names


def covered(names, kept):
    *_, last = kept.values()
    return names["modes_covered"](last, names["ring_centers"], radius=0.5, minimum=20)


@pytest.mark.parametrize("seed", [0, 1])
def test_all_eight_modes_are_covered(seed, trained):
    kept, losses = trained["train_on_the_ring"](seed=seed)
    assert covered(trained, kept) == 8
    assert abs(losses[-500:, 0].mean() - 2 * np.log(2)) < 0.1
    assert abs(losses[-500:, 1].mean() - np.log(2)) < 0.1


def test_a_hasty_forger_misses_modes(trained):
    kept, losses = trained["train_on_the_ring"](g_lr=0.005, d_lr=0.0005, steps=1500)
    assert covered(trained, kept) < 8
    # Most fakes are near no cloud, though the losses look as good as before.
    near = trained["count_modes"](kept[1500], trained["ring_centers"], radius=0.5).sum()
    assert near < 0.5 * len(kept[1500])
    assert abs(losses[-500:, 0].mean() - 2 * np.log(2)) < 0.1
    assert abs(losses[-500:, 1].mean() - np.log(2)) < 0.15


def test_the_model_answer_about_detach_is_true(gan, namespace, run_cell):
    """Without `detach` the same numbers; without `zero_grad` of the generator as well, others."""
    ends = {}
    zero_grad = "    generator_optimizer.zero_grad()\n"
    for case, cuts in {
        "right": [],
        "no detach": [".detach()"],
        "neither": [".detach()", zero_grad],
    }.items():
        source = gan.cells["torch_train_step"].answer
        for cut in cuts:
            assert source.count(cut) == 1
            source = source.replace(cut, "")
        names = namespace(gan)
        assert run_cell(source, names) is None
        torch.manual_seed(0)
        networks = torch.nn.Linear(2, 3), torch.nn.Linear(3, 1)
        optimizers = [torch.optim.SGD(one.parameters(), lr=0.1) for one in networks]
        for _ in range(4):
            names["torch_train_step"](
                *networks, *optimizers, torch.randn(5, 3) + 1, torch.randn(5, 2), torch.randn(5, 2)
            )
        ends[case] = copy.deepcopy([p.detach().numpy() for n in networks for p in n.parameters()])
    for right, same, other in zip(*ends.values(), strict=True):
        np.testing.assert_array_equal(right, same)
        assert not np.allclose(right, other)


def test_no_explanation_in_a_check_is_dead(gan, namespace, run_cell):
    heard = " ".join(
        complaint(gan, namespace(gan), run_cell, *slip)
        for slip in [
            *SLIPS.values(),
            *((one.cell, one.replace, one.replacement) for one in gan.mutants),
        ]
    )
    written = []
    for cell in gan.graded_cells:
        for node in ast.walk(ast.parse(cell.visible)):
            if isinstance(node, ast.keyword) and node.arg == "slips":
                written += [
                    key.value
                    for inner in ast.walk(node.value)
                    if isinstance(inner, ast.Dict)
                    for key in inner.keys
                    if isinstance(key, ast.Constant) and key.value.endswith(".")
                ]
    assert len(written) > 20
    assert [text for text in written if text not in heard] == []
