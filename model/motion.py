"""A coarse-to-fine motion search without learning, between frames matched in exposure."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from model import kernels
from model.color import luma
from model.exposure import GAMMA, match_exposure
from model.graphs import Recorded

CLIP_LEVEL = 0.985
# Signal, in units of the shorter exposure's clip level, below which its frame holds noise and bias more than picture.
TOE = 0.002
SHIFT_IN_REACH = 2  # pixels there that the search finds by itself
SHIFT_SIDE = 32  # least side of the pictures in which a shift of the whole is looked for
SHIFT_MUST_GAIN, LEAST_SEEN = 0.8, 0.3  # part of the difference that may be left, and of the picture still in view
BLOCK = 5  # side of the square that is compared, in pixels of each level
STEP_COST = 0.003  # of a step by one pixel, in luma
OFFER = 3  # distance in pixels, on each level, of the places whose flow is tried as well
COARSEST = 12  # side in pixels at which the pyramid ends
RADIUS = 1  # reach of the block comparison in pixels of each level; the coarsest level reaches 2 further
WINDOW = 7  # side of the square over which gradients are gathered
SMOOTHING = 5  # side of the square whose mean flow a pixel is drawn to
STIFFNESS = 2e-3  # strength of that draw against the gradients, in squared luma per pixel
SWEEPS = 4  # solutions per level, each with the mean flow of the one before
# The last step compares pixels of full size for places of half size.
FINE_BLOCK = 3  # side of the square that is compared there, in places
FINE_STEP_COST = 0.001  # of a step by one pixel of full size, in luma
FINE_WINDOW = 5  # side of the square over which gradients are gathered, in places
FINE_STIFFNESS = STIFFNESS / 4  # per pixel of full size
FINE_SWEEPS = 2


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Fetch `image` at x + flow(x); beyond the border the nearest pixel counts.

    Args:
        image: (B, C, H, W).
        flow: Displacement in pixels, x then y, (B, 2, H, W).

    Returns:
        Shape of `image`.
    """
    height, width = flow.shape[-2:]
    xs = torch.arange(width, device=flow.device, dtype=flow.dtype)
    ys = torch.arange(height, device=flow.device, dtype=flow.dtype).unsqueeze(1)
    grid_x = (flow[:, 0] + xs) * (2 / max(width - 1, 1)) - 1
    grid_y = (flow[:, 1] + ys) * (2 / max(height - 1, 1)) - 1
    grid = torch.stack((grid_x, grid_y), dim=-1)  # (B, H, W, 2)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)


def warp_cubic(image: Tensor, flow: Tensor) -> Tensor:
    """Fetch as `warp` does, by cubic convolution (Keys 1981), which keeps fine detail; it may overshoot at edges."""
    height, width = flow.shape[-2:]
    xs = (flow[:, 0] + torch.arange(width, device=flow.device)).clamp(0, width - 1)
    ys = (flow[:, 1] + torch.arange(height, device=flow.device).unsqueeze(1)).clamp(0, height - 1)
    left, top = xs.floor(), ys.floor()
    across, down = _cubic_weights(xs - left), _cubic_weights(ys - top)
    pixels, fetched = image.flatten(2), torch.zeros_like(image)
    for row, by_row in enumerate(down, start=-1):
        start = (top.long() + row).clamp(0, height - 1) * width
        for column, by_column in enumerate(across, start=-1):
            places = (start + (left.long() + column).clamp(0, width - 1)).flatten(1).unsqueeze(1)
            tap = pixels.gather(2, places.expand(-1, image.shape[1], -1)).view_as(image)
            fetched = fetched.addcmul(tap, (by_row * by_column).unsqueeze(1))
    return fetched


