"""Notebooks for people show all of the work, and nothing of it runs in their browser."""

import json
import re
import warnings
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbconvert.exporters import HTMLExporter
from traitlets.config import Config

from coursekit.grading.assignment import Classroom
from coursekit.grading.intake.rebuild import rebuild
from coursekit.grading.package import Package
from coursekit.grading.records.autograded import Desk, Shown
from coursekit.grading.results import Result

Answered = Callable[[str], bytes]


@pytest.fixture
def desk(classroom: Classroom, package: Package) -> Desk:
    """The notebooks of the assignment."""
    return Desk(classroom, package)


def autograded(desk: Desk, student: str = "ann") -> Path:
    return desk.classroom.root / "autograded" / student / "01_small" / "small.ipynb"


def result(desk: Desk, submission: bytes, outputs: list[dict[str, Any]] | None = None) -> Result:
    rebuilt = rebuild(desk.package.release_notebook, submission)
    return Result("graded", notebook=rebuilt.notebook, outputs={"mean": outputs or []})


def test_the_notebook_shows_the_work_the_tests_and_the_outputs(
    desk: Desk, answered: Answered
) -> None:
    outputs: list[dict[str, Any]] = [
        {"output_type": "stream", "name": "stdout", "text": "a \ud800 b"},
        {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["\x1b[31mE\x1b[0m"]},
        {"output_type": "display_data", "data": {"image/png": "iVBOR\n"}, "metadata": {}},
    ]
    submission = answered("mean = 1")
    desk.lay("ann", submission, result(desk, submission, outputs), Shown("digest", "key"))
    notebook = nbformat.read(autograded(desk), as_version=4)
    nbformat.validate(notebook)
    cells = {cell.id: cell for cell in notebook.cells}
    assert cells["mean"].source == "mean = 1"
    assert cells["why"].source == "Because."
    assert "assert secret" in cells["test_mean"].source
    assert [one.output_type for one in cells["mean"].outputs] == ["stream", "error", "display_data"]
    assert cells["mean"].outputs[0].text == "a ? b"
    assert cells["test_mean"].metadata.nbgrader.points == 6
    assert desk.shown("ann") == Shown("digest", "key")
    assert autograded(desk).stat().st_mode & 0o777 == 0o444
    submitted = desk.classroom.root / "submitted" / "ann" / "01_small" / "small.ipynb"
    assert submitted.read_bytes() == submission


def test_new_work_replaces_the_old(desk: Desk, answered: Answered) -> None:
    for answer in ("one", "two"):
        submission = answered(answer)
        desk.lay("ann", submission, result(desk, submission), Shown(answer, answer))
    assert desk.shown("ann") == Shown("two", "two")
    assert list(autograded(desk).parent.iterdir()) == [autograded(desk)]


@pytest.mark.parametrize("damage", ["", "{", "{}", '{"metadata": {"course": {"x": 1}}}'])
def test_a_damaged_notebook_shows_nothing(desk: Desk, answered: Answered, damage: str) -> None:
    assert desk.shown("ann") == Shown()
    autograded(desk).parent.mkdir(parents=True)
    autograded(desk).write_text(damage)
    assert desk.shown("ann") == Shown()


def test_what_was_not_graded_is_shown_as_far_as_it_can_be_read(
    desk: Desk, answered: Answered
) -> None:
    desk.lay("ann", answered("loops"), Result("person", "killed its grader"), Shown("a", "b"))
    assert "loops" in autograded(desk).read_text()
    desk.lay("bob", b"no notebook", Result("failed", "no notebook"), Shown("a", "b"))
    assert not autograded(desk, "bob").exists()
    assert (desk.classroom.root / "submitted" / "bob").is_dir()


@pytest.mark.parametrize(
    "outputs",
    [
        [3, None, {}, {"output_type": "widget"}],
        [{"output_type": "display_data", "data": {"text/plain": 3, "image/png": {"a": 1}}}],
        [{"output_type": "display_data", "data": [1]}, {"output_type": "execute_result"}],
        [{"output_type": "stream", "name": [], "text": ["a", 1]}],
        [{"output_type": "error", "ename": 3, "traceback": [None]}],
        [{"output_type": "error", "traceback": "text"}],
    ],
)
def test_outputs_of_any_form_make_a_notebook(
    desk: Desk, answered: Answered, outputs: list[Any]
) -> None:
    submission = answered("mean = 1")
    desk.lay("ann", submission, result(desk, submission, outputs), Shown("a", "b"))
    nbformat.validate(nbformat.read(autograded(desk), as_version=4))


