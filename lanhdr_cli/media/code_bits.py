"""Bits of the codes in 16-bit pictures, which cameras of 10, 12 and 14 bits fill from the bottom or from the top."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from lanhdr_cli.media.errors import MediaError

CONTAINER_BITS = 16
CONTAINER_TOP = (1 << CONTAINER_BITS) - 1
USUAL_BITS = (8, 10, 12, 14)


@dataclass(frozen=True, kw_only=True)
class CodeBits:
    """Bits of the codes in 16-bit pictures.

    Args:
        bits: Of a code.
        top: Code of white: the greatest of `bits`, or of 16 bits where codes are shifted to the top.
        highest: Greatest code that was seen.
    """

    bits: int = CONTAINER_BITS
    top: int = CONTAINER_TOP
    highest: int = CONTAINER_TOP

    @property
    def scales(self) -> bool:
        """Whether codes lie at the bottom of the 16 bits."""
        return self.top < CONTAINER_TOP

    def scaled(self, image: Tensor) -> Tensor:
        """Scale a picture, 0..1 = 16 bits, so that white is 1.

        Raises:
            MediaError: If a code lies above white.
        """
        if not self.scales:
            return image
        highest = round(float(image.max()) * CONTAINER_TOP)
        if highest > self.top:
            fitting = highest.bit_length()
            raise MediaError(f"code {highest} has more than {self.bits} bits: pass --bits {fitting} or more, up to 16")
        return image.mul(CONTAINER_TOP / self.top).clamp_(0, 1)


def find_code_bits(pictures: Iterable[Tensor], *, given: int | None = None) -> CodeBits:
    """Find the bits of codes from pictures, 0..1 = 16 bits; each is read only if those before it leave a doubt.

    Args:
        given: Bits as the user has them.

    Raises:
        MediaError: If codes have more bits than are given.
    """
    highest = used = 0
    for picture in pictures:
        codes = picture.mul(CONTAINER_TOP).round().numpy().astype(np.uint16)
        highest = max(highest, int(codes.max()))
        used |= int(np.bitwise_or.reduce(codes, axis=None))
        if given is None and used & 1 and highest >= 1 << USUAL_BITS[-1]:
            return CodeBits()
    # Codes that are shifted to the top leave the lowest bits empty.
    in_use = CONTAINER_BITS - ((used & -used).bit_length() - 1) if used else CONTAINER_BITS
    if given is not None:
        if highest >= 1 << given and in_use > given:
            raise MediaError(
                f"code {highest} has more than {given} bits: pass --bits {highest.bit_length()} or more, up to 16"
            )
        top = CONTAINER_TOP if highest >= 1 << given else (1 << given) - 1
        return CodeBits(bits=given, top=top, highest=highest)
    bits = next((bits for bits in USUAL_BITS if highest < 1 << bits), CONTAINER_BITS)
    if not highest or bits == CONTAINER_BITS or in_use <= bits:
        return CodeBits(bits=max(8, in_use), highest=highest)
    return CodeBits(bits=bits, top=(1 << bits) - 1, highest=highest)
