"""Map pages: what they embed, that nothing from outside gets in or is asked for, their size, and a real browser."""

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from browser import Browser, find_browser
from scene_files import ground, write_scene

import amazon_ml as am
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.errors import InputError
from amazon_ml.scenes.compare import compare_results, compare_scenes
from amazon_ml.scenes.grid import Grid, place_windows
from amazon_ml.scenes.outputs import write_outputs
from amazon_ml.scenes.page import embed
from amazon_ml.scenes.page.changes import changes_page
from amazon_ml.scenes.page.scene import scene_page, scene_title
from amazon_ml.scenes.picture import colours, encode_picture, picture_factor, picture_size, read_picture, shrink
from amazon_ml.scenes.result import SceneResult
from amazon_ml.scenes.vectors import crs_of

HOSTILE = ("</script><script>stolen = 1</script>", '"><img src=x onerror="stolen=2">', "it's&amp;`${7}é<!--")
Numbers = npt.NDArray[np.uint16]


class Parsed(HTMLParser):
    """Elements with their attributes, and the text of each script and style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside.setdefault(tag, []).append("")

    def handle_data(self, data: str) -> None:
        if self.elements:
            self.inside[self.elements[-1][0]][-1] += data

    @property
    def data(self) -> dict[str, Any]:
        """What the script draws."""
        (content,) = (text for text in self.inside["script"] if text.startswith("{"))
        found: dict[str, Any] = json.loads(content)
        return found


def made(tags: tuple[str, ...] = ("forest", "road", "water"), *, height: int = 100, width: int = 150, stride: int = 32,
         crs: str | None = None, seed: int = 0) -> SceneResult:  # fmt: skip
    """Make the result of a scene of random probabilities, whose first cell has none."""
    grid = Grid(crs_of(32720) if crs is None else crs, 500_000.0, 8_900_000.0, 10.0, 10.0, width, height)
    windows = place_windows(grid, 32, stride)
    p = np.random.default_rng(seed).random((*windows.shape, len(tags)), dtype=np.float32)
    p[0, 0] = np.nan
    ones = np.ones(windows.shape, dtype=np.float32)
    return SceneResult(grid, windows, tags, p, (p > 0.6).astype(np.uint8), ones, ones, ("a note on `gsd`",))


def picture_of(result: SceneResult, seed: int = 0) -> npt.NDArray[np.uint8]:
    picture = np.random.default_rng(seed).integers(0, 256, (*picture_size(result.grid), 4), dtype=np.uint8)
    picture[..., 3] = 255
    picture[:20, :20, 3] = 0
    return picture


def page_of(result: SceneResult, title: str = "a.tif") -> str:
    return scene_page(title, result, result.summary(), encode_picture(picture_of(result)))


def changes_of(result: SceneResult, title: str = "changes") -> str:
    comparison = compare_results(result, replace(result, p=result.p[::-1].copy()), least=0.3)
    pictures = [encode_picture(picture_of(result, seed)) for seed in (0, 1)]
    return changes_page(title, comparison, comparison.summary(), pictures)


def decoded(text: str, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Decode embedded probabilities to (rows, columns, tags), by another way than the page."""
    numbers: Numbers = np.frombuffer(base64.b64decode(text), dtype="<u2").reshape(shape[2], *shape[:2])
    p = np.where(numbers == 65535, np.nan, numbers / 65534)
    return np.moveaxis(p, 0, -1)


# ---------------------------------------------------------------- what is embedded


@pytest.mark.parametrize("stride", [32, 16])
def test_the_page_holds_the_cells_as_they_are(stride: int) -> None:
    result = made(stride=stride)
    data = Parsed(page_of(result)).data
    assert data["tags"] == list(result.tags) and data["merged"] == 1
    p = decoded(data["p"], result.p.shape)
    assert np.array_equal(np.isnan(p), np.isnan(result.p)) and np.nanmax(np.abs(p - result.p)) < 1e-5
    bits = np.unpackbits(np.frombuffer(base64.b64decode(data["predicted"]), np.uint8), bitorder="little")
    flags = bits[: result.p.size].reshape(len(result.tags), *result.windows.shape)
    assert np.array_equal(np.moveaxis(flags, 0, -1), result.predicted)
    assert data["rows"] == result.windows.down.edges.tolist()
    assert data["columns"] == result.windows.across.edges.tolist()
    assert data["tops"] == result.windows.down.starts.tolist()
    assert data["ground"] == [500_000.0, 8_900_000.0, 10.0, 10.0] and data["crs"] == "EPSG:32720"
    assert data["shown"] == [int(np.nanstd(result.p.reshape(-1, 3), axis=0).argmax())]


