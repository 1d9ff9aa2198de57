"""The verdicts: runs the tests of a release against a student's code in another process.

A test passes if its cell runs to its end in this process. What a student's process sends is data;
if it dies, breaks the rules or takes too long, the tests that are left earn nothing, and what was
earned before stays.
"""

import ast
import contextlib
import gc
import io
import json
import os
import resource
import secrets
import signal
import socket
import sys
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coursekit.grading.limits import Limits
from coursekit.grading.notebook import NotebookNode
from coursekit.grading.package import Package
from coursekit.grading.results import CellResult, Trust, event
from coursekit.grading.split import inside, seeds
from coursekit.grading.split.plan import Plan, Step, Trusted, make_plan, steps_for
from coursekit.grading.split.remote import LostError
from coursekit.grading.split.sharing import CodecError
from coursekit.grading.split.trusted import GRACE, TimeIsUpError, TrustedPeer
from largemodels.check import process

__all__ = ["Event", "Prepared", "prepare", "run"]

Event = dict[str, Any]
# Calls that nest between two processes take more of Python's stack than in one.
_RECURSION = 5000
# Bytes. So many levels of NumPy's need 13 MB; 8 MB are usual.
_STACK = 64 * 2**20
# Objects between two collections. Few would be needed in a life of a tenth of a second.
_GARBAGE = 100_000
# Characters of a message. A test may write into it what a student's code returned.
_TEXT = 10_000
# Characters of the error of another cell.
_REASON = 300
# Outputs of one cell. Each is a box on a page, however little is in it.
_OUTPUTS = 200
# A busy machine gives an honest process a quarter of its time and more.
_WALL = 0.25


@dataclass(frozen=True)
class Prepared:
    """An assignment, ready for its submissions.

    Args:
        plan: What runs where.
        secret: The course secret.
        codes: The trusted cells, compiled, by id; those that are Python.
        module: Holds the names that the given cells before the first answer make.
    """

    plan: Plan
    secret: str
    codes: "Mapping[str, _Code]"
    module: types.ModuleType


def prepare(package: Package) -> Prepared:
    """Read an assignment, and run its given cells before the first answer, once for all.

    Args:
        package: The assignment.
    """
    plan = make_plan(package)
    module = types.ModuleType("__main__")
    vars(module).update(display=lambda *objects, **options: None, get_ipython=_NoShell)
    codes = {key: code for key, one in plan.trusted.items() if (code := _compiled(one))}
    steps_for(plan, package.release_notebook)  # What it reads there, no submission reads again.
    prepared = Prepared(plan, package.secret, codes, module)
    with _as_main(prepared):
        for trusted in plan.first:
            _execute(codes.get(trusted.cell.key), vars(module))
    return prepared


def run(
    prepared: Prepared,
    rebuilt: NotebookNode,
    connection: socket.socket,
    limits: Limits,
    clock: Callable[[], float],
    report: Callable[[Event], None],
) -> None:
    """Grade one notebook. To be called in a process of its own: it changes what was prepared.

    Args:
        prepared: The assignment.
        rebuilt: The release with the student's answers.
        connection: The connection to the agent beside the student's code.
        limits: What the submission may use.
        clock: CPU time in seconds that the student's process has used.
        report: Called with each cell as soon as it has ended.
    """
    sys.setrecursionlimit(_RECURSION)
    _enlarge_stack()
    gc.set_threshold(_GARBAGE)
    notebook = _Run(prepared, connection, limits, report)
    hooks = _hooks(clock, notebook.inside), seeds.passing_on(notebook.seed)
    with _as_main(prepared), hooks[0], hooks[1]:
        notebook.all(steps_for(prepared.plan, rebuilt))


def _enlarge_stack() -> None:
    """Let the stack of this thread grow, where it is the main one, as far as recursion may go."""
    with contextlib.suppress(OSError, ValueError):
        now, most = resource.getrlimit(resource.RLIMIT_STACK)
        if now != resource.RLIM_INFINITY and now < _STACK:
            wanted = _STACK if most == resource.RLIM_INFINITY else min(_STACK, most)
            resource.setrlimit(resource.RLIMIT_STACK, (wanted, most))


