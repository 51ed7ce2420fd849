"""Letters for drawings: capitals, digits and some signs, 5 dots wide and 7 high."""

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, ADVANCE = 5, 7, 6

# Seven rows of five dots each, from the top; two hexadecimal digits are a row.
GLYPHS = {
    " ": "00 00 00 00 00 00 00",
    "A": "04 0A 11 11 1F 11 11",
    "B": "1E 11 11 1E 11 11 1E",
    "C": "0E 11 10 10 10 11 0E",
    "D": "1E 11 11 11 11 11 1E",
    "E": "1F 10 10 1E 10 10 1F",
    "F": "1F 10 10 1E 10 10 10",
    "G": "0E 11 10 13 11 11 0F",
    "H": "11 11 11 1F 11 11 11",
    "I": "0E 04 04 04 04 04 0E",
    "J": "03 01 01 01 01 11 0E",
    "K": "11 12 14 18 14 12 11",
    "L": "10 10 10 10 10 10 1F",
    "M": "11 1B 15 15 11 11 11",
    "N": "11 19 19 15 13 13 11",
    "O": "0E 11 11 11 11 11 0E",
    "P": "1E 11 11 1E 10 10 10",
    "Q": "0E 11 11 11 15 12 0D",
    "R": "1E 11 11 1E 14 12 11",
    "S": "0F 10 10 0E 01 01 1E",
    "T": "1F 04 04 04 04 04 04",
    "U": "11 11 11 11 11 11 0E",
    "V": "11 11 11 11 11 0A 04",
    "W": "11 11 11 15 15 1B 11",
    "X": "11 11 0A 04 0A 11 11",
    "Y": "11 11 0A 04 04 04 04",
    "Z": "1F 01 02 04 08 10 1F",
    "0": "0E 11 13 15 19 11 0E",
    "1": "04 0C 04 04 04 04 0E",
    "2": "0E 11 01 06 08 10 1F",
    "3": "1F 02 04 06 01 11 0E",
    "4": "02 06 0A 12 1F 02 02",
    "5": "1F 10 1E 01 01 11 0E",
    "6": "06 08 10 1E 11 11 0E",
    "7": "1F 01 02 04 04 08 08",
    "8": "0E 11 11 0E 11 11 0E",
    "9": "0E 11 11 0F 01 02 0C",
    ".": "00 00 00 00 00 0C 0C",
    ",": "00 00 00 00 0C 04 08",
    ":": "00 0C 0C 00 0C 0C 00",
    ";": "00 0C 0C 00 0C 04 08",
    "-": "00 00 00 1F 00 00 00",
    "+": "00 04 04 1F 04 04 00",
    "=": "00 00 1F 00 1F 00 00",
    "/": "01 01 02 04 08 10 10",
    "%": "19 19 02 04 08 13 13",
    "(": "02 04 08 08 08 04 02",
    ")": "08 04 02 02 02 04 08",
    "_": "00 00 00 00 00 00 1F",
    "#": "0A 0A 1F 0A 1F 0A 0A",
    "'": "04 04 08 00 00 00 00",
    "?": "0E 11 01 02 04 00 04",
}


def text_width(text: str, *, scale: int = 2) -> int:
    """Width of a line of text in pixels."""
    return max(0, len(text) * ADVANCE - 1) * scale


def letter_mask(text: str, *, scale: int = 2) -> NDArray[np.bool_]:
    """Where a line of text is inked; small letters become capitals, unknown signs a question mark.

    Returns:
        (7 scale, width).
    """
    mask = np.zeros((HEIGHT, len(text) * ADVANCE), np.bool_)
    for place, letter in enumerate(text.upper()):
        rows = bytes.fromhex(GLYPHS.get(letter, GLYPHS["?"]))
        for row, dots in enumerate(rows):
            for column in range(WIDTH):
                mask[row, place * ADVANCE + column] = bool(dots >> (WIDTH - 1 - column) & 1)
    return mask.repeat(scale, 0).repeat(scale, 1)[:, : text_width(text, scale=scale)]
