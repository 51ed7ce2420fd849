"""A page of the report taken apart: its elements, its tables, its texts."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset({"meta", "img", "input", "br", "link", "hr"})


@dataclass
class Element:
    """An element of the page."""

    tag: str
    attributes: dict[str, str]
    children: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text in it."""
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def all(self, tag: str, **wanted: str) -> list["Element"]:
        """Elements below it with these attributes, in their order; `data_x` stands for `data-x`."""
        found: list[Element] = []
        for child in self.children:
            if isinstance(child, str):
                continue
            names = {key.replace("_", "-"): value for key, value in wanted.items()}
            if child.tag == tag and names.items() <= child.attributes.items():
                found.append(child)
            found += child.all(tag, **wanted)
        return found

    def every(self) -> list["Element"]:
        """All elements below it."""
        below = [child for child in self.children if isinstance(child, Element)]
        return [element for child in below for element in (child, *child.every())]


class Page(HTMLParser):
    """Builds the tree of a page; an end tag that does not belong where it stands is an error.

    Args:
        text: Of the page.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.root = Element("", {})
        self._open = [self.root]
        self.feed(text)
        self.close()
        assert self._open == [self.root], [element.tag for element in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Enter an element."""
        element = Element(tag, {key: value or "" for key, value in attrs})
        self._open[-1].children.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that ends at once, as those of SVG do."""
        self._open[-1].children.append(Element(tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        """Leave an element."""
        assert self._open.pop().tag == tag, self.getpos()

    def handle_data(self, data: str) -> None:
        """Keep a text."""
        self._open[-1].children.append(data)


def cells(table: Element) -> dict[str, list[str]]:
    """What the rows of a table say, by their names."""
    (body,) = table.all("tbody")
    rows = [*body.all("tr"), *(row for foot in table.all("tfoot") for row in foot.all("tr"))]
    return {_name(row.all("th")[0]): [cell.text for cell in row.all("td")] for row in rows}


def best(table: Element) -> set[tuple[str, int]]:
    """Row and number of the cells that are emphasised."""
    rows = table.all("tr")[1:]
    return {
        (_name(row.all("th")[0]), place)
        for row in rows
        for place, cell in enumerate(row.all("td"))
        if cell.all("strong")
    }


def _name(cell: Element) -> str:
    remarks = cell.all("small")
    return cell.text.removesuffix(remarks[0].text) if remarks else cell.text
