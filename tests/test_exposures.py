"""`lanhdr convert` without a word about exposures, with lists of them, and with clips that miss frames."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import pytest
import torch
from support.clips import REC709, counting_clip, frame_of, write_clip
from support.converting import TWO, identity, invoke, job, read_exr, save_lite
from support.flicker import FlickerMeter
from test_exposure_cycle import lights, shown

from lanhdr_cli.camera import FirstLook
from lanhdr_cli.conversion import ConvertJob, run
from lanhdr_cli.exposure_list import find_list, read_exposures
from lanhdr_cli.exposures import BrightnessPass
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.source import open_source
from lanhdr_cli.options import ExposureOptions, FrameRange
from model.analysis.exposure_cycle import estimate_exposures
from model.exposure import ExposureCycle, to_ldr
from model.response import gamma_curve

SIZE = (96, 64)


def alternating_clip(path: Path, exposures: Sequence[float], *, pts: Sequence[int] | None = None) -> Path:
    """A still scene of smooth light over six stops, filmed with these exposures."""
    rng = np.random.default_rng(1)
    coarse = np.kron(rng.normal(size=(8, 12)), np.ones((8, 8)))
    radiance = 0.04 * 2.0 ** (1.3 * coarse)
    frames = []
    for exposure in exposures:
        noisy = radiance * exposure + rng.normal(scale=4e-4, size=radiance.shape)
        codes = (16 + 219 * noisy.clip(0, 1) ** (1 / 2.2)).round().astype(np.uint8)
        neutral = np.full_like(codes, 128)
        frames.append(frame_of([codes, neutral, neutral], "yuv444p", size=SIZE))
    return write_clip(path, frames, tags=REC709, pts=pts)


def listed_exposures(count: int, *, slip: int | None = None) -> list[float]:
    """1, 8, 1, 8 ..., one frame missing before `slip`."""
    return [(1.0, 8.0)[(k + (slip is not None and k >= slip)) % 2] for k in range(count)]


def header_exposures(folder: Path) -> list[float]:
    headers = [read_exr(path)[1] for path in sorted(folder.glob("*.exr"))]
    return [float(str(header["lanhdr/sourceExposure"])) for header in headers]


def test_the_sample_clip_is_found_as_one_to_eight_short_first(sample_clip: Path) -> None:
    with open_source(sample_clip, threads=1) as clip:
        found = estimate_exposures(BrightnessPass(look=FirstLook(clip), curve=gamma_curve()).measure())
    assert found.exposures.ratios == pytest.approx((1, 8), rel=0.02)
    assert found.exposures.regular
    assert found.confidence > 0.95
    assert found.warning == ""


def test_no_option_is_needed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = alternating_clip(tmp_path / "a.mkv", [8.0, 1.0] * 10)
    with caplog.at_level(logging.INFO):
        run(job(source, f"{tmp_path}/out/", frames=FrameRange(2, 5)), load=identity)
    assert header_exposures(tmp_path / "out") == pytest.approx([8, 1, 8, 1], rel=0.03)
    assert "from the first frame on, confidence" in caplog.text


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("timed", [True, False])
def test_each_frame_has_its_own_exposure_although_one_is_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, given: bool, timed: bool
) -> None:
    exposures = listed_exposures(18, slip=7)
    pts = [k + (k >= 7) for k in range(18)] if timed else None
    source = alternating_clip(tmp_path / "a.mkv", exposures, pts=pts)
    with caplog.at_level(logging.INFO):
        run(job(source, f"{tmp_path}/out/", TWO if given else None), load=identity)
    assert header_exposures(tmp_path / "out") == pytest.approx(exposures, rel=0.03)
    assert "frame 7: one frame missing before it" in caplog.text
    part = job(source, f"{tmp_path}/part/", TWO if given else None, frames=FrameRange(6, 9))
    run(part, load=identity)
    assert header_exposures(tmp_path / "part") == pytest.approx(exposures[6:10], rel=0.03)


def test_slips_are_not_looked_for_if_unwanted(tmp_path: Path) -> None:
    source = alternating_clip(tmp_path / "a.mkv", listed_exposures(12, slip=7))
    run(job(source, f"{tmp_path}/out/", TWO, slips=False), load=identity)
    assert header_exposures(tmp_path / "out") == [1, 8] * 6


def test_brightness_that_contradicts_is_told_and_the_user_obeyed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = counting_clip(tmp_path / "a.mkv", count=12)
    run(job(source, f"{tmp_path}/out/", TWO), load=identity)
    assert header_exposures(tmp_path / "out") == [1, 8] * 6
    assert "brightness does not follow the exposures 1, 8 (0% of its steps agree)" in caplog.text


@pytest.mark.parametrize(
    ("count", "message"),
    [(2, "2 frames are too few to find the exposures"), (30, "Error: the clip does not alternate: neighboring frames")],
)
def test_clips_without_exposures_are_refused(tmp_path: Path, count: int, message: str) -> None:
    source = counting_clip(tmp_path / "a.mkv", count=count)
    outcome = invoke("convert", source, "-o", f"{tmp_path}/out/", "--threads", 1)
    assert outcome.exit_code == 1
    assert message in outcome.stderr
    assert "--exposures 1,8" in outcome.stderr
    assert not (tmp_path / "out").exists()


def test_what_is_not_sure_is_refused_with_what_to_pass(tmp_path: Path) -> None:
    source = alternating_clip(tmp_path / "a.mkv", [1.0, 8.0] * 6 + [1.0, 3.0] * 6)
    outcome = invoke("convert", source, "-o", f"{tmp_path}/out/", "--threads", 1)
    assert outcome.exit_code == 1
    assert "Error: not sure of the exposures" in outcome.stderr
    assert ": pass --exposures 1," in outcome.stderr


def test_a_list_beside_the_clip(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = counting_clip(tmp_path / "a.mkv", count=5)
    (tmp_path / "Exposures.txt").write_text("-3.00\n0.00\n")
    with caplog.at_level(logging.INFO):
        run(job(source, f"{tmp_path}/out/"), load=identity)
    assert header_exposures(tmp_path / "out") == [1, 8, 1, 8, 1]
    assert f"exposures 1, 8 from {tmp_path / 'Exposures.txt'}" in caplog.text


def test_a_list_on_the_command_line(tmp_path: Path) -> None:
    source = counting_clip(tmp_path / "a.mkv", count=6)
    table = tmp_path / "set.csv"
    table.write_text("frame,time,iso\n0,1/50,800\n1,1/50,100\n2,1/50,800\n3,1/50,100\n4,1/50,100\n5,1/50,800\n")
    outcome = invoke("convert", source, "-o", f"{tmp_path}/out/", "--exposures", table, "--device", "cpu")
    assert outcome.exit_code == 0, outcome.output
    assert header_exposures(tmp_path / "out") == [8, 1, 8, 1, 1, 8]


@pytest.mark.parametrize(
    ("text", "ratios", "phases"),
    [
        ("-3.00,0.00", (1, 8), (0,)),
        ("-2 0 2\n", (1, 4, 16), (0,)),
        ("# a comment\n0\n3\n", (1, 8), (0,)),
        ("0 3 0 3 3 0 3 0", (1, 8), (0, 1, 0, 1, 1, 0, 1, 0)),
        ("frame,exposure\n0,1\n1,4\n2,1\n3,4\n", (1, 4), (0, 1, 0, 1)),
        ("Frame;Stops\n1;2\n2;0\n3;2\n4;0\n", (4, 1), (0, 1, 0, 1)),
        ("exposure\n2\n8\n2\n8\n", (1, 4), (0, 1, 0, 1)),
        ("time,f_number\n0.01,2\n0.01,4\n0.01,2\n0.01,4\n", (4, 1), (0, 1, 0, 1)),
        ("frame,time,gain\n0,0.002,1\n1,0.004,4\n2,0.002,1\n3,0.004,4\n", (1, 8), (0, 1, 0, 1)),
        ("frame,ExposureTime,AnalogueGain\n0,2000,1\n1,4000,4\n2,2000,1\n3,4000,4\n", (1, 8), (0, 1, 0, 1)),
        ("exposure_time [us];gain_db\n2000;0\n4000;12.0412\n2000;0\n4000;12.0412\n", (1, 8), (0, 1, 0, 1)),
        ("exposure_us,Gain\n9000,0\n9000,18.0618\n9000,0\n9000,18.0618\n", (1, 8), (0, 1, 0, 1)),
        ("time,iso\n0.00,100\n0.04,800\n0.08,100\n0.12,800\n", (1, 8), (0, 1, 0, 1)),
    ],
)
def test_forms_of_lists(tmp_path: Path, text: str, ratios: tuple[float, ...], phases: tuple[int, ...]) -> None:
    path = tmp_path / "list"
    path.write_text(text)
    found = read_exposures(path)
    assert found.ratios == pytest.approx(ratios)
    assert found.phases == phases


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no exposures: it should hold stops of one cycle"),
        (b"1", "needs two values or more, found 1"),
        (b"0 0", "all exposures are 1"),
        (b"0 x", r"can't be understood \(its column 0 x is not known"),
        (b"0 3\nx", "can't be understood"),
        (b"name,size\n1,2\n", r"its column size is not known; .* gain, gain_db or f_number"),
        (b"time,light,iso\n1,2,3\n", "its column light is not known"),
        (b"frame,name\n1,2\n", r"can't be understood \(its columns are frame, name\)"),
        (b"exposure,frame\n1\n", "can't be understood|needs two values"),
        (b"0 99999", "can't be understood|positive"),
        (b"\xff\xfe\x00", "can't be read as text"),
    ],
)
def test_what_is_no_list(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "list"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=message):
        read_exposures(path)


def test_the_list_of_a_clip_comes_before_that_of_its_folder(tmp_path: Path) -> None:
    assert find_list(tmp_path, "a") is None
    (tmp_path / "Exposures.txt").write_text("0 3")
    (tmp_path / "a.exposures.csv").write_text("exposure\n1\n4\n")
    assert find_list(tmp_path, "a") == tmp_path / "a.exposures.csv"
    assert find_list(tmp_path, "b") == tmp_path / "Exposures.txt"


def test_the_message_lists_only_the_first_breaks() -> None:
    found = estimate_exposures(lights(shown(200, slips=(9, 30, 51, 72, 93, 120, 150))))
    assert "7 breaks in their order: frame 9: one frame missing before it, frame 30" in found.message
    assert found.message.endswith("and 2 more")


COUNT, FLICKER_SIZE = 16, (80, 48)
TOLD = ExposureCycle((1.0, 8.0))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pan over six stops, filmed at 1 and 8.8; nothing clips, or single frames would differ by that."""
    generator = torch.Generator().manual_seed(0)
    scene = 0.1 * 2.0 ** (-6 * torch.rand(3, 12, 26, generator=generator))
    scene = scene.repeat_interleave(4, 1).repeat_interleave(4, 2)
    frames = []
    for index in range(COUNT):
        light = scene[:, :, index : index + FLICKER_SIZE[0]] * (1, 8.8)[index % 2]
        red, green, blue = to_ldr(light, 1.0).mul(1023).round().to(torch.uint16).numpy()
        frames.append(frame_of([green, blue, red], "gbrp10le", size=FLICKER_SIZE))
    return write_clip(tmp_path_factory.mktemp("clip") / "a.mkv", frames, codec="ffv1")


