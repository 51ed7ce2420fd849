"""Errors that a user can cause; all others keep their traceback."""

REFUSED = 1  # exit code of a command that can't do what it is asked
OFF = 3  # exit code of a command that has to be strict where something was guessed, repaired or left out


class LanHdrError(Exception):
    """A problem that the user can mend; the message names the thing, the value found and the next step."""

    exit_code = REFUSED


class FrameError(LanHdrError):
    """Frames do not fit together: sizes, order or number."""


class ExposureError(LanHdrError):
    """Exposures are missing, out of range or do not alternate as the weights expect."""


class WeightsError(LanHdrError):
    """A file of weights is damaged, foreign, or made for another configuration."""


class ResponseError(LanHdrError):
    """A camera's response is unknown, does not rise, or can't be found from the clip."""


class DeviceError(LanHdrError):
    """The device that was asked for is not there, or its memory does not suffice."""
