"""Feedback: all that a student needs, nothing that runs, and not a word of a hidden test."""

import base64
import copy
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest

from coursekit.exercises import load_exercise
from coursekit.grading.intake.student_names import safe_name
from coursekit.grading.people import feedback
from coursekit.grading.people.feedback import Template, feedback_page, write_feedback
from coursekit.grading.people.formulas import mathml
from coursekit.grading.people.rendering import bounded, markdown, outputs, plain
from coursekit.grading.records.marks import Mark, Marks, Sheet, open_gradebook, read_marks
from coursekit.repository import Repository

ROOT = Path(__file__).parents[4]
ASSIGNMENT = "01_backprop"
# What each line must not become: a sign that the browser runs or asks for something.
HOSTILE = """<script>window.pwned = 1</script>
<img src=x onerror="window.pwned = 1"><img src="https://evil.example/pixel.png">
<svg onload="window.pwned = 1"></svg><iframe src="https://evil.example"></iframe>
<style>body { background: url(https://evil.example/b.png); display: none }</style>
<div style="position: fixed; inset: 0; background: red" onclick="window.pwned = 1">full marks</div>
<form action="https://evil.example"><input name=q><button formaction="javascript:1">
<meta http-equiv="refresh" content="0; url=https://evil.example"><base href="https://evil.example">
<details ontoggle="window.pwned = 1" open><summary>x</summary></details></div></section></main>

[a](javascript:window.pwned=1) [b](data:text/html,<script>window.pwned=1</script>) [c](vbscript:x)
![d](https://evil.example/d.png) ![e](data:image/svg+xml;base64,PHN2Zy8+) <https://example.org>
$\\href{javascript:window.pwned=1}{x}$ $\\text{<script>window.pwned = 1</script>}$
{{ 7 * 7 }} {% raw %} ]]> --> \x1b]8;;https://evil.example\x07link\x1b]8;;\x07 \x00\u202e
"""
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" onload="window.pwned = 1">'
    '<script>window.pwned = 1</script><image href="https://evil.example/i.png"/></svg>'
)


def not_graded(spring: Any) -> dict[str, str]:
    return {
        student: ": ".join(ending)
        for student, ending in spring.standing.endings.items()
        if ending[0] != "graded"
    }


@pytest.fixture(scope="session")
def written(spring) -> Any:
    """The pages of the class."""
    standing = spring.standing
    return write_feedback(
        spring.classroom.root, standing.template, standing.marks, not_graded(spring)
    )


def page_of(spring: Any, student: str) -> str:
    path = spring.classroom.root / "feedback" / student / ASSIGNMENT / "backprop.html"
    return path.read_text(encoding="utf-8")