class Dangers(HTMLParser):
    """Collects what a page of Formgrader runs that mentions `evil`."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._script = tag == "script"
        for name, value in attrs:
            runs = name.startswith("on") or name in ("src", "action", "srcdoc", "style")
            # A plain address that somebody may click is shown as such.
            runs = runs or (name == "href" and not (value or "").startswith("https://"))
            if runs and "evil" in (value or ""):
                self.found.append(f"<{tag} {name}={value}>")

    def handle_data(self, data: str) -> None:
        if self._script and "evil" in data:
            self.found.append(data)


MARKDOWN = """<script>evil()</script> <img src=x onerror=evil()> <a href="javascript:evil()">x</a>
[a](javascript:evil()) [b](<javascript:evil()>) ![c](https://evil/) [d][e] <javascript:evil()>
[f](java&#115;cript:evil()) [g]( javascript:evil()) <svg/onload=evil()>
<!--<img src=x onerror=evil()>

[e]: javascript:evil()
[h]: https://evil/
<iframe srcdoc="<script>evil()</script>"></iframe> <style>body{background:url(https://evil/)}</style>
"""


def test_nothing_of_a_student_runs_in_formgrader(
    desk: Desk, work: dict[str, Any], classroom: Classroom
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import nbgrader.server_extensions.formgrader.handlers as formgrader
    kinds = {
        "text/html": "<script>evil()</script><img src=x onerror=evil()>",
        "application/javascript": "evil()",
        "image/svg+xml": "<svg onload='evil()'><script>evil()</script></svg>",
        "text/markdown": "<script>evil()</script>",
        "text/latex": "<script>evil()</script>",
        "image/png": "\"><script>evil()</script><img src='",
        "application/vnd.jupyter.widget-view+json": {"model_id": "evil"},
    }
    outputs = [
        {"output_type": "display_data", "data": {kind: content}, "metadata": {}}
        for kind, content in kinds.items()
    ]
    outputs += [
        {"output_type": "stream", "name": "stdout", "text": "<script>evil()</script>"},
        {"output_type": "error", "ename": "E", "evalue": "", "traceback": ["<script>evil()"]},
    ]
    for cell in work["cells"]:
        if cell["id"] in ("why", "next"):
            cell["source"] = MARKDOWN
    extra = {"cell_type": "raw", "metadata": {"format": "text/html"}, "source": MARKDOWN}
    work["cells"].append(extra)
    submission = json.dumps(work).encode()
    config = Config()
    config.HTMLExporter.template_name = "formgrade"
    config.HTMLExporter.extra_template_basedirs = [formgrader.template_path]
    named = ("assignment_id", "notebook_id", "submission_id", "student", "notebook_path")
    resources = dict.fromkeys((*named, "last_name", "first_name"), "x")
    resources |= {"index": 0, "total": 1, "base_url": "/"}

    def dangers(notebook: Any) -> list[str]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            page, _ = HTMLExporter(config=config).from_notebook_node(
                nbformat.from_dict(notebook), resources=dict(resources)
            )
        parser = Dangers()
        parser.feed(page)
        return parser.found

    graded = result(desk, submission, outputs)
    untamed = json.loads(json.dumps(graded.notebook))
    next(cell for cell in untamed["cells"] if cell["id"] == "mean")["outputs"] = outputs
    assert len(dangers(untamed)) > 10, "this test would see it"
    desk.lay("ann", submission, graded, Shown("a", "b"))
    shown = json.loads(autograded(desk).read_text())
    assert dangers(shown) == []
    cells = {cell["id"]: cell for cell in shown["cells"]}
    assert "evil" in cells["why"]["source"], "the work itself is still there to read"
    assert re.sub(r"\s", "", cells["why"]["source"]) == re.sub(r"\s", "", MARKDOWN)
    assert cells["mean"]["outputs"][0]["data"] == {"text/plain": "(text/html: not shown here)"}
