"""Let the book speak of pages that are not written yet.

`_toc.yml` names every page that the book will have, in its order. A page that does not exist would
break the build; here it waits until its file is there. The role ``{page}`math/losses` `` links to a
page of the table of contents, and shows its name alone until then.
"""

from __future__ import annotations

from pathlib import Path

import yaml
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util import logging
from sphinx.util.docutils import ReferenceRole
from sphinx_external_toc.api import FileItem

logger = logging.getLogger(__name__)


def leave_out_unwritten(app: Sphinx, config: Config) -> None:
    """Drop entries without a file, and parts without entries."""
    site_map = config.external_site_map
    folder = Path(app.srcdir)

    def is_written(name: str) -> bool:
        return any((folder / f"{name}{suffix}").is_file() for suffix in ("", *config.source_suffix))

    unwritten = [
        name for name in site_map if name != site_map.root.docname and not is_written(name)
    ]
    for name in unwritten:
        del site_map[name]
    for document in site_map.values():
        for tree in document.subtrees:
            tree.items = [
                item
                for item in tree.items
                if not (isinstance(item, FileItem) and str(item) in unwritten)
            ]
        document.subtrees = [tree for tree in document.subtrees if tree.items]
    if unwritten:
        logger.info("not written yet: %s", ", ".join(unwritten))


class PageRole(ReferenceRole):
    """A link to a page, or its name while it is not written yet."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Make the link."""
        toc = (Path(self.env.srcdir) / "_toc.yml").read_text(encoding="utf-8")
        if self.target not in names_in(yaml.safe_load(toc)):
            message = f"`{self.target}` is no page of _toc.yml"
            logger.warning(message, location=self.get_location(), type="course")
        file = Path(self.env.srcdir) / f"{self.target}.md"
        self.env.note_dependency(str(file))  # Read this page again once the other one is there.
        title = self.title if self.has_explicit_title else ""
        if not file.is_file():
            name = self.target.rsplit("/", 1)[-1].replace("_", " ").capitalize()
            return [nodes.emphasis(self.rawtext, title or name)], []
        link = addnodes.pending_xref(
            self.rawtext,
            nodes.inline("", title),
            refdomain="std",
            reftype="doc",
            reftarget=f"/{self.target}",
            refdoc=self.env.docname,
            refexplicit=bool(title),
            refwarn=True,
        )
        return [link], []


def names_in(content: object) -> set[str]:
    """Every page that a table of contents names."""
    if isinstance(content, dict):
        found = {content["file"]} if "file" in content else set()
        return found.union(*map(names_in, content.values()))
    return set().union(*map(names_in, content)) if isinstance(content, list) else set()


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect this to Sphinx, after the extension that reads `_toc.yml` (at 900)."""
    app.add_role("page", PageRole())
    app.connect("config-inited", leave_out_unwritten, priority=950)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