class Parsed(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data


def active_parts(page: str) -> list[str]:
    """Everything on a page that could run, send or fetch something."""
    found = []
    # The template's own: one style, and three lines about the page.
    allowed = {"style": 1, "meta": 4}
    forbidden = "script iframe object embed form input button link base svg audio video frame"
    for tag, attributes in Parsed(page).tags:
        if tag in forbidden.split():
            found.append(tag)
        if tag in allowed:
            allowed[tag] -= 1
            if allowed[tag] < 0:
                found.append(tag)
        for name, value in attributes.items():
            if name.startswith("on") or name in {"style", "srcset", "formaction", "background"}:
                found.append(f"{tag} {name}")
            if name == "href" and not re.match(r"https?://|mailto:|#[\w.-]+$", value):
                found.append(f"{tag} {name}={value}")
            if name == "src" and not re.match(r"data:image/(png|jpeg|gif|svg\+xml);base64,", value):
                found.append(f"{tag} {name}={value}")
    return found


def words(page: str) -> str:
    """The text of a page on one line."""
    return " ".join(Parsed(page).text.split())


@pytest.fixture(scope="session")
def texts(written) -> dict[str, str]:
    """What stands on the page of each student, on one line."""
    pages = {path.parts[-3]: path.read_text(encoding="utf-8") for path in written.written}
    return {student: words(page) for student, page in pages.items()}


# The class.


def test_everybody_who_is_graded_has_a_page(spring, written) -> None:
    assert {path.parts[-3] for path in written.written} == {
        one.student for one in spring.standing.marks.sheets if one.graded
    }
    assert len(written.written) == 60
    assert all(path.parts[-2:] == (ASSIGNMENT, "backprop.html") for path in written.written)
    assert written.without == [
        ("empty", "failed: empty"),
        ("latin", "failed: not JSON; the file is damaged"),
        ("poison", "person: killed 3 graders"),
        ("stuck", "failed: the notebook took over 300 seconds"),
    ]


def test_every_message_of_the_checks_is_on_the_page(spring, texts) -> None:
    named = 0
    for student, result in spring.results.items():
        text = texts[safe_name(student)]
        assert f"{result.score:g} of 110 points" in text
        for cell in result.cells:
            assert f"{cell.score:g} of {cell.points:g} points" in text
            said = " ".join(cell.message.split())
            assert said in text
            named += "Likely cause:" in said
    assert named > 30, "the class hears too little for this test"


def hidden_lines(source: dict[str, Any]) -> set[str]:
    """Lines that only hidden tests have, long enough to be nobody's by chance."""
    hidden, shown = set(), set()
    for cell in source["cells"]:
        inside = False
        for line in "".join(cell["source"]).splitlines():
            inside = (inside or "BEGIN HIDDEN" in line) and "END HIDDEN" not in line
            (hidden if inside else shown).add(" ".join(line.split()))
    return {line for line in hidden - shown if len(line) >= 16}


def test_no_hidden_test_is_on_any_page(texts, graded_notebook) -> None:
    hidden = hidden_lines(graded_notebook("student23"))
    assert len(hidden) > 30, "the graded notebook has no hidden tests, so this test shows nothing"
    for text in texts.values():
        assert not [line for line in hidden if line in text]
        assert "hidden_function" not in text, "the traceback of a check is on the page"
        assert text.count("Hidden tests ran here too") == 8


def test_no_model_answer_and_no_rubric_is_on_any_page(texts) -> None:
    repository = Repository.find(ROOT)
    exercise = load_exercise(repository, repository.solutions / ASSIGNMENT)
    [answer] = [
        cell.source
        for cell in exercise.notebook.cells
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "zero_weights"
    ]
    sentences = [
        line for line in answer.splitlines() if re.fullmatch(r"[\w ,.:'-]{30,}", line.strip("* "))
    ]
    assert len(sentences) >= 2
    for text in texts.values():
        assert not [line for line in sentences if line.strip("* ") in text]
        assert "Rubric" not in text


def test_pages_of_a_class_have_nothing_active(written) -> None:
    for path in written.written:
        assert active_parts(path.read_text(encoding="utf-8")) == []


def test_many_processes_write_the_same_pages(spring, written, tmp_path, monkeypatch) -> None:
    before = {path.parts[-3]: path.read_bytes() for path in written.written}
    shutil.copytree(spring.classroom.root / "autograded", tmp_path / "autograded")
    monkeypatch.setattr(feedback, "PAGES_PER_PROCESS", 10)
    seen = []
    standing = spring.standing
    done = write_feedback(
        tmp_path,
        standing.template,
        standing.marks,
        not_graded(spring),
        workers=2,
        progress=lambda count, total: seen.append((count, total)),
    )
    assert {path.parts[-3]: path.read_bytes() for path in done.written} == before
    assert seen[-1] == (60, 60)


def test_what_a_person_gave_in_formgrader_is_on_the_page(spring, tmp_path) -> None:
    database = tmp_path / "gradebook.db"
    shutil.copy(spring.classroom.root / "gradebook.db", database)
    where = ("backprop", ASSIGNMENT, "student00")
    with open_gradebook(f"sqlite:///{database}") as gradebook:
        grade = gradebook.find_grade("zero_weights", *where)
        grade.manual_score, grade.extra_credit, grade.needs_manual_grade = 7.5, 1.0, False
        gradebook.find_comment("zero_weights", *where).manual_comment = "Nearly: *why* is $A = 0$?"
        gradebook.find_comment("relu", *where).manual_comment = "<script>window.pwned = 1</script>"
        gradebook.db.commit()
    with open_gradebook(f"sqlite:///{database}") as gradebook:
        marks = read_marks(gradebook, ASSIGNMENT)
    done = write_feedback(spring.classroom.root, spring.template, marks, not_graded(spring))
    assert len(done.written) == 60
    page = page_of(spring, "student00")
    text = words(page)
    assert "108.5 of 110 points" in text
    assert "8.5 of 10 points, given by a person" in text
    assert "Comment: Nearly: why is" in text
    assert "<em>why</em>" in page
    assert "<script>window.pwned = 1</script>" in text
    assert active_parts(page) == []
    assert "A person still looks" not in text
    assert "A person still looks at 1 of your answers" in words(page_of(spring, "student02"))


# One page.


def cell_of(kind: str, name: str, source: str, outputs: Any = (), **roles: Any) -> dict[str, Any]:
    known = {"grade_id": name, "schema_version": 3, **roles}
    cell = {"cell_type": kind, "id": name, "source": source, "metadata": {"nbgrader": known}}
    return cell | ({"outputs": list(outputs)} if kind == "code" else {})


def small(source: str, outputs: Any = (), said: Any = (), own: Any = ()) -> str:
    """The page of a notebook with an answer, its check, a question and cells of the student's."""
    roles = {"solution": True, "locked": False, "grade": False}
    test = {"solution": False, "locked": True, "grade": True, "points": 6}
    question = {"solution": True, "locked": False, "grade": True, "points": 4}
    released = {
        "cells": [
            cell_of("code", "relu", "raise NotImplementedError()", **roles),
            cell_of("code", "test_relu", "assert relu(1) == 1", **test),
            cell_of("markdown", "why", "YOUR ANSWER HERE", **question),
        ]
    }
    graded = copy.deepcopy(released)
    graded["cells"][0] |= {"source": source, "outputs": list(outputs)}
    graded["cells"][1] |= {
        "source": "assert relu(1) == 1\n### BEGIN HIDDEN TESTS\nassert relu(77) == 77\n"
        "### END HIDDEN TESTS",
        "outputs": list(said),
    }
    graded["cells"][2]["source"] = source
    graded["cells"] += own
    template = Template.of("01_tiny", "tiny", graded, released)
    marks = (Mark("tiny", "test_relu", 6.0, 3.0), Mark("tiny", "why", 4.0, None, waiting=True))
    comments = {("tiny", "why"): source}
    sheet = Sheet("ada", submitted=True, marks=marks, comments=comments)
    return feedback_page(template, graded, sheet)


def hostile_page() -> str:
    """Everything that a student can write, everywhere where it is shown."""
    bundle = {
        "text/html": HOSTILE,
        "application/javascript": "window.pwned = 1",
        "text/plain": HOSTILE,
    }
    shown = [
        {"output_type": "stream", "name": "stdout", "text": HOSTILE},
        {"output_type": "display_data", "data": bundle, "metadata": {}},
        {"output_type": "display_data", "data": {"text/html": HOSTILE}, "metadata": {}},
        {"output_type": "display_data", "data": {"text/markdown": HOSTILE}, "metadata": {}},
        {"output_type": "display_data", "data": {"text/latex": HOSTILE}, "metadata": {}},
        {"output_type": "display_data", "data": {"image/svg+xml": SVG}, "metadata": {}},
        {"output_type": "display_data", "data": {"image/png": HOSTILE}, "metadata": {}},
        {"output_type": "display_data", "data": {"image/png": '"onload="x'}, "metadata": {}},
        {"output_type": HOSTILE, "data": HOSTILE},
        {"output_type": "error", "ename": HOSTILE, "evalue": HOSTILE, "traceback": [HOSTILE]},
    ]
    said = [{"output_type": "error", "ename": HOSTILE, "evalue": HOSTILE, "traceback": [HOSTILE]}]
    own = [
        {"cell_type": kind, "id": kind, "source": HOSTILE, "metadata": {}, "outputs": shown}
        for kind in ("markdown", "raw", "code")
    ]
    return small(HOSTILE, shown, said, own)


def test_nothing_that_a_student_writes_is_active() -> None:
    page = hostile_page()
    assert active_parts(page) == []
    assert page.count("</main>") == page.count("</body>") == 1
    # What was written is there to read, as text.
    assert "<script>window.pwned = 1</script>" in Parsed(page).text


def test_the_test_of_active_parts_finds_them() -> None:
    found = active_parts(HOSTILE)
    for part in ("script", "iframe", "img onerror", "div style", "form", "base"):
        assert part in found


def test_a_browser_runs_and_asks_nothing(look: Callable[..., Any]) -> None:
    """Not because the page's policy forbids it: even without one, there is nothing to run."""
    page = hostile_page()
    assert look(page).active == []
    bare = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    assert bare != page
    assert look(bare).active == []


def test_the_policy_of_the_page_would_stop_a_script(look: Callable[..., Any]) -> None:
    page = small("pass").replace(
        "</main>", "<script>window.pwned = 1</script><img src='https://evil.example/x.png'></main>"
    )
    seen = look(page).active
    assert "a script of a student has run" not in seen
    assert any("violates the following Content Security Policy" in one for one in seen)
    without = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    assert "a script of a student has run" in look(without).active


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_reads_well_everywhere(spring, written, look, width, scheme) -> None:
    seen = look(page_of(spring, "student23"), width, scheme)
    assert seen.active == []
    assert seen.problems == {}


def test_the_overview_calls_tasks_by_their_headings(written) -> None:
    page = next(path for path in written.written if "student00" in path.parts).read_text()
    assert "Generated from" not in page
    overview = page.partition("</header>")[0]
    rows = re.findall(r'<a href="#(\w+)">(.*?)</a> <small class="muted">(.*?)</small>', overview)
    assert ("test_softmax", "Task 5 · From logits to probabilities", "test_softmax") in rows
    assert ("zero_weights", "Task 9 · One question", "zero_weights") in rows
    assert len(rows) == 9


def test_a_cell_without_a_heading_is_called_by_its_name() -> None:
    assert '<a href="#test_relu">test_relu</a><' in small("pass").replace("\n", "")


def test_a_heading_is_the_last_one_above_and_no_line_of_a_program() -> None:
    check = {"solution": False, "locked": True, "grade": True, "points": 1}
    release = {
        "cells": [
            {"cell_type": "markdown", "source": "# Title\n\n## Task 1 · The `relu` *layer* ##\n"},
            {"cell_type": "markdown", "source": "```python\n# no heading\n```\n#none\n"},
            {"cell_type": "code", "source": "# A comment."},
            cell_of("code", "first", "pass", **check),
            cell_of("code", "second", "pass", **check),
        ]
    }
    titles = Template("01_tiny", "tiny", release).titles
    assert titles == dict.fromkeys(("first", "second"), "Task 1 · The relu layer")


@pytest.mark.parametrize("width", [1280, 390])
def test_the_overview_is_as_wide_for_everybody(browser, written, width) -> None:
    widths = set()
    page = browser.new_page(viewport={"width": width, "height": 900})
    for path in written.written[::12]:
        page.goto(path.as_uri())
        boxes = (page.locator(f".overview {one} >> nth=0").bounding_box() for one in ("th", "tr"))
        widths.add(tuple(box["width"] for box in boxes))
    page.close()
    assert len(widths) == 1


def test_the_check_is_shown_as_it_was_released() -> None:
    text = words(small("def relu(x): return x"))
    assert "assert relu(1) == 1" in text
    assert "77" not in text
    assert "Hidden tests ran here too; they are not shown." in text


def test_a_cell_of_another_release_is_left_out() -> None:
    stranger = cell_of("code", "test_new", "secret = 77", grade=True, locked=True)
    assert "77" not in words(small("pass", own=[stranger]))


def test_a_check_shows_its_message_and_no_traceback() -> None:
    text = "relu(x) is wrong.\nYou computed 1.\nLikely cause: this is x itself."
    error = {"ename": "Mistake", "evalue": text, "traceback": ["File <hidden>, line 77"]}
    page = small("pass", said=[{"output_type": "error", **error}])
    assert '<p class="first">✗ relu(x) is wrong.</p>' in page
    assert "<strong>Likely cause:</strong> this is x itself.</p>" in page
    assert "77" not in words(page)
    lines = [f"\x1b[1;31m✗ {text.splitlines()[0]}\x1b[0m", *text.splitlines()[1:]]
    error = {"ename": "Mistake", "evalue": " ".join(text.split()), "traceback": lines}
    page = small("pass", said=[{"output_type": "error", **error}])
    assert '<p class="first">✗ relu(x) is wrong.</p>\n<p>You computed 1.</p>' in page
    other = {"ename": "ZeroDivisionError", "evalue": "", "traceback": []}
    page = small("pass", said=[{"output_type": "error", **other}])
    assert '<p class="first">✗ ZeroDivisionError</p>' in page


def test_what_a_student_prints_is_bounded() -> None:
    flood = {"output_type": "stream", "name": "stdout", "text": "x" * 5_000_000}
    page = small("pass", [flood, flood])
    assert len(page) < 60_000
    assert "9,996,000 characters are left out here" in page
    huge = {"output_type": "display_data", "data": {"image/svg+xml": f"<svg>{' ' * 3_000_000}"}}
    assert len(small("pass", [huge])) < 60_000


def test_the_pictures_of_a_page_are_bounded_together() -> None:
    data = base64.b64encode(b"\x89PNG" + bytes(700_000)).decode()
    picture = {"output_type": "display_data", "data": {"image/png": data}, "metadata": {}}
    page = small("pass", [picture] * 30)
    assert len(page) < 2**22
    assert page.count("data:image/png") == 3
    assert "27 more pictures are left out" in page
    largest = base64.b64encode(b"\x89PNG" + bytes(2 * 2**20 - 4)).decode()
    page = small("pass", [{**picture, "data": {"image/png": largest}}, picture])
    assert page.count("data:image/png") == 1
    assert "1 more picture is left out" in page


def test_an_untouched_cell_is_called_so() -> None:
    assert "nothing is written here" in small("raise NotImplementedError()\n")
    assert "nothing is written here" not in small("def relu(x): return x")


def test_a_damaged_notebook_costs_its_own_page_only(tmp_path: Path) -> None:
    released = {"cells": [cell_of("code", "relu", "pass", solution=True)]}
    template = Template("01_tiny", "tiny", released)
    sheets = []
    for student, text in {"ada": json.dumps(released), "bad": "{", "none": '{"cells": 1}'}.items():
        path = tmp_path / "autograded" / student / "01_tiny" / "tiny.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(text)
        sheets.append(Sheet(student, submitted=True, marks=(Mark("tiny", "x", 1.0, 1.0),)))
    sheets.append(Sheet("late", submitted=True))
    done = write_feedback(tmp_path, template, Marks("01_tiny", 1.0, (), tuple(sheets)), {})
    assert [path.parts[-3] for path in done.written] == ["ada"]
    assert [student for student, _ in done.without] == ["bad", "late", "none"]
    assert "cannot be read" in dict(done.without)["bad"]


@pytest.mark.parametrize("student", ["..", ".", "", "a/b", "../../etc", "a\\b"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, student: str) -> None:
    sheet = Sheet(student, submitted=True)
    template = Template("01_tiny", "tiny", {"cells": []})
    done = write_feedback(tmp_path, template, Marks("01_tiny", 1.0, (), (sheet,)), {})
    assert (done.written, len(done.without)) == ([], 1)
    assert list(tmp_path.iterdir()) == []


# Its parts.


def test_markdown_keeps_links_to_the_web_and_drops_all_others() -> None:
    assert markdown("[a](https://example.org)") == (
        '<p><a href="https://example.org" rel="noopener noreferrer">a</a></p>\n'
    )
    for address in ("../book/page.md", "//evil.example", "file:///etc/passwd", "javascript:1"):
        assert "href" not in markdown(f"[a]({address})")
    assert markdown("![words](https://evil.example/x.png)") == "<p>[picture: words]</p>\n"


def test_every_formula_of_the_exercises_is_drawn() -> None:
    formulas = 0
    for path in sorted((ROOT / "exercises").glob("*/*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                page = markdown(cell.source)
                assert 'class="tex"' not in page, f"{path.name}: a formula is not drawn"
                assert "$" not in re.sub(r"<(pre|code)>.*?</\1>", "", page, flags=re.DOTALL)
                formulas += page.count("<math")
    assert formulas > 500


def test_a_formula_that_cannot_be_read_stays_text() -> None:
    assert mathml(r"\unknown{1}<", display=False) == r'<code class="tex">\unknown{1}&lt;</code>'
    assert mathml(r"\evil<script>", display=True).startswith('<code class="tex">')
    assert "href" not in mathml(r"\href{javascript:1}{x}", display=False).partition(">")[0]
    assert mathml("x" * 3_000, display=False).startswith("<code")


def test_folds_of_an_exercise_still_fold() -> None:
    page = markdown("<details><summary>Hint</summary>\n\n`x`\n\n</details>")
    assert page.replace("\n", "") == (
        "<details><summary>Hint</summary><p><code>x</code></p></details>"
    )


def test_the_last_state_of_a_progress_bar_stays() -> None:
    assert plain("10 %\r50 %\r100 %\r\ndone\r\n") == "100 %\ndone\n"
    assert plain("\x1b[1;31mred\x1b[0m \x07bell") == "red bell"
    assert plain("\x1b]8;;https://evil.example\x07link\x1b]8;;\x07") == "link"
    assert plain("a\u202eb") == "a\N{REPLACEMENT CHARACTER}b"


def test_a_bounded_text_keeps_its_ends() -> None:
    text = "a" * 500 + "b" * 500
    short = bounded(text, 100)
    assert short.startswith("a" * 75)
    assert short.endswith("b" * 25)
    assert "900 characters are left out" in short
    assert bounded("short", 100) == "short"


def test_a_picture_must_be_one() -> None:
    png = "iVBORw0KGgo="
    [shown] = outputs(
        {"outputs": [{"output_type": "display_data", "data": {"image/png": png}}]}, "`relu`"
    )
    assert 'src="data:image/png;base64,iVBORw0KGgo=" alt="Output of `relu`"' in shown
    [refused] = outputs(
        {"outputs": [{"output_type": "display_data", "data": {"image/png": "PHN2Zz4="}}]}, "`relu`"
    )
    assert "<img" not in refused
