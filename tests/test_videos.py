"""HDR video files as other programs see them: tags, light levels, code values."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import av
import colour
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.clips import Tags, counting_clip, frame_of, write_clip
from support.converting import TWO, identity, job, read_exr
from support.hlg import hlg_decode

from lanhdr_cli.conversion import run
from lanhdr_cli.media.encoder import EncoderOptions
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.grading import Grading
from lanhdr_cli.media.video_writer import VideoOptions
from model.color import REC709, REC2020, convert_primaries, roll_off

WIDTH, HEIGHT, COUNT = 128, 72, 6
QUICK = {"hevc": "ultrafast", "av1": "11"}
COMBINATIONS = [
    ("hevc", ".mp4", "hvc1"),
    ("hevc", ".mov", "hvc1"),
    ("hevc", ".mkv", None),
    ("av1", ".mp4", "av01"),
    ("av1", ".mkv", None),
    ("prores-4444", ".mov", "ap4h"),
    ("prores-422hq", ".mov", "apch"),
    ("prores-422hq", ".mkv", None),
    ("ffv1", ".mkv", None),
]


def wishes(
    codec: str = "hevc", *parameters: tuple[str, str], pixels: str | None = None, hlg: bool = False
) -> VideoOptions:
    encoding = EncoderOptions(codec=codec, preset=QUICK.get(codec), pixels=pixels, parameters=parameters, threads=1)
    return VideoOptions(encoding=encoding, grading=Grading(hlg=hlg))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Colored ramps that move; short frames show what long ones clip."""
    frames = []
    for index in range(COUNT):
        x = (np.arange(WIDTH) + 3 * index) % WIDTH / WIDTH
        y = np.arange(HEIGHT)[:, None] / HEIGHT
        radiance = np.stack([x * y, x * (1 - y), np.broadcast_to(0.3 * x, (HEIGHT, WIDTH))])
        codes = np.round(1023 * (radiance * TWO[index]).clip(0, 1) ** (1 / 2.2)).astype(np.uint16)
        frames.append(frame_of([codes[1], codes[2], codes[0]], "gbrp10le", size=(WIDTH, HEIGHT)))
    return write_clip(tmp_path_factory.mktemp("clips") / "ramps.mkv", frames, tags=Tags())


def convert(clip: Path, path: Path, video: VideoOptions) -> str:
    return run(job(clip, str(path), TWO, video=video), load=identity).outcome


@pytest.mark.parametrize(("codec", "suffix", "tag"), COMBINATIONS)
def test_stream_and_container_say_the_same(
    tmp_path: Path, clip: Path, codec: str, suffix: str, tag: str | None
) -> None:
    path = tmp_path / f"a{suffix}"
    outcome = convert(clip, path, wishes(codec))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.color_primaries, context.color_trc, context.colorspace, context.color_range) == (9, 16, 9, 1)
        assert tag is None or context.codec_tag == tag
        frames = list(container.decode(video=0))
    assert len(frames) == COUNT
    side_data: Any = frames[0].side_data  # of the bitstream, or else the container
    cll, fall = np.frombuffer(bytes(side_data["CONTENT_LIGHT_LEVEL"]), "<u4").tolist()
    assert outcome == f"{path} (MaxCLL {cll}, MaxFALL {fall} cd/m2)"
    assert bytes(side_data["MASTERING_DISPLAY_METADATA"])
    # the ramps reach the roll-off's end; lossy codecs overshoot a little
    assert 800 < cll < 1500
    assert 50 < fall < cll


def ffprobe(path: Path, *words: str) -> dict[str, Any]:
    if shutil.which("ffprobe") is None:
        pytest.skip("no ffprobe")
    command = ["ffprobe", "-v", "error", "-select_streams", "v", "-of", "json", *words, str(path)]
    found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return found


def light_of(entry: dict[str, Any]) -> dict[str, Any]:
    return {side["side_data_type"]: side for side in entry["side_data_list"]}


