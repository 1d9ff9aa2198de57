"""Execute the pages of the book side by side, into the cache in which the build looks for them.

Sphinx executes one page after another, and a page computes on one core: so this takes less time by
the number of cores. What fails is not kept: the build executes it once more, and tells why.
The cache knows a page by its code; here it also learns which data the page was executed with.
"""

import os
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import yaml
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn, JupyterCacheAbstract
from jupyter_cache.executors.utils import single_nb_execution
from myst_nb.core.read import is_myst_markdown_notebook, myst_nb_reader_plugin
from nbformat import NotebookNode
from sphinx_external_toc.parsing import parse_toc_yaml

from largemodels import data

__all__ = ["fill"]

# More of them at once would need more memory than a small machine has.
_AT_ONCE = 4


def fill(book: Path, environment: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Execute every page that the cache does not hold with this code and the data at hand.

    Args:
        book: The folder `book/`.
        environment: The environment of the kernels.
        say: Where the lines of the report go.
    """
    cache = get_cache(str(book / "_build" / ".jupyter_cache"))
    pages = [book / f"{name}.md" for name in parse_toc_yaml(book / "_toc.yml")]
    missing = [page for page in pages if _has_code(page) and not _is_known(cache, page)]
    if not missing:
        return
    timeout = yaml.safe_load((book / "_config.yml").read_text())["execute"]["timeout"]
    # The longest first, so that no core is left with one at the end.
    missing.sort(key=lambda page: page.stat().st_size, reverse=True)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    workers = min(cores or 1, _AT_ONCE, len(missing))
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _set, (dict(environment),))
    say(f"executing {len(missing)} page{'s' * (len(missing) > 1)}, {workers} at a time ...")
    with pool, suppress(BrokenProcessPool):  # What is missing then, the build executes.
        futures = {pool.submit(_execute, page, timeout): page for page in missing}
        try:
            for future in as_completed(futures):
                page = futures[future]
                notebook, seconds = future.result()
                if notebook is None:
                    continue
                say(f"executed  {page.relative_to(book).as_posix()[:-3]} in {seconds:.1f} s")
                known = {"execution_seconds": seconds, "loaded": _data_of(notebook)}
                bundle = CacheBundleIn(notebook, str(page), data=known)
                cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
        finally:
            pool.shutdown(cancel_futures=True)


def _has_code(page: Path) -> bool:
    # The table of contents may name pages that are still to be written.
    return page.exists() and is_myst_markdown_notebook(page.read_text(encoding="utf-8"))


def _is_known(cache: JupyterCacheAbstract, page: Path) -> bool:
    notebook = myst_nb_reader_plugin(str(page))
    try:
        record = cache.match_cache_notebook(notebook)
    except KeyError:
        return False
    if record.data.get("loaded") == _data_of(notebook):
        return True
    # If the page fails now, the build must not find what it gave with other data.
    cache.remove_cache(record.pk)
    return False


def _data_of(notebook: NotebookNode) -> dict[str, str]:
    """Return each data set that the code of a page names, and what is at hand of it."""
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    at_hand = dict(part.split("=", 1) for part in data.fingerprint().split())
    return {name: state for name, state in at_hand.items() if re.search(rf"\b{name}\b", code)}


def _set(environment: dict[str, str]) -> None:
    """Prepare a worker for its kernels, which say a lot about themselves on stderr."""
    os.environ.clear()
    os.environ.update(environment)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)


def _execute(page: Path, timeout: int) -> tuple[NotebookNode | None, float]:
    """Execute a page as MyST-NB does; no notebook where it failed."""
    notebook = myst_nb_reader_plugin(str(page))
    result = single_nb_execution(
        notebook, cwd=str(page.parent), allow_errors=False, timeout=timeout
    )
    return (None if result.err else notebook), result.time
