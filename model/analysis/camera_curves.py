"""A low-dimensional family of camera response curves, after EMoR (Grossberg and Nayar, CVPR 2004)."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from model.color import bt709_oetf, srgb_encode

CODES = 4 * 255 + 1  # entries of a table, equally spaced from code 0 to 1; every fourth is a code of 8 bits
LOWEST = 4  # entry of the lowest code that says anything, 1/255
COMPONENTS = 5
MEMBERS = 1500
SEED = 2004
NOISE_CODE = 10 / 255  # below, a code's own error makes its light uncertain, and differences of curves count less
PLAIN_SHARE, STANDARD_SHARE = 0.2, 0.1  # of the members: powers; sRGB and BT.709
BENT_SHARE = 0.6  # of camera curves have a toe, and as many crush
LIGHTS = 6000  # samples of light at which a curve is computed before it is inverted
DARKEST = 1e-6


@dataclass(frozen=True)
class CameraCurve:
    """A camera's response from light to codes: toe, shoulder, power, contrast and crushed blacks, in this order.

    The toe is light^2 / (light + toe), the shoulder 1 - (1 - light)^shoulder, as base curves of raw converters bend
    both ends; compression is light / (1 + compression * light), of which Reinhard et al. (SIGGRAPH 2002) made tone
    curves; the contrast is a logistic sigmoid of what is encoded; what lies below `crush` becomes code 0.

    Args:
        gamma: Power of the encoding, or "srgb" (IEC 61966-2-1) or "bt709" (ITU-R BT.709-6 item 1.2).
        toe: Light below which a camera darkens, 0 for none.
        compression: 0 for none.
        shoulder: 1 for none.
        contrast: Slope of the sigmoid's exponent, 0 for none.
        pivot: Code at which contrast is greatest, 0..1.
        crush: Codes that become black, 0..1.
    """

    gamma: float | str = 2.2
    toe: float = 0.0
    compression: float = 0.0
    shoulder: float = 1.0
    contrast: float = 0.0
    pivot: float = 0.3
    crush: float = 0.0

    def code(self, light: Tensor) -> Tensor:
        """Encode light, 0..1 = clip level, of any shape."""
        light = light.clamp(0, 1)
        if self.toe > 0:
            light = light * light / (light + self.toe) * (1 + self.toe)
        light = light * (1 + self.compression) / (1 + self.compression * light)
        light = 1 - (1 - light).clamp(min=0).pow(self.shoulder)
        if self.gamma == "srgb":
            encoded = srgb_encode(light)
        else:
            encoded = bt709_oetf(light) if self.gamma == "bt709" else light.pow(1 / float(self.gamma))
        if self.contrast > 0:
            ends = torch.tensor([0.0, 1.0], dtype=light.dtype, device=light.device)
            low, high = torch.sigmoid(self.contrast * (ends - self.pivot))
            encoded = (torch.sigmoid(self.contrast * (encoded - self.pivot)) - low) / (high - low)
        return ((encoded - self.crush) / (1 - self.crush)).clamp(0, 1)

    def table(self) -> Tensor:
        """Light at equally spaced codes, 0 at code 0 and 1 at code 1, (CODES,), float64."""
        light = torch.cat([torch.zeros(1), torch.logspace(torch.tensor(DARKEST).log10().item(), 0, LIGHTS)]).double()
        codes = self.code(light).cummax(0).values
        spaced = torch.arange(CODES, dtype=torch.float64) / (CODES - 1)
        above = torch.searchsorted(codes, spaced).clamp(1, len(codes) - 1)
        low, high = codes[above - 1], codes[above]
        share = ((spaced - low) / (high - low).clamp(min=1e-15)).clamp(0, 1)
        return _finished(torch.lerp(light[above - 1], light[above], share))


# Near to what Debevec's method (SIGGRAPH 1997) finds in brackets of consumer cameras.
GENERIC = CameraCurve(gamma=1.8, toe=0.01, shoulder=1.2, contrast=3.7, pivot=0.17, crush=0.045)


@dataclass(frozen=True)
class CurveFamily:
    """Principal components of the logarithm of light over codes.

    Args:
        mean: Natural logarithm of light, 0 at code 1, (CODES,).
        components: One row each, orthogonal where codes are weighted by how much they say, (COMPONENTS, CODES).
        deviations: Standard deviation of the members along each, in units of its row, (COMPONENTS,).
    """

    mean: Tensor
    components: Tensor
    deviations: Tensor

    def light(self, weights: Tensor) -> Tensor:
        """Make a curve of weights.

        Args:
            weights: In standard deviations, one for each of the first components, (up to COMPONENTS,).

        Returns:
            Light at equally spaced codes, never falling, 0 at code 0 and 1 at code 1, (CODES,), float64.
        """
        scaled = weights.double() * self.deviations[: len(weights)]
        return light_of(self.mean + scaled @ self.components[: len(weights)])


def light_of(logs: Tensor) -> Tensor:
    """Make a table of light that never falls of its logarithm, 0 at code 0 and 1 at code 1, (CODES,)."""
    return _finished((logs - logs[-1]).cummax(0).values.clamp(max=0).exp())


def draw_curve(generator: torch.Generator) -> CameraCurve:
    """Draw a curve that a consumer's camera may have."""
    kind, *uniform = torch.rand(7, generator=generator, dtype=torch.float64).tolist()
    if kind < PLAIN_SHARE:
        return CameraCurve(gamma=1.8 + 0.8 * uniform[0])
    if kind < PLAIN_SHARE + STANDARD_SHARE:
        return CameraCurve(gamma="srgb" if uniform[0] < 0.5 else "bt709")
    toe, crush = (max(0.0, 1 - (1 - number) / BENT_SHARE) for number in uniform[4:])
    return CameraCurve(
        gamma="srgb" if uniform[0] < 0.25 else 1.4 + 0.8 * (uniform[0] - 0.25) / 0.75,
        toe=0.03 * toe,
        compression=4.0 * max(0.0, 1 - 2 * uniform[1]),
        shoulder=2.5 ** max(0.0, 2 * uniform[1] - 1),
        contrast=6.0 * uniform[2],
        pivot=0.1 + 0.3 * uniform[3],
        crush=0.12 * crush,
    )


@lru_cache(maxsize=1)
def family() -> CurveFamily:
    """The family, computed at the first call (a second) from members that are the same each time."""
    generator = torch.Generator().manual_seed(SEED)
    logs = torch.stack([draw_curve(generator).table() for _ in range(MEMBERS)]).clamp(min=1e-12).log()
    logs[:, :LOWEST] = logs[:, LOWEST : LOWEST + 1]
    codes = torch.arange(CODES, dtype=torch.float64) / (CODES - 1)
    weights = (codes / NOISE_CODE).clamp(max=1.0)
    weights[:LOWEST] = 0
    mean = logs.mean(0)
    centered = (logs - mean) * weights
    _, spread, rows = torch.linalg.svd(centered, full_matrices=False)
    scores = centered @ rows[:COMPONENTS].T
    # Rows as they are without weights: what members have of the shape beyond the weights, by least squares.
    components = torch.linalg.lstsq(scores, logs - mean).solution
    return CurveFamily(mean, components, spread[:COMPONENTS] / MEMBERS**0.5)


def _finished(light: Tensor) -> Tensor:
    """Scale to 1 at code 1; below the lowest code straight down to 0, as black carries no light."""
    light = light / light[-1]
    light[:LOWEST] = light[LOWEST] * torch.arange(LOWEST, dtype=light.dtype) / LOWEST
    return light
