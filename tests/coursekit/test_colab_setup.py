"""In an empty folder, as in Colab: the set-up cell installs the course and moves nothing.

The environment here is as Colab's: it has torch, tensorflow and NumPy, and pip, but not the course.
Its packages are those of the tests' own environment, seen through links that hide the course, so
that pip cannot change them; what pip installs lands in the new environment alone.
"""

import json
import subprocess
import sysconfig
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

from coursekit.exercises import find_exercises
from coursekit.release import release_notebook, source_notebook
from coursekit.repository import Repository
from coursekit.variants import submission, variants

REPOSITORY = Repository.find(Path(__file__))
[EXERCISE] = find_exercises(REPOSITORY, ["01_backprop"])

# What a notebook can say about its environment, printed as JSON.
REPORT = """
import importlib.metadata, importlib.util, json
names = ["torch", "tensorflow", "numpy"]
print(json.dumps({
    "versions": {name: importlib.metadata.version(name) for name in names},
    "places": {name: importlib.util.find_spec(name).origin for name in names},
    "course": getattr(importlib.util.find_spec("largemodels"), "origin", None),
}))
"""
# Where pip says that the installed course came from.
ORIGIN = """
import importlib.metadata
print(importlib.metadata.distribution("largemodels").read_text("direct_url.json"))
"""


@dataclass
class Colab:
    """An environment like Colab's."""

    python: Path
    folder: Path
    address: str

    def run(self, notebook: NotebookNode) -> NotebookNode:
        """Run a notebook in a fresh kernel of the environment, in the empty folder."""
        kernels = KernelSpecManager(kernel_dirs=[str(self.python.parents[1] / "kernels")])
        manager = KernelManager(kernel_name="colab", kernel_spec_manager=kernels)
        folder = {"metadata": {"path": str(self.folder)}}
        try:
            return NotebookClient(notebook, timeout=300, km=manager, resources=folder).execute()
        finally:
            manager.shutdown_kernel(now=True)  # A client ends those only that it started itself.

    def ask(self, code: str) -> dict[str, object]:
        """What a line of Python prints as JSON."""
        done = subprocess.run(
            [self.python, "-c", code], cwd=self.folder, capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)


def clone(target: Path) -> None:
    """Make a git repository of the files as they are now, ready for a plain file server."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=REPOSITORY.root, capture_output=True, check=True).stdout
    for name in filter(None, names.decode().split("\0")):
        source, copy = REPOSITORY.root / name, target / name
        if source.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(source.read_bytes())
    author = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    for command in ("init --quiet", "add --all", "commit --quiet -m All", "update-server-info"):
        subprocess.run(["git", *author, *command.split()], cwd=target, check=True)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a repository of the course on a server of this machine."""
    folder = tmp_path_factory.mktemp("server")
    clone(folder / "course")

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *arguments: object) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        # Behind the address of a clone stands its bare repository.
        yield f"http://127.0.0.1:{server.server_port}/course/.git"
        server.shutdown()


@pytest.fixture(scope="module")
def colab(tmp_path_factory: pytest.TempPathFactory, address: str) -> Colab:
    """Torch, tensorflow, NumPy and pip; no course."""
    root = tmp_path_factory.mktemp("colab")
    packages = root / "packages"
    packages.mkdir()
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        # The course's own files, and what makes an editable installation importable.
        if "largemodels" not in entry.name and entry.suffix != ".pth":
            (packages / entry.name).symlink_to(entry)
    venv.create(root / "env", with_pip=False)
    python = root / "env" / "bin" / "python"
    site = next((root / "env" / "lib").glob("python*")) / "site-packages"
    (site / "colab.pth").write_text(f"{packages}\n")
    kernel = root / "env" / "kernels" / "colab"
    kernel.mkdir(parents=True)
    arguments = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    specification = {"argv": arguments, "display_name": "Colab", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(specification))
    (root / "empty").mkdir()
    return Colab(python, root / "empty", address)


@pytest.fixture(scope="module")
def notebooks(colab: Colab) -> tuple[NotebookNode, NotebookNode]:
    """The released exercise with the address of the clone, and the same, solved."""
    course = Repository(REPOSITORY.root, address=colab.address)
    release = release_notebook(source_notebook(course, EXERCISE), EXERCISE)
    return release, submission(release, next(variants(EXERCISE)))


@pytest.mark.slow
def test_the_exercise_runs_where_only_the_set_up_cell_installed_the_course(
    colab: Colab, notebooks: tuple[NotebookNode, NotebookNode]
) -> None:
    release, solved = notebooks
    before = colab.ask(REPORT)
    assert before["course"] is None, "the course is there already: this test would prove nothing"
    versions = dict(before["versions"])  # type: ignore[call-overload]
    assert set(versions) == {"torch", "tensorflow", "numpy"}

    first = release.cells[0]
    setup = nbformat.v4.new_notebook(cells=[first, nbformat.v4.new_code_cell(REPORT)])
    colab.run(setup)
    said = "".join(output.get("text", "") for output in setup.cells[0].outputs)
    assert "ERROR" not in said
    after = json.loads(setup.cells[1].outputs[0].text)
    assert after["versions"] == before["versions"], "the set-up cell moved a package"
    assert after["places"] == before["places"], "the set-up cell put another copy in front"
    assert Path(after["course"]).is_relative_to(colab.python.parents[1]), "not installed here"

    direct = colab.ask(ORIGIN)
    assert direct["url"] == colab.address
    assert "vcs_info" in direct, "the course did not come from git"

    # A second session, as after a restart of the runtime: the cell is silent, the exercise runs.
    colab.run(solved)
    assert solved.cells[0].outputs == []
    printed = "".join(
        output.get("text", "") for cell in solved.cells for output in cell.get("outputs", [])
    )
    assert "all checks passed" in printed
