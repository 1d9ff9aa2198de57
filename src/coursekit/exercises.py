"""Exercises as an instructor writes them: found, read and validated."""

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from nbformat import NotebookNode

from coursekit.errors import CourseError
from coursekit.notebook_files import cell_name, read_myst
from coursekit.repository import Repository

__all__ = ["Alternative", "Cell", "Exercise", "Mutant", "find_exercises", "load_exercise"]

_SOLUTION = ("BEGIN SOLUTION", "END SOLUTION")
_HIDDEN = ("BEGIN HIDDEN TESTS", "END HIDDEN TESTS")


@dataclass(frozen=True)
class Cell:
    """One cell that nbgrader knows.

    Args:
        grade_id: Its name.
        source: Its text in the solution.
        index: Its place in the notebook, from 0.
        code: Whether it is a code cell.
        solution: Whether the student writes it.
        points: What it is worth; 0 for a cell that is not graded.
    """

    grade_id: str
    source: str
    index: int
    code: bool
    solution: bool
    points: float

    @property
    def automatic(self) -> bool:
        """Whether nbgrader grades the cell by running it."""
        return self.points > 0 and not self.solution

    @property
    def manual(self) -> bool:
        """Whether a person grades the cell."""
        return self.points > 0 and self.solution

    @property
    def answer(self) -> str:
        """The source as a right submission holds it: without the lines of the markers."""
        return "\n".join(line for line in self.source.splitlines() if not _is_marker(line))

    @property
    def solution_lines(self) -> list[int]:
        """Numbers, from 1, of the lines that the release does not show as they are."""
        return self._inside(_SOLUTION) or (
            list(range(1, 1 + len(self.source.splitlines()))) if self.solution else []
        )

    @property
    def hidden_lines(self) -> list[int]:
        """Numbers, from 1, of the lines of hidden tests."""
        return self._inside(_HIDDEN)

    @property
    def visible(self) -> str:
        """The source without solution and hidden tests."""
        dropped = {*self.solution_lines, *self.hidden_lines}
        lines = enumerate(self.source.splitlines(), 1)
        return "\n".join(line for n, line in lines if n not in dropped and not _is_marker(line))

    def lines(self, numbers: Sequence[int]) -> list[str]:
        """The lines of these numbers."""
        lines = self.source.splitlines()
        return [lines[number - 1] for number in numbers]

    def _inside(self, markers: tuple[str, str]) -> list[int]:
        inside, numbers = False, []
        for number, line in enumerate(self.source.splitlines(), 1):
            if markers[0] in line:
                inside = True
            elif markers[1] in line:
                inside = False
            elif inside:
                numbers.append(number)
        return numbers


@dataclass(frozen=True)
class Mutant:
    """One named slip: a small patch, and what the checks must say about it."""

    name: str
    cell: str
    replace: str
    replacement: str
    breaks: tuple[str, ...]
    says: str
    why: str


@dataclass(frozen=True)
class Alternative:
    """One right answer in another style: sources by `grade_id` of the solution cell."""

    name: str
    sources: dict[str, str]


