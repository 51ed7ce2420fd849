"""Pieces of HTML; every text passes through `escape` here."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from train.montage import encode_png

STYLES = 8  # colors and marks; the ninth method takes the first color again, dashed and with another mark


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Args:
        text: What it says; plain text.
        is_best: Whether to emphasise it.
        style: Number of the method it names, which gives it the method's line and mark.
        remark: A second line in small print.
        link: Address that the text leads to.
    """

    text: str
    is_best: bool = False
    style: int | None = None
    remark: str = ""
    link: str = ""

    def content(self) -> str:
        """What stands between the tags."""
        words = escape(self.text)
        if self.link:
            words = f'<a href="{escape(self.link)}">{words}</a>'
        if self.is_best:
            words = f"<strong>{words}</strong>"
        remark = f"<small>{escape(self.remark)}</small>" if self.remark else ""
        return swatch(self.style) + words + remark


@dataclass(frozen=True)
class Grid:
    """A table; the first column holds names, those after it figures, unless they are said to hold words.

    Args:
        caption: What the figures are; plain text.
        columns: Headings.
        rows: As many cells each.
        last: A row that stays last when the others are sorted.
        words: Numbers of the columns, besides the first, that hold words.
    """

    caption: str
    columns: Sequence[Cell]
    rows: Sequence[Sequence[Cell]]
    last: Sequence[Cell] = ()
    words: frozenset[int] = frozenset()

    def html(self) -> str:
        """A table inside a box that scrolls by itself when it is wider than the page."""
        body = "".join(self._row(row) for row in self.rows)
        foot = f"<tfoot>{self._row(self.last)}</tfoot>" if self.last else ""
        heading = "".join(
            f'<th scope="col"{self._kind(x)}>{cell.content()}</th>' for x, cell in enumerate(self.columns)
        )
        return (
            f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(self.caption)}">'
            f'<table class="sortable"><caption>{escape(self.caption)}</caption>'
            f"<thead><tr>{heading}</tr></thead><tbody>{body}</tbody>{foot}</table></div>\n"
        )

    def _row(self, row: Sequence[Cell]) -> str:
        name, *figures = row
        cells = "".join(f"<td{self._kind(x)}>{cell.content()}</td>" for x, cell in enumerate(figures, start=1))
        return f'<tr><th scope="row">{name.content()}</th>{cells}</tr>\n'

    def _kind(self, column: int) -> str:
        return ' class="words"' if column == 0 or column in self.words else ""


def swatch(style: int | None) -> str:
    """Draw a method's line and mark, as in the plots."""
    if style is None:
        return ""
    return (
        f'<svg class="swatch {style_class(style)}" viewBox="0 0 28 12" aria-hidden="true">'
        f'<path class="line" d="M0 6H28"/>'
        f'<use class="mark" href="{mark(style)}" x="9" y="1" width="10" height="10"/></svg>'
    )


def mark(style: int) -> str:
    """Address, in the page, of a method's mark."""
    return f"#mark{(style + 3 * (style // STYLES)) % STYLES}"


def style_class(style: int) -> str:
    """Class names that give a method its color, and its dashes if colors run out."""
    return f"m{style % STYLES} dash{style // STYLES % 3}"


def variant(content: str, *, protocol: str, measure: str = "", hidden: bool) -> str:
    """Wrap what is shown for one choice of protocol, and of measure if that matters."""
    choice = f' data-measure="{escape(measure)}"' if measure else ""
    return f'<div class="variant" data-protocol="{escape(protocol)}"{choice}{" hidden" * hidden}>{content}</div>\n'


def options(values: Sequence[tuple[str, str]]) -> str:
    """Entries of a list to choose from, each a value and what is shown."""
    return "".join(f'<option value="{escape(value)}">{escape(shown)}</option>' for value, shown in values)


def data_uri(pixels: NDArray[np.uint8]) -> str:
    """Hold a picture, 8-bit R, G, B codes (H, W, 3), in an address of its own."""
    return "data:image/png;base64," + base64.b64encode(encode_png(pixels)).decode("ascii")


def embedded_json(value: object) -> str:
    """Write JSON that is safe inside a script element: `</script>` and `<!--` cannot occur in it.

    Raises:
        ValueError: If a number is not finite.
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def part_of_page(name: str) -> str:
    """Read a file that lies beside this module."""
    return files("train.html").joinpath(name).read_text(encoding="utf-8")
