"""Where the course lies: its root folder, its rooms, its public address."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from coursekit.errors import CourseError

__all__ = ["MAIN_BRANCH", "NOTEBOOKS_BRANCH", "PACKAGE", "Repository"]

PACKAGE = "largemodels"
MAIN_BRANCH = "main"
NOTEBOOKS_BRANCH = "notebooks"

_GITHUB = "https://github.com/"


@dataclass(frozen=True)
class Repository:
    """A clone of the course.

    Args:
        root: The folder that holds `pyproject.toml`.
        address: Public address, e.g. `https://github.com/OWNER/NAME`; empty while there is none.
        site: Address of the published site, with a slash at its end; empty while there is none.
    """

    root: Path
    address: str = ""
    site: str = ""

    @classmethod
    def find(cls, start: Path | None = None) -> "Repository":
        """Find the course that holds the folder `start`.

        Args:
            start: A folder inside the clone; the current folder by default.

        Raises:
            CourseError: No folder from `start` upwards holds the course.
        """
        start = (start or Path.cwd()).resolve()
        for folder in (start, *start.parents):
            project = _project(folder / "pyproject.toml")
            if project.get("name") == PACKAGE:
                urls = project.get("urls", {})
                address = str(urls.get("Repository", "")).strip().removesuffix("/")
                address = address.removesuffix(".git")
                site = str(urls.get("Documentation", "")).strip() or _pages_address(address)
                return cls(folder, address, site and site.removesuffix("/") + "/")
        raise CourseError(
            f"{start}: no folder from here upwards holds the course (a pyproject.toml of the "
            f"project `{PACKAGE}`); change into your clone and run the command again."
        )

    @property
    def book(self) -> Path:
        """The folder of the pages."""
        return self.root / "book"

    @property
    def solutions(self) -> Path:
        """The folder of the exercises' sources."""
        return self.root / "solutions"

    @property
    def exercises(self) -> Path:
        """The folder of the generated exercises."""
        return self.root / "exercises"

    @property
    def build(self) -> Path:
        """The folder for everything that can be made again."""
        return self.root / "build"

    @property
    def executed_pages(self) -> Path:
        """Where `make book` leaves the executed notebooks."""
        return self.book / "_build" / "jupyter_execute"

    def name(self, path: Path) -> str:
        """Name a file of the course as messages do: relative to the root, with slashes."""
        path = path.resolve()
        return path.relative_to(self.root).as_posix() if self.root in path.parents else str(path)

    def colab_address(self, notebook: Path) -> str:
        """Address that opens a notebook of the branch `notebooks` in Colab; empty without one."""
        if not self.address.startswith(_GITHUB):
            return ""
        repository = self.address.removeprefix(_GITHUB)
        return (
            f"https://colab.research.google.com/github/{repository}/blob/{NOTEBOOKS_BRANCH}/"
            f"{self.name(notebook)}"
        )

    def file_address(self, file: Path) -> str:
        """Address of a file, a notebook's in Colab; empty while the course has no address."""
        if file.suffix == ".ipynb" and (address := self.colab_address(file)):
            return address
        return f"{self.address}/blob/{MAIN_BRANCH}/{self.name(file)}" if self.address else ""

    def page_address(self, page: Path) -> str:
        """Address of a page on the published site; empty while there is no site."""
        if not self.site:
            return ""
        return self.site + page.resolve().relative_to(self.book).with_suffix(".html").as_posix()


def _project(file: Path) -> dict[str, dict[str, str]]:
    """Read the project table of a pyproject.toml; empty when there is none."""
    if not file.is_file():
        return {}
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CourseError(f"{file}: not valid TOML ({error}); mend that line.") from error
    return table.get("project", {})


def _pages_address(address: str) -> str:
    """Address of GitHub Pages for a repository on GitHub; empty for any other."""
    match = re.fullmatch(rf"{re.escape(_GITHUB)}([\w.-]+)/([\w.-]+)", address)
    return f"https://{match[1].lower()}.github.io/{match[2]}/" if match else ""
