"""The HTML report says what was measured, in one file that fetches nothing and holds no foreign markup."""

import base64
import json
import math
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import cv2
import numpy as np
import pytest
import torch
from support.report_page import Element, Page, best, cells
from support.report_results import EVIL, METHODS, PROTOCOLS, SCENES, make_example, make_results, make_scores, value_of

from model.color import mu_law
from train.errors import DatasetError
from train.evaluation.html.page import embedded_json, html, write_html
from train.evaluation.metrics import BY_KEY, NOTHING
from train.evaluation.results import FrameScore, Protocol

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPERATE = Path(__file__).with_name("support") / "operate_report.js"


@pytest.fixture(scope="module")
def page() -> Element:
    return Page(html(make_results(), [make_example()])).root


def variants(page: Element, section: str, **choice: str) -> list[Element]:
    """The tables of a section for a choice."""
    (place,) = page.all("section", id=section)
    found = [table for variant in place.all("div", **{"class": "variant"}, **choice) for table in variant.all("table")]
    assert found
    return found


def pixels(image: Element) -> np.ndarray:
    """Decode a picture of the page, R, G, B."""
    kind, _, data = image.attributes["src"].partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(cv2.imdecode(np.frombuffer(base64.b64decode(data, validate=True), np.uint8), 1))[..., ::-1]


def expected(key: str, method: str, keep: Callable[[FrameScore], bool]) -> str:
    scores = [score for score in make_scores() if score.method == method and keep(score) and key in score.values]
    return BY_KEY[key].shown(fmean(score.values[key] for score in scores))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_means_stand_beside_their_cost(page: Element, protocol: Protocol) -> None:
    (table,) = variants(page, "means", data_protocol=protocol)
    rows = cells(table)
    assert tuple(rows) == METHODS
    for method, row in rows.items():
        keys = ("psnr_t", "ssim_t", "flicker")
        assert row[:3] == [expected(key, method, lambda score: score.protocol == protocol) for key in keys]
    assert [row[3:] for row in rows.values()] == [
        ["0.012", "210", "cpu"],
        [NOTHING, NOTHING, "cpu"],
        ["0.46", "513", "cpu <2 threads>"],
    ]
    assert best(table) == {("plain", 0), ("plain", 1), ("plain", 2)}  # method 0 has the largest PSNR, the least flicker
    assert "412,345 parameters" in table.text


