"""The parts of JSON values, and copies of them with other leaves."""

from jobs_app.core.json_values import parts, with_leaves

VALUE = {"a": [1, {"b": None}], "c": {}, "d": "x"}


def test_every_value_comes_with_its_place_outer_ones_first() -> None:
    assert list(parts(VALUE)) == [
        ((), VALUE),
        (("a",), [1, {"b": None}]),
        (("a", 0), 1),
        (("a", 1), {"b": None}),
        (("a", 1, "b"), None),
        (("c",), {}),
        (("d",), "x"),
    ]


def test_a_copy_has_the_same_shape_with_other_leaves() -> None:
    changed = with_leaves(VALUE, lambda place, leaf: [*place, leaf])

    assert changed == {"a": [["a", 0, 1], {"b": ["a", 1, "b", None]}], "c": {}, "d": ["d", "x"]}
    assert VALUE == {"a": [1, {"b": None}], "c": {}, "d": "x"}
