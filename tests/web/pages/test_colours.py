"""The colours of the stylesheet: contrast by WCAG 2.2, and states that the colour-blind can tell.

The differences are CIEDE2000 (Sharma, Wu and Dalal 2005); the simulations are those of Machado,
Oliveira and Fernandes 2009 at full severity.
"""

import itertools
import math
import re

import pytest

from jobs_app.web.pages.assets import FOLDER

STATES = ("ok", "run", "warn", "bad", "idle")
TEXTS = (*STATES, "text", "muted", "link")

LEAST_CONTRAST = 4.5
LEAST_DIFFERENCE = 10

Vector = tuple[float, float, float]

SIMULATIONS: dict[str, tuple[Vector, Vector, Vector]] = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}


def colours(theme: str) -> dict[str, Vector]:
    """Return the colours of *theme* in the stylesheet by their names, in linear light."""
    css = (FOLDER / "app.css").read_text()
    pairs = re.findall(r"--(\w+): light-dark\(#(\w{6}), #(\w{6})\)", css)
    return {name: linear(light if theme == "light" else dark) for name, light, dark in pairs}


def linear(code: str) -> Vector:
    red, green, blue = (int(code[start : start + 2], 16) / 255 for start in (0, 2, 4))
    return (_linear(red), _linear(green), _linear(blue))


def _linear(share: float) -> float:
    return share / 12.92 if share <= 0.04045 else float(((share + 0.055) / 1.055) ** 2.4)


def luminance(colour: Vector) -> float:
    return 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]


def contrast(first: Vector, second: Vector) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def simulated(colour: Vector, matrix: tuple[Vector, Vector, Vector]) -> Vector:
    rows = [sum(a * b for a, b in zip(row, colour, strict=True)) for row in matrix]
    red, green, blue = (min(1.0, max(0.0, value)) for value in rows)
    return (red, green, blue)


def lab(colour: Vector) -> Vector:
    red, green, blue = colour
    x = (0.4124564 * red + 0.3575761 * green + 0.1804375 * blue) / 0.95047
    y = 0.2126729 * red + 0.7151522 * green + 0.0721750 * blue
    z = (0.0193339 * red + 0.1191920 * green + 0.9503041 * blue) / 1.08883
    fx, fy, fz = (
        v ** (1 / 3) if v > 216 / 24389 else (24389 / 27 * v + 16) / 116 for v in (x, y, z)
    )
    return (116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz))


def _lab_share(value: float) -> float:
    is_bright = value > 216 / 24389
    return float(value ** (1 / 3)) if is_bright else (24389 / 27 * value + 16) / 116


def difference(first: Vector, second: Vector) -> float:
    """Return the CIEDE2000 difference of two colours in CIELAB."""
    (l1, a1, b1), (l2, a2, b2) = first, second
    mean_c = (math.hypot(a1, b1) + math.hypot(a2, b2)) / 2
    g = 0.5 * (1 - math.sqrt(mean_c**7 / (mean_c**7 + 25**7)))
    a1, a2 = a1 * (1 + g), a2 * (1 + g)
    c1, c2 = math.hypot(a1, b1), math.hypot(a2, b2)
    h1, h2 = (math.degrees(math.atan2(b, a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    dh = 0.0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180
    dl, dc = l2 - l1, c2 - c1
    big_dh = 2 * math.sqrt(c1 * c2) * math.sin(math.radians(dh) / 2)
    ml, mc = (l1 + l2) / 2, (c1 + c2) / 2
    mh = h1 + h2 if c1 * c2 == 0 else (h1 + dh / 2) % 360
    t = (
        1
        - 0.17 * math.cos(math.radians(mh - 30))
        + 0.24 * math.cos(math.radians(2 * mh))
        + 0.32 * math.cos(math.radians(3 * mh + 6))
        - 0.20 * math.cos(math.radians(4 * mh - 63))
    )
    sl = 1 + 0.015 * (ml - 50) ** 2 / math.sqrt(20 + (ml - 50) ** 2)
    sc, sh = 1 + 0.045 * mc, 1 + 0.015 * mc * t
    turn = 60 * math.exp(-(((mh - 275) / 25) ** 2))
    rt = -2 * math.sqrt(mc**7 / (mc**7 + 25**7)) * math.sin(math.radians(turn))
    parts = (dl / sl) ** 2 + (dc / sc) ** 2 + (big_dh / sh) ** 2
    return math.sqrt(parts + rt * (dc / sc) * (big_dh / sh))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_can_be_read_on_both_backgrounds(theme: str) -> None:
    known = colours(theme)
    low = {
        (text, ground): round(contrast(known[text], known[ground]), 2)
        for text in TEXTS
        for ground in ("bg", "row")
        if contrast(known[text], known[ground]) < LEAST_CONTRAST
    }
    assert not low
    # Buttons and notices have the background as the colour of their text.
    assert all(contrast(known["bg"], known[name]) >= LEAST_CONTRAST for name in ("link", "warn"))
    # The edge of a field (WCAG 1.4.11).
    assert contrast(known["edge"], known["bg"]) >= 3


@pytest.mark.parametrize("sight", SIMULATIONS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_any_two_states_differ(theme: str, sight: str) -> None:
    seen = {s: lab(simulated(colours(theme)[s], SIMULATIONS[sight])) for s in STATES}
    least = min(difference(seen[a], seen[b]) for a, b in itertools.combinations(STATES, 2))

    assert least >= LEAST_DIFFERENCE


@pytest.mark.parametrize(
    "first, second, expected",
    [
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, -1.0, 2.0), (50.0, 0.0, 0.0), 2.3669),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_the_difference_is_that_of_the_paper(
    first: Vector, second: Vector, expected: float
) -> None:
    assert difference(first, second) == pytest.approx(expected, abs=0.0001)