def test_the_page_of_changes_holds_both_dates() -> None:
    result = made()
    comparison = compare_results(result, replace(result, p=result.p[::-1].copy()), least=0.3)
    data = Parsed(changes_of(result)).data
    assert data["threshold"] == 0.3 and len(data["pictures"]) == 2
    for name, expected in (
        ("appeared", comparison.appeared), ("went", comparison.went), ("before", result.p), ("after", result.p[::-1]),
    ):  # fmt: skip
        p = decoded(data[name], result.p.shape)
        assert np.array_equal(np.isnan(p), np.isnan(expected)) and np.nanmax(np.abs(p - expected)) < 1e-5


def test_many_cells_are_joined_with_their_largest_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "MOST_VALUES", 50)
    result = made(height=32 * 6, width=32 * 9)
    data = Parsed(page_of(result)).data
    assert data["merged"] == 2 and len(data["rows"]) - 1 == 3 and len(data["columns"]) - 1 == 5
    assert data["rows"] == [0, 64, 128, 192] and data["columns"] == [0, 64, 128, 192, 256, 288]
    padded = np.pad(np.nan_to_num(result.p), [(0, 0), (0, 1), (0, 0)])
    expected = padded.reshape(3, 2, 5, 2, 3).max(axis=(1, 3))
    assert np.abs(decoded(data["p"], expected.shape) - expected).max() < 1e-5


def test_the_size_of_a_page_is_bounded() -> None:
    result = made(tuple(f"tag_{n}" for n in range(17)), height=32 * 450, width=32 * 460)
    picture = picture_of(result)
    assert max(picture.shape) <= 2048
    page = scene_page("noise", result, result.summary(), encode_picture(picture))
    assert Parsed(page).data["merged"] == 2
    assert len(page.encode()) < 13e6


def test_a_scene_without_coordinates_or_without_any_tags_has_a_page() -> None:
    plain = Parsed(page_of(made(crs=""))).data
    assert plain["metres"] == 0 and plain["crs"] == "pixel coordinates"
    assert all(amount.endswith("%") for amount in plain["amounts"])
    result = made()
    none = replace(result, p=np.full_like(result.p, np.nan), predicted=np.zeros_like(result.predicted))
    assert np.isnan(decoded(Parsed(page_of(none)).data["p"], none.p.shape)).all()


# ---------------------------------------------------------------- nothing is asked for, and nothing gets in


@pytest.mark.parametrize("make", [page_of, changes_of])
def test_the_page_asks_no_host_for_anything(make: Any) -> None:
    page = Parsed(make(made()))
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster", "background", "xlink:href"):
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, attributes)
        assert tag not in ("iframe", "object", "embed", "base", "form")
    policy = next(found["content"] or "" for _, found in page.elements if found.get("http-equiv"))
    assert "default-src 'none'" in policy and "http" not in policy and "unsafe-eval" not in policy
    assert not re.findall(r"@import|url\(\s*[\"']?(?:https?:)?//", "".join(page.inside["style"]))
    scripts = "".join(page.inside["script"])
    assert "sourceMappingURL" not in scripts
    assert set(re.findall(r"https?://[^\s\"')]+", scripts)) == {"http://www.w3.org/2000/svg", "https://leafletjs.com"}
    assert all(uri.startswith("data:image/webp;base64,") for uri in page.data["pictures"])
    assert "Redistributions in binary form" in "".join(page.inside["pre"])


@pytest.mark.parametrize("make", [page_of, changes_of])
def test_names_from_outside_stay_text(make: Any) -> None:
    title = "</title><script>stolen = 3</script>\udcff.tif"
    source = make(made(HOSTILE), title)
    source.encode("utf-8")
    page = Parsed(source)
    plain = Parsed(make(made()))
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements]
    assert page.data["tags"] == list(HOSTILE)
    assert "<script>stolen" not in source and "<img" not in source
    assert not [key for _, found in page.elements for key in found if key.startswith("on")]


