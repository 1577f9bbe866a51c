"""Each link of the pages leads somewhere."""

from urllib.parse import unquote, urlsplit

import pytest

from tests.documents.pages import OTHERS, PAGES, RECORDS, ROOT, anchors, links


@pytest.mark.parametrize("page", [*PAGES, *OTHERS, *RECORDS])
def test_each_link_has_its_file_and_its_anchor(page: str) -> None:
    broken = [f"{page}:{line}: {target}" for line, target in links(page) if not leads(page, target)]

    assert not broken


def leads(page: str, target: str) -> bool:
    """Whether the file and the anchor of a relative link are there; others are not asked."""
    address = urlsplit(target)
    if address.scheme:
        return address.scheme in ("https", "http", "mailto")
    path = (ROOT / page).parent / unquote(address.path) if address.path else ROOT / page
    if not path.exists():
        return False
    name = path.resolve().relative_to(ROOT).as_posix()
    return not address.fragment or (path.suffix == ".md" and address.fragment in anchors(name))


@pytest.mark.parametrize("page", [page for page in PAGES if page != "README.md"])
def test_the_readme_leads_to_each_page(page: str) -> None:
    assert page in {target.partition("#")[0] for _, target in links("README.md")}
