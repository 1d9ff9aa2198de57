"""The notebook to grade is the release: a submission gives answers and extra cells, no more."""

import copy
import json
from collections.abc import Callable
from typing import Any

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nbformat import NotebookNode

from coursekit.errors import CourseError
from coursekit.grading.intake.parse import RefusedError
from coursekit.grading.intake.rebuild import Rebuilt, rebuild

Work = dict[str, Any]


def built(release: NotebookNode, work: Work) -> Rebuilt:
    return rebuild(release, json.dumps(work).encode())


def sources(result: Rebuilt) -> dict[str, str]:
    return {cell.id: cell.source for cell in result.notebook.cells}


def locked(notebook: NotebookNode) -> list[NotebookNode]:
    return [
        cell
        for cell in notebook.cells
        if "nbgrader" in cell.metadata and not cell.metadata.nbgrader.solution
    ]


def cell(work: Work, name: str) -> Work:
    return next(one for one in work["cells"] if one.get("id") == name)


def extra(source: str, name: str = "mine", kind: str = "code") -> Work:
    return {"cell_type": kind, "id": name, "metadata": {}, "source": source}


def test_answers_are_taken_and_the_rest_is_the_release(release: NotebookNode, work: Work) -> None:
    work["metadata"] = {"kernelspec": {"name": "evil"}}
    cell(work, "mean")["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "x"}]
    cell(work, "why")["attachments"] = {"a.png": {"image/png": "AAAA"}}
    result = built(release, work)
    wanted = copy.deepcopy(release)
    for one in wanted.cells:
        one.source = {"mean": "mean = 1", "centre": "centre = 2", "why": "Because."}.get(
            one.id, one.source
        )
    assert result == Rebuilt(wanted, (), ())
    nbformat.validate(result.notebook)


def attack_27(work: Work) -> None:
    cell(work, "test_mean")["source"] = "pass"


def attack_28(work: Work) -> None:
    cell(work, "test_mean")["metadata"]["nbgrader"]["points"] = 1000


def attack_29(work: Work) -> None:
    cell(work, "test_mean")["metadata"]["nbgrader"] |= {
        "solution": True,
        "grade": False,
        "locked": False,
    }
    cell(work, "test_mean")["source"] = "pass"


def attack_30(work: Work) -> None:
    for one in work["cells"]:
        one["metadata"] = {}


def attack_31(work: Work) -> None:
    work["cells"] += [copy.deepcopy(one) for one in work["cells"]]


def attack_32(work: Work) -> None:
    work["cells"] = [one for one in work["cells"] if not one["id"].startswith("test")]


def attack_33(work: Work) -> None:
    cell(work, "test_mean")["cell_type"] = "markdown"


def wrong_schema(work: Work) -> None:
    for one, version in zip(work["cells"], (0, 99, "x", None, 0, 99, [], {}), strict=True):
        one["metadata"].setdefault("nbgrader", {})["schema_version"] = version


def swapped_names(work: Work) -> None:
    cell(work, "reader")["metadata"]["nbgrader"]["grade_id"] = "test_mean"


@pytest.mark.parametrize(
    "attack",
    [
        attack_27,
        attack_28,
        attack_29,
        attack_30,
        attack_31,
        attack_32,
        attack_33,
        wrong_schema,
        swapped_names,
    ],
)
def test_an_attack_on_cells_changes_no_test(
    release: NotebookNode, work: Work, attack: Callable[[Work], None]
) -> None:
    attack(work)
    result = built(release, work)
    assert locked(result.notebook) == locked(release)
    assert [one.id for one in result.notebook.cells] == [one.id for one in release.cells]
    # The honest part of the work is not lost either.
    assert sources(result)["mean"] == "mean = 1"
    assert sources(result)["why"] == "Because."


def test_a_missing_answer_is_as_released_and_reported(release: NotebookNode, work: Work) -> None:
    work["cells"].remove(cell(work, "centre"))
    result = built(release, work)
    assert result.missing == ("centre",)
    assert result.notes == ("`centre` is missing; it is as released.",)
    assert sources(result)["centre"] == "raise NotImplementedError()"


def test_an_edited_test_is_named(release: NotebookNode, work: Work) -> None:
    attack_27(work)
    notes = built(release, work).notes
    assert notes == ("`test_mean` was changed; the released cell counts.",)


def test_a_split_answer_is_whole(release: NotebookNode, work: Work) -> None:
    half = copy.deepcopy(cell(work, "mean"))
    half["source"] = "def helper(): pass"
    work["cells"].insert(1, half)
    result = built(release, work)
    assert [one.source for one in result.notebook.cells[1:3]] == ["def helper(): pass", "mean = 1"]
    assert result.notebook.cells[1].metadata == {}
    assert result.notes == ("`mean` is there more than once; the last answer counts.",)


def test_an_untouched_copy_replaces_no_answer(release: NotebookNode, work: Work) -> None:
    stub = copy.deepcopy(cell(work, "mean"))
    stub["source"] = "raise NotImplementedError()"
    work["cells"].append(stub)
    assert sources(built(release, work))["mean"] == "mean = 1"
    assert len(built(release, work).notebook.cells) == len(release.cells)


def test_extra_cells_stay_before_what_they_stood_before(release: NotebookNode, work: Work) -> None:
    work["cells"].insert(2, extra("second = 2"))
    work["cells"].insert(2, extra("first = 1"))
    work["cells"].append(extra("last", kind="markdown"))
    result = built(release, work)
    found = [one.source for one in result.notebook.cells]
    assert found[1:5] == ["mean = 1", "first = 1", "second = 2", "assert mean([1]) == 1"]
    assert found[-1] == "last"
    nbformat.validate(result.notebook)
    assert len({one.id for one in result.notebook.cells}) == len(found)


def test_a_plain_cell_is_the_students_and_comes_back(release: NotebookNode, work: Work) -> None:
    cell(work, "imports")["source"] = "import math, random"
    assert sources(built(release, work))["imports"] == "import math, random"
    work["cells"].remove(cell(work, "imports"))
    assert sources(built(release, work))["imports"] == "import math"


def test_cells_without_ids_are_known_by_their_text(release: NotebookNode, work: Work) -> None:
    for one in work["cells"]:  # As notebooks of format 4.4 are.
        del one["id"]
    work["nbformat_minor"] = 4
    result = built(release, work)
    assert [one.id for one in result.notebook.cells] == [one.id for one in release.cells]
    assert result.notes == ()


def test_an_unknown_graded_cell_is_left_out(release: NotebookNode, work: Work) -> None:
    other = copy.deepcopy(cell(work, "mean"))
    other["id"] = other["metadata"]["nbgrader"]["grade_id"] = "bonus"
    work["cells"].append(other)
    result = built(release, work)
    assert "bonus" not in sources(result)
    assert result.notes == ("`bonus` is no cell of the release; it is left out.",)


def test_a_release_that_names_a_cell_twice_is_refused(release: NotebookNode, work: Work) -> None:
    twice = copy.deepcopy(release)
    twice.cells.append(twice.cells[1])
    with pytest.raises(CourseError, match="names two cells `mean`"):
        built(twice, work)


def test_lists_of_lines_and_a_byte_order_mark_are_read(release: NotebookNode, work: Work) -> None:
    cell(work, "mean")["source"] = ["a = 1\n", "b = 2"]
    result = rebuild(release, b"\xef\xbb\xbf" + json.dumps(work).encode())
    assert sources(result)["mean"] == "a = 1\nb = 2"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        ('{"nbformat": 4, "cells": ["é"]}'.encode("latin-1"), "not UTF-8"),
        (b"[]", "names no `nbformat`"),
        (b'{"nbformat": 3, "worksheets": []}', "notebook format 3"),
        (b'{"nbformat": 4}', "no list of cells"),
        (b'{"nbformat": 4, "cells": [1]}', "cell 1 is not a cell"),
        (b'{"nbformat": 4, "cells": [{"cell_type": []}]}', "cell 1 is not a cell"),
        (b'{"nbformat": 4, "cells": [{"cell_type": "raw", "source": 1}]}', "is no text"),
        (rb'{"nbformat": 4, "cells": [{"cell_type": "raw", "source": "\ud800"}]}', "Unicode"),
    ],
)
def test_what_is_no_notebook_is_refused(release: NotebookNode, data: bytes, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        rebuild(release, data)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
NAMES = ["imports", "mean", "test_mean", "next", "centre", "test_centre", "reader", "why", "other"]
CELLS = st.fixed_dictionaries(
    {"cell_type": st.sampled_from(["code", "markdown", "raw"]), "source": st.text(max_size=9)},
    optional={
        "id": st.sampled_from(NAMES) | JUNK,
        "outputs": JUNK,
        "attachments": JUNK,
        "metadata": JUNK
        | st.fixed_dictionaries(
            {
                "nbgrader": JUNK
                | st.fixed_dictionaries(
                    {"grade_id": st.sampled_from(NAMES) | JUNK},
                    optional=dict.fromkeys(
                        ("locked", "solution", "grade", "points", "schema_version"), JUNK
                    ),
                )
            }
        ),
    },
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(cells=st.lists(CELLS, max_size=12), metadata=JUNK)
def test_no_submission_changes_what_is_locked(
    release: NotebookNode, cells: list[Work], metadata: object
) -> None:
    # One answer is there: a notebook without any is that of another exercise, and is refused.
    answer = {"cell_type": "code", "id": "mean", "source": "mean = 1"}
    work = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": metadata,
        "cells": [*cells, answer],
    }
    before = copy.deepcopy(release)
    result = built(release, work)
    assert release == before
    assert result == built(release, work)
    nbformat.validate(result.notebook)
    assert result.notebook.metadata == release.metadata
    assert locked(result.notebook) == locked(release)
    ids = [one.id for one in result.notebook.cells if not one.id.startswith("extra-")]
    assert ids == [one.id for one in release.cells]
    for one in result.notebook.cells:
        assert not one.get("outputs")
        assert "attachments" not in one
        if one.id.startswith("extra-"):
            assert one.metadata == {}


def test_the_notebook_of_another_exercise_is_refused(release: NotebookNode, work: Work) -> None:
    for one in work["cells"]:
        one["id"] += "_2"
        if "nbgrader" in one["metadata"]:
            one["metadata"]["nbgrader"]["grade_id"] += "_2"
    with pytest.raises(RefusedError, match=r"none of the answers .*`mean_2`, .*another exercise"):
        built(release, work)
    with pytest.raises(RefusedError, match=r"none of the answers of this assignment is in it$"):
        built(release, {"nbformat": 4, "cells": [extra("print(1)")]})


def test_remarks_are_few_and_short(release: NotebookNode, work: Work) -> None:
    for number in range(1000):
        known = {"nbgrader": {"grade_id": f"{number} {'x' * 3000}", "grade": True}}
        work["cells"].append({**extra("", ""), "metadata": known})
    notes = built(release, work).notes
    assert len(notes) == 21
    assert notes[-1] == "980 more remarks are left out."
    assert max(map(len, notes)) < 150
