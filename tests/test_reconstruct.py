"""Streaming: the same numbers as whole windows, once per frame, and errors that say which frame."""

import itertools
import subprocess
import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.reference import DATA, TOLERANCE, load_fixture, tiny_network
from torch import Tensor

import model
from model.errors import ExposureError, FrameError, LanHdrError
from model.exposure import ExposureCycle
from model.frames import FrameBatch, HdrFrame, LdrFrame, borrowed_index
from model.network import FrameState, LanHdr, NetworkConfig, Prediction
from model.reconstruct import Reconstructor


@pytest.fixture(scope="module")
def network() -> LanHdr:
    """A narrow network with random weights."""
    torch.manual_seed(5)
    return LanHdr(NetworkConfig(channels=6, pyramid_channels=4)).eval()


def clip(count: int, *, ratios: tuple[float, ...] = (1, 8), height: int = 41, width: int = 38) -> list[LdrFrame]:
    """Frames of noise whose exposures repeat."""
    images = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(2))
    exposures = itertools.cycle(ratios)
    return [
        LdrFrame(image, exposure, Fraction(number, 24))
        for number, (image, exposure) in enumerate(zip(images, exposures, strict=False))
    ]


def plain(network: LanHdr, frames: list[LdrFrame], center: int, *, period: int) -> Tensor:
    """Reconstruct one frame from its whole window, without streaming."""
    radius = network.config.window_length // 2
    places = [borrowed_index(k, count=len(frames), period=period) for k in range(center - radius, center + radius + 1)]
    ldr = torch.stack([frames[place].image for place in places])
    exposures = torch.tensor([frames[place].exposure for place in places])
    with torch.inference_mode():
        radiance: Tensor = network(ldr[None], exposures[None]).radiance[0]
    return radiance


