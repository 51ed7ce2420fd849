"""Measured responses in files: MATLAB tables as the TOG13 benchmark has them, CSV, and one-dimensional .cube."""

import io
import math
import re
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.errors import ResponseError

Table = NDArray[np.float64]

MATLAB_MAGIC = b"MATLAB 5.0 MAT-file"
BASLER_KEY = "BaslerCRF"
LARGEST_FILE = 8 << 20  # bytes: 65,536 rows of four columns take 4 MiB
RESAMPLED = 1 << 14
_COLUMNS = re.compile(r"[,;\s]+")
_SIZE = re.compile(r"^\s*LUT_(1D|3D)_SIZE\s+(\d+)", re.MULTILINE)
_BOUNDS = re.compile(r"^\s*(DOMAIN_MIN|DOMAIN_MAX|LUT_1D_INPUT_RANGE)\s+(.+)$", re.MULTILINE)


def read_curve(path: Path) -> Tensor:
    """Read light over codes; the kind of file follows from its content.

    A MATLAB file (version 5) holds one row per code, as BaslerCRF.mat of Kalantari et al. 2013 does. A CSV holds
    light in one column, light in three (R, G, B), or two or four with codes in the first; a heading is skipped. Codes
    are 0..1 or whole numbers up to the greatest code. A .cube maps codes to light.

    Returns:
        Light at equally spaced codes from 0 to 1, any scale, (N,) or (N, 3), float64.

    Raises:
        ResponseError: If it can't be read or holds no curve.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
        if len(data) > LARGEST_FILE:
            raise ResponseError(f"{path} has more than {LARGEST_FILE >> 20} MiB: that is no response curve")
    except OSError as error:
        raise ResponseError(f"can't read {path} ({error.strerror}): check the file") from error
    if data.startswith(MATLAB_MAGIC):
        table = read_matlab_table(data, str(path))
    else:
        text = data.decode("utf-8-sig", errors="replace")
        table = _read_cube(text, path) if _SIZE.search(text) else _read_csv(text, path)
    return torch.from_numpy(np.ascontiguousarray(table[:, 0] if table.shape[1] == 1 else table))


def _read_csv(text: str, path: Path) -> Table:
    """Read columns of light; codes in a first column are scaled to 0..1, whole ones over the greatest of 8..16 bits."""
    rows = _rows(text.splitlines(), path)
    if rows.shape[1] not in (2, 4):
        return rows
    codes = rows[:, 0]
    if not (np.diff(codes) > 0).all() or codes[0] < 0:
        raise ResponseError(f"{path}: codes in the first column must grow from row to row, from 0 or more")
    tops = (1.0, *((1 << bits) - 1.0 for bits in (8, 10, 12, 14, 16)))
    top = next((top for top in tops if codes[-1] <= top), None)
    if top is None:
        raise ResponseError(f"{path}: the greatest code is {codes[-1]:g}, no more than 65535 is possible")
    return _resampled(codes / top, rows[:, 1:])


def _rows(lines: list[str], path: Path) -> Table:
    """Read numbers in lines; comments, empty lines and one heading are skipped."""
    filled = [(number, line.split("#")[0].strip()) for number, line in enumerate(lines, 1)]
    parsed: list[list[float]] = []
    for index, (number, line) in enumerate((number, line) for number, line in filled if line):
        try:
            parsed.append([float(cell) for cell in _COLUMNS.split(line.strip(",; "))])
        except ValueError:
            if index == 0:
                continue
            raise ResponseError(f"{path} line {number} holds {line[:40]!r}: numbers are needed") from None
        if len(parsed[-1]) != len(parsed[0]) or len(parsed[0]) > 4:
            raise ResponseError(f"{path} line {number} has {len(parsed[-1])} columns: all must have 1, 2, 3 or 4")
    if len(parsed) < 2:
        raise ResponseError(f"{path} holds {len(parsed)} rows of numbers: a curve needs 2 or more")
    return np.array(parsed)


def _read_cube(text: str, path: Path) -> Table:
    """Read Adobe's .cube (specification 1.0), and Resolve's way to say the input's range."""
    size = _SIZE.search(text)
    if size is None or size[1] != "1D":
        raise ResponseError(f"{path} is a table of three dimensions: a response is a LUT_1D")
    low, high = _domain(text, path)
    body = [line for line in text.splitlines() if re.match(r"\s*[-+.\d]", line)]
    rows = _rows(body, path)
    if str(len(rows)) != size[2] or rows.shape[1] != 3:
        raise ResponseError(f"{path} names {size[2][:9]} entries from {low:g} to {high:g} and holds {len(rows)} rows")
    return rows if (low, high) == (0, 1) else _resampled(np.linspace(low, high, len(rows)), rows)


def _domain(text: str, path: Path) -> tuple[float, float]:
    """Read the codes of the first and the last entry of a .cube; those of R count for all."""
    found = {key: words.split() for key, words in _BOUNDS.findall(text)}
    ends = found.get("LUT_1D_INPUT_RANGE") or [*found.get("DOMAIN_MIN", ["0"])[:1], *found.get("DOMAIN_MAX", ["1"])[:1]]
    try:
        low, high = (float(end) for end in ends)
    except ValueError:
        low, high = math.nan, math.nan
    if not 0 < high - low < math.inf:
        raise ResponseError(f"{path} goes from {' to '.join(ends)[:40]}: two numbers are needed, the second greater")
    return low, high


def _resampled(codes: Table, light: Table) -> Table:
    """Return light at equally spaced codes from 0 to 1, by linear interpolation."""
    targets = np.linspace(0, 1, RESAMPLED)
    return np.stack([np.interp(targets, codes, column) for column in light.T], axis=1)


def read_matlab_table(data: bytes, name: str) -> NDArray[np.float64]:
    """Read a table of light by codes and channels: the one called BaslerCRF, or else the only array.

    Returns:
        One row per code, one column per channel.

    Raises:
        ResponseError: If scipy is not installed, the file is damaged, or holds no such table.
    """
    try:
        import scipy.io  # slow to import, seldom needed
    except ImportError as error:
        raise ResponseError(f"{name} needs the package scipy, which is not installed: pip install scipy") from error
    try:
        arrays = scipy.io.loadmat(io.BytesIO(data))
    except Exception as error:  # damaged files end in many ways
        raise ResponseError(f"{name} can't be read as a MATLAB file ({error}): check that it is complete") from error
    tables = {key: value for key, value in arrays.items() if not key.startswith("__")}
    table = tables.get(BASLER_KEY, next(iter(tables.values())) if len(tables) == 1 else None)
    if table is None or table.ndim != 2 or table.dtype.kind not in "fiu":
        listed = ", ".join(f"{key} {'x'.join(map(str, np.shape(value)))}" for key, value in tables.items())
        raise ResponseError(f"{name} holds {listed or 'nothing'}: a table {BASLER_KEY} of codes x channels is needed")
    rows: NDArray[np.float64] = table.astype(np.float64)
    return rows.T if rows.shape[0] in (1, 3) and rows.shape[1] > 3 else rows