def jump_of(folder: Path) -> float:
    meter = FlickerMeter()
    for index in range(COUNT):
        pixels, header = read_exr(folder / f"o.{index + 1:04d}.exr")
        scale = float(str(header["lanhdr/exposureScale"]))
        meter.add(torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1) / scale, (1.0, 8.0)[index % 2])
    return meter.jump(2)


def exposures_of(path: Path) -> list[float]:
    return [float(part) for part in str(read_exr(path)[1]["lanhdr/exposures"]).split(",")]


def test_the_flicker_of_a_wrong_ratio_is_gone(tmp_path: Path, clip: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        run(job(clip, f"{tmp_path}/with/o.exr", TOLD), load=identity)
    run(job(clip, f"{tmp_path}/without/o.exr", TOLD, deflicker=False), load=identity)
    assert jump_of(tmp_path / "with") < 0.25 * jump_of(tmp_path / "without")
    assert exposures_of(tmp_path / "with" / "o.0001.exr") == pytest.approx([1, 8.8], rel=0.01)
    assert exposures_of(tmp_path / "without" / "o.0001.exr") == [1, 8]
    assert "exposures 1, 8 look like 1, 8.8 in the frames" in caplog.text


def test_parts_converted_apart_fit_together(tmp_path: Path, clip: Path) -> None:
    run(job(clip, f"{tmp_path}/whole.exr", TOLD), load=identity)
    run(job(clip, f"{tmp_path}/part.exr", TOLD, frames=FrameRange(3, 6)), load=identity)
    for number in range(4, 8):
        whole, part = (read_exr(tmp_path / f"{name}.{number:04d}.exr")[0] for name in ("whole", "part"))
        np.testing.assert_array_equal(whole, part)


def test_the_command_line_obeys(tmp_path: Path, clip: Path) -> None:
    weights = save_lite(tmp_path / "lite.safetensors")
    arguments = ("convert", clip, "--exposures", "1,8", "--weights", weights, "--device", "cpu", "--threads", 1, "-v")
    outcome = invoke(*arguments, "-o", tmp_path / "a.exr", "--frames", "0-7", "--no-deflicker")
    assert outcome.exit_code == 0, outcome.output
    assert "look like" not in outcome.stderr
    assert exposures_of(tmp_path / "a.0001.exr") == [1, 8]
    outcome = invoke(*arguments, "-o", tmp_path / "b.exr", "--frames", "0-1")
    assert "look like 1, 8.8 in the frames" in outcome.stderr


def doubled_clip(path: Path) -> tuple[Path, list[int]]:
    """24 frames per second, shown at 30: every fifth frame shows the one before it again."""
    shown = [4 * k + place for k in range(4) for place in (0, 1, 2, 3, 3)]
    with TemporaryDirectory() as folder:
        pictures = alternating_clip(Path(folder) / "all.mkv", [1.0, 8.0] * 8)
        with av.open(str(pictures)) as container:
            frames = list(container.decode(video=0))
    for frame in frames:
        frame.pts = None
    return write_clip(path, [frames[index] for index in shown], rate=30, tags=REC709), shown


@pytest.mark.parametrize("given", [True, False])
def test_doubled_frames_keep_their_exposure(tmp_path: Path, given: bool) -> None:
    source, shown = doubled_clip(tmp_path / "a.mkv")
    summary = run(job(source, f"{tmp_path}/out/", TWO if given else None), load=identity)
    assert header_exposures(tmp_path / "out") == pytest.approx([(1, 8)[index % 2] for index in shown], rel=0.03)
    assert summary.doubled == (4, 9, 14, 19)
    pictures = [read_exr(path)[0] for path in sorted((tmp_path / "out").glob("*.exr"))]
    assert (pictures[3] == pictures[4]).all()
    assert (pictures[2] != pictures[3]).any()
    part = run(job(source, f"{tmp_path}/part/", TWO if given else None, frames=FrameRange(3, 6)), load=identity)
    assert part.frames == 4
    again = [read_exr(path)[0] for path in sorted((tmp_path / "part").glob("*.exr"))]
    assert all((one == other).all() for one, other in zip(pictures[3:7], again, strict=True))


def test_doubled_frames_are_dropped_and_the_rate_is_that_of_before(tmp_path: Path) -> None:
    source, _ = doubled_clip(tmp_path / "a.mkv")
    options = ExposureOptions(doubled="drop")
    summary = run(
        ConvertJob(source=source, output=str(tmp_path / "out.mp4"), exposures=options, frames=FrameRange(0, 11)),
        load=identity,
    )
    assert (summary.frames, summary.dropped) == (10, 2)
    assert summary.rate == 24
    with av.open(str(tmp_path / "out.mp4")) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([index / 24 for index in range(10)])
    run(
        ConvertJob(source=source, output=f"{tmp_path}/out/", exposures=options, frames=FrameRange(5, 11)), load=identity
    )
    assert [path.name for path in sorted((tmp_path / "out").glob("*.exr"))] == [f"a.{k:04d}.exr" for k in range(5, 11)]
    assert header_exposures(tmp_path / "out") == pytest.approx([1, 8] * 3, rel=0.03)


def test_frames_without_another_exposure_nearby_are_converted_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exposures = [8.0] * 12 + [1.0, 8.0] * 6
    source = alternating_clip(tmp_path / "a.mkv", exposures)
    weights = save_lite(tmp_path / "lite.safetensors")
    summary = run(ConvertJob(source=source, output=f"{tmp_path}/out/", weights=weights, device="cpu"))
    assert header_exposures(tmp_path / "out") == pytest.approx(exposures, rel=0.03)
    assert summary.unmerged == tuple(range(8))
    assert "frame 0: one exposure up to frame 11" in caplog.text
    assert "frames 0-7: converted alone, no frame of another exposure is near" in caplog.text
    first = read_exr(tmp_path / "out" / "a.0001.exr")[0].astype(np.float32)
    later = read_exr(tmp_path / "out" / "a.0016.exr")[0].astype(np.float32)
    middle = (later > 0.05) & (later < 0.8)
    assert np.median(first[middle] / later[middle]) == pytest.approx(1, abs=0.02)


def test_a_list_that_lags_is_moved_and_one_without_gain_is_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = alternating_clip(tmp_path / "a.mkv", [1.0, 8.0] * 8)
    table = tmp_path / "a.exposures.csv"
    table.write_text("exposure\n" + "8\n1\n" * 8)
    run(job(source, f"{tmp_path}/out/"), load=identity)
    assert header_exposures(tmp_path / "out") == pytest.approx([1, 8] * 8, rel=0.03)
    assert "the listed exposures are those of 1 frame earlier: they are moved (--no-slips: as listed)" in caplog.text
    table.write_text("exposure\n" + "1\n2\n" * 8)
    run(job(source, f"{tmp_path}/gain/"), load=identity)
    assert header_exposures(tmp_path / "gain") == pytest.approx([1, 8] * 8, rel=0.03)
    assert "exposures 1, 2 are not those that the frames show: 1, 7.999, which are taken" in caplog.text
    run(job(source, f"{tmp_path}/listed/", deflicker=False), load=identity)
    assert header_exposures(tmp_path / "listed") == pytest.approx([1, 2] * 8)
    assert "they are taken as given" in caplog.text


def test_strict_ends_with_code_3_where_something_was_repaired(tmp_path: Path) -> None:
    fine = alternating_clip(tmp_path / "fine.mkv", [1.0, 8.0] * 8)
    broken = alternating_clip(tmp_path / "broken.mkv", listed_exposures(16, slip=7))
    weights = save_lite(tmp_path / "lite.safetensors")
    common = ("--weights", weights, "--device", "cpu", "--strict", "--json")
    outcome = invoke("convert", fine, "-o", f"{tmp_path}/fine/", *common)
    assert outcome.exit_code == 0, outcome.output
    assert json.loads(outcome.stdout)["warnings"] == []
    outcome = invoke("convert", broken, "-o", f"{tmp_path}/broken/", *common, "-q")
    assert outcome.exit_code == 3
    record = json.loads(outcome.stdout)
    assert record["frames"] == 16
    assert "frame 7: one frame missing before it" in record["warnings"][0]
    assert outcome.stderr == ""
    outcome = invoke("convert", tmp_path / "none.mkv", "-o", f"{tmp_path}/none/", *common)
    assert outcome.exit_code == 1
    assert json.loads(outcome.stdout)["error"].startswith("no such file")


def test_black_frames_do_not_alter_those_beside_them(tmp_path: Path) -> None:
    weights = save_lite(tmp_path / "lite.safetensors")
    exposures = [1.0, 8.0] * 8
    whole = alternating_clip(tmp_path / "whole.mkv", exposures)
    black = {7, 8, 9}
    capped = alternating_clip(
        tmp_path / "capped.mkv", [0.0 if index in black else exposure for index, exposure in enumerate(exposures)]
    )
    for source in (whole, capped):
        run(ConvertJob(source=source, output=f"{tmp_path}/{source.stem}/", weights=weights, device="cpu"))
    assert header_exposures(tmp_path / "capped") == pytest.approx(exposures, rel=0.03)
    for index in range(len(exposures)):
        name = f"{{}}/{{}}.{index + 1:04d}.exr"
        one, other = (read_exr(tmp_path / name.format(stem, stem))[0].astype(float) for stem in ("whole", "capped"))
        if index in black:
            assert other.max() < 0.05
        else:
            assert np.median(other / one.clip(min=1e-3)) == pytest.approx(1, abs=0.01)
