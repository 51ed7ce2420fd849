"""Fused passes in C for CPUs, where they were built; without them, and for gradients, torch computes the same."""

import ctypes
import importlib.util
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

OFF = "LANHDR_NO_KERNELS"  # environment variable: with any value, torch computes everything
TEST_PLANES = 18  # as kernels.c describes a reference
NOISE_BLOCK = 8
TERMS, MOMENTS = 9, 6  # planes of gradients, and of what is gathered from them
LEAST_ROWS = 16  # that are worth a thread
BANDS = 2  # that a thread takes, one after the other: the one that is held up takes fewer


def usable(*tensors: Tensor) -> bool:
    """Whether the kernels are built and can take these tensors: float32 on the CPU, without a gradient."""
    if torch.is_grad_enabled() or any(t.device.type != "cpu" or t.dtype != torch.float32 for t in tensors):
        return False
    return _library() is not None and OFF not in os.environ


def usable_for_one(*pictures: Tensor) -> bool:
    """Whether kernels that take one picture, and not a batch, can take these, (1, C, H, W) each."""
    return usable(*pictures) and all(len(picture) == 1 for picture in pictures)


def vector_bits() -> int:
    """Bits of the widest vectors that the kernels compute with here; 0 where they are not built, or choose none."""
    library = _library()
    return int(library.vector_bits()) if library else 0


@cache
def _library() -> ctypes.CDLL | None:
    spec = importlib.util.find_spec("model._kernels")
    if spec is None or spec.origin is None:
        return None
    try:
        return ctypes.CDLL(spec.origin)
    except OSError:
        return None


@cache
def _openmp() -> Callable[..., None] | None:
    """GOMP_parallel of the OpenMP library that torch computes with, where its threads can be borrowed."""
    library = _library()
    if library is None or not hasattr(library, "share"):
        return None
    for path in (Path(torch.__file__).parent / "lib").glob("libtorch_cpu.*"):
        try:
            found: Callable[..., None] = ctypes.CDLL(str(path)).GOMP_parallel
        except (OSError, AttributeError):
            continue
        return found
    return None


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="kernel")


class _Argument(ctypes.Union):
    """As `Argument` in kernels.c."""

    _fields_ = (("pointer", ctypes.c_void_p), ("number", ctypes.c_float), ("count", ctypes.c_int))


