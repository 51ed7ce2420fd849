"""Finds files that a broken download left cut short, which decoders often fill up with gray and say nothing."""

from pathlib import Path

from train.errors import DatasetError

# What a whole file of a kind has in its last bytes; some writers pad a few zeros behind it.
ENDINGS = {".png": b"IEND", ".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9"}
TAIL = 64


def demand_whole(path: Path) -> None:
    """Look at the end of a PNG or JPEG file, and whether any other is empty.

    Raises:
        DatasetError: If there is no such file, or it is cut short.
    """
    ending = ENDINGS.get(path.suffix.lower(), b"")
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL))
            tail = file.read()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}): fetch it, or take it out of the list") from error
    if not size or ending not in tail:
        raise DatasetError(f"{path} is cut short ({size} bytes): fetch it again, or take it out of the folder and list")
