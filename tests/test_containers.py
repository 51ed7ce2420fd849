"""What is opened as a clip: files alone, whatever they refer to, and pictures of a bounded size."""

import re
from pathlib import Path

import pytest
from support.clips import counting_clip
from support.converting import invoke

from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.source import open_source

HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
CONCAT = "ffconcat version 1.0\nfile {}\n"
DASH = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
    '<Representation id="1"><BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>'
)
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n# {}\n"


@pytest.mark.parametrize("address", ["other.ts", "http://127.0.0.1:9/other.ts", "tcp://127.0.0.1:9"])
@pytest.mark.parametrize(
    ("name", "text"),
    [("list.m3u8", HLS), ("list.mp4", CONCAT), ("list.ffconcat", CONCAT), ("list.mpd", DASH), ("call.sdp", SDP)],
)
def test_a_list_of_other_files_is_refused(tmp_path: Path, name: str, text: str, address: str) -> None:
    counting_clip(tmp_path / "other.ts", count=4)
    (tmp_path / name).write_text(text.format(address))
    with pytest.raises(MediaError, match=f"{name} is a list of other files or addresses, .*: pass the video file"):
        open_source(tmp_path / name).__enter__()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("http://127.0.0.1:9/a.mp4", "is an address, and only files are read"),
        ("https://example.invalid/a.mp4", "is an address"),
        ("concat:a.mp4|b.mp4", "no such file"),
        ("subfile,,start,0,end,9,,:a.mp4", "no such file"),
        ("data:video/mp4;base64,AAAA", "no such file"),
        ("lavfi:testsrc", "no such file"),
    ],
)
def test_an_address_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str) -> None:
    counting_clip(tmp_path / "a.mp4", count=4)
    counting_clip(tmp_path / "b.mp4", count=4)
    monkeypatch.chdir(tmp_path)
    outcome = invoke("inspect", "--", source)
    assert outcome.exit_code == 1
    assert re.search(message, outcome.stderr), outcome.stderr


def test_a_name_that_looks_like_a_protocol_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    counting_clip(tmp_path / "plain.mp4", count=4).rename("concat:a.mp4|b.mp4")
    with open_source(Path("concat:a.mp4|b.mp4")) as clip:
        assert len(list(clip.frames())) == 4


def test_pictures_that_are_too_large_are_refused_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = counting_clip(tmp_path / "a.mp4", count=4)
    monkeypatch.setattr("lanhdr_cli.media.containers.LARGEST_PICTURE", 32 * 24 - 1)
    with pytest.raises(MediaError, match=r"a\.mp4 says that it is 32x24, at most 0 Mi pixels are read"):
        open_source(clip).__enter__()
