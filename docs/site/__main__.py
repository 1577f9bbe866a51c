"""Put together what mkdocs makes the site of: `python -m docs.site DIRECTORY`.

The directory gets the pages that README.md leads to, where they are in the checkout, so that
their links work unchanged; the references, made of the code; and mkdocs.yml.
"""

import argparse
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from docs.site import reference

ROOT = Path(__file__).parents[2]
FIRST_PAGE = "README.md"


def main() -> None:
    parser = argparse.ArgumentParser(prog="docs.site", description=__doc__)
    parser.add_argument("directory", type=Path)
    directory: Path = parser.parse_args().directory
    shutil.rmtree(directory, ignore_errors=True)
    write(directory)


def write(directory: Path) -> None:
    """Write the pages and mkdocs.yml into *directory*."""
    source = directory / "source"
    for name in linked_files(FIRST_PAGE):
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".md":
            target.write_text(_for_mkdocs((ROOT / name).read_text()))
        else:
            shutil.copyfile(ROOT / name, target)
    shutil.copytree(ROOT / "docs" / "site" / "vendor", source / "vendor")
    (source / "reference").mkdir()
    for name, text in reference.files().items():
        (source / "reference" / name).write_text(text)
    generated = {"Reference from the code": [f"reference/{name}" for name in reference.PAGES]}
    nav = [{"Overview": FIRST_PAGE}, *navigation(), generated]
    config = {
        "INHERIT": str(ROOT / "docs" / "site" / "mkdocs.yml"),
        "docs_dir": "source",
        "nav": nav,
    }
    (directory / "mkdocs.yml").write_text(yaml.safe_dump(config, sort_keys=False))


def linked_files(page: str) -> Iterator[str]:
    """Yield *page* and each file of the checkout that it leads to, also by other pages, once."""
    waiting, seen = [page], {page}
    while waiting:
        name = waiting.pop()
        yield name
        if not name.endswith(".md"):
            continue
        for target in _targets((ROOT / name).read_text()):
            path = (ROOT / name).parent / target
            linked = path.resolve().relative_to(ROOT).as_posix() if path.is_file() else ""
            if linked and linked not in seen:
                seen.add(linked)
                waiting.append(linked)


def navigation() -> list[dict[str, list[str]]]:
    """Return the pages by section: the tables of README.md under "Documentation"."""
    pages: list[dict[str, list[str]]] = []
    text = (ROOT / FIRST_PAGE).read_text().partition("\n## Documentation\n")[2]
    section: list[str] = []
    cell = ""
    for token in _parse(text.partition("\n## ")[0]):
        cell = token.type if token.type in ("th_open", "td_open") else cell
        if token.type == "inline" and cell == "th_open" and token.content:
            section = []
            pages.append({token.content.capitalize(): section})
        elif token.type == "inline" and cell == "td_open":
            section += [target for target in _links(token) if target.endswith(".md")]
    return pages


def _targets(text: str) -> Iterator[str]:
    """Yield the path of each relative link and picture in Markdown."""
    for token in _parse(text):
        for target in _links(token):
            address = urlsplit(target)
            if not address.scheme and address.path:
                yield unquote(address.path)


def _links(token: Token) -> Iterator[str]:
    for child in token.children or ():
        if child.type in ("link_open", "image"):
            yield str(child.attrs["href" if child.type == "link_open" else "src"])


def _parse(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(text)


def _for_mkdocs(text: str) -> str:
    r"""Return Markdown without the backslash of `\|` in tables, which mkdocs would show."""
    lines = text.split("\n")
    return "\n".join(
        re.sub(r"`[^`]+`", lambda code: code[0].replace("\\|", "|"), line)
        if line.startswith("|")
        else line
        for line in lines
    )


if __name__ == "__main__":
    main()