def test_a_scene_is_named_by_its_files() -> None:
    assert scene_title(["/far/away/a.tif"]) == "a.tif"
    assert "a.tif" in scene_title(["/x/a.tif", "/x/b.tif", "/x/c.tif"]) and "2" in scene_title(["a", "b", "c"])


# ---------------------------------------------------------------- the picture


@pytest.mark.parametrize("factor", [1, 3, 4])
def test_the_picture_averages_the_pixels_with_data(factor: int) -> None:
    rng = np.random.default_rng(factor)
    channels, valid = rng.integers(0, 256, (12, 24, 3), dtype=np.uint8), rng.random((12, 24)) < 0.7
    valid[:factor, :factor] = False
    found = shrink(channels, valid, factor)
    for row in range(12 // factor):
        for column in range(24 // factor):
            here = np.s_[row * factor : (row + 1) * factor, column * factor : (column + 1) * factor]
            share = valid[here].mean()
            if abs(share - 0.5) > 0.01:
                assert found[row, column, 3] == (255 if share > 0.5 else 0)
            if share:
                expected = channels[here][valid[here]].mean(axis=0)
                assert np.abs(found[row, column, :3] - expected).max() <= 1 + 1 / share


def test_a_picture_of_a_long_scene_has_the_longest_edge() -> None:
    grid = Grid("", 0, 0, 1, 1, 5000, 100_000)
    assert picture_factor(grid) == 49 and picture_size(grid) == (2041, 103)
    assert shrink(np.full((5, 7, 3), 9, np.uint8), np.ones((5, 7), bool), 4).tolist() == [[[9, 9, 9, 255]] * 2] * 2
    channels = np.arange(4, dtype=np.uint8)[None, None]
    for bands, expected in (("nbgr", [3, 2, 1]), ("nrg", [0, 1, 2]), (["ndvi"], [0, 0, 0])):
        assert colours(TileReader(bands=tuple(bands)), channels[..., : len(bands)])[0, 0].tolist() == expected


@pytest.mark.parametrize("longest", [60, 9])  # squares of 2 pixels, and of 12, which strips divide
def test_the_picture_is_made_while_the_scene_is_read(
    tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch, longest: int
) -> None:
    bands = ground(100, 70)
    scene = write_scene(tmp_path / "a.tif", bands)
    pictures: list[npt.NDArray[np.uint8]] = []

    def caught(picture: npt.NDArray[np.uint8]) -> bytes:
        pictures.append(picture)
        return b""

    monkeypatch.setattr("amazon_ml.scenes.picture.LONGEST", longest)
    monkeypatch.setattr("amazon_ml.scenes.tagging._STRIP", 0)  # a part for each row of windows
    monkeypatch.setattr("amazon_ml.scenes.outputs.encode_picture", caught)
    am.Predictor.load(trained / "bundle", device="cpu").predict_scene(scene, tmp_path / "out", stride=16)
    edge = -(-100 // longest)
    rows, columns = -(-100 // edge), -(-70 // edge)
    padded = np.pad(bands, [(0, 0), (0, rows * edge - 100), (0, columns * edge - 70)], mode="edge")
    expected = padded.reshape(3, rows, edge, columns, edge).mean(axis=(2, 4))
    (picture,) = pictures
    assert np.abs(np.moveaxis(picture[..., :3], -1, 0) - expected).max() <= 0.5 + 1e-6
    assert (picture[..., 3] == 255).all()


def test_predictions_write_the_picture_and_the_page_and_comparisons_read_them(tmp_path: Path) -> None:
    result = made()
    about = {"networks": "0", "frequencies": {}}
    for name, seed in (("before", 0), ("after", 1)):
        write_outputs(tmp_path / name, result, picture_of(result, seed), about, title=name, geojson=False)
    stored = read_picture(tmp_path / "before" / "picture.webp", result.grid, "before")
    shown = cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_UNCHANGED)
    assert shown is not None
    assert np.array_equal(shown[..., 3], picture_of(result)[..., 3])
    assert base64.b64encode(stored).decode() in (tmp_path / "before" / "map.html").read_text()
    compare_scenes(tmp_path / "before", tmp_path / "after", out=tmp_path / "out")
    with pytest.raises(InputError) as error:
        compare_scenes(tmp_path / "before", tmp_path / "after", out=tmp_path / "after", overwrite=True)
    assert error.value.option == "out"
    page = (tmp_path / "out" / "map.html").read_text()
    assert base64.b64encode(stored).decode() in page and Parsed(page).data["kind"] == "changes"
    for content in (b"", stored[:60], b"<svg/>", encode_picture(picture_of(made(width=90)))):
        (tmp_path / "after" / "picture.webp").write_bytes(content)
        with pytest.raises(InputError) as error:
            compare_scenes(tmp_path / "before", tmp_path / "after", out=tmp_path / "other")
        assert str(error.value.file) == str(tmp_path / "after" / "picture.webp") and error.value.option == "after"
    assert not (tmp_path / "other").exists()


# ---------------------------------------------------------------- a real browser

PRESS = (
    "document.querySelector('{}').dispatchEvent("
    "new KeyboardEvent('keydown', {{key: '{}', bubbles: true, cancelable: true}}))"
)
HEADING = "document.querySelector('#details h2').textContent"
DRAWN = "Number(document.getElementById('count').value.split(' ')[0])"
SET = "{{const it = document.getElementById('{}'); it.value = {}; it.dispatchEvent(new Event('input'))}}"
FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
PAINTED = (
    "(() => {const it = document.querySelector('#map canvas'); const copy = new OffscreenCanvas(it.width, it.height)"
    ".getContext('2d', {willReadFrequently: true}); copy.drawImage(it, 0, 0); "
    "const d = copy.getImageData(0, 0, it.width, it.height).data; let n = 0; "
    "for (let at = 3; at < d.length; at += 4) n += d[at] > 0; return n})()"
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Browser, Path, SceneResult]]:
    program = find_browser()
    if program is None:
        pytest.skip("needs Chromium or Chrome on the PATH")
    folder = tmp_path_factory.mktemp("pages")
    result = made((*HOSTILE, "road"))
    (folder / "scene.html").write_text(page_of(result, HOSTILE[0]), encoding="utf-8")
    (folder / "changes.html").write_text(changes_of(result, HOSTILE[0]), encoding="utf-8")
    (folder / "plain.html").write_text(page_of(made(crs="")), encoding="utf-8")
    with Browser(program, folder / "profile") as browser:
        yield browser, folder, result


def test_in_a_browser_the_slider_and_the_layers_change_the_cells(pages: tuple[Browser, Path, SceneResult]) -> None:
    browser, folder, result = pages
    browser.open(folder / "scene.html", width=1100)
    tag = Parsed((folder / "scene.html").read_text()).data["shown"][0]
    assert browser.evaluate(DRAWN) == (result.p[..., tag] >= 0.5).sum()
    browser.evaluate(FRAMES)
    painted = browser.evaluate(PAINTED)
    assert painted > 0
    browser.evaluate(SET.format("threshold", 0.9))
    browser.evaluate(FRAMES)
    assert browser.evaluate(DRAWN) == (result.p[..., tag] >= 0.9).sum()
    assert browser.evaluate(PAINTED) < painted
    browser.evaluate(SET.format("threshold", 0))
    assert browser.evaluate(DRAWN) == result.known.sum()  # the cell without probabilities is not drawn
    browser.evaluate(SET.format("threshold", 0.9))
    browser.evaluate("document.getElementById('all').click()")
    assert browser.evaluate(DRAWN) == (result.p >= 0.9).any(axis=-1).sum()
    browser.evaluate("document.querySelectorAll('#tags input')[3].click()")
    assert browser.evaluate(DRAWN) == (result.p[..., :3] >= 0.9).any(axis=-1).sum()
    assert browser.evaluate("[...document.querySelectorAll('#tags .name')].map(it => it.textContent)") == [
        *HOSTILE, "road",
    ]  # fmt: skip
    browser.evaluate("document.getElementById('none').click()")
    browser.evaluate(FRAMES)
    assert browser.evaluate(DRAWN) == 0 == browser.evaluate(PAINTED)
    assert browser.evaluate("typeof stolen") == "undefined"
    assert browser.evaluate("document.querySelector('#map img').naturalWidth") == 150
    assert browser.evaluate("performance.getEntriesByType('resource').every(it => it.name.startsWith('data:'))")
    assert browser.complaints == []


def test_in_a_browser_cells_open_by_click_and_keyboard(pages: tuple[Browser, Path, SceneResult]) -> None:
    browser, folder, result = pages
    browser.open(folder / "scene.html", width=1100)
    browser.evaluate(PRESS.format("#map", "Enter"))
    assert browser.evaluate(HEADING) == "Row 2, column 3"  # of 4 x 5
    texts = browser.evaluate("[...document.querySelectorAll('#details tbody tr')].map(it => it.cells[1].textContent)")
    expected = sorted((float(p) for p in result.p[1, 2]), reverse=True)
    shown = [f"{round(100 * p)} %" if 0.01 <= p <= 0.99 else text for p, text in zip(expected, texts, strict=True)]
    assert texts == shown
    marked = browser.evaluate("document.querySelectorAll('#details tr.on').length")
    assert marked == result.predicted[1, 2].sum()
    assert browser.evaluate("document.querySelector('#windows canvas').width") == 256
    browser.evaluate(PRESS.format("#map", "ArrowRight"))
    browser.evaluate(PRESS.format("#map", "ArrowUp"))
    assert browser.evaluate(HEADING) == "Row 1, column 4"
    for _ in range(4):
        browser.evaluate(PRESS.format("#map", "ArrowLeft"))
    assert browser.evaluate(HEADING) == "Row 1, column 1"  # without data, and the last one to the left
    assert browser.evaluate("document.querySelectorAll('#details tbody tr').length") == 0
    browser.evaluate(PRESS.format("#close", "Escape"))
    assert browser.evaluate("document.getElementById('details').hidden")
    assert browser.evaluate("document.activeElement.id") == "map"
    corner = "document.querySelector('#map img').getBoundingClientRect().{}"
    right, bottom = (browser.evaluate(corner.format(side)) for side in ("right", "bottom"))
    for kind in ("mousedown", "mouseup", "click"):
        browser.evaluate(
            f"document.getElementById('map').dispatchEvent(new MouseEvent('{kind}', "
            f"{{clientX: {right - 5}, clientY: {bottom - 5}, bubbles: true, view: window}}))"
        )
    assert browser.evaluate(HEADING) == "Row 4, column 5"
    assert browser.complaints == []


def test_in_a_browser_the_swipe_moves_and_a_phone_in_the_dark_fits(pages: tuple[Browser, Path, SceneResult]) -> None:
    browser, folder, result = pages
    browser.open(folder / "changes.html", width=1100)
    comparison = compare_results(result, replace(result, p=result.p[::-1].copy()))
    most = np.fmax(comparison.appeared, comparison.went)
    assert browser.evaluate(DRAWN) == (most >= 0.3).any(axis=-1).sum()
    light = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    clip = "document.querySelector('.leaflet-picture0-pane').style.clipPath"
    before = browser.evaluate(clip)
    browser.evaluate(PRESS.format("#swipe", "ArrowRight"))
    assert browser.evaluate("document.getElementById('swipe').getAttribute('aria-valuenow')") == "52"
    assert browser.evaluate(clip) != before
    browser.evaluate(PRESS.format("#swipe", "Home"))
    assert browser.evaluate("parseFloat(document.getElementById('swipe').style.left)") == 0
    browser.evaluate(PRESS.format("#map", "Enter"))
    assert browser.evaluate("document.querySelectorAll('#windows canvas').length") == 2
    for name in ("changes", "scene", "plain"):
        browser.open(folder / f"{name}.html", width=390, dark=True)
        browser.evaluate(PRESS.format("#map", "Enter"))
        assert browser.evaluate("document.documentElement.scrollWidth") <= 390
        assert browser.evaluate("getComputedStyle(document.body).backgroundColor") != light
    assert browser.evaluate("document.querySelector('.leaflet-control-scale')") is None
    assert browser.complaints == []
