"""Published figures: every entry can be shown beside ours and says where it stands; none from memory."""

from train.evaluation.benchmarks.catalog import NAMES
from train.evaluation.metrics import BY_KEY
from train.evaluation.protocols import PROTOCOLS
from train.evaluation.tables import ROLES, entries, published_for


def test_entries_name_sets_protocols_and_measures_that_exist() -> None:
    assert len(entries()) > 10
    for entry in entries():
        assert entry.benchmark in NAMES and entry.nexps in (2, 3) and entry.protocol in PROTOCOLS
        assert entry.source.startswith("https://") and entry.note
        for key in entry.values:
            measure, _, role = key.partition(" ")
            assert measure in BY_KEY and role in ("", *ROLES)


def test_only_the_set_and_protocols_of_a_run_are_shown() -> None:
    shown = published_for("hdrv", 2, protocols=("hdrflow",))
    assert [entry.values["psnr_t"] for entry in shown if entry.method == "LAN-HDR"] == [39.79]
    assert all("pasted" in entry.protocol_note for entry in shown)
    assert published_for("hdrv", 2, protocols=("lanhdr",)) == ()
    assert published_for("dynamic", 2, protocols=PROTOCOLS)[0].values["psnr_t low"] == 40.83


def test_tog13_has_none_for_it_has_no_truth() -> None:
    assert published_for("tog13", 2, protocols=PROTOCOLS) == published_for("tog13", 3, protocols=PROTOCOLS) == ()
