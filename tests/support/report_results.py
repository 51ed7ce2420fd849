"""Results for the report, with names that are markup, and a figure for every frame that is known."""

import torch

from train.evaluation.results import Crop, Example, FrameScore, Method, Protocol, Published, Results, Role

EVIL = '</script><script>alert("1")</script> & <b>'
METHODS = ("plain", EVIL, "net's")
SCENES = ("first <scene>", "second & last")
PROTOCOLS: tuple[Protocol, ...] = ("lanhdr", "hdrflow")


def value_of(scene: int, frame: int, *, method: int, protocol: int) -> float:
    """A figure that differs everywhere and orders neither scenes nor methods as they come."""
    return 30 + 5 * ((method + 2) % 3) + 3 * scene - 0.37 * frame + 0.111 * protocol


def make_scores() -> tuple[FrameScore, ...]:
    return tuple(
        FrameScore(SCENES[scene], frame, f"img<{frame}>", role_of(frame), METHODS[method], PROTOCOLS[protocol],
                   {"psnr_t": value, "ssim_t": value / 100} | ({"flicker": 40 - value} if frame > 2 else {}),
                   Crop(4, 8, 16, 0.1))
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
            Method("plain", "baseline", None, None, 0.0123, 210.4, "cpu"),
            Method(EVIL, "start", "a&b.safetensors", None, None, None, "cpu"),
            Method("net's", "network", "a&b.safetensors", 412345, 0.456, 512.6, "cpu <2 threads>"),
        ),
        scores=make_scores(),
        published=(
            Published(
                "plain", 2, {"psnr_t": 38.22, "psnr_t low": 35.5}, "as predicted; <b>", "https://example.org/a?b&c"
            ),
            Published("Theirs", 2, {"psnr_t": 39.0}, "pasted", "javascript:alert(1)"),
        ),
        environment={"torch": "2 <cpu>", "commit": "abc"},
        command="lanhdr eval --benchmark selftest --weights 'a&b.safetensors'",
    )


def make_example(*, truth: bool = True) -> Example:
    generator = torch.Generator().manual_seed(0)
    wanted = torch.rand(3, 16, 16, generator=generator)
    pictures = {name: (wanted * (0.97 - 0.2 * place)) for place, name in enumerate(METHODS)}
    reference = torch.rand(3, 16, 16, generator=generator)
    return Example(SCENES[0], 3, "img<3>", "worst", Crop(4, 8, 16, 0.1), reference, pictures, wanted if truth else None)
