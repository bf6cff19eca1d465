"""Check the built documentation, offline: links, the reference, times of examples.

``python .ci/check_site.py docs/_build``. Every link, picture and anchor inside the site
and in the Markdown files of the repository leads somewhere; no page loads anything from
elsewhere; every public name has a page; no example takes longer than it may. Links to
other sites are listed, not fetched.
"""

import argparse
import posixpath
import subprocess
import sys
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup
from check_docs import public_names
from markdown_it import MarkdownIt
from mdit_py_plugins.anchors import anchors_plugin
from sphinx.util.inventory import InventoryFile

LOADED = {"script": "src", "img": "src", "link": "href", "source": "src"}
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")
MARKDOWN.use(anchors_plugin, max_level=6)


@cache
def soup_of(path):
    """Return a page of the site, or a Markdown file as a code host shows it."""
    text = path.read_text(encoding="utf-8")
    return BeautifulSoup(
        MARKDOWN.render(text) if path.suffix == ".md" else text, "html.parser"
    )


@cache
def anchors_of(path):
    """Return the places that links into a page may name."""
    found = soup_of(path).find_all(lambda tag: tag.get("id") or tag.get("name"))
    return {tag.get(key) for tag in found for key in ("id", "name")}


def links_of(path):
    """Yield (address, whether it is loaded with the page) of a page."""
    for tag in soup_of(path).find_all(["a", *LOADED]):
        address = tag.get(LOADED.get(tag.name, "href"))
        if address:
            yield address, tag.name != "a" and "canonical" not in tag.get("rel", [])


def problem_of(path, address, loaded, external):
    """Return what is wrong with a link of a page, if anything is."""
    parts = urlsplit(address)
    if parts.scheme in {"mailto", "data", "javascript"}:
        return None
    if parts.scheme or parts.netloc:
        external.add(address)
        return "is loaded from elsewhere" if loaded else None
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.exists():
        return "leads nowhere"
    place = unquote(parts.fragment)
    checked = target.suffix in {".html", ".md"}
    if place and checked and place not in anchors_of(target):
        return "names no place on its page"
    return None


def broken_links(pages, external):
    """Return a line for each link that is broken."""
    return sorted(
        f"{path}: {address} {problem}"
        for path in pages
        for address, loaded in set(links_of(path))
        if (problem := problem_of(path, address, loaded, external))
    )


def missing_names(site):
    """Return a line for each public name without a place in the reference."""
    with (site / "objects.inv").open("rb") as stream:
        inventory = InventoryFile.load(stream, "", posixpath.join)
    known = {
        name for kind in inventory if kind[:3] == "py:" for name in inventory[kind]
    }
    names = {name for name, _ in public_names() if not name.startswith("sktally.cli.")}
    print(f"{len(names & known)} of {len(names)} public names in the reference")
    return [f"{name}: not in the reference" for name in sorted(names - known)]


def slow_examples(site, seconds):
    """Return a line for each example that was not run, or took too long."""
    cases = list(ET.parse(site / "junit.xml").getroot().iter("testcase"))
    for case in cases:
        print(f"{float(case.get('time')):6.1f} s  {case.get('classname')}")
    run = {f"{case.get('classname')}.py" for case in cases}
    missed = sorted({path.name for path in Path("examples").glob("plot_*.py")} - run)
    return [f"{name}: not run; remove docs/auto_examples first" for name in missed] + [
        f"{case.get('file')}: took longer than {seconds:g} s"
        for case in cases
        if float(case.get("time")) > seconds
    ]


def main():
    """Print problems; exit status 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path)
    parser.add_argument("--seconds", type=float, default=120, help="for an example")
    chosen = parser.parse_args()
    site = chosen.site.resolve()
    tracked = subprocess.run(
        ["git", "ls-files", "*.md"], capture_output=True, check=True, text=True
    ).stdout.split()
    pages = [
        path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts
    ]
    pages += [Path(name).resolve() for name in tracked]
    external = set()
    problems = broken_links(pages, external)
    print("not fetched:", *sorted(external), sep="\n  ")
    problems += missing_names(site) + slow_examples(site, chosen.seconds)
    print(*problems, sep="\n", end="\n" if problems else "")
    print(f"{len(pages)} pages, {len(problems)} problems")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