@pytest.mark.parametrize("nexps", [2, 3])
def test_streaming_equals_whole_windows(nexps: int) -> None:
    fixture = load_fixture(DATA / f"tiny_{nexps}exp_motion.safetensors")
    network = tiny_network(nexps)
    pairs = zip(fixture["ldr"][..., :99, :101], fixture["exposures"].tolist(), strict=True)
    frames = [LdrFrame(image, exposure, Fraction(k, 25)) for k, (image, exposure) in enumerate(pairs)]
    streamed = list(Reconstructor(network).reconstruct(frames, period=nexps))
    assert [frame.time for frame in streamed] == [frame.time for frame in frames]
    for center, frame in enumerate(streamed):
        expected = plain(network, frames, center, period=nexps)
        torch.testing.assert_close(frame.radiance, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_clips_shorter_than_a_window_work(network: LanHdr, count: int) -> None:
    frames = clip(count)
    streamed = list(Reconstructor(network).reconstruct(frames, period=2))
    assert len(streamed) == count
    for center, frame in enumerate(streamed):
        torch.testing.assert_close(frame.radiance, plain(network, frames, center, period=2), rtol=0, atol=TOLERANCE)


def test_each_frame_is_prepared_once(network: LanHdr) -> None:
    calls: dict[str, int] = {"neighbor": 0, "reference": 0}

    def count(name: str) -> None:
        calls[name] += 1

    hooks = [
        network.neighbor_encoder.register_forward_hook(lambda *_: count("neighbor")),
        network.reference_encoder.register_forward_hook(lambda *_: count("reference")),
    ]
    list(Reconstructor(network).reconstruct(clip(9), period=2))
    for hook in hooks:
        hook.remove()
    assert calls == {"neighbor": 9, "reference": 9}


class Chain:
    """A network whose state is the number of frames before it, to see what is passed on."""

    config = NetworkConfig()

    def prepare(self, frame: FrameBatch, *, recent: Sequence[int]) -> int:
        """Count on from the previous state."""
        assert frame.image.shape == (1, 3, 41, 38)
        assert frame.exposure.tolist() in ([1.0], [8.0])
        assert frame.precision.shape == (1, 6)
        assert len(recent) <= 2 and list(recent) == sorted(recent)
        return recent[-1] + 1 if recent else 0

    def combine(self, window: tuple[int, ...]) -> Prediction:
        """Return a picture that holds the window's states; the last is negative."""
        return Prediction(torch.tensor([[[[*window, -1.0]]]]), ())

    def to(self, device: torch.device) -> "Chain":
        """Stay."""
        return self

    def eval(self) -> "Chain":
        """Stay."""
        return self


def test_each_state_sees_the_one_before_and_no_radiance_is_negative() -> None:
    streamed = list(Reconstructor(Chain()).reconstruct(clip(6), period=2))
    assert streamed[3].radiance.flatten().tolist() == [1, 2, 3, 4, 5, 0]


def test_output_is_not_held_back_longer_than_a_window(network: LanHdr) -> None:
    taken = 0

    def frames() -> Iterator[LdrFrame]:
        nonlocal taken
        for frame in clip(12):
            taken += 1
            yield frame

    for done, _ in enumerate(Reconstructor(network).reconstruct(frames(), period=2)):
        assert taken <= done + 3


def test_inference_mode_does_not_leak_to_the_caller(network: LanHdr) -> None:
    for _ in Reconstructor(network).reconstruct(clip(3), period=2):
        assert not torch.is_inference_mode_enabled()
        assert not torch.is_autocast_enabled("cpu")


def test_half_precision_stays_close(network: LanHdr) -> None:
    frames = clip(3)
    exact = next(Reconstructor(network).reconstruct(frames, period=2))
    half = next(Reconstructor(network, precision=torch.bfloat16).reconstruct(frames, period=2))
    assert half.radiance.dtype == torch.float32
    assert not torch.equal(half.radiance, exact.radiance)
    # bfloat16 keeps 8 bits: a few thousandths through these depths.
    torch.testing.assert_close(half.radiance, exact.radiance, rtol=0, atol=0.02)


def run(network: LanHdr, frames: list[LdrFrame], *, period: int) -> list[HdrFrame]:
    """Reconstruct a whole clip."""
    return list(Reconstructor(network).reconstruct(frames, period=period))


def test_a_frame_of_another_size_is_named(network: LanHdr) -> None:
    frames = [*clip(3), *clip(1, height=20, width=64)]
    with pytest.raises(FrameError, match="frame 3 is 64x20, the first is 38x41"):
        run(network, frames, period=2)


def test_a_clip_shorter_than_a_period_is_refused(network: LanHdr) -> None:
    with pytest.raises(FrameError, match="1 frames, one exposure period is 2"):
        run(network, clip(1), period=2)


@pytest.mark.parametrize(("ratios", "found"), [((1, 4, 16), r"3 exposures \(1, 4, 16\)"), ((2,), r"1 exposures \(2\)")])
def test_another_number_of_exposures_is_refused(network: LanHdr, ratios: tuple[float, ...], found: str) -> None:
    with pytest.raises(ExposureError, match=rf"{found}, the weights are for 2"):
        run(network, clip(6, ratios=ratios), period=len(ratios))


def test_two_exposures_are_refused_by_weights_for_three() -> None:
    network = LanHdr(NetworkConfig(3, channels=6, pyramid_channels=4))
    with pytest.raises(ExposureError, match=r"around 0\.000 s have 2 exposures"):
        run(network, clip(7), period=2)


def test_states_are_what_the_window_holds(network: LanHdr) -> None:
    state = network.features(clip(1)[0].image[None], torch.tensor([8.0]))
    assert isinstance(state, FrameState)
    assert state.exposure.shape == (1, 1, 1, 1)
    assert [tuple(x.shape[-2:]) for x in state.pyramid] == [(41, 38), (21, 19), (11, 10), (6, 5)]


def test_a_clip_with_a_missing_frame_is_rebuilt_from_exposures(network: LanHdr) -> None:
    frames = [frame for number, frame in enumerate(clip(11)) if number != 4]
    cycle = ExposureCycle((1.0, 8.0))
    assert [frame.exposure for frame in frames] == [1, 8, 1, 8, 8, 1, 8, 1, 8, 1]
    found = list(Reconstructor(network).reconstruct(frames, period=2, cycle=cycle))
    assert [frame.time for frame in found] == [frame.time for frame in frames]
    places = [1, 2, 3, 5, 4]  # frame 3 is long, and so is frame 4: the next short one is frame 5
    ldr = torch.stack([frames[place].image for place in places])
    exposures = torch.tensor([frames[place].exposure for place in places])
    with torch.inference_mode():
        expected = network(ldr[None], exposures[None]).radiance[0]
    torch.testing.assert_close(found[3].radiance, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("nexps", [2, 3])
def test_a_regular_clip_gives_the_same_either_way(nexps: int) -> None:
    network = tiny_network(nexps)
    ratios = (1.0, 8.0) if nexps == 2 else (1.0, 4.0, 16.0)
    frames = clip(9, ratios=ratios)
    by_count, by_exposure = (
        [frame.radiance for frame in Reconstructor(network).reconstruct(frames, period=nexps, cycle=cycle)]
        for cycle in (None, ExposureCycle(ratios))
    )
    for one, other in zip(by_count, by_exposure, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.fixture(scope="module")
def bundled() -> Reconstructor:
    """What `from model import load_reconstructor` gives."""
    return model.load_reconstructor(exposures=2, device="cpu")


def codes(count: int = 6) -> NDArray[np.uint8]:
    """8-bit pictures of a still ramp at exposures 1 and 8, (T, 3, H, W)."""
    light = np.broadcast_to(np.geomspace(1e-3, 1, 48), (3, 32, 48))
    exposed = [(light * (1, 8)[frame % 2]).clip(0, 1) ** (1 / 2.2) for frame in range(count)]
    return np.stack([(255 * picture).round().astype(np.uint8) for picture in exposed])


def test_an_array_of_codes_becomes_radiance(bundled: Reconstructor) -> None:
    radiance = bundled.reconstruct_array(codes(), exposures=[1, 8])
    assert isinstance(radiance, np.ndarray)
    assert radiance.dtype == np.float32 and radiance.shape == (6, 3, 32, 48)
    expected = np.broadcast_to(np.geomspace(1e-3, 1, 48), radiance.shape)
    inner = np.s_[..., 2:-2, 2:-2]
    assert np.median(np.abs(radiance[inner] / expected[inner] - 1)) < 0.02


def test_layout_and_kind_of_the_input_are_kept(bundled: Reconstructor) -> None:
    first = bundled.reconstruct_array(codes(), [1, 8])
    last = bundled.reconstruct_array(codes().transpose(0, 2, 3, 1), [1, 8], layout="channels_last")
    np.testing.assert_array_equal(last.transpose(0, 3, 1, 2), first)
    tensor = bundled.reconstruct_array(torch.from_numpy(codes()) / 255, [1, 8])
    assert isinstance(tensor, Tensor)
    torch.testing.assert_close(tensor, torch.from_numpy(np.asarray(first)), rtol=1e-5, atol=1e-6)


def test_pictures_stream_one_by_one(bundled: Reconstructor) -> None:
    pulled: list[int] = []

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for number, picture in enumerate(codes(12)):
            pulled.append(number)
            yield picture

    stream = bundled.reconstruct_arrays(pictures(), [1, 8])
    first = next(stream)
    assert len(pulled) == 3  # the frame and the two after it that its window needs
    np.testing.assert_array_equal(np.stack([first, *stream]), bundled.reconstruct_array(codes(12), [1, 8]))


def test_each_picture_may_have_its_own_exposure(bundled: Reconstructor) -> None:
    pictures, exposures = codes(9)[[0, 1, 2, 3, 4, 6, 7, 8]], [1, 8, 1, 8, 1, 1, 8, 1]  # one long frame is missing
    radiance = bundled.reconstruct_array(pictures, exposures)
    inner = np.s_[..., 2:-2, 2:-2]
    expected = np.broadcast_to(np.geomspace(1e-3, 1, 48), radiance.shape)
    assert np.median(np.abs(radiance[inner] / expected[inner] - 1)) < 0.02


@pytest.mark.parametrize(
    ("pictures", "exposures", "message"),
    [
        (np.zeros((6, 3, 32), np.uint8), [1, 8], "four dimensions"),
        (np.zeros((6, 32, 48, 3), np.uint8), [1, 8], r"expected \(3, H, W\): check layout"),
        (np.zeros((6, 3, 32, 48), np.int64), [1, 8], "expected uint8, uint16 or floats"),
        (codes(), [1, 4, 16], "the weights are for 2"),
        (codes(), [8, 8], "must alternate"),
    ],
)
def test_wrong_arrays_are_refused(
    bundled: Reconstructor, pictures: NDArray[np.uint8], exposures: list[float], message: str
) -> None:
    with pytest.raises(LanHdrError, match=message):
        bundled.reconstruct_array(pictures, exposures)


def test_the_package_loads_nothing_heavy() -> None:
    probe = "import model, sys; model.LanHdrError; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = model.nothing
