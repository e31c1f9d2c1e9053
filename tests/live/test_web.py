"""The page's files hold together: nothing from elsewhere, nothing inline, and the numbers of the engine."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import talkinghead
from talkinghead.motion import controls

WEB = Path(talkinghead.__file__).parent / "live" / "web"
SCRIPTS = {path.name: path.read_text() for path in sorted(WEB.glob("*.js"))}
STYLE = (WEB / "style.css").read_text()


class Tags(HTMLParser):
    """All tags of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def named(self, name: str) -> list[str]:
        return [values[name] for _, values in self.tags if name in values]


PAGE = Tags((WEB / "index.html").read_text())


def test_nothing_comes_from_elsewhere() -> None:
    linked = [*PAGE.named("src"), *PAGE.named("href")]
    assert linked
    for address in linked:
        assert address.startswith("#") or (WEB / address.removeprefix("static/")).is_file(), address
        assert not address.startswith("/")  # else the page would not work behind a path prefix
    for name, script in SCRIPTS.items():
        assert "//" not in re.sub(r"//.*| \*.*", "", script), name  # no address once the comments are gone
        for module in re.findall(r'from "(.+?)"', script):
            assert module.removeprefix("./") in SCRIPTS, f"{name} imports {module}"
    assert "url(" not in STYLE
    assert "@import" not in STYLE


def test_nothing_is_inline() -> None:
    """A policy without 'unsafe-inline' must be enough."""
    for tag, values in PAGE.tags:
        assert tag != "style"
        assert "style" not in values
        assert not [name for name in values if name.startswith("on")]
        assert tag != "script" or values.get("src")
    assert not any(
        word in script for script in SCRIPTS.values() for word in ("innerHTML", "eval(", "localStorage", "document.cookie")
    )


def test_every_module_is_preloaded() -> None:
    """Else the browser would learn of a module only when it has read another: a round trip each."""
    preloaded = {values["href"] for tag, values in PAGE.tags if values.get("rel") == "modulepreload"}
    assert preloaded == {f"static/{name}" for name in SCRIPTS if name != "app.js"}


def test_scripts_find_the_elements_that_they_name() -> None:
    known = PAGE.named("id")
    assert len(known) == len(set(known))
    for name, script in SCRIPTS.items():
        for wanted in re.findall(r'byId\("(.+?)"\)|find\([^"]*"#([\w-]+)"\)', script):
            assert "".join(wanted) in known, f"{name} wants #{''.join(wanted)}"
    for wanted in (*PAGE.named("for"), *PAGE.named("aria-labelledby"), *PAGE.named("aria-controls")):
        assert wanted in known


def test_sliders_have_the_ranges_of_the_controls() -> None:
    ranges = {
        "distance": controls.DISTANCE_RANGE,
        "pose_scale": controls.POSE_SCALE_RANGE,
        "blink_rate": controls.BLINK_RATE_RANGE,
        "emotion_strength": controls.EMOTION_STRENGTH_RANGE,
    }
    usual = controls.Controls()
    sliders = {values["data-control"]: values for _, values in PAGE.tags if "data-control" in values}
    assert {name: (float(s["min"]), float(s["max"])) for name, s in sliders.items()} == ranges
    assert {name: float(s["value"]) for name, s in sliders.items()} == {name: getattr(usual, name) for name in ranges}
    for axis in [values for _, values in PAGE.tags if values.get("id", "").startswith("gaze-") and values.get("type") == "range"]:
        assert (float(axis["min"]), float(axis["max"])) == (-controls.GAZE_LIMIT_DEG, controls.GAZE_LIMIT_DEG)


def test_the_page_says_that_the_video_is_synthetic() -> None:
    video = next(values for tag, values in PAGE.tags if tag == "video")
    label = next(values for _, values in PAGE.tags if values.get("id") == "synthetic")
    assert "Synthetic" in video["aria-label"]
    assert {"call", "unsteady", "lost"} <= set(label["data-phases"].split())
    assert "disablepictureinpicture" in video  # outside the page it would have no label


def test_fields_and_buttons_have_names() -> None:
    labelled = set(PAGE.named("for"))
    for tag, values in PAGE.tags:
        if tag in ("input", "textarea") and "hidden" not in values and values.get("id") != "consent":  # within its label
            assert values["id"] in labelled or values.get("aria-label"), values


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(scheme: str) -> None:
    """WCAG 2.2, 1.4.3: a contrast of at least 4.5."""
    light, dark = (
        re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block) for block in STYLE.split("@media (prefers-color-scheme: dark)")[:2]
    )
    colours = dict(light) | (dict(dark) if scheme == "dark" else {})
    grounds = {
        "text": ("ground", "card", "well", "accent-soft", "warn-soft"),
        "dim": ("ground", "card", "well", "accent-soft"),
        "danger": ("ground", "card"),
        "on-accent": ("accent",),
        "on-danger": ("danger",),
    }
    for ink, papers in grounds.items():
        for paper in papers:
            assert contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)


def contrast(first: str, second: str) -> float:
    """Of two colours #rrggbb, as WCAG 2.2 defines it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    lighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)