def _run(name: str, rows: int, *arguments: Any) -> None:
    """Call a kernel for all rows of its result, shared by the number of threads that torch has."""
    library = _library()
    assert library is not None
    kernel: Callable[..., None] = getattr(library, f"{name}_rows")
    kept = (_Argument * len(arguments))()
    _alive = [_set(place, argument) for place, argument in zip(kept, arguments, strict=True)]
    threads = min(torch.get_num_threads(), max(1, rows // LEAST_ROWS))
    if threads == 1:
        kernel(kept, 0, rows)
    elif openmp := _openmp():
        library.share(openmp, threads, kernel, kept, rows, min(BANDS * threads, rows // LEAST_ROWS))
    else:
        own, *bands = pairwise(rows * part // threads for part in range(threads + 1))
        others = [_pool(threads - 1).submit(kernel, kept, *band) for band in bands]
        kernel(kept, *own)
        for other in others:
            other.result()


def _set(place: _Argument, argument: Any) -> Any:
    """Set an argument; what is returned must live as long as it."""
    if isinstance(argument, Tensor):
        assert argument.dtype == torch.float32
        place.pointer = argument.data_ptr()
    elif isinstance(argument, float):
        place.number = argument
    elif isinstance(argument, int):
        place.count = argument
    else:
        pointers = (ctypes.c_void_p * len(argument))(*(tensor.data_ptr() for tensor in argument))
        place.pointer = ctypes.addressof(pointers)
        return pointers
    return None


def _half_size(picture: Tensor) -> tuple[int, int]:
    return -(-picture.shape[-2] // 2), -(-picture.shape[-1] // 2)


def box_mean(values: Tensor, side: int) -> Tensor:
    """As `motion.box_mean`."""
    values = values.contiguous()
    height, width = values.shape[-2:]
    out = torch.empty_like(values)
    _run("box", height, values, values.numel() // max(1, height * width), height, width, side, out)
    return out


def match_lumas(pictures: Tensor, *, gains: Tensor, toes: Tensor, gamma: float) -> Tensor:
    """Lumas as `motion.matched_lumas` makes them, (B, 1, H, W).

    Args:
        pictures: Encoded, (B, 3, H, W).
        gains: Factors that bring their codes to the exposure wanted, (B, 1, 1, 1).
        toes: Signals below which they are nearly linear, (B, 1, 1, 1).
        gamma: Of the encoding.
    """
    batch, _, height, width = pictures.shape
    out = pictures.new_empty(batch, 1, height, width)
    numbers = (gains.contiguous(), toes.contiguous(), gamma)
    _run("match_lumas", height, pictures.contiguous(), *numbers, batch, height, width, out)
    return out


def noise_of_blocks(plane: Tensor, *, noise: Tensor, darkest: float) -> Tensor:
    """Factor on the nominal variance of each 8x8 block, as `physical_merge.noise_level` takes it, NaN where unusable.

    Args:
        plane: One channel, linearised, (H, W).
        noise: `NoiseModel.numbers` of the nominal noise.
        darkest: Signal that is above black.
    """
    plane = plane.contiguous()
    height, width = plane.shape
    out = plane.new_empty((height - 2) // NOISE_BLOCK, (width - 2) // NOISE_BLOCK)
    _run("noise_of_blocks", out.shape[0], plane, noise, darkest, height, width, out)
    return out


def compare_blocks(
    reference: Tensor, moved: Tensor, flow: Tensor, *, certainty: Tensor, radius: int, block: int, step_cost: float
) -> Tensor:
    """As `motion._compare_blocks`, before its smoothing."""
    reference, moved, flow, certainty = (t.contiguous() for t in (reference, moved, flow, certainty))
    batch, _, height, width = reference.shape
    warped = reference.new_empty(batch, 1, height, width + 2 * radius)
    _run("warp_planes", height, moved, flow, batch, height, width, radius, warped)
    out = torch.empty_like(flow)
    sizes = (batch, height, width, radius, block)
    _run("compare_blocks", height, reference, warped, certainty, flow, *sizes, step_cost, out)
    return out


def refine(
    reference: Tensor,
    moved: Tensor,
    flow: Tensor,
    *,
    certainty: Tensor,
    clip_level: float,
    window: int,
    smoothing: int,
    stiffness: float,
    sweeps: int,
) -> Tensor:
    """As `motion._refine`."""
    reference, moved, flow, certainty = (t.contiguous() for t in (reference, moved, flow, certainty))
    batch, _, height, width = reference.shape
    size = (batch, height, width)
    warped = torch.empty_like(reference)
    _run("warp_planes", height, moved, flow, *size, 0, warped)
    terms = reference.new_empty(batch, TERMS, height, width)
    _run("gradient_terms", height, reference, warped, certainty, *size, clip_level, terms)
    return _solved(terms, flow, window=window, smoothing=smoothing, stiffness=stiffness, sweeps=sweeps)


def _warp_by_half(moved: Tensor, flow: Tensor, *, margin: int) -> Tensor:
    """Fetch planes of full size along a flow of half size; the ends of rows are repeated in margins."""
    batch, _, height, width = moved.shape
    warped = moved.new_empty(batch, 1, height, width + 2 * margin)
    _run("warp_by_half", height, moved, flow, batch, height, width, margin, warped)
    return warped


def compare_finely(
    reference: Tensor, moved: Tensor, flow: Tensor, *, certainty: Tensor, block: int, step_cost: float
) -> Tensor:
    """As `motion._compare_finely`, before its smoothing."""
    reference, moved, flow, certainty = (t.contiguous() for t in (reference, moved, flow, certainty))
    batch, _, height, width = reference.shape
    warped = _warp_by_half(moved, flow, margin=1)
    out = torch.empty_like(flow)
    sizes = (batch, height, width, block)
    _run("compare_finely", flow.shape[-2], reference, warped, certainty, flow, *sizes, step_cost, out)
    return out


def propagate(
    reference: Tensor, moved: Tensor, flow: Tensor, *, certainty: Tensor, block: int, distance: int
) -> Tensor:
    """As `motion._propagate`."""
    reference, moved, flow, certainty = (t.contiguous() for t in (reference, moved, flow, certainty))
    batch, _, height, width = reference.shape
    sizes = (batch, height, width, 1 if reference.shape[-2:] == flow.shape[-2:] else 2)
    out = torch.empty_like(flow)
    _run("propagate", flow.shape[-2], reference, moved, certainty, flow, *sizes, block, distance, out)
    return out


def refine_finely(
    reference: Tensor,
    moved: Tensor,
    flow: Tensor,
    *,
    certainty: Tensor,
    clip_level: float,
    window: int,
    smoothing: int,
    stiffness: float,
    sweeps: int,
) -> Tensor:
    """As `motion._refine_finely`."""
    reference, moved, flow, certainty = (t.contiguous() for t in (reference, moved, flow, certainty))
    batch, _, height, width = reference.shape
    h, w = flow.shape[-2:]
    warped = _warp_by_half(moved, flow, margin=0)
    terms = reference.new_empty(batch, TERMS, h, w)
    _run("fine_terms", h, reference, warped, certainty, batch, height, width, clip_level, terms)
    del warped
    return _solved(terms, 2 * flow, window=window, smoothing=smoothing, stiffness=stiffness, sweeps=sweeps) / 2


def _solved(terms: Tensor, flow: Tensor, *, window: int, smoothing: int, stiffness: float, sweeps: int) -> Tensor:
    """As `motion._solve`, from terms that are not gathered yet."""
    batch, _, *size = terms.shape
    moments = terms.new_empty(batch, MOMENTS, *size)
    _run("moments", size[0], terms, batch, *size, window, stiffness, moments)
    found, spare = flow, [torch.empty_like(flow), torch.empty_like(flow)]
    for step in range(sweeps):
        _run("sweep", size[0], found, flow, moments, batch, *size, smoothing, stiffness, spare[step % 2])
        found = spare[step % 2]
    return found


def interpolated(
    there: Tensor, back: Tensor, *, part: float, consistent: float, least_trust: float
) -> tuple[Tensor, Tensor]:
    """As `neighbors._interpolated`, of one picture."""
    there, back = there.contiguous(), back.contiguous()
    h, w = there.shape[-2:]
    trust, missed, missed_back = there.new_empty(3, 1, 1, h, w)
    _run("miss_start", h, there, back, consistent, h, w, missed)
    _run("miss_start", h, back, there, consistent, h, w, missed_back)
    flow = torch.empty_like(there)
    numbers = (part, consistent, least_trust)
    _run("interpolate_flow", h, there, back, missed, missed_back, *numbers, h, w, flow, trust)
    return flow, trust


def measure_frame(image: Tensor, *, noise: Tensor, gamma: float) -> tuple[Tensor, ...]:
    """What `neighbors.FrameMotion` holds of one picture: linear, small_linear, clipped and certainty."""
    image = image.contiguous()
    size = (image.shape[-2], image.shape[-1])
    h, w = _half_size(image)
    linear, small_linear = torch.empty_like(image), image.new_empty(1, 3, h, w)
    clipped, certainty = image.new_empty(2, 1, 1, h, w)
    _run("measure_frame", h, image, noise, gamma, *size, linear, small_linear, clipped, certainty)
    return linear, small_linear, clipped, certainty


def align(linear: Tensor, flow: Tensor, trust: Tensor) -> tuple[Tensor, Tensor]:
    """Align a frame, (1, 3, H, W), along a flow of half size; shut its trust off outside of the frame."""
    linear, flow, trust = linear.contiguous(), flow.contiguous(), trust.contiguous()
    out, kept = torch.empty_like(linear), torch.empty_like(trust)
    _run("align_frame", flow.shape[-2], linear, flow, trust, linear.shape[-2], linear.shape[-1], out, kept)
    return out, kept


def merge(
    frames: Sequence[Tensor], exposures: Sequence[float], trusts: Sequence[Tensor], *, noise: Tensor, tolerance: float
) -> dict[str, Any]:
    """As `physical_merge.merge_by_variance`; returns the fields of its `MergedStart`.

    Args:
        frames: Linearised codes of the reference and of its aligned neighbors, each (1, 3, H, W).
        exposures: Theirs.
        trusts: Those in the neighbors, each (1, 1, h, w).
        noise: `NoiseModel.numbers`.
        tolerance: Relative error of exposures.
    """
    reference, *neighbors = (frame.contiguous() for frame in frames)
    trusts = [trust.contiguous() for trust in trusts]
    size = (reference.shape[-2], reference.shape[-1])
    count, (h, w) = len(neighbors), _half_size(reference)
    ratios = torch.tensor(exposures[1:])
    test = reference.new_empty(TEST_PLANES, h, w)
    _run("describe_reference", h, reference, noise, exposures[0], *size, test)
    small, excess = reference.new_empty(count, 3, h, w), reference.new_empty(count, h, w)
    _run("compare_with_reference", h, neighbors, ratios, count, test, noise, tolerance, *size, small, excess)
    agreement, misfit = reference.new_empty(count, h, w), reference.new_empty(count, 3, h, w)
    _run("judge_agreement", h, excess, trusts, small, test, count, tolerance, h, w, agreement, misfit)
    radiance, deviation, of_one = torch.empty_like(reference), *reference.new_empty(2, 1, 3, h, w)
    inputs = (reference, exposures[0], neighbors, ratios, trusts, count, test, small, misfit, noise)
    _run("average", h, *inputs, *size, radiance, deviation, of_one)
    return {
        "radiance": radiance,
        "deviation": deviation,
        "reference_deviation": of_one,
        "agreement": agreement[:, None, None].unbind(),
        "smalls": (test[None, :3], *small[:, None].unbind()),
        "clipped": test[None, 16:17],
        "crushed": test[None, 17:18],
    }


def stack_guide(
    start: Tensor,
    image: Tensor,
    frames: Sequence[Tensor],
    exposures: Sequence[float],
    evidence: Tensor,
    *,
    multiple: int,
) -> tuple[Tensor, Tensor]:
    """Stack the start, the reference and the frames as `correction.stack_guide` does, and the evidence behind them.

    Args:
        frames: Linearised codes, each (1, 3, H, W).
        multiple: Of which the height and width of the guide are, in pixels of half size.

    Returns:
        The guide, (1, C, gh, gw) with the channels last in memory, and the start in the mu-law domain, (1, 3, H, W).
    """
    height, width = (-(-side // multiple) * multiple for side in evidence.shape[-2:])
    channels = 12 * (2 + len(frames)) + evidence.shape[1]
    guide = start.new_empty(1, height, width, channels).permute(0, 3, 1, 2)
    compressed = torch.empty_like(start)
    frames = [frame.contiguous() for frame in frames]
    pictures = (start.contiguous(), image.contiguous(), frames, torch.tensor(exposures), len(frames))
    others = (evidence.contiguous(), evidence.shape[1])
    _run("stack_guide", height, *pictures, *others, start.shape[-2], start.shape[-1], width, compressed, guide)
    return guide, compressed


def trust_in_frame(
    small: Tensor, start: Tensor, *, noise: Tensor, exposure: float, trusted: float, side: int
) -> Tensor:
    """As `correction._trust`, from radiances at half size, (1, 3, h, w) each."""
    around, start = box_mean(small, side), start.contiguous()
    out = start.new_empty(1, 1, *start.shape[-2:])
    h, w = out.shape[-2:]
    _run("trust_in_frame", h, around, start, noise, exposure, trusted, h, w, out)
    return out


def apply_correction(
    guide: Tensor, prediction: Tensor, blurred: tuple[Tensor, Tensor], trusts: Sequence[Tensor], *, bound: Tensor
) -> Tensor:
    """Apply what a network predicted, (1, C, gh, gw), to the start, as `correction.correct_start` does.

    Args:
        blurred: Means of 3x3 and 5x5 pixels of the start in the mu-law domain, (1, 3, H, W) each.
        trusts: `trust_in_frame` of the frames that the guide holds.
        bound: Of the correction, (1, 3, h, w).

    Returns:
        Linear radiance, (1, 3, H, W).
    """
    out = torch.empty_like(blurred[0])
    prediction = prediction.float().contiguous(memory_format=torch.channels_last)
    inputs = (guide, guide.shape[1], prediction, *blurred, trusts, bound.contiguous(), len(trusts))
    _run("apply_correction", _half_size(out)[0], *inputs, *out.shape[-2:], guide.shape[-1], out)
    return out