@dataclass(frozen=True)
class Exercise:
    """One exercise: a folder of `solutions/`.

    Args:
        name: Name of the folder and of the assignment, e.g. `01_backprop`.
        source: The MyST notebook.
        source_name: How messages name it.
        notebook: What is in it.
    """

    name: str
    source: Path
    source_name: str
    notebook: NotebookNode

    @property
    def topic(self) -> str:
        """Name of the notebook, e.g. `backprop`."""
        return self.source.stem

    @cached_property
    def cells(self) -> dict[str, Cell]:
        """The cells that nbgrader knows, by `grade_id`, in the order of the notebook."""
        cells: dict[str, Cell] = {}
        for index, cell in enumerate(self.notebook.cells):
            where = f"{self.source_name}, cell {cell_name(cell, index)}"
            known = _cell(cell, index, where)
            if known is None:
                continue
            if known.grade_id in cells:
                raise CourseError(f"{where}: this `grade_id` is taken; give the cell its own.")
            cells[known.grade_id] = known
        return cells

    @property
    def solution_cells(self) -> list[Cell]:
        """The code cells that a student writes."""
        return [cell for cell in self.cells.values() if cell.solution and cell.code]

    @property
    def graded_cells(self) -> list[Cell]:
        """The cells that nbgrader grades by running them."""
        return [cell for cell in self.cells.values() if cell.automatic]

    def checks_of(self, cell: Cell) -> list[Cell]:
        """The graded cells that follow a solution cell, up to the next solution cell."""
        checks: list[Cell] = []
        for other in self.cells.values():
            if other.index <= cell.index:
                continue
            if other.automatic:
                checks.append(other)
            elif other.solution and other.code and checks:
                break
        return checks

    @cached_property
    def mutants(self) -> list[Mutant]:
        """The named slips, in order of their file names."""
        files = sorted((self.source.parent / "mutants").glob("*.yml"))
        return [self._mutant(file) for file in files]

    @cached_property
    def alternatives(self) -> list[Alternative]:
        """The right answers in another style, in order of their file names."""
        files = sorted((self.source.parent / "alternatives").glob("*.py"))
        return [self._alternative(file) for file in files]

    @cached_property
    def equivalents(self) -> dict[str, str]:
        """Automatic changes that leave the answer right, each with its reason."""
        import yaml

        file = self.source.parent / "equivalents.yml"
        if not file.is_file():
            return {}
        name = f"{Path(self.source_name).parent.as_posix()}/{file.name}"
        try:
            entries = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())
            raise CourseError(f"{name}: not valid YAML ({reason}); mend that line.") from error
        if not isinstance(entries, dict):
            raise CourseError(f"{name}: must map reasons to lists of changes; mend the file.")
        reasons: dict[str, str] = {}
        for reason, changes in entries.items():
            if not isinstance(changes, list) or not all(isinstance(one, str) for one in changes):
                raise CourseError(f"{name}: `{reason}` must hold a list of changes.")
            reasons |= dict.fromkeys(changes, str(reason))
        return reasons

    def _sibling(self, file: Path) -> str:
        """Name a file beside the source as messages do."""
        return f"{Path(self.source_name).parent.as_posix()}/{file.parent.name}/{file.name}"

    def _mutant(self, file: Path) -> Mutant:
        import yaml

        name = self._sibling(file)
        try:
            entries = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())
            raise CourseError(f"{name}: not valid YAML ({reason}); mend that line.") from error
        wanted = {"cell", "replace", "with", "breaks", "says", "why"}
        if not isinstance(entries, dict) or set(entries) != wanted:
            keys = ", ".join(sorted(wanted))
            raise CourseError(f"{name}: a mutant has exactly the keys {keys}; mend the file.")
        for key in wanted - {"breaks"}:
            if not isinstance(entries[key], str) or (key != "with" and not entries[key].strip()):
                raise CourseError(f"{name}: `{key}` (={entries[key]!r}) must be text.")
        cell = self.cells.get(entries["cell"])
        if cell is None or cell not in self.solution_cells:
            raise CourseError(f"{name}: `cell` (={entries['cell']!r}) names no solution cell.")
        count = cell.answer.count(entries["replace"].rstrip("\n"))
        if count != 1:
            raise CourseError(
                f"{name}: `replace` occurs {count} times in cell `{cell.grade_id}` of "
                f"{self.source_name}; give text that occurs once."
            )
        breaks = entries["breaks"]
        graded = [other.grade_id for other in self.graded_cells]
        if not isinstance(breaks, list) or not breaks or not set(breaks) <= set(graded):
            raise CourseError(
                f"{name}: `breaks` (={breaks!r}) must list graded cells; "
                f"there are {', '.join(graded)}."
            )
        return Mutant(
            file.stem,
            cell.grade_id,
            entries["replace"].rstrip("\n"),
            entries["with"].rstrip("\n"),
            tuple(breaks),
            " ".join(entries["says"].split()),
            entries["why"],
        )

    def _alternative(self, file: Path) -> Alternative:
        name = self._sibling(file)
        parts = re.split(r"^# %% *(.*)\n", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
        sources = dict(zip(map(str.strip, parts[1::2]), map(str.strip, parts[2::2]), strict=True))
        known = [cell.grade_id for cell in self.solution_cells]
        for grade_id in sources:
            if grade_id not in known:
                raise CourseError(
                    f"{name}: `# %% {grade_id}` names no solution cell; "
                    f"there are {', '.join(known)}."
                )
        if not sources:
            raise CourseError(f"{name}: no cell; begin each with `# %% grade_id`.")
        return Alternative(file.stem, sources)


def find_exercises(repository: Repository, names: Sequence[str] = ()) -> list[Exercise]:
    """Find exercises by name; all of them when no name is given.

    Args:
        repository: The course.
        names: Folder names (`01_backprop`) or their parts (`01`, `backprop`).

    Raises:
        CourseError: A name fits no exercise, or an exercise cannot be read.
    """
    folders = {
        folder.name: folder
        for folder in sorted(repository.solutions.glob("*_*"))
        if folder.is_dir() and re.fullmatch(r"\d+_\w+", folder.name)
    }
    chosen = list(folders) if not names else [_choose(folders, name) for name in names]
    return [load_exercise(repository, folders[name]) for name in dict.fromkeys(chosen)]


def load_exercise(repository: Repository, folder: Path) -> Exercise:
    """Read the exercise of a folder of `solutions/` and validate its cells.

    Raises:
        CourseError: The source is missing, malformed or wrongly marked.
    """
    source = folder / f"{folder.name.partition('_')[2]}.md"
    name = repository.name(source)
    exercise = Exercise(folder.name, source, name, read_myst(source, name))
    if not exercise.graded_cells:
        raise CourseError(f"{name}: no graded cell; give the checks nbgrader's metadata.")
    return exercise


def _choose(folders: dict[str, Path], name: str) -> str:
    """Find the folder that a user means."""
    wanted = name.rstrip("/").rpartition("/")[2]
    for folder in folders:
        if wanted in {folder, *folder.split("_", 1)}:
            return folder
    topics = [part for folder in folders for part in (folder, folder.partition("_")[2])]
    near = difflib.get_close_matches(wanted, topics, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"there are: {', '.join(folders) or 'none'}."
    raise CourseError(f"{name}: no such exercise in solutions/; {hint}")


def _cell(cell: NotebookNode, index: int, where: str) -> Cell | None:
    """Read nbgrader's metadata of a cell; None for a cell that nbgrader does not know."""
    metadata = cell.metadata.get("nbgrader")
    problem = next(_marker_problems(cell.source, metadata or {}), None)
    if problem:
        raise CourseError(f"{where}: {problem}")
    if metadata is None:
        return None
    wanted = {"grade", "grade_id", "locked", "schema_version", "solution"}
    missing = sorted(wanted - set(metadata))
    if missing:
        raise CourseError(f"{where}: nbgrader's metadata lacks {', '.join(missing)}; add it.")
    if not (metadata["grade"] or metadata["solution"] or metadata["locked"]):
        return None
    points = metadata.get("points", 0)
    if metadata["grade"] and not (isinstance(points, int | float) and points > 0):
        raise CourseError(f"{where}: `points` (={points!r}) must be a number above 0.")
    return Cell(
        metadata["grade_id"],
        cell.source,
        index,
        cell.cell_type == "code",
        metadata["solution"],
        float(points) if metadata["grade"] else 0.0,
    )


def _marker_problems(source: str, metadata: dict[str, object]) -> Iterator[str]:
    """What is wrong with the markers of a cell, as the end of a sentence."""
    for (begin, end), role, kind in (
        (_SOLUTION, "solution", "a solution cell"),
        (_HIDDEN, "grade", "a graded cell"),
    ):
        found = re.findall(f"{begin}|{end}", source)
        if found != [begin, end] * (len(found) // 2):
            yield f"each `### {begin}` needs its `### {end}`; write them in pairs."
        if found and not metadata.get(role):
            yield f"`### {begin}` belongs in {kind}; give this cell nbgrader's metadata."


def _is_marker(line: str) -> bool:
    return any(marker in line for marker in _SOLUTION + _HIDDEN)
