"""The addresses of the pages."""

from pathlib import Path

from flask import Flask

from jobs_app.web.pages import registry


def test_no_fixed_address_is_that_of_something_with_a_name(app: Flask) -> None:
    """A job may be called "new", and still has its page."""
    addresses = [rule.rule.split("/") for rule in app.url_map.iter_rules()]

    hidden = [
        ("/".join(fixed), "/".join(named))
        for fixed in addresses
        for named in addresses
        if fixed != named and len(fixed) == len(named) and _is_one_of(fixed, named)
    ]

    assert hidden == []


def test_every_page_is_registered() -> None:
    sources = Path(registry.__file__).parent.glob("*.py")

    pages = {path.stem for path in sources if "\npage = Blueprint(" in path.read_text()}

    assert pages == set(registry.MODULES)


def _is_one_of(fixed: list[str], named: list[str]) -> bool:
    """Tell whether the address *fixed* is also one of the addresses *named*."""
    return all(
        one == other or (other.startswith("<") and not one.startswith("<"))
        for one, other in zip(fixed, named, strict=True)
    )