@pytest.mark.parametrize(("codec", "suffix", "tag"), COMBINATIONS[:5])
def test_ffprobe_finds_hdr10_in_stream_and_first_frame(
    tmp_path: Path, clip: Path, codec: str, suffix: str, tag: str | None
) -> None:
    path = tmp_path / f"a{suffix}"
    outcome = convert(clip, path, wishes(codec))
    stream = ffprobe(path, "-show_streams")["streams"][0]
    frame = ffprobe(path, "-show_frames", "-read_intervals", "%+#1")["frames"][0]
    for entry in (stream, frame):
        said = [entry[f"color_{name}"] for name in ("primaries", "transfer", "space", "range")]
        assert said == ["bt2020", "smpte2084", "bt2020nc", "tv"]
        assert entry["chroma_location"] == "topleft"
        light = light_of(entry)
        level, display = light["Content light level metadata"], light["Mastering display metadata"]
        assert outcome == f"{path} (MaxCLL {level['max_content']}, MaxFALL {level['max_average']} cd/m2)"
        values = {key: eval_ratio(value) for key, value in display.items() if "/" in str(value)}
        assert values["max_luminance"] == pytest.approx(1000)
        assert values["min_luminance"] == pytest.approx(0.0001, rel=0.25)  # AV1 counts in 1/16384
        assert (values["red_x"], values["green_y"]) == pytest.approx((0.68, 0.69), abs=1e-5)
    assert stream["codec_tag_string"] == tag or suffix == ".mkv"


def eval_ratio(text: str) -> float:
    top, bottom = text.split("/")
    return int(top) / int(bottom)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_mediainfo_calls_it_hdr10(tmp_path: Path, clip: Path, suffix: str) -> None:
    if shutil.which("mediainfo") is None:
        pytest.skip("no mediainfo")
    path = tmp_path / f"a{suffix}"
    convert(clip, path, wishes())
    found = subprocess.run(["mediainfo", str(path)], capture_output=True, text=True, check=True).stdout
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in found.splitlines())}
    assert "HDR10 compatible" in fields["HDR format"]
    assert (fields["Color primaries"], fields["Transfer characteristics"]) == ("BT.2020", "PQ")
    assert fields["Mastering display luminance"] == "min: 0.0001 cd/m2, max: 1000 cd/m2"


def luma_of(path: Path) -> NDArray[np.float64]:
    with av.open(str(path)) as container:
        planes = [
            np.frombuffer(memoryview(frame.planes[0]), "<u2").reshape(frame.height, -1)[:, : frame.width]
            for frame in container.decode(video=0)
        ]
    return np.stack(planes).astype(np.float64)


def light_of_exr(path: Path) -> NDArray[np.float64]:
    """cd/m2 that a display of 1000 cd/m2 is to show, (H, W, 3)."""
    linear = torch.from_numpy(read_exr(path)[0].astype(np.float64)).permute(2, 0, 1)
    nits = convert_primaries(linear * 203, REC709, target=REC2020).clamp(min=0)
    shown: NDArray[np.float64] = roll_off(nits, source_peak_nits=8 * 203, peak_nits=1000).permute(1, 2, 0).numpy()
    return shown


def test_decoded_luma_is_the_pq_of_the_exr(tmp_path: Path, clip: Path) -> None:
    run(job(clip, str(tmp_path / "e.exr"), TWO), load=identity)
    convert(clip, tmp_path / "a.mkv", wishes("hevc", ("lossless", "1")))
    found = luma_of(tmp_path / "a.mkv")
    for index in range(COUNT):
        signal = colour.models.eotf_inverse_ST2084(light_of_exr(tmp_path / f"e.{index + 1:04d}.exr"))
        expected = np.floor(64 + 876 * (signal @ [0.2627, 0.6780, 0.0593]) + 0.5)
        error = np.abs(found[index] - expected)
        # half floats of the EXR may move a value across the border of a code
        assert error.max() <= 1
        assert error.mean() < 0.1


def second_measurement(path: Path) -> tuple[float, float]:
    """MaxCLL and MaxFALL of a decoded 4:2:0 file in double precision; chroma is on luma's top left sample."""
    highest = average = 0.0
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            luma, blue, red = (
                np.frombuffer(memoryview(plane), "<u2").reshape(plane.height, -1)[:, : plane.width].astype(np.float64)
                for plane in frame.planes
            )
            blue, red = (interpolated((plane - 512) / 896) for plane in (blue, red))
            y = (luma - 64) / 876
            r, b = y + 1.4746 * red, y + 1.8814 * blue
            g = (y - 0.2627 * r - 0.0593 * b) / 0.678
            nits = colour.models.eotf_ST2084(np.stack([r, g, b]).max(0).clip(0, 1))
            highest, average = max(highest, nits.max()), max(average, nits.mean())
    return highest, average