class _NoShell:
    """Stands for the shell of a notebook: what magics do decides no grade."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **options: None


class _Run:
    """One notebook."""

    def __init__(
        self,
        prepared: Prepared,
        connection: socket.socket,
        limits: Limits,
        report: Callable[[Event], None],
    ) -> None:
        self._plan, self._codes = prepared.plan, prepared.codes
        self._names = vars(prepared.module)
        self._borrowed: set[str] = set()  # Names that the student gave.
        self._limits, self._report = limits, report
        self._peer = TrustedPeer(connection, limits)
        self._peer.names = self._names
        self._peer.tensors, self._peer.given = self._plan.tensors, self._plan.given
        self._ends = time.monotonic() + limits.notebook_seconds
        self._room = 4 * limits.notebook_output_bytes  # Characters, as JSON.
        self._failed: dict[str, str] = {}  # What the errors of cells say, by their ids.
        self._done = {trusted.cell.key for trusted in prepared.plan.first}

    def all(self, steps: Sequence[Step]) -> None:
        """Run every cell."""
        for step in steps:
            outputs: list[dict[str, Any]] = []
            graded = None
            if step.source is not None:
                outputs = self._beside(step.key, step.source)
            trusted = self._plan.trusted.get(step.key)
            if trusted is not None and trusted.cell.kind == "test":
                test = self._test_inside if trusted.cell.in_process else self._test
                outputs, graded = test(trusted)
            elif trusted is not None and step.key not in self._done:
                self._given(trusted)
            self._report(event(step.key, outputs, graded))

    def _beside(self, key: str, source: str) -> list[dict[str, Any]]:
        """Run a cell beside the student's code; its outputs."""
        seconds = self._begin()
        try:
            # The code may ask for an object that a test handed out, which works in this process.
            with _alarm(seconds):
                answer = self._peer.request("run", source)
        except BaseException as error:  # The other side may answer by any, such as SystemExit.
            self._failed[key] = _message(error)
            return [_error(error)]
        match answer:
            case (str(says), _) if says:
                self._failed[key] = _plain(" ".join(says[:_TEXT].split())[:_REASON])
        return self._outputs_of(answer)

    def _outputs_of(self, answer: Any) -> list[dict[str, Any]]:
        """The outputs that the student's process sent, rebuilt: only what is known stays."""
        match answer:
            case (str(), str(text)) if len(text) <= min(
                self._room, 4 * self._limits.cell_output_bytes
            ):
                self._room -= len(text)
                return _outputs(text)
        return []

    def _begin(self) -> float:
        seconds = min(self._limits.cell_seconds, self._ends - time.monotonic())
        self._peer.begin(seconds)
        return seconds

    def _given(self, trusted: Trusted) -> None:
        with contextlib.suppress(BaseException):
            seconds = self._begin()
            with _alarm(seconds):
                self._take_names(trusted)
                _execute(self._codes.get(trusted.cell.key), self._names)

    def _take_names(self, trusted: Trusted) -> None:
        """Let the names of a cell that are the student's stand for what the student made."""
        # What a cell of the release made by other means, such as an import of `*`, is ours.
        ours = self._names.keys() - self._borrowed
        asked = (*trusted.answers, *(name for name in trusted.wanted if name not in ours))
        for name in asked:
            self._names.pop(name, None)
        if not asked:
            return
        found = self._peer.request("names", asked)
        if type(found) is not tuple:
            raise CodecError("no names")
        for pair in found:
            match pair:
                case (str(name), value) if name in asked:
                    self._names[name] = value
                    self._borrowed.add(name)

    def _test(self, trusted: Trusted) -> tuple[list[dict[str, Any]], CellResult]:
        """Run a test cell: its outputs and its verdict."""
        started, printed = time.monotonic(), _Printed(self._limits.cell_output_bytes)
        value, error = None, None
        seconds = self._begin()
        try:
            with _alarm(seconds), _printing_to(printed):
                self._take_names(trusted)
                value = self._codes[trusted.cell.key].run(self._names)
        except BaseException as raised:
            error = self._why_missing(trusted, raised) or raised
        outputs, took = _stream(printed.getvalue()), time.monotonic() - started
        if error is None:
            return outputs, _result(trusted, _partial(value, trusted.cell.points), "", took)
        return [*outputs, _error(error)], _result(trusted, 0.0, _message(error), took)

    def _why_missing(self, trusted: Trusted, error: BaseException) -> NameError | None:
        """Say why a name does not exist that a cell of answers makes, where that cell failed."""
        name = _missing_name(error)
        for key, cell in self._plan.cells.items():
            if key == trusted.cell.key:
                break
            if cell.kind == "answer" and key in self._failed and name in cell.names.binds:
                why = self._failed[key]
                return NameError(f"the cell `{cell.grade_id}` did not run to its end: {why}")
        return None

    def _test_inside(self, trusted: Trusted) -> tuple[list[dict[str, Any]], CellResult]:
        """Run a test beside the student's code, between canaries that tell whether to believe it.

        A canary is a test whose result is known. Code that turns failures into passes turns those
        of canaries too, unless it knows them; so their texts are new each time.
        """
        started, nonce = time.monotonic(), secrets.token_hex(8)
        seconds = self._begin()
        try:
            with _alarm(seconds):
                before = [self._says(source) == says for source, says in _canaries(nonce)]
                message, outputs = self._says(trusted.source), self._outputs
                after = [self._says(source) == says for source, says in _canaries(nonce[::-1])]
            if not all(before + after):
                message = "the notebook changes what its tests say; a person must look at it"
        except BaseException as error:
            message, outputs = _message(error), [_error(error)]
        score = 0.0 if message else trusted.cell.points
        took = time.monotonic() - started
        return outputs, _result(trusted, score, _plain(" ".join(message.split())), took)

    def _says(self, source: str) -> str:
        """Run a test beside the student's code: what its error says, nothing if it passes."""
        answer = self._peer.request("run", source)
        self._outputs = self._outputs_of(answer)
        match answer:
            case (str(says), str()):
                return says
        raise CodecError("no verdict")

    def inside(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a function of a test beside the student's code."""
        if getattr(function, "__module__", "__main__") == "__main__":
            sources = {_file(one): one.source for one in self._plan.trusted.values()}
            text, name = inside.source_of(function, sources)
            data = self._peer.request("inside", text, name, arguments)
        else:
            data = self._peer.request("inside", function, "", arguments)
        return inside.result(data, self._limits)

    def seed(self, module: str, name: str, value: Any) -> None:
        """Seed a global generator beside the student's code."""
        # A seed that cannot cross, or a lost process, is no fault of the line that seeds.
        with contextlib.suppress(LostError, TimeIsUpError, Exception):
            self._peer.request("seed", module, name, value)


def _canaries(nonce: str) -> list[tuple[str, str]]:
    """Tests, and what each must say."""
    number = int(nonce, 16)
    return [
        (f"assert {number} * 3 == {number * 3}", ""),
        (f"assert {number} == {number + 1}, '{nonce}'", f"AssertionError: {nonce}"),
        (f"from largemodels import check\ncheck.that(False, '{nonce}')", f"Mistake: {nonce}"),
        (
            f"import numpy\nassert not numpy.allclose({number % 97}, {number % 97 + 1}), '{nonce}'",
            "",
        ),
        (f"raise ValueError('{nonce}')", f"ValueError: {nonce}"),
        *(
            (
                f"from largemodels import check\ntry:\n    check.{call}\n"
                f"except check.Mistake:\n    raise ValueError('{nonce}') from None",
                f"ValueError: {nonce}",
            )
            for call in ("close(1, 2)", "shape([1.0], (2,))", "trajectory([1.0], [2.0])")
        ),
    ]


def _result(trusted: Trusted, score: float, message: str, seconds: float) -> CellResult:
    cell = trusted.cell
    trust: Trust = "in-process" if cell.in_process else "split"
    return CellResult(cell.grade_id, score, cell.points, message, seconds, trust)


def _file(trusted: Trusted) -> str:
    """The file name that the code of a cell has."""
    return f"<{trusted.cell.grade_id or trusted.cell.key}>"


@dataclass(frozen=True)
class _Code:
    """A cell, compiled: its statements, and its last line if that is a shown expression."""

    body: types.CodeType
    last: types.CodeType | None

    @classmethod
    def of(cls, trusted: Trusted) -> "_Code":
        """Compile a cell."""
        tree, file, last = ast.parse(trusted.source), _file(trusted), None
        shown = not trusted.source.rstrip().endswith(";")  # As in Jupyter.
        if shown and tree.body and isinstance(tree.body[-1], ast.Expr):
            expression = ast.Expression(tree.body.pop().value)  # type: ignore[attr-defined]
            last = compile(expression, file, "eval")
        return cls(compile(tree, file, "exec"), last)

    def run(self, names: dict[str, Any]) -> Any:
        """Run it; the value of its last line."""
        exec(self.body, names)
        return eval(self.last, names) if self.last else None


def _execute(code: _Code | None, names: dict[str, Any]) -> None:
    """Run a given cell. If it fails, the tests that need its names fail."""
    with _printing_to(_Printed(0)), contextlib.suppress(Exception, SystemExit, LostError):
        if code is not None:
            code.run(names)


def _compiled(trusted: Trusted) -> _Code | None:
    """A cell, compiled, unless it is a given one that is no Python."""
    try:
        return _Code.of(trusted)
    except SyntaxError:
        return None


def _partial(value: Any, points: float) -> float:
    """The points of a cell that ended well: a last number from 0 on is partial credit."""
    if type(value) not in (int, float):
        return points
    # An integer may be too large for a float, and a not-a-number is above nothing.
    return float(min(value, points)) if value > 0 else 0.0


@contextlib.contextmanager
def _as_main(prepared: Prepared) -> Iterator[None]:
    """Run cells as Jupyter runs them: as the main module, while the course grades."""
    main, environment = sys.modules["__main__"], dict(os.environ)
    sys.modules["__main__"] = prepared.module
    os.environ.update(
        COURSE_SECRET=prepared.secret, NBGRADER_EXECUTION="autograde", MPLBACKEND="agg"
    )
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        for name in ("COURSE_SECRET", "NBGRADER_EXECUTION", "MPLBACKEND"):
            if name in environment:
                os.environ[name] = environment[name]
            else:
                os.environ.pop(name, None)


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Stop this process's own work on a cell, some time after the student's process had to end."""

    def ring(*arguments: object) -> None:
        raise TimeIsUpError("took too long")

    before = signal.signal(signal.SIGALRM, ring)
    # Again each second: a bare `except` swallows the first one.
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0) + GRACE + 1, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _hooks(clock: Callable[[], float], run_inside: Callable[..., Any]) -> Iterator[None]:
    """Let the checks measure, and run functions in, the process of the student."""
    process.clock = lambda: time.thread_time() + clock()
    process.runner, process.wall = run_inside, _WALL
    try:
        yield
    finally:
        process.clock, process.runner, process.wall = time.thread_time, None, 0.0


class _Printed(io.StringIO):
    """What a test prints, and no more of it than so many characters."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._left = limit

    def write(self, text: str) -> int:
        """Keep as much as there is room for."""
        self._left -= super().write(text[: self._left])
        return len(text)


@contextlib.contextmanager
def _printing_to(printed: io.StringIO) -> Iterator[None]:
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        yield


def _missing_name(error: BaseException | None) -> str:
    """The name that a line of the checker lacks, where this is the cause of an error."""
    while error is not None:
        # An error that came from the other process has no name.
        if type(error) is NameError and error.name:
            return error.name
        error = error.__context__
    return ""


def _message(error: BaseException) -> str:
    """An error in one line."""
    try:
        text = str(error)[:_TEXT]
    except BaseException:
        text = ""
    return _plain(" ".join(f"{type(error).__name__}: {text}".split()))


def _plain(text: str) -> str:
    """A text that any file can hold: no half of a surrogate pair."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _stream(text: str) -> list[dict[str, Any]]:
    return [{"output_type": "stream", "name": "stdout", "text": _plain(text)}] if text else []


def _error(error: BaseException) -> dict[str, Any]:
    """An error as an output, without a line of a test: hidden ones are for nobody to read."""
    name, _, text = _message(error).partition(": ")
    trace = getattr(error, "student_trace", "")
    render = getattr(type(error), "_render_traceback_", None)
    lines = [line[:_TEXT] for line in render(error)[:100]] if render else [f"{name}: {text}"]
    return {
        "output_type": "error",
        "ename": name,
        "evalue": text,
        "traceback": [_plain(line) for line in [*trace.splitlines(), *lines]],
    }


# What a page may show without running anything.
_MIME = ("text/plain", "image/png", "image/jpeg")


def _outputs(text: str) -> list[dict[str, Any]]:
    try:
        outputs = json.loads(text)
    except (ValueError, RecursionError):
        return []
    known = [one for one in map(_output, outputs if type(outputs) is list else []) if one]
    rest = known[_OUTPUTS:]
    # An error is the last output of its cell, and what the student needs most.
    error = [one for one in rest[-1:] if one["output_type"] == "error"]
    if more := len(rest) - len(error):
        note = {
            "output_type": "stream",
            "name": "stderr",
            "text": f"\n[{more} more outputs are left out]\n",
        }
        error.insert(0, note)
    return known[:_OUTPUTS] + error


def _output(output: Any) -> dict[str, Any] | None:
    match output:
        case {"output_type": "stream", "name": "stdout" | "stderr" as name, "text": str(text)}:
            return {"output_type": "stream", "name": name, "text": _plain(text)}
        case {
            "output_type": "error",
            "ename": str(name),
            "evalue": str(value),
            "traceback": list(t),
        }:
            lines = [_plain(line) for line in t if type(line) is str]
            return {
                "output_type": "error",
                "ename": _plain(name),
                "evalue": _plain(value),
                "traceback": lines,
            }
        case {"output_type": "execute_result" | "display_data" as kind, "data": dict(data)}:
            shown = {mime: _plain(data[mime]) for mime in _MIME if type(data.get(mime)) is str}
            rest: Mapping[str, Any] = {"execution_count": None} if kind == "execute_result" else {}
            return {"output_type": kind, "data": shown, "metadata": {}, **rest}
    return None
