"""What `inspect --json` prints, taken by `convert --analysis`: the same frames without looking, or one line."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.clips import exposed, ramp_scene, write_clip
from support.converting import identity, invoke
from support.pictures import write_picture

from lanhdr_cli import analysis_file
from lanhdr_cli.analysis_file import FORMULAS, Asked, read_analysis
from lanhdr_cli.camera import CameraOptions, named_response
from lanhdr_cli.conversion import ConvertJob, run
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.images import read_picture
from lanhdr_cli.media.source import Reading, open_source
from lanhdr_cli.options import ExposureOptions, FrameRange
from model.exposure import ExposureCycle
from model.response import ResponseCurve, gamma_curve, power_curve, table_curve

COUNT = 26
SLIP = 15  # one frame is missing before it
Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    exposures = [(1 / 8, 1)[(k + (k >= SLIP)) % 2] for k in range(COUNT)]
    path = tmp_path_factory.mktemp("clip") / "a.mp4"
    frames = [exposed(exposure).reformat(format="yuv420p") for exposure in exposures]
    return write_clip(path, frames, codec="libx264", options={"preset": "medium", "crf": "12", "g": "6", "bf": "2"})


@pytest.fixture(scope="module")
def report(clip: Path) -> dict[str, Any]:
    return inspected(clip)


def inspected(path: Path, *options: object) -> dict[str, Any]:
    outcome = invoke("inspect", path, "--json", "-q", "--threads", 1, *options)
    assert outcome.exit_code == 0, outcome.output
    record = json.loads(outcome.stdout)
    assert isinstance(record, dict)
    return record


def saved(tmp_path: Path, report: dict[str, Any]) -> Path:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(report, indent=1))
    return path


def changed(report: dict[str, Any], change: Change) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(report))
    change(copy["conversion"])
    return copy


def converted(source: Path, folder: Path, **options: Any) -> dict[str, bytes]:
    """Contents of the files made."""
    run(ConvertJob(source=source, output=f"{folder}/", threads=1, **options), load=identity)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refuse_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(*_: object, **__: object) -> None:
        raise AssertionError("the clip is looked at")

    monkeypatch.setattr("lanhdr_cli.conversion.first_findings", look)


@pytest.mark.parametrize(
    ("options", "response"),
    [
        ((), "auto"),
        (("--exposures", "1,8"), "gamma2.2"),
        (("--exposures", "1,8", "--no-slips", "--no-deflicker"), "S-Log3"),
    ],
    ids=["found", "given", "taken as given"],
)
def test_frames_are_the_same_bit_for_bit(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], response: str
) -> None:
    analysis = saved(tmp_path, inspected(clip, *options, "--response", response))
    exposures = ExposureOptions(
        cycle=ExposureCycle((1.0, 8.0)) if options else None,
        slips="--no-slips" not in options,
        deflicker="--no-deflicker" not in options,
    )
    camera = CameraOptions(response=response)
    whole = converted(clip, tmp_path / "whole", exposures=exposures, camera=camera)
    part = converted(clip, tmp_path / "part", exposures=exposures, camera=camera, frames=FrameRange(13, 17))
    refuse_looks(monkeypatch)
    taken = converted(clip, tmp_path / "taken", analysis=analysis)
    range_taken = converted(clip, tmp_path / "range", analysis=analysis, frames=FrameRange(13, 17))
    assert taken == whole
    assert range_taken == part == {name: whole[name] for name in part}
    assert sorted(part) == [f"a.{number:04d}.exr" for number in range(14, 19)]


def test_a_range_begins_at_a_key_frame(tmp_path: Path, clip: Path, report: dict[str, Any]) -> None:
    with open_source(clip) as source:
        read_analysis(saved(tmp_path, report), source, asked())
        frames = source.frames(start=20)
        assert next(frames).index == 20
        assert source.faults.decoded == 21
        assert source.index is not None
        assert len(source.index.times) == COUNT


def asked(**options: Any) -> Asked:
    values: dict[str, Any] = {"exposures": ExposureOptions(), "camera": CameraOptions(), "reading": Reading()}
    return Asked(**(values | options))


@pytest.mark.parametrize(
    "curve",
    [
        *FORMULAS.values(),
        gamma_curve(clip_code=0.9),
        power_curve(1.937),
        table_curve("auto", torch.linspace(0, 1, 33, dtype=torch.float64) ** 1.7 / 3, clip_code=0.8),
        table_curve("three", torch.rand(20, 3, generator=torch.Generator().manual_seed(0)).cumsum(0)),
        named_response("S-Log3", full_range=True),
        replace(table_curve("generic", torch.linspace(0, 1, 9) ** 3), black_code=(0.01, 0.0, 1 / 30)),
    ],
    ids=lambda curve: curve.name,
)
def test_every_kind_of_curve_comes_back_as_it_is(curve: ResponseCurve) -> None:
    record = json.loads(json.dumps(analysis_file._curve_record(curve)))
    back = analysis_file._curve(record)
    codes = torch.rand(3, 8, 50, generator=torch.Generator().manual_seed(1))
    assert torch.equal(back.to_ldr(codes), curve.to_ldr(codes))
    assert torch.equal(back.encode(codes), curve.encode(codes))
    assert (back.name, back.precision(bits=10)) == (curve.name, curve.precision(bits=10))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no JSON, or breaks off"),
        (b"\x89PNG\r\n", "is no JSON, or breaks off"),
        (b'{"conversion": {"format": 1, "fra', "is no JSON, or breaks off"),
        (b"[" * 100_000, "is no JSON, or breaks off"),
        (b'{"conversion": {"format": NaN}}', "is no JSON, or breaks off"),
        (b"[]", "is of something else, no analysis of format 1"),
        (b'{"path": "a.mp4"}', "is of something else, no analysis of format 1"),
        (b'{"conversion": {"format": 7}}', "is of format 7, no analysis of format 1"),
        (b'{"conversion": {"format": 1}}', r"is damaged or was changed \('clip' is missing\)"),
    ],
)
def test_what_is_no_analysis_is_one_line(tmp_path: Path, clip: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with open_source(clip) as source, pytest.raises(MediaError, match=rf"{message}.*: make it with: lanhdr inspect"):
        read_analysis(path, source, asked())


def test_files_that_are_not_read(tmp_path: Path, clip: Path) -> None:
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(1 << 40)
    with open_source(clip) as source:
        for name, message in (
            ("large.json", "has 1048576 MiB, an analysis at most 256"),
            ("none.json", r"can't be read \(No such file or directory\)"),
            (".", r"can't be read \(Is a directory\)"),
        ):
            with pytest.raises(MediaError, match=message):
                read_analysis(tmp_path / name, source, asked())


def put(*path: str | int, value: Any) -> Change:
    def change(record: dict[str, Any]) -> None:
        place: Any = record
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        put("frames", value=COUNT + 1),
        put("frames", value=-1),
        put("frames", value=True),
        put("options", value=None),
        lambda record: record["options"].pop("slips"),
        put("warnings", value=3),
        put("exposures", value=None),
        put("exposures", "cycle", value=[1.0]),
        put("exposures", "cycle", value=[1.0, 1.0]),
        put("exposures", "cycle", value=[2.0, 8.0]),
        put("exposures", "cycle", value=[1.0, 1e99]),
        put("exposures", "cycle", value=[1.0, "8"]),
        put("exposures", "phases", value=[]),
        put("exposures", "phases", 3, value=2),
        put("exposures", "phases", 3, value=1.0),
        put("exposures", "doubled", value=[0]),
        put("exposures", "blank", value=[COUNT]),
        put("camera", "gamut", value=[[0.6, 0.3]]),
        put("camera", "gamut", 0, value=[0.6, 0.3, 0.1]),
        put("camera", "response", "power", value=0),
        put("camera", "response", "power", value=None),
        put("camera", "response", "clip_code", value=0.0),
        put("camera", "response", "black_code", value=[0.1, 0.1]),
        put("camera", "response", "black_code", value=[0.1, 0.1, 1.0]),
        put("camera", "response", value={"name": "a", "power": None, "table": [[1.0, 0.0]], "clip_code": 1.0}),
        put("index", "times", value=[]),
        put("index", "times", 2, value=0),
        put("index", "times", 2, value=10**40),
        put("index", "checksums", 2, value=1 << 32),
        put("index", "keys", value=[[None, 0]]),
        put("index", "keys", value=[[1]]),
        put("index", "time_base", value="1/0"),
        put("index", "time_base", value="-1/24"),
        put("index", "time_base", value="x"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, clip: Path, report: dict[str, Any], change: Change) -> None:
    path = saved(tmp_path, changed(report, change))
    with open_source(clip) as source:
        with pytest.raises(MediaError, match=r"a\.json is damaged or was changed \(.+\): make it with") as error:
            read_analysis(path, source, asked())
        assert "\n" not in str(error.value)
        assert source.index is None


def test_an_analysis_of_another_clip_is_refused(tmp_path: Path, clip: Path, report: dict[str, Any]) -> None:
    other = write_clip(tmp_path / "b.mkv", [exposed((1 / 8, 1)[k % 2]) for k in range(COUNT)])
    outcome = invoke("convert", other, "-o", f"{tmp_path}/o/", "--analysis", saved(tmp_path, report), "-q")
    assert (outcome.exit_code, outcome.stderr.count("\n")) == (1, 1)
    assert "is the analysis of another clip than" in outcome.stderr
    assert not (tmp_path / "o").exists()


def test_other_versions_are_told(
    tmp_path: Path, clip: Path, report: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with open_source(clip) as source:
        read_analysis(saved(tmp_path, changed(report, put("lanhdr", value="0.0.1"))), source, asked())
    assert "is of lanhdr 0.0.1, this is" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exposures": ExposureOptions(cycle=ExposureCycle((1.0, 4.0)))}, "without --exposures, not with .*1,4"),
        ({"exposures": ExposureOptions(file=Path("a.csv"))}, "made without --exposures, not with --exposures a.csv"),
        ({"exposures": ExposureOptions(slips=False)}, "was made with --slips, not with --no-slips: .*or leave it out"),
        ({"exposures": ExposureOptions(deflicker=False)}, "was made with --deflicker, not with --no-deflicker"),
        ({"camera": CameraOptions(response="srgb")}, "without --response, not with --response srgb"),
        ({"camera": CameraOptions(gamut="p3")}, "without --gamut, not with --gamut p3"),
        ({"camera": CameraOptions(clip_code=0.9)}, "with --clip-code 1.0, not with --clip-code 0.9"),
        ({"camera": CameraOptions(black_code=(0.1, 0.1, 0.1))}, "not with --black-code 0.1,0.1,0.1"),
        ({"reading": Reading(bits=12)}, "without --bits, not with --bits 12: pass the same option to both commands$"),
        ({"reading": Reading(bayer="RGGB")}, "without --bayer, not with --bayer RGGB"),
        ({"reading": Reading(field_order="progressive")}, "--field-order auto, not with --field-order progressive"),
    ],
)
def test_options_that_contradict_it_are_one_line(
    tmp_path: Path, clip: Path, report: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with open_source(clip) as source, pytest.raises(MediaError, match=message):
        read_analysis(saved(tmp_path, report), source, asked(**options))


def test_options_of_the_analysis_may_be_given_again_or_left_out(tmp_path: Path, clip: Path) -> None:
    path = saved(tmp_path, inspected(clip, "--exposures", "1,8", "--no-slips", "--response", "srgb"))
    again = asked(
        exposures=ExposureOptions(cycle=ExposureCycle((1.0, 8.0)), slips=False), camera=CameraOptions(response="srgb")
    )
    with open_source(clip) as source:
        first, second = (read_analysis(path, source, options) for options in (again, asked()))
        assert first.exposures == second.exposures
        assert first.camera.curve.name == "srgb"
        with pytest.raises(MediaError, match="was made with --exposures 1,8, not with --exposures 1,4"):
            read_analysis(path, source, asked(exposures=ExposureOptions(cycle=ExposureCycle((1.0, 4.0)))))


def test_what_was_guessed_counts_as_guessed(tmp_path: Path, clip: Path, report: dict[str, Any]) -> None:
    told = report["conversion"]["warnings"]
    assert any("1 break in their order" in warning for warning in told)
    outcome = invoke(
        "convert", clip, "-o", f"{tmp_path}/o/", "--analysis", saved(tmp_path, report), "--frames", "0", "--strict"
    )
    assert outcome.exit_code == 3
    assert "1 break in their order" in outcome.stderr


def test_exposures_that_are_not_found_end_in_the_line_of_a_conversion(tmp_path: Path) -> None:
    still = write_clip(tmp_path / "a.mkv", [exposed(1 / 8) for _ in range(12)])
    path = saved(tmp_path, inspected(still))
    with open_source(still) as source, pytest.raises(MediaError, match="found no exposures: the clip does not alt"):
        read_analysis(path, source, asked())


def test_only_the_pictures_that_are_needed_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        encoded = (ramp_scene() * (1 / 8, 1)[number % 2]).clip(0, 1) ** (1 / 2.2)
        codes = (255 * encoded).round().astype(np.uint8)[..., None].repeat(3, 2)
        write_picture(tmp_path / "in" / f"a.{number:04d}.png", codes)
    path = saved(tmp_path, inspected(tmp_path / "in"))
    whole = converted(tmp_path / "in", tmp_path / "whole")
    decoded: list[str] = []

    def noting(picture: Path, *arguments: Any, **options: Any) -> Any:
        decoded.append(picture.name)
        return read_picture(picture, *arguments, **options)

    monkeypatch.setattr("lanhdr_cli.media.image_sequence.read_picture", noting)
    part = converted(tmp_path / "in", tmp_path / "part", analysis=path, frames=FrameRange(10, 11))
    assert part == {name: whole[name] for name in part}
    assert len(part) == 2
    # The first for the format; the two, and a margin of two periods at either side.
    needed = ["a.0000.png", *(f"a.{number:04d}.png" for number in range(6, 16))]
    # Decoding runs ahead, and may be stopped before the last one.
    assert decoded == needed[: len(decoded)] and len(decoded) >= len(needed) - 2
    (tmp_path / "in" / "a.0019.png").rename(tmp_path / "in" / "a.0020.png")
    write_picture(tmp_path / "in" / "a.0019.png", np.full((64, 96, 3), 99, np.uint8))
    with open_source(tmp_path / "in") as source, pytest.raises(MediaError, match=r"is of 20 pictures, .* has 21 now"):
        read_analysis(path, source, asked())