@pytest.mark.parametrize("key", ["psnr_t", "ssim_t", "flicker"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tables_by_role_and_by_scene_hold_the_means(page: Element, protocol: Protocol, key: str) -> None:
    (by_role,) = variants(page, "roles", data_protocol=protocol, data_measure=key)
    (by_scene,) = variants(page, "scenes", data_protocol=protocol, data_measure=key)
    for method, row in cells(by_role).items():
        wanted = [(role, protocol) for role in ("low", "high")]
        assert row == [expected(key, method, lambda s, w=w: (s.role, s.protocol) == w) for w in wanted]  # type: ignore[misc]
    rows = cells(by_scene)
    assert tuple(rows) == (*SCENES, "mean over all frames")
    for scene in SCENES:
        place = (scene, protocol)
        assert rows[scene] == [expected(key, m, lambda s, p=place: (s.scene, s.protocol) == p) for m in METHODS]  # type: ignore[misc]
    assert rows["mean over all frames"] == [expected(key, m, lambda s: s.protocol == protocol) for m in METHODS]


def test_one_choice_is_shown_at_first(page: Element) -> None:
    for section, choice in {"means": {"data-protocol"}, "scenes": {"data-protocol", "data-measure"}}.items():
        (place,) = page.all("section", id=section)
        shown = [one for one in place.all("div", **{"class": "variant"}) if "hidden" not in one.attributes]
        assert len(shown) == 1
        assert choice <= set(shown[0].attributes)
        assert shown[0].attributes["data-protocol"] == "lanhdr"


def test_what_is_not_finite_or_missing_is_a_dash() -> None:
    scores = [
        replace(score, values={"psnr_t": math.inf if score.method == "plain" else math.nan, "ssim_t": 0.5})
        for score in make_scores()
        if score.method != "net's"
    ]
    page = Page(html(replace(make_results(), scores=tuple(scores)), [])).root
    rows = cells(variants(page, "means", data_protocol="lanhdr")[0])
    assert {method: row[:2] for method, row in rows.items()} == {
        "plain": [NOTHING, "0.5000"],
        EVIL: [NOTHING, "0.5000"],
        "net's": [NOTHING, NOTHING],
    }
    data = json.loads(page.all("script", type="application/json")[0].text)
    assert set(data["values"]["lanhdr"]["psnr_t"][0]) == {None}
    assert set(data["values"]["lanhdr"]["ssim_t"][0]) == {0.5}


def test_plots_get_every_value(page: Element) -> None:
    data = json.loads(page.all("script", type="application/json")[0].text)
    assert [method["name"] for method in data["methods"]] == list(METHODS)
    frames = {(frame["scene"], frame["frame"]): place for place, frame in enumerate(data["frames"])}
    assert len(frames) == 10
    for score in make_scores():
        place, method = frames[score.scene, score.frame], METHODS.index(score.method)
        assert data["frames"][place]["label"] == score.label and data["frames"][place]["role"] == score.role
        for key in ("psnr_t", "ssim_t", "flicker"):
            found = data["values"][score.protocol][key][method][place]
            assert found == pytest.approx(score.values[key], rel=1e-5) if key in score.values else found is None


def test_notes_stand_before_all_figures() -> None:
    text = html(make_results(), [])
    assert text.index("There is no &lt;truth&gt; &amp; all is relative.") < text.index("<table")


def test_published_figures_stand_below_ours_with_their_source(page: Element) -> None:
    (section,) = page.all("section", id="published")
    (body,) = section.all("tbody")
    rows = [[cell.text for cell in row.all("th") + row.all("td")] for row in body.all("tr")]
    assert [row[0] for row in rows] == [*METHODS, *METHODS, "plain", "Theirs"]
    assert rows[6] == ["plain", "38.22", "35.50", "as predicted; <b>", "https://example.org/a?b&c"]
    assert rows[7] == ["Theirs", "39.00", NOTHING, "pasted", "javascript:alert(1)"]
    first_ours = expected("psnr_t", "plain", lambda score: score.protocol == "lanhdr")
    assert rows[0][1] == first_ours and rows[0][-1] == "this run"
    assert [link.attributes["href"] for link in section.all("a")] == ["https://example.org/a?b&c"]
    swatches = [bool(row.all("svg")) for row in body.all("tr")]
    assert swatches == [True] * 6 + [False] * 2


def test_names_are_text_and_never_markup(page: Element) -> None:
    assert len(page.all("script")) == 2
    assert not page.all("b")
    assert page.all("title")[0].text == "Self-test <two>"
    assert page.all("pre")[0].text == "lanhdr eval --benchmark selftest --weights 'a&b.safetensors'"
    pictures = page.all("select", id="left")[0].all("option")
    assert [option.attributes["value"] for option in pictures] == [
        *(f"method:{name}" for name in METHODS), "truth", "input",
    ]  # fmt: skip
    assert json.loads(embedded_json({"scene": "</script>"})) == {"scene": "</script>"}
    assert "<" not in embedded_json(["</script>", "<!--", "]]>"])


def test_nothing_is_fetched(page: Element) -> None:
    for element in page.every():
        for name in ("src", "srcset", "href", "action", "poster", "data"):
            address = element.attributes.get(name, "")
            allowed = address.startswith(("data:image/png;base64,", "#")) or not address or element.tag == "a"
            assert allowed, (element.tag, address[:80])
        assert element.tag not in {"link", "iframe", "object", "embed", "base"}
    code = page.all("style")[0].text + page.all("script", type="module")[0].text
    assert not re.search(
        r"@import|url\(|\bimport\b|fetch\(|XMLHttpRequest|WebSocket|https?://(?!www\.w3\.org/2000/svg)", code
    )
    (policy,) = page.all("meta", http_equiv="Content-Security-Policy")
    assert "default-src 'none'" in policy.attributes["content"]


def test_pictures_are_the_crops_and_ten_times_their_errors(page: Element) -> None:
    example = make_example()
    assert example.truth is not None
    (section,) = page.all("section", data_example="0")
    assert len(section.all("img")) == 2 + 2 * 3
    for name, radiance in example.pictures.items():
        picture, error = map(pixels, section.all("figure", data_picture=f"method:{name}")[0].all("img"))
        shown, wanted = mu_law(radiance), mu_law(example.truth)
        assert np.array_equal(picture, codes(shown))
        assert np.array_equal(error, codes((10 * (shown - wanted).abs()).clamp(0, 1)))
    (truth,) = section.all("figure", data_picture="truth")[0].all("img")
    assert np.array_equal(pixels(truth), codes(mu_law(example.truth)))
    (filmed,) = section.all("figure", data_picture="input")[0].all("img")
    assert np.array_equal(pixels(filmed), codes(example.reference))
    assert all(image.attributes.get("alt") for image in section.all("img"))
    assert f"PSNR_T {value_of(0, 3, method=0, protocol=0):.2f} dB" in section.text


def codes(picture: torch.Tensor) -> np.ndarray:
    return (picture * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def test_without_truth_there_are_no_errors() -> None:
    page = Page(html(replace(make_results(), truth="none"), [make_example(truth=False)])).root
    (section,) = page.all("section", data_example="0")
    assert len(section.all("img")) == 1 + 3
    assert not page.all("figure", data_picture="truth")
    assert "truth" not in [option.attributes["value"] for option in page.all("select", id="left")[0].all("option")]


def test_figures_relative_to_an_estimate_are_called_so() -> None:
    scores = [replace(score, values={**score.values, "warping_error": 1.0}) for score in make_scores()]
    page = Page(html(replace(make_results(), truth="estimate", scores=tuple(scores)), [])).root
    titles = [option.text for option in page.all("select", id="measure")[0].all("option")]
    assert titles[0].startswith("warping error, %")
    assert titles[1].startswith("PSNR_T relative to Kalantari13, dB")


def test_empty_parts_are_left_out() -> None:
    bare = replace(make_results(), published=(), notes=(), scores=make_scores()[:1], environment={})
    page = Page(html(bare, [])).root
    sections = [section.attributes.get("id") for section in page.all("section")]
    assert sections == ["means", "scenes", "frames", "spread", "provenance"]
    assert not page.all("aside")
    assert Page(html(replace(bare, scores=()), [])).root.all("h1")[0].text == "Self-test <two>"


def test_controls_are_labelled_and_ids_are_unique(page: Element) -> None:
    ids = [element.attributes["id"] for element in page.every() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    labelled = [control for label in page.all("label") for control in (*label.all("select"), *label.all("input"))]
    controls = [*page.all("select"), *page.all("input")]
    assert {id(control) for control in controls} == {id(control) for control in labelled}
    for table in page.all("table"):
        assert table.all("caption")[0].text
        assert all(cell.attributes["scope"] in {"row", "col"} for cell in table.all("th"))


def test_the_file_is_written_whole_or_the_reason_told(tmp_path: Path) -> None:
    write_html(tmp_path / "report.html", make_results(), [make_example()])
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == html(make_results(), [make_example()])
    with pytest.raises(DatasetError, match="choose another place"):
        write_html(tmp_path / "nowhere" / "report.html", make_results(), [])


def browse(folder: Path, text: str) -> Element:
    """Open a page in a headless browser and return what it has become."""
    assert BROWSER
    (folder / "page.html").write_text(text, encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1280,900", "--virtual-time-budget=3000"]
    place = [f"--user-data-dir={folder / 'profile'}", "--dump-dom", (folder / "page.html").as_uri()]
    run = subprocess.run([BROWSER, *flags, *place], capture_output=True, text=True, timeout=120, check=False)
    if run.returncode:
        pytest.skip(f"{BROWSER} does not start here: {run.stderr[-200:]}")
    return Page(run.stdout).root


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_in_a_browser_all_controls_work(tmp_path: Path) -> None:
    text = html(make_results(), [make_example()])
    script = f'<pre id="outcome"></pre><script type="module">{OPERATE.read_text()}</script>'
    page = browse(tmp_path, text.replace("</body>", f"{script}</body>"))
    outcome = json.loads(page.all("pre", id="outcome")[0].text)
    assert outcome["edges"] == ["inset(0px 50% 0px 0px)", "inset(0px 20% 0px 0px)", "inset(0px 75% 0px 0px)"]
    before, after = outcome["pictures"]
    assert before != after and text.count(after) == 1
    choices = [{"protocol": "lanhdr", "measure": "psnr_t"}, {"protocol": "hdrflow", "measure": "ssim_t"}]
    assert outcome["shown"] == [[choice] for choice in choices]
    assert outcome["names"] == [list(SCENES), list(reversed(SCENES)), list(SCENES)]
    assert outcome["panels"] == 2
    assert outcome["dots"] == 3 * 10
    wanted = value_of(0, 2, method=0, protocol=1) / 100
    assert outcome["tip"].startswith(f"{SCENES[0]}, frame img<2> (high)plain {wanted:.4f}{EVIL} ")
    assert outcome["width"]
    assert outcome["scripts"] == 3