def interpolated(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    for axis in (0, 1):
        count = plane.shape[axis]
        places = np.minimum(np.arange(2 * count) / 2, count - 1)
        low = np.floor(places).astype(int)
        high = np.minimum(low + 1, count - 1)
        part = (places - low).reshape((-1, 1) if axis == 0 else (1, -1))
        plane = plane.take(low, axis) * (1 - part) + plane.take(high, axis) * part
    return plane


@pytest.mark.parametrize("codec", ["hevc", "av1"])
def test_light_levels_are_true_of_the_decoded_file(tmp_path: Path, clip: Path, codec: str) -> None:
    outcome = convert(clip, tmp_path / "a.mp4", wishes(codec))
    cll, fall = second_measurement(tmp_path / "a.mp4")
    assert outcome.endswith(f"(MaxCLL {round(cll)}, MaxFALL {round(fall)} cd/m2)")


def test_hlg_is_tagged_and_shows_the_same_light(tmp_path: Path, clip: Path) -> None:
    run(job(clip, str(tmp_path / "e.exr"), TWO), load=identity)
    outcome = convert(clip, tmp_path / "a.mkv", wishes("ffv1", pixels="gbrp12le", hlg=True))
    assert outcome.endswith("a.mkv (HLG)")
    with av.open(str(tmp_path / "a.mkv")) as container:
        frame = next(container.decode(video=0))
        assert container.streams.video[0].codec_context.color_trc == 18
        green, blue, red = (
            np.frombuffer(memoryview(plane), "<u2").reshape(plane.height, -1)[:, : plane.width] / 4095
            for plane in frame.planes
        )
    shown = hlg_decode(torch.from_numpy(np.stack([red, green, blue]))).permute(1, 2, 0).numpy()
    # half a code of 12 bits in HLG is up to 0.2 % of the brightest component
    expected = light_of_exr(tmp_path / "e.0001.exr")
    sayable = expected.max(-1) < 600  # HLG can't say brighter pure colors
    assert sayable.mean() > 0.5
    np.testing.assert_allclose(shown[sayable], expected[sayable], rtol=0.01, atol=0.5)


def test_odd_sizes_are_padded_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = counting_clip(tmp_path / "a.mkv", count=4, size=(71, 23), codec="ffv1")
    convert(source, tmp_path / "o.mp4", wishes())
    with av.open(str(tmp_path / "o.mp4")) as container:
        frame = next(container.decode(video=0))
    assert (frame.width, frame.height) == (72, 24)
    assert "71x23 becomes 72x24" in caplog.text
    convert(source, tmp_path / "o.mkv", wishes("ffv1"))
    with av.open(str(tmp_path / "o.mkv")) as container:
        frame = next(container.decode(video=0))
    assert (frame.width, frame.height) == (71, 23)


@pytest.mark.parametrize(
    ("codec", "parameters", "message"),
    [
        ("hevc", (("bogus", "1"),), "libx265 refuses a parameter .*bogus.*: check --crf, --preset and --enc"),
        ("av1", (("bogus", "1"),), "libsvtav1 refuses a parameter .*bogus"),
        ("ffv1", (("bogus", "1"),), "ffv1 refuses a parameter .*unknown option bogus"),
        ("hevc", (("aq-mode", "99"),), "libx265 does not start"),
    ],
)
def test_encoders_that_refuse_leave_nothing(
    tmp_path: Path, clip: Path, codec: str, parameters: tuple[tuple[str, str], ...], message: str, capfd: Any
) -> None:
    suffix = ".mkv"
    with pytest.raises(MediaError, match=message):
        convert(clip, tmp_path / f"a{suffix}", wishes(codec, *parameters))
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_encoders_print_nothing(tmp_path: Path, clip: Path, capfd: Any) -> None:
    for codec in ("hevc", "av1"):
        convert(clip, tmp_path / f"{codec}.mp4", wishes(codec))
    assert capfd.readouterr() == ("", "")


def test_pictures_too_narrow_for_an_encoder_are_refused(tmp_path: Path) -> None:
    source = counting_clip(tmp_path / "a.mkv", count=4, codec="ffv1")
    with pytest.raises(MediaError, match=r"pictures are 32 wide, hevc needs 64: write .mkv with --codec ffv1"):
        convert(source, tmp_path / "o.mp4", wishes())
    assert [path.name for path in tmp_path.iterdir()] == ["a.mkv"]
