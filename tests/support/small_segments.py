"""The command line with segments of a few frames, so that short clips have many; run as a program."""

from lanhdr_cli.__main__ import main
from lanhdr_cli.media import segments

FRAMES = 8

if __name__ == "__main__":
    segments.SEGMENT_FRAMES = FRAMES
    main()
