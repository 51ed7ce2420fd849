"""Tables in MATLAB files of version 5, as BaslerCRF.mat of Kalantari et al. 2013 is one; reads with scipy."""

import io

import numpy as np
from numpy.typing import NDArray

from model.errors import ResponseError

MAGIC = b"MATLAB 5.0 MAT-file"
BASLER_KEY = "BaslerCRF"


def read_table(data: bytes, name: str) -> NDArray[np.float64]:
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
