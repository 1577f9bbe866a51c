"""The addresses of the pages."""

from flask import Flask


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


def _is_one_of(fixed: list[str], named: list[str]) -> bool:
    """Tell whether the address *fixed* is also one of the addresses *named*."""
    return all(
        one == other or (other.startswith("<") and not one.startswith("<"))
        for one, other in zip(fixed, named, strict=True)
    )
