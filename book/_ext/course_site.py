"""What the site adds to Jupyter Book: repository links, notebooks to download, diagrams that speak.

All links follow the one public address of the repository (`[project.urls] Repository` in
pyproject.toml). While it is empty there is no Colab button and no repository link, hence no dead
link. The environment variable LARGEMODELS_REPOSITORY replaces it for one build, for the tests.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from jupyter_cache import get_cache
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from pybtex.backends.plaintext import Backend
from pybtex.plugin import register_plugin
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util import logging
from sphinxcontrib.mermaid import mermaid

from coursekit.errors import CourseError
from coursekit.notebook_files import to_text
from coursekit.notebooks import page_notebook
from coursekit.references import Book
from coursekit.repository import MAIN_BRANCH, Repository

logger = logging.getLogger(__name__)

# Characters of a word of code that a phone has room for.
_SHORT = 20


def repository_address(source: Path) -> str:
    """Return the public address of the repository that holds the folder `source`; may be empty."""
    address = os.environ.get("LARGEMODELS_REPOSITORY")
    return Repository.find(source).address if address is None else address.strip().rstrip("/")


def repository_of(app: Sphinx) -> Repository:
    """Return the clone that this site is built from, with the address that it is built for."""
    return Repository(Path(app.srcdir).resolve().parent, app.config.course_repository)


# All pages are read for the labels in them: once for each build.
book_of = cache(Book)


def add_repository_links(app: Sphinx, config: Config) -> None:
    """Switch on the theme's own repository and edit links, where there is an address."""
    # Sphinx rebuilds every page when this value changes, so the buttons follow the address.
    config.course_repository = repository_address(Path(app.srcdir))
    if config.course_repository:
        config.html_theme_options |= {
            "repository_url": config.course_repository,
            "repository_branch": MAIN_BRANCH,
            "path_to_docs": "book",
            "use_repository_button": True,
            "use_edit_page_button": True,
            "use_issues_button": True,
        }


def restore_outputs(app: Sphinx, doctree: nodes.document) -> None:
    """Give the notebook of a page its outputs, as the execution cache holds them.

    MyST-NB shows them on the page. In the notebook that it writes they are missing when they came
    from the cache, and a text that was printed in two pieces stands there twice.
    """
    build = Path(app.outdir).parent
    file = build / "jupyter_execute" / f"{app.env.docname}.ipynb"
    if not file.is_file():
        return
    notebook = nbformat.read(file, as_version=4)
    try:
        _, notebook = get_cache(build / ".jupyter_cache").merge_match_into_notebook(notebook)
    except KeyError:  # The page failed, and MyST-NB has said so.
        return
    for cell in notebook.cells:
        if cell.cell_type == "code":
            # What `glue` kept for the prose is shown there, and not below the cell.
            cell.outputs = [
                output
                for output in cell.outputs
                if not output.get("metadata", {}).get("scrapbook", {}).get("mime_prefix")
            ]
    # A kernel sends a text in as many pieces as it likes.
    notebook, _ = CoalesceStreamsPreprocessor().preprocess(notebook, {})
    file.write_text(to_text(notebook), encoding="utf-8")


def offer_notebook(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Put the notebook of a page, executed and readable, beside its source; the theme offers it."""
    if doctree is None or "kernelspec" not in app.env.metadata[page]:
        return
    try:
        book = book_of(repository_of(app))
        notebook = page_notebook(book, Path(app.env.doc2path(page)), executed=True)
    except CourseError as error:
        logger.warning("no notebook to download: %s", error, location=page, type="course")
        return
    download = Path(app.outdir) / "_sources" / f"{page}.ipynb"
    download.parent.mkdir(parents=True, exist_ok=True)
    download.write_text(to_text(notebook), encoding="utf-8")
    context["ipynb_source"] = f"{page}.ipynb"


def add_colab_button(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Add a button that opens the notebook of this page in Colab, where there is an address."""
    repository = repository_of(app)
    address = repository.colab_address(repository.book / f"{page}.ipynb")
    if address and context.get("ipynb_source"):
        button = {
            "type": "link",
            "url": address,
            "text": "Colab",
            "tooltip": "Open this page as a notebook in Colab",
            "icon": "fas fa-rocket",
            "label": "open-in-colab",
        }
        context["header_buttons"].insert(0, button)


def add_colab_to_exercises(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Follow each link to the notebook of an exercise by one that opens it in Colab."""
    repository = repository_of(app)
    for link in list(doctree.findall(addnodes.download_reference)):
        match = re.search(r"exercises/(?P<name>.+\.ipynb)$", link["reftarget"])
        address = match and repository.colab_address(repository.exercises / match["name"])
        if address:
            colab = nodes.reference("", "open in Colab", refuri=address, internal=False)
            place = link.parent.index(link) + 1
            link.parent[place:place] = [nodes.Text(" ("), colab, nodes.Text(")")]


def describe_diagrams(app: Sphinx, doctree: nodes.document) -> None:
    """Ask each diagram for the words that a screen reader says."""
    for diagram in doctree.findall(mermaid):
        if not re.search(r"^\s*accTitle\s*:", diagram["code"], re.MULTILINE):
            logger.warning(
                "a mermaid diagram needs a line `accTitle: ...` that says what it shows",
                location=diagram,
                type="course",
            )


def keep_short_code_whole(app: Sphinx, doctree: nodes.document) -> None:
    """Mark code that fits any line, so that `--again` does not break behind its first hyphen."""
    for code in doctree.findall(nodes.literal):
        if max(map(len, code.astext().split()), default=0) <= _SHORT:
            code["classes"].append("short")


def draw_diagrams_without_a_server(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Load mermaid as a plain script: a site that is opened as files cannot import a module."""
    for script in list(context["script_files"]):
        body = getattr(script, "attributes", {}).get("body") or ""
        start = re.match(r"\s*import mermaid from [^;]+;", body)
        if start:
            script.attributes["body"] = body[start.end() :]
            app.add_js_file(app.config.mermaid_use_local, priority=script.priority - 1)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect all this to Sphinx."""
    app.add_config_value("course_repository", "", "html")
    # Jupyter Book sets this even where its comments extension, which we leave out, is not loaded.
    app.add_config_value("comments_config", {}, "html")
    # Else pybtex looks through all installed packages for it, at each citation.
    register_plugin("pybtex.backends", "plaintext", Backend, force=True)
    app.connect("config-inited", add_repository_links)
    app.connect("doctree-read", restore_outputs)
    app.connect("doctree-read", describe_diagrams)
    app.connect("doctree-read", keep_short_code_whole)
    app.connect("doctree-resolved", add_colab_to_exercises)
    # The theme builds its header buttons at 501: the notebook is offered before, Colab added after.
    app.connect("html-page-context", offer_notebook, priority=400)
    app.connect("html-page-context", add_colab_button, priority=900)
    app.connect("html-page-context", draw_diagrams_without_a_server, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