def _cubic_weights(part: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights of the pixels at -1, 0, 1 and 2 for a place between 0 and 1, shape of `part`; they sum to 1."""
    square = part.square()
    return (
        part * (part * (1 - part / 2) - 0.5),
        1 + square * (1.5 * part - 2.5),
        part * (part * (2 - 1.5 * part) + 0.5),
        square * (part - 1) / 2,
    )


def resize_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """Interpolate a flow to another frame size and scale its displacements with it.

    Args:
        flow: Displacement in pixels, (B, 2, h, w).
        size: Height and width wanted.

    Returns:
        (B, 2, H, W).
    """
    scale = flow.new_empty(1, 2, 1, 1)  # filled in place: a copy from the CPU cannot be recorded for a GPU
    for axis in (0, 1):
        scale[:, axis] = size[1 - axis] / flow.shape[-1 - axis]
    return F.interpolate(flow, size=size, mode="bilinear", align_corners=False) * scale


def halve(full: Tensor) -> Tensor:
    """Average 2x2 pixels; an odd last row or column counts by itself."""
    height, width = full.shape[-2:]
    if height % 2 or width % 2:
        full = F.pad(full, (0, width % 2, 0, height % 2), mode="replicate")
    rows = full[..., ::2, :] + full[..., 1::2, :]  # a tenth of the time of average pooling on a CPU
    return (rows[..., ::2] + rows[..., 1::2]) / 4


def double(half: Tensor, size: tuple[int, int]) -> Tensor:
    """Interpolate what `halve` made back to its place in a frame of `size`."""
    return F.interpolate(half, scale_factor=2, mode="bilinear", align_corners=False)[..., : size[0], : size[1]]


def matched_lumas(first: Tensor, second: Tensor, exposures: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Bring two frames to the longer of their exposures, so that they look and clip alike.

    Noise that black cuts off below makes the darks of the brightened frame brighter than they are; a toe, where the
    code values grow with the signal and not with its root, keeps that from being taken for motion.

    Args:
        first: Encoded with 1/2.2, (B, 3, H, W).
        second: As `first`.
        exposures: Linear exposures of both, each (B, 1, 1, 1).

    Returns:
        Luma of both, 0..1, (B, 1, H, W) each.
    """
    longer = torch.maximum(*exposures)
    toe = TOE * longer / torch.minimum(*exposures)
    if kernels.usable(first, second):
        gains = [(longer / exposure).pow(1 / GAMMA) for exposure in exposures]
        lumas = [
            kernels.match_lumas(picture, gains=gain, toes=toe, gamma=GAMMA)
            for picture, gain in zip((first, second), gains, strict=True)
        ]
        return lumas[0], lumas[1]
    return (
        _with_toe(luma(match_exposure(first, exposures[0], target=longer)), toe),
        _with_toe(luma(match_exposure(second, exposures[1], target=longer)), toe),
    )


def _with_toe(encoded: Tensor, toe: Tensor) -> Tensor:
    """Encode anew, with the darks below `toe` nearly linear; 0 and 1 stay."""
    black = toe.pow(1 / GAMMA)
    return ((encoded.pow(GAMMA) + toe).pow(1 / GAMMA) - black) / ((1 + toe).pow(1 / GAMMA) - black)


def search_motion(reference: Tensor, moved: Tensor, *, certainty: Tensor | None = None) -> Tensor:
    """Find the flow with moved(x + flow(x)) = reference(x): down a pyramid to half size, and at last by full size.

    Args:
        reference: Luma at a common exposure, 0..1, (B, 1, H, W).
        moved: As `reference`.
        certainty: Share of the reference that is not black, 0..1, at half size, (B, 1, h, w); where it is 0 the flow
            comes from around. What is clipped counts: its edges show how it moves. None is 1 everywhere.

    Returns:
        Displacement in pixels of half size, at half size, (B, 2, h, w).
    """
    if certainty is None:
        certainty = torch.ones_like(halve(reference))
    return _recorded_search(reference, moved, certainty)


def _search_motion(reference: Tensor, moved: Tensor, certainty: Tensor) -> Tensor:
    stacked = [torch.cat((halve(reference), halve(moved), certainty), dim=1)]
    while min(stacked[-1].shape[-2:]) >= 2 * COARSEST:
        stacked.append(F.avg_pool2d(stacked[-1], 2, ceil_mode=True))
    levels = [(level[:, :1], level[:, 1:2], level[:, 2:]) for level in stacked]
    small = next((level for level in reversed(levels) if min(level[0].shape[-2:]) >= SHIFT_SIDE), levels[0])
    flow = common_shift(*small[:2]) * (levels[-1][0].shape[-1] / small[0].shape[-1])
    flow = flow.expand(-1, -1, *levels[-1][0].shape[-2:])
    for depth in range(len(levels) - 1, -1, -1):
        ref, mov, sure = levels[depth]
        flow = resize_flow(flow, (ref.shape[-2], ref.shape[-1]))
        reach = RADIUS + (2 if depth == len(levels) - 1 else 0)
        flow = _compare_blocks(ref, mov, flow, certainty=sure, radius=reach)
        flow = _propagate(ref, mov, flow, certainty=sure, block=BLOCK)
        if depth:
            flow = _refine(ref, mov, flow, certainty=sure)
    flow = _compare_finely(reference, moved, flow, certainty=certainty)
    flow = _refine_finely(reference, moved, flow, certainty=certainty)
    return _propagate(reference, moved, flow, certainty=certainty, block=FINE_BLOCK)


_recorded_search = Recorded(_search_motion)  # some thousand short launches


def common_shift(reference: Tensor, moved: Tensor) -> Tensor:
    """Find the shift of the whole picture, as a turning camera makes it, by phase correlation (Kuglin and Hines 1975).

    Args:
        reference: Luma, (B, 1, H, W).
        moved: As `reference`.

    Returns:
        Displacement in pixels, x then y, (B, 2, 1, 1); 0 where none explains the picture better, or the search
        finds it by itself.
    """
    height, width = reference.shape[-2:]
    shift = _correlation_peak(reference, moved)
    xs = torch.arange(width, device=shift.device) + shift[:, :1]
    ys = torch.arange(height, device=shift.device)[:, None] + shift[:, 1:]
    seen = ((xs >= 0) & (xs < width) & (ys >= 0) & (ys < height)).to(reference)
    shifted = warp(moved, shift.expand(-1, -1, height, width))
    costs = [(seen * (reference - other).abs()).mean((-3, -2, -1)) for other in (shifted, moved)]
    better = (costs[0] < SHIFT_MUST_GAIN * costs[1]) & (seen.mean((-3, -2, -1)) > LEAST_SEEN)
    far = shift.abs().amax((1, 2, 3)) > SHIFT_IN_REACH
    return shift * (better & far)[:, None, None, None]


def _correlation_peak(reference: Tensor, moved: Tensor) -> Tensor:
    """The shift at which the phases of two pictures correlate best, in whole pixels, (B, 2, 1, 1)."""
    height, width = reference.shape[-2:]
    rows, columns = (torch.hann_window(length, device=reference.device) for length in (height, width))
    fade = rows[:, None] * columns
    mean = reference.mean((-2, -1), keepdim=True)
    with torch.autocast(reference.device.type, enabled=False):
        first = torch.fft.rfft2((reference - mean) * fade)
        product = torch.fft.rfft2((moved - mean) * fade) * first.conj()
        peaks = torch.fft.irfft2(product / product.abs().clamp_min(1e-9), s=(height, width))
    best = peaks.flatten(1).argmax(1)
    down, across = (best // width + height // 2) % height, (best % width + width // 2) % width
    return torch.stack((across - width // 2, down - height // 2), dim=1).to(reference)[:, :, None, None]


def box_mean(values: Tensor, side: int) -> Tensor:
    """Average over a square around each pixel; beyond the border nothing counts.

    Sums of shifted pictures, first down, then across, take a tenth of the time of average pooling on a CPU.

    Args:
        values: (..., H, W).
        side: Side of the square in pixels, odd.
    """
    if kernels.usable(values):
        return kernels.box_mean(values, side)
    for dim in (-2, -1):
        total, length = values.clone(), values.shape[dim]
        for step in range(1, min(side // 2, length - 1) + 1):
            total.narrow(dim, step, length - step).add_(values.narrow(dim, 0, length - step))
            total.narrow(dim, 0, length - step).add_(values.narrow(dim, step, length - step))
        values = total
    height, width = values.shape[-2:]
    counts = _line_counts(height, side, like=values)[:, None] * _line_counts(width, side, like=values)
    return values.mul_(1 / counts)


def _line_counts(length: int, side: int, *, like: Tensor) -> Tensor:
    places = torch.arange(length, device=like.device)
    radius = side // 2
    return ((places + radius).clamp(max=length - 1) - (places - radius).clamp(min=0) + 1).to(like.dtype)


def _compare_blocks(reference: Tensor, moved: Tensor, flow: Tensor, *, certainty: Tensor, radius: int) -> Tensor:
    if kernels.usable(reference, moved, flow):
        stepped = kernels.compare_blocks(
            reference, moved, flow, certainty=certainty, radius=radius, block=BLOCK, step_cost=STEP_COST
        )
        return box_mean(stepped, 3)
    differences = _shifted_differences(reference, warp(moved, flow), radius=radius)
    costs = box_mean(differences.mul_(certainty), BLOCK)
    return box_mean(flow + _cheapest_step(costs, radius=radius, step_cost=STEP_COST), 3)


def _shifted_differences(reference: Tensor, warped: Tensor, *, radius: int) -> Tensor:
    """Absolute differences from a picture shifted by so many pixels at most, one channel per shift, row by row."""
    height, width = reference.shape[-2:]
    warped = F.pad(warped, [radius] * 4, mode="replicate")
    sides = range(2 * radius + 1)
    parts = [reference - warped[..., down : down + height, right : right + width] for down in sides for right in sides]
    return torch.cat(parts, dim=1).abs_()


def _cheapest_step(costs: Tensor, *, radius: int, step_cost: float) -> Tensor:
    """Choose among the shifts of `_shifted_differences`: steps in pixels, (B, 2, h, w)."""
    least = torch.full_like(costs[:, :1], math.inf)
    right, down = torch.zeros_like(least), torch.zeros_like(least)
    shifts = [(dy, dx) for dy in range(-radius, radius + 1) for dx in range(-radius, radius + 1)]
    for (dy, dx), cost in zip(shifts, torch.split(costs, 1, dim=1), strict=True):
        # A longer step must pay: flat and clipped places would wander in the noise otherwise.
        cost = cost + step_cost * (abs(dx) + abs(dy))
        better = cost < least
        least = torch.minimum(least, cost)
        right, down = torch.where(better, float(dx), right), torch.where(better, float(dy), down)
    return torch.cat((right, down), dim=1)


def _compare_finely(reference: Tensor, moved: Tensor, flow: Tensor, *, certainty: Tensor) -> Tensor:
    """As `_compare_blocks`, by steps of a pixel of full size, which is half a pixel of the flow."""
    if kernels.usable(reference, moved, flow):
        stepped = kernels.compare_finely(
            reference, moved, flow, certainty=certainty, block=FINE_BLOCK, step_cost=FINE_STEP_COST
        )
        return box_mean(stepped, 3)
    warped = warp(moved, 2 * double(flow, (reference.shape[-2], reference.shape[-1])))
    costs = box_mean(halve(_shifted_differences(reference, warped, radius=1)) * certainty, FINE_BLOCK)
    return box_mean(flow + _cheapest_step(costs, radius=1, step_cost=FINE_STEP_COST) / 2, 3)


def _propagate(reference: Tensor, moved: Tensor, flow: Tensor, *, certainty: Tensor, block: int) -> Tensor:
    """Take over the flow of a place at one of four sides where it fits better, as PatchMatch does (Barnes et al. 2009).

    So flows reach up to the outlines of what moves, over which steps and means of flows carry what lies beyond.

    Args:
        reference: Luma, of the flow's size or of twice that.
        block: Side of the square that is compared, in pixels of the flow.
    """
    if kernels.usable(reference, moved, flow):
        return kernels.propagate(reference, moved, flow, certainty=certainty, block=block, distance=OFFER)
    height, width = flow.shape[-2:]
    padded = F.pad(flow, [OFFER] * 4, mode="replicate")
    chosen, least = flow, torch.full_like(flow[:, :1], math.inf)
    for down, right in ((1, 1), (0, 1), (1, 0), (1, 2), (2, 1)):  # its own, above, left, right, below
        offer = padded[..., down * OFFER :, right * OFFER :][..., :height, :width]
        cost = box_mean(certainty * _difference_along(reference, moved, offer), block)
        chosen, least = torch.where(cost < least, offer, chosen), torch.minimum(cost, least)
    return chosen


def _difference_along(reference: Tensor, moved: Tensor, flow: Tensor) -> Tensor:
    """Absolute difference along the flow of each of its places, (B, 1, h, w)."""
    if reference.shape[-2:] == flow.shape[-2:]:
        return (reference - warp(moved, flow)).abs()
    spread = 2 * flow.repeat_interleave(2, -1).repeat_interleave(2, -2)
    return halve((reference - warp(moved, spread[..., : reference.shape[-2], : reference.shape[-1]])).abs())


def _refine(reference: Tensor, moved: Tensor, flow: Tensor, *, certainty: Tensor) -> Tensor:
    """Combine gathered gradients with a smooth flow, as Bruhn et al. (IJCV 2005) join local and global methods."""
    if kernels.usable(reference, moved, flow):
        return kernels.refine(
            reference,
            moved,
            flow,
            certainty=certainty,
            clip_level=CLIP_LEVEL,
            window=WINDOW,
            smoothing=SMOOTHING,
            stiffness=STIFFNESS,
            sweeps=SWEEPS,
        )
    terms = torch.cat(_gradient_terms(reference, warp(moved, flow)), dim=1).mul_(certainty)
    return _solve(_moments(terms, WINDOW), flow, stiffness=STIFFNESS, sweeps=SWEEPS)


def _refine_finely(reference: Tensor, moved: Tensor, flow: Tensor, *, certainty: Tensor) -> Tensor:
    """As `_refine`, by gradients at full size, for a flow of half size."""
    if kernels.usable(reference, moved, flow):
        return kernels.refine_finely(
            reference,
            moved,
            flow,
            certainty=certainty,
            clip_level=CLIP_LEVEL,
            window=FINE_WINDOW,
            smoothing=SMOOTHING,
            stiffness=FINE_STIFFNESS,
            sweeps=FINE_SWEEPS,
        )
    warped = warp(moved, 2 * double(flow, (reference.shape[-2], reference.shape[-1])))
    terms = torch.cat([halve(term) for term in _gradient_terms(reference, warped)], dim=1).mul_(certainty)
    return _solve(_moments(terms, FINE_WINDOW), 2 * flow, stiffness=FINE_STIFFNESS, sweeps=FINE_SWEEPS) / 2


def _solve(moments: tuple[Tensor, ...], flow: Tensor, *, stiffness: float, sweeps: int) -> Tensor:
    """Step from a flow to where the gradients lead, drawn to the mean flow around each place."""
    xx, xy, yy, xe, ye = moments
    xx, yy = xx + stiffness, yy + stiffness
    determinant = xx * yy - xy * xy
    found = flow
    for _ in range(sweeps):
        draw = stiffness * (box_mean(found, SMOOTHING) - flow)
        right_x, right_y = draw[:, :1] - xe, draw[:, 1:] - ye
        step = torch.cat((yy * right_x - xy * right_y, xx * right_y - xy * right_x), dim=1) / determinant
        found = flow + step.clamp(-1.5, 1.5)
    return found


def _gradient_terms(reference: Tensor, warped: Tensor) -> tuple[Tensor, ...]:
    """Weighted products of gradients and differences, then those by themselves, then the weight."""
    padded = F.pad((warped + reference) / 2, [1] * 4, mode="replicate")
    gx = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    gy = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    error = warped - reference
    # Clipped pixels know nothing, and those that differ by far more than noise belong to something else.
    weight = (torch.maximum(reference, warped) < CLIP_LEVEL) / (1 + (error / 0.1).square())
    terms = (gx * gx, gx * gy, gy * gy, gx * error, gy * error, gx, gy, error)
    return (*(term * weight for term in terms), weight)


def _moments(terms: Tensor, window: int) -> tuple[Tensor, ...]:
    """Gather covariances, not products: a constant difference, as of a wrong exposure ratio, is no motion."""
    *products, x, y, e, total = torch.split(box_mean(terms, window), 1, dim=1)
    share = 1 / total.clamp_min(1e-3)
    means = (x * x, x * y, y * y, x * e, y * e)
    return tuple(product.addcmul(share, mean, value=-1) for product, mean in zip(products, means, strict=True))
