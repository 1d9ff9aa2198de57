"""The simulated workers compute what one worker computes, and send no more than they promise."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from largemodels.scratch import MLP, CrossEntropyLoss
from largemodels.training.parallelism import (
    all_reduce_seconds,
    parameter_server,
    pipeline_bubble,
    pipeline_schedule,
    ring_all_reduce,
    scaling_efficiency,
    tensor_parallel_mlp,
)

seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)
shapes = st.lists(st.integers(0, 5), max_size=3).map(tuple)


@settings(deadline=None)
@given(rng=seeds, workers=st.integers(1, 7), shape=shapes)
@pytest.mark.parametrize("method", [ring_all_reduce, parameter_server])
def test_all_workers_have_the_sum(method, rng, workers, shape):
    arrays = [rng.normal(size=shape) for _ in range(workers)]
    before = [array.copy() for array in arrays]
    sums, _ = method(arrays)
    assert len(sums) == workers
    for total in sums:
        np.testing.assert_allclose(total, np.sum(arrays, axis=0), atol=1e-12)
        assert (total.shape, total.dtype) == (shape, arrays[0].dtype)
        np.testing.assert_array_equal(total, sums[0])  # Equal to the last bit: weights stay equal.
    for array, old in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, old)


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 8])
def test_a_ring_sends_the_fewest_bytes(workers):
    arrays = [np.ones((24, 5), dtype=np.float32)] * workers
    sums, traffic = ring_all_reduce(arrays)
    size = arrays[0].nbytes
    assert traffic.busiest_bytes == 2 * (workers - 1) * size // workers
    assert traffic.total_bytes == workers * traffic.busiest_bytes
    assert (traffic.steps, traffic.messages) == (2 * (workers - 1), 2 * (workers - 1) * workers)
    _, server = parameter_server(arrays)
    assert (server.busiest_bytes, server.total_bytes) == (workers * size, 2 * workers * size)
    assert (server.steps, server.messages) == (2, 2 * workers)
    assert sums[0].dtype == np.float32


def test_chunks_that_differ_by_one_cost_at_most_one_number_a_step():
    for workers, count in [(3, 7), (4, 10), (5, 3)]:
        _, traffic = ring_all_reduce([np.ones(count)] * workers)
        assert traffic.total_bytes == 2 * (workers - 1) * 8 * count
        assert traffic.busiest_bytes <= 2 * (workers - 1) * 8 * math.ceil(count / workers)


@pytest.mark.parametrize("workers", [2, 4])
def test_sharded_gradients_average_to_those_of_the_full_batch(workers):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 5)), rng.integers(3, size=12)

    def gradients(rows):
        model, loss = MLP([5, 7, 3], rng=np.random.default_rng(1)), CrossEntropyLoss()
        loss(model(x[rows]), y[rows])
        model.backward(loss.backward())
        return np.concatenate([parameter.grad.ravel() for parameter in model.parameters()])

    shards = np.arange(12).reshape(workers, -1)
    sums, _ = ring_all_reduce([gradients(rows) for rows in shards])
    whole = gradients(np.arange(12))
    np.testing.assert_allclose(sums[-1] / workers, whole, atol=1e-12)
    assert np.abs(gradients(shards[0]) - whole).max() > 0.01  # A shard alone is another gradient.


def test_the_time_of_a_ring_hardly_grows_with_the_workers():
    size, bandwidth = 4e9, 1e10
    assert all_reduce_seconds(size, 1, bandwidth=bandwidth) == 0
    assert all_reduce_seconds(size, 2, bandwidth=bandwidth) == pytest.approx(0.4)
    assert all_reduce_seconds(size, 1000, bandwidth=bandwidth) == pytest.approx(0.8, rel=2e-3)
    # The latency does grow: 2 · 999 waits of a millisecond.
    with_latency = all_reduce_seconds(0, 1000, bandwidth=bandwidth, latency=1e-3)
    assert with_latency == pytest.approx(1.998)
    # It is the traffic of the simulation over the bandwidth.
    _, traffic = ring_all_reduce([np.ones(120)] * 6)
    seconds = all_reduce_seconds(960, 6, bandwidth=100)
    assert seconds == pytest.approx(traffic.busiest_bytes / 100)


def test_scaling_efficiency():
    assert scaling_efficiency(1.0, 0.0, workers=5) == (5, 1)
    speed_up, efficiency = scaling_efficiency(1.0, 0.25, workers=4)
    assert (speed_up, efficiency) == (2, 0.5)
    assert scaling_efficiency(1.0, 0.25, workers=4, overlap=0.5)[0] == pytest.approx(1 / 0.375)
    assert scaling_efficiency(1.0, 0.25, workers=4, overlap=1)[0] == 4
    # With a fixed batch the messages win in the end.
    speeds = [scaling_efficiency(1.0, 0.01, workers=n)[0] for n in (1, 10, 100, 1000)]
    assert speeds == sorted(speeds)
    assert speeds[-1] < 1 / 0.01


@settings(deadline=None)
@given(rng=seeds, workers=st.integers(1, 4), part=st.integers(1, 3), sizes=st.tuples(
    st.integers(1, 5), st.integers(1, 5), st.integers(1, 5)))  # fmt: skip
def test_a_split_mlp_equals_a_whole_one(rng, workers, part, sizes):
    rows, inputs, outputs = sizes
    x = rng.normal(size=(rows, inputs))
    first = rng.normal(size=(inputs, workers * part))
    second = rng.normal(size=(workers * part, outputs))
    y, traffic = tensor_parallel_mlp(x, first, second, np.tanh, workers)
    np.testing.assert_allclose(y, np.tanh(x @ first) @ second, atol=1e-12)
    assert traffic.total_bytes == 2 * (workers - 1) * y.nbytes


@given(stages=st.integers(1, 6), microbatches=st.integers(1, 9))
def test_a_pipeline_does_all_work_in_order(stages, microbatches):
    schedule = pipeline_schedule(stages, microbatches)
    for stage, row in enumerate(schedule):
        assert row[row >= 0].tolist() == list(range(microbatches))
        if stage:  # A stage starts a microbatch one tick after the stage before.
            assert np.flatnonzero(row >= 0)[0] == np.flatnonzero(schedule[stage - 1] >= 0)[0] + 1
    assert (schedule == -1).mean() == pytest.approx(pipeline_bubble(stages, microbatches))


ONES = np.ones((2, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ring_all_reduce([]), "`arrays` is empty"),
        (lambda: ring_all_reduce([ONES, ONES[:1]]), "`arrays[1]` (of shape (1, 2), float64) must"),
        (lambda: parameter_server([ONES, ONES.astype(int)]), "`arrays[1]` (of shape (2, 2), int64"),
        (lambda: all_reduce_seconds(-1, 2, bandwidth=1), "`size` (=-1) must not be negative."),
        (lambda: all_reduce_seconds(1, 0, bandwidth=1), "`workers` (=0) must be at least 1."),
        (lambda: all_reduce_seconds(1, 2, bandwidth=0), "`bandwidth` (=0) must be above 0."),
        (
            lambda: all_reduce_seconds(1, 2, bandwidth=1, latency=math.nan),
            "`latency` (=nan) must not be negative.",
        ),
        (lambda: scaling_efficiency(0, 1, workers=1), "`compute` (=0) must be above 0."),
        (lambda: scaling_efficiency(1, -1, workers=1), "`communication` (=-1) must not be"),
        (lambda: scaling_efficiency(1, 1, workers=1, overlap=2), "`overlap` (=2) must be from 0"),
        (lambda: tensor_parallel_mlp(ONES, ONES, np.ones((3, 1)), np.tanh, 2), "`x` (of shape"),
        (lambda: tensor_parallel_mlp(ONES, ONES, ONES, np.tanh, 3), "`workers` (=3) must divide"),
        (lambda: pipeline_schedule(0, 1), "`stages` (=0) must be at least 1."),
        (lambda: pipeline_bubble(1, 0), "`microbatches` (=0) must be at least 1."),
    ],
)
def test_a_wrong_argument_is_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
