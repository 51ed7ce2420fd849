"""Results for the report, with names that are markup, and a figure for every frame that is known."""

import torch

from support.scored import record
from train.evaluation.results import Crop, Example, FrameScore, Protocol, Published, Results, Role

EVIL = '</script><script>alert("1")</script> & <b>'
METHODS = ("plain", EVIL, "net's")
SCENES = ("first <scene>", "second & last")
PROTOCOLS: tuple[Protocol, ...] = ("lanhdr", "hdrflow")


def value_of(scene: int, frame: int, *, method: int, protocol: int) -> float:
    """A figure that differs everywhere and orders neither scenes nor methods as they come."""
    return 30 + 5 * ((method + 2) % 3) + 3 * scene - 0.37 * frame + 0.111 * protocol


def make_scores() -> tuple[FrameScore, ...]:
    return tuple(
        FrameScore(scene=SCENES[scene], frame=frame, label=f"img<{frame}>", role=role_of(frame),
                   method=METHODS[method], protocol=PROTOCOLS[protocol],
                   values={"psnr_t": value, "ssim_t": value / 100} | ({"flicker": 40 - value} if frame > 2 else {}),
                   crop=Crop(4, 8, 16, 0.1))
        for protocol in range(2) for method in range(3) for scene in range(2) for frame in range(2, 7)
        for value in [value_of(scene, frame, method=method, protocol=protocol)]
    )  # fmt: skip


def role_of(frame: int) -> Role:
    return "low" if frame % 2 else "high"


def make_results() -> Results:
    return Results(
        benchmark="selftest",
        title="Self-test <two>",
        nexps=2,
        notes=("There is no <truth> & all is relative.",),
        methods=(
            record("plain", seconds_per_frame=0.0123, peak_memory_mib=210.4),
            record(EVIL, kind="start", weights="a&b.safetensors"),
            record(
                "net's",
                kind="network",
                weights="a&b.safetensors",
                parameters=412345,
                seconds_per_frame=0.456,
                peak_memory_mib=512.6,
                device="cpu <2 threads>",
            ),
        ),
        scores=make_scores(),
        published=(
            Published(
                method="plain",
                nexps=2,
                values={"psnr_t": 38.22, "psnr_t low": 35.5},
                protocol_note="as predicted; <b>",
                source="https://example.org/a?b&c",
            ),
            Published(
                method="Theirs", nexps=2, values={"psnr_t": 39.0}, protocol_note="pasted", source="javascript:alert(1)"
            ),
        ),
        environment={"torch": "2 <cpu>", "commit": "abc"},
        command="lanhdr eval --benchmark selftest --weights 'a&b.safetensors'",
    )


def make_example(*, truth: bool = True) -> Example:
    generator = torch.Generator().manual_seed(0)
    wanted = torch.rand(3, 16, 16, generator=generator)
    pictures = {name: (wanted * (0.97 - 0.2 * place)) for place, name in enumerate(METHODS)}
    reference = torch.rand(3, 16, 16, generator=generator)
    return Example(
        scene=SCENES[0],
        frame=3,
        label="img<3>",
        rank="worst",
        crop=Crop(4, 8, 16, 0.1),
        reference=reference,
        pictures=pictures,
        truth=wanted if truth else None,
    )
