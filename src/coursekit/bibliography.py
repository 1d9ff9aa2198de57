"""Whether a work in `references.bib` can be found by who reads of it.

Every entry needs its authors (or editors), title, year and venue, and an address that lasts:

* an article or a paper of a conference: `doi`, or `eprint` (arXiv). Some publishers of record give
  neither; for these, and for no other, the `url` of the paper on their own site stands in;
* a book, a thesis, a report, a standard, a page of the web: `doi`, `eprint`, `isbn` or `url`.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

__all__ = ["incomplete"]

_PAPERS = {"article", "conference", "inproceedings", "incollection"}
_VENUES = (
    "journal",
    "booktitle",
    "publisher",
    "school",
    "institution",
    "organization",
    "howpublished",
)
# Where journals and proceedings are published without a DOI.
_ARCHIVES = {
    "jmlr.org",
    "proceedings.mlr.press",
    "papers.nips.cc",
    "proceedings.neurips.cc",
    "openreview.net",
    "cdn.openai.com",
    "usenix.org",
    "distill.pub",
}
_DOI = re.compile(r"10\.\d{4,9}/\S+")
_ARXIV = re.compile(r"\d{4}\.\d{4,5}(v\d+)?|[a-z-]+(\.[A-Z]{2})?/\d{7}")


def incomplete(works: Mapping[str, Any]) -> list[str]:
    """Say what each work lacks.

    Args:
        works: Entries as pybtex reads them, by key.

    Returns:
        A sentence for each thing that is missing or malformed.
    """
    return [
        f"{key}: {problem}" for key, entry in works.items() for problem in _problems(entry, key)
    ]


def _problems(entry: Any, key: str) -> list[str]:
    fields = {name.lower(): str(value).strip() for name, value in entry.fields.items()}
    problems = []
    people = entry.persons.get("author") or entry.persons.get("editor")
    if not people:
        problems.append("names no author")
    elif any("others" in person.last_names for person in people):
        problems.append("says `and others`; name all authors")
    if not fields.get("title"):
        problems.append("has no title")
    if not re.fullmatch(r"\d{4}", fields.get("year", "")):
        problems.append(f"its year (={fields.get('year', '')}) is no year")
    elif not re.fullmatch(rf"[a-z]+{fields['year']}[a-z]?", key):
        problems.append("its key must be first author and year, as in `rumelhart1986`")
    is_paper = entry.type.lower() in _PAPERS
    if not any(fields.get(name) for name in _VENUES) and not fields.get("eprint"):
        problems.append("names no venue (journal, booktitle, publisher, school, ...)")
    if "doi" in fields and not _DOI.fullmatch(fields["doi"]):
        problems.append(f"its doi (={fields['doi']}) is no DOI; write it as `10.1038/323533a0`")
    if "eprint" in fields and not _ARXIV.fullmatch(fields["eprint"]):
        problems.append(f"its eprint (={fields['eprint']}) is no arXiv id; write `1706.03762`")
    lasting = {"doi", "eprint"} if is_paper else {"doi", "eprint", "isbn", "url"}
    host = urlsplit(fields.get("url", "")).netloc.removeprefix("www.")
    if not lasting & set(fields) and not (is_paper and host in _ARCHIVES):
        wanted = "a doi or an eprint" if is_paper else "a doi, an isbn or a url"
        problems.append(f"cannot be found; give it {wanted}")
    return problems
