"""The library's own formulas work the exercise on unit economics, and its text tells the truth.

Exact fractions answer what they can, `largemodels.economics` and SciPy the rest. The sample memos
are recomputed: every number in them, and the marks that they claim.
"""

import ast
import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import yaml

from coursekit.exercises import find_exercises
from largemodels import economics


@pytest.fixture(scope="module")
def exercise_10(repository):
    [exercise] = find_exercises(repository, ["10_unit_economics"])
    return exercise


@pytest.fixture(scope="module")
def memo(exercise_10):
    file = exercise_10.source.parent / "memo_samples.yml"
    return yaml.safe_load(file.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def solved(exercise_10, namespace, run_cell):
    names = namespace(exercise_10)
    assert run_cell(exercise_10.cells["scenario"].source, names) is None
    return names


def exact(*numbers):
    return [Fraction(float(number)) for number in numbers]


def training_days(flops, gpus, peak, utilisation):
    return economics.training_days(flops, gpus=gpus, peak_flops=peak, utilisation=utilisation)


def gpu_hours(flops, peak, utilisation):
    flops, peak, utilisation = exact(flops, peak, utilisation)
    return float(flops / (peak * utilisation) / 3600)


def training_cost(flops, peak, utilisation, price, overhead=0.0):
    return economics.training_cost(
        flops,
        peak_flops=peak,
        utilisation=utilisation,
        price_per_gpu_hour=price,
        overhead=overhead,
    )


def kv_cache_bytes(layers, heads, size, tokens, batch, bits):
    return economics.kv_cache_bytes(layers, heads, size, tokens=tokens, batch_size=batch, bits=bits)


def largest_batch(memory, parameters, bits, cache):
    memory, parameters, bits, cache = exact(memory, parameters, bits, cache)
    return max(0, math.floor((memory - parameters * bits / 8) / cache))


def decode_tokens_per_second(parameters, bits, cache, batch, bandwidth, peak):
    return economics.decode_tokens_per_second(
        weight_bytes=economics.weight_bytes(parameters, bits),
        kv_cache_bytes=cache,
        batch_size=batch,
        flops_per_token=2 * parameters,
        peak_bandwidth=bandwidth,
        peak_flops=peak,
    )


def serving_cost(price, speed, utilisation):
    return economics.serving_cost_per_million_tokens(
        price_per_gpu_hour=price, tokens_per_second=speed, utilisation=utilisation
    )


def request_cost(read, written, read_price, written_price):
    read, written, read_price, written_price = exact(read, written, read_price, written_price)
    return float((read * read_price + written * written_price) / 10**6)


def break_even(fixed, api, own, capacity):
    tokens = economics.api_break_even_tokens(
        fixed_cost=fixed, api_price_per_million=api, own_cost_per_million=own
    )
    return tokens if tokens <= capacity else math.inf


def margin_share(price, cost):
    price, cost = exact(price, cost)
    return float((price - cost) / price)


def monthly_churn(yearly):
    return scipy.optimize.brentq(lambda c: (1 - c) ** 12 - (1 - yearly), 0, 0.9999, xtol=1e-15)


def lifetime_value(margin, churn, discount_rate, horizon):
    return economics.lifetime_value(margin, churn, discount_rate, horizon=horizon)


def segment_lifetime_value(margin, churns, shares, discount_rate, horizon):
    survival = np.sum(
        [s * (1 - c) ** np.arange(horizon) for c, s in zip(churns, shares, strict=True)], axis=0
    )
    survival[0] = 1
    return economics.lifetime_value_from_survival(margin, survival, discount_rate)


def draw_months(low, mode, high, paths, months, rng):
    peak = (mode - low) / (high - low)
    triangular = scipy.stats.triang(peak, loc=low, scale=high - low)
    return triangular.rvs(size=(paths, months), random_state=rng)


def cash_at_month_end(cash, revenue, growth, churn, costs):
    def path(rates, losses, bills):
        left, income = exact(cash, revenue)
        for rate, loss, bill in zip(rates, losses, bills, strict=True):
            rate, loss, bill = exact(rate, loss, bill)
            left, income = left + income - bill, income * (1 + rate - loss)
            yield float(left)

    return np.array([list(path(*rows)) for rows in zip(growth, churn, costs, strict=True)])


def months_of_runway(balance):
    below = ((month, row[month - 1] < 0) for row in balance for month in range(1, len(row) + 1))
    rows = np.array([month if ended else math.inf for month, ended in below])
    return rows.reshape(balance.shape).min(axis=1)


def survival_probability(runways, horizon):
    return scipy.stats.ecdf(np.minimum(runways, 1e9)).sf.evaluate(horizon)


def runway_quantile(runways, share):
    return np.quantile(runways, share, method="inverted_cdf")


ORACLE = {
    "training_flops": economics.training_flops,
    "gpu_hours": gpu_hours,
    "training_days": training_days,
    "training_cost": training_cost,
    "kv_cache_bytes": kv_cache_bytes,
    "largest_batch": largest_batch,
    "decode_tokens_per_second": decode_tokens_per_second,
    "serving_cost_per_million_tokens": serving_cost,
    "request_cost": request_cost,
    "api_break_even_tokens": break_even,
    "contribution_margin": economics.contribution_margin,
    "margin_share": margin_share,
    "monthly_churn": monthly_churn,
    "lifetime_value": lifetime_value,
    "segment_lifetime_value": segment_lifetime_value,
    "payback_period": economics.payback_period,
    "draw_months": draw_months,
    "cash_at_month_end": cash_at_month_end,
    "months_of_runway": months_of_runway,
    "survival_probability": survival_probability,
    "runway_quantile": runway_quantile,
}


def functions_of(source):
    return {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}


def test_the_oracle_answers_every_function(exercise_10):
    written = [functions_of(cell.answer) for cell in exercise_10.solution_cells if cell.code]
    assert set().union(*written) == ORACLE.keys()


@pytest.mark.parametrize("secret", ["", "spring term", "autumn term", "7"])
def test_the_oracle_passes_every_check(secret, exercise_10, solved, run_cell, monkeypatch):
    monkeypatch.setenv("COURSE_SECRET", secret)
    names = solved | ORACLE
    for cell in exercise_10.graded_cells:
        error = run_cell(cell.source, names)
        assert error is None, f"{cell.grade_id}: {error}"


def test_a_right_way_to_draw_passes_every_secret(exercise_10, solved, run_cell, monkeypatch):
    for secret in range(60):
        monkeypatch.setenv("COURSE_SECRET", str(secret))
        for draw in (solved["draw_months"], draw_months):
            names = solved | {"draw_months": draw}
            error = run_cell(exercise_10.cells["test_draw_months"].source, names)
            assert error is None, str(error)


def test_no_price_is_a_default(exercise_10):
    for cell in exercise_10.solution_cells:
        if not cell.code:
            continue
        for node in ast.walk(ast.parse(cell.answer)):
            if isinstance(node, ast.FunctionDef):
                assert [ast.unparse(value) for value in node.args.defaults] in ([], ["0.0"])


def test_what_the_text_says_of_the_scenario_is_true(solved):
    board = solved["company"]()
    assert board["million tokens that can be reached"] == math.inf
    assert board["million tokens to break even"] > board["million tokens of capacity"]
    assert board["lifetime value, 36 months at 1 %"] < 0.75 * board["margin / churn"]
    assert board["texts at a time"] > 100
    _, ends = solved["futures"]()
    assert 0.5 < survival_probability(ends, 18) < 0.65


def test_a_growth_that_is_kept_brings_bad_ends_earlier(solved):
    rng = np.random.default_rng(2026)
    kept = [
        np.broadcast_to(solved["draw_months"](*triple, 5000, 1, rng), (5000, 36))
        for triple in solved["RANGES"].values()
    ]
    start = solved["COMPANY"].values()
    kept_ends = solved["months_of_runway"](solved["cash_at_month_end"](*start, *kept))
    # As the model memo says.
    assert solved["runway_quantile"](kept_ends, 0.05) == 13
    assert solved["runway_quantile"](solved["futures"]()[1], 0.05) == 17


def test_the_memo_in_the_notebook_is_the_sample_with_full_marks(exercise_10, memo):
    words = " ".join(exercise_10.cells["memo"].source.split())
    assert " ".join(memo["samples"][0]["text"].split()) in words
    for line in memo["rubric"].values():
        points = f"{line['points']} point{'s' if line['points'] > 1 else ''}"
        assert f"* {points}: {line['text']}" in words
    assert sum(line["points"] for line in memo["rubric"].values()) == 10
    assert len(memo["samples"]) >= 3
    assert memo["samples"][0]["total"] == 10
    assert 250 <= len(memo["samples"][0]["text"].split()) <= 400


def test_what_the_model_memo_says_would_change_the_decision_does(solved, memo):
    text = " ".join(memo["samples"][0]["text"].split())
    assert (
        "if the API's price doubles, or if a better batch raises our measured speed by 60 %" in text
    )
    assert "A lifetime value of 1.2 times the acquisition cost" in text
    board = solved["company"]()
    ratio = board["lifetime value, 36 months at 1 %"] / solved["CUSTOMER"]["cac"]
    assert round(ratio, 1) == 1.2
    fixed, api = board["fixed cost a month"], board["API price of a million tokens"]
    own = solved["OWN"]["per_million"]
    capacity = 1e6 * board["million tokens of capacity"]
    break_even = solved["api_break_even_tokens"]
    assert break_even(fixed, 2 * api, own, capacity) < math.inf
    assert break_even(fixed, api, own, 1.6 * capacity) < math.inf
    assert break_even(fixed, api, own, 1.5 * capacity) == math.inf


def is_right(claim, memo, names):
    value = eval(memo["numbers"][claim["number"]], dict(names))
    # Memos round to three digits.
    return math.isclose(claim["says"], value, rel_tol=5e-3)


def test_every_number_of_a_sample_memo_is_as_right_as_it_says(memo, solved):
    for sample in memo["samples"]:
        text = " ".join(sample["text"].split())
        for claim in sample["claims"]:
            assert claim["in"] in text, claim
            shown = claim["in"].replace(",", "")
            written = (
                f"{claim['says']:g}",
                f"{100 * claim['says']:.3g} %",
                f"{100 * claim['says']:.1f} %",
            )
            assert any(number in shown for number in written), claim
            assert is_right(claim, memo, solved) != claim.get("wrong", False), claim


def test_the_marks_of_a_sample_memo_follow_from_the_rubric(memo, solved):
    for sample in memo["samples"]:
        text = " ".join(sample["text"].split())
        right = {c["number"] for c in sample["claims"] if is_right(c, memo, solved)}
        marks = {}
        for name, line in memo["rubric"].items():
            if "numbers" in line:
                share = Fraction(len(right & set(line["numbers"])), len(line["numbers"]))
                marks[name] = math.floor(line["points"] * share)
            else:
                quote = sample["quotes"].get(name)
                assert quote is None or quote in text, quote
                marks[name] = line["points"] if quote else 0
        assert marks == sample["marks"], sample["name"]
        assert sum(marks.values()) == sample["total"], sample["name"]


def test_growth_and_costs_swing_the_cash_more_than_churn(solved):
    swings = {}
    for name, (low, _, high) in solved["RANGES"].items():
        ends = [
            np.median(
                solved["futures"](
                    ranges=solved["RANGES"] | {name: (edge * (1 - 1e-9), edge, edge * (1 + 1e-9))}
                )[0][:, 17]
            )
            for edge in (low, high)
        ]
        swings[name] = abs(ends[1] - ends[0])
    assert min(swings, key=swings.get) == "churn"


# Slips that the visible checks name, beside those of the mutants: cell, text to replace, new text.
SLIPS = {
    "you divide by the price": ("training_cost", "* price_per_gpu_hour", "/ price_per_gpu_hour"),
    "the overhead is a share of the bill": (
        "training_cost",
        "* (1 + overhead)",
        "+ overhead",
    ),
    "this is the overhead alone": (
        "training_cost",
        "* (1 + overhead)",
        "* (overhead or 1)",
    ),
    "the number of heads is missing": ("serving_memory", "* num_key_value_heads ", ""),
    "bits are not bytes": (
        "serving_memory",
        "memory_bytes - parameters * bits / 8",
        "memory_bytes - parameters * bits",
    ),
    "at 1.9e9 tokens the API is still cheaper": (
        "api_break_even",
        "tokens if tokens <= capacity else math.inf",
        "min(tokens, capacity)",
    ),
    "growth and churn are shares of the same revenue": (
        "runway",
        "(1 + growth[:, month] - churn[:, month])",
        "(1 + growth[:, month]) * (1 - churn[:, month])",
    ),
    "count up to the first month below 0": (
        "runway",
        "np.where(empty.any(axis=1), empty.argmax(axis=1) + 1, np.inf)",
        "np.sum(~empty, axis=1) + 1",
    ),
    "half of 4 paths are 2": (
        "runway_statistics",
        "math.ceil(share * len(runways)) - 1",
        "int(share * len(runways))",
    ),
    "computing may be the slower part": ("serving_cost", "max(reading, computing)", "reading"),
}


@pytest.mark.parametrize("says", SLIPS)
def test_a_slip_is_named(says, exercise_10, solved, run_cell):
    cell, old, new = SLIPS[says]
    names = dict(solved)
    assert run_cell(exercise_10.cells[cell].answer.replace(old, new), names) is None
    [check] = exercise_10.checks_of(exercise_10.cells[cell])
    assert says in str(run_cell(check.visible, names))


def test_no_explanation_in_a_check_is_dead(exercise_10, namespace, run_cell):
    names, heard = namespace(exercise_10), ""
    tried = [(one.cell, one.replace, one.replacement) for one in exercise_10.mutants]
    for cell, old, new in [*tried, *SLIPS.values()]:
        answer = exercise_10.cells[cell].answer
        assert answer.count(old) == 1, old
        wrong = dict(names)
        assert run_cell(answer.replace(old, new), wrong) is None
        for check in exercise_10.checks_of(exercise_10.cells[cell]):
            heard += str(run_cell(check.visible, wrong))
    written = [
        key.value
        for cell in exercise_10.graded_cells
        for node in ast.walk(ast.parse(cell.visible))
        if isinstance(node, ast.keyword) and node.arg == "slips"
        for key in node.value.keys
    ]
    assert len(written) > 60
    assert [text for text in written if text not in heard] == []
