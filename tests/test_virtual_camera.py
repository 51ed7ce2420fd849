from dataclasses import replace

import numpy as np
import pytest

from train.data.images import Picture, Pixels, hdr_picture, ldr_picture
from train.data.videos import Video
from train.synthesis.camera import LIMIT, STILL, Camera, Motion, draw_motion, view_panorama, view_picture, view_video
from train.synthesis.scene import CompositeScene, Foreground, draw_foreground

SIZE = (24, 32)


def _drift(x: float, y: float) -> Motion:
    return replace(STILL, velocity=np.array([x, y]))


def _noise(height: int, width: int) -> Picture:
    return hdr_picture("noise", np.random.default_rng(0).random((height, width, 3)) + 0.1)


def test_camera_over_a_picture_cuts_out_what_it_looks_at() -> None:
    picture = _noise(100, 120)
    camera = Camera((40 + 15.5, 30 + 11.5), 1.0, 0.0, _drift(3, -2), SIZE)
    view = view_picture(picture, camera, times=[0.0, 2.0])
    full = picture.levels[0].astype(np.float32)
    np.testing.assert_allclose(view.render(0.0), full[30:54, 40:72], atol=1e-5)
    np.testing.assert_allclose(view.render(2.0), full[26:50, 46:78], atol=1e-5)


def test_camera_zooms_about_its_middle() -> None:
    ramp = np.broadcast_to(np.arange(200.0)[None, :, None], (200, 200, 3)) + 1
    picture = Picture("ramp", (ramp.astype(np.float32),))
    closer = replace(STILL, growth=float(np.log(2)))
    view = view_picture(picture, Camera((100, 100), 1.0, 0.0, closer, SIZE), times=[0.0, 1.0])
    before, after = view.render(0.0)[12, :, 0], view.render(1.0)[12, :, 0]
    assert after.mean() == pytest.approx(before.mean(), abs=0.01)
    np.testing.assert_allclose(after[2:] - after[:-2], 1.0, atol=1e-3)


def test_encoded_picture_goes_through_its_table() -> None:
    codes = np.full((60, 60, 3), 7, np.uint8)
    table = np.arange(256, dtype=np.float32) ** 2
    view = view_picture(ldr_picture("flat", codes), Camera((30, 30), 1.0, 0.0, STILL, SIZE), times=[0.0], table=table)
    np.testing.assert_allclose(view.render(0.0), 49, rtol=1e-5)


def test_exposed_view_is_limited() -> None:
    view = view_picture(_noise(60, 60), Camera((30, 30), 1.0, 0.0, STILL, SIZE), times=[0.0])
    brighter = view.exposed(np.array([1, 0.5, 1000], np.float32))
    np.testing.assert_allclose(brighter.render(0.0)[..., 1], 0.5 * view.render(0.0)[..., 1], rtol=1e-4)
    np.testing.assert_allclose(brighter.render(0.0)[..., 2], LIMIT, rtol=1e-4)


def _around(width: int) -> Picture:
    """A panorama whose brightness tells the latitude, and whose color the direction."""
    longitude = (np.arange(width) + 0.5) / width * 2 * np.pi - np.pi
    latitude = ((np.arange(width // 2) + 0.5) / (width // 2) - 0.5) * np.pi
    channels = [2 + np.sin(longitude) + 0 * latitude[:, None], 2 + np.cos(longitude) + 0 * latitude[:, None]]
    channels.append(2 + np.sin(latitude)[:, None] + 0 * longitude)
    return Picture("around", (np.stack(channels, -1).astype(np.float32),), panorama=True)


@pytest.mark.parametrize("yaw", [0.0, 1.0, np.pi, -2.5])
def test_panorama_is_seen_in_perspective_across_its_seam(yaw: float) -> None:
    pitch, scale = 0.3, 1.2
    view = view_panorama(_around(512), look=(yaw, pitch), scale=scale, motion=STILL, size=SIZE, times=[0.0])
    seen = view.render(0.0)
    focal = 512 / (2 * np.pi * scale)
    u, v = (np.arange(32) - 15.5) / focal, ((np.arange(24) - 11.5) / focal)[:, None]
    # rotate the ray (u, v, 1) down by the pitch, then around by the yaw
    right, down, ahead = u + 0 * v, v * np.cos(pitch) + np.sin(pitch), np.cos(pitch) - v * np.sin(pitch) + 0 * u
    longitude, length = np.arctan2(right, ahead) + yaw, np.sqrt(right**2 + down**2 + ahead**2)
    np.testing.assert_allclose(seen[..., 0], 2 + np.sin(longitude), atol=2e-3)
    np.testing.assert_allclose(seen[..., 1], 2 + np.cos(longitude), atol=2e-3)
    np.testing.assert_allclose(seen[..., 2], 2 + down / length, atol=2e-3)


def test_panorama_moves_by_the_pixels_asked_for() -> None:
    smooth = _around(1024)
    view = view_panorama(smooth, look=(0.5, 0.0), scale=1.0, motion=_drift(4, 0), size=(24, 64), times=[0.0, 1.0])
    before, after = view.render(0.0), view.render(1.0)
    np.testing.assert_allclose(after[10:14, 26:34], before[10:14, 30:38], atol=2e-3)


def test_video_frames_follow_the_order_asked_for() -> None:
    frames = np.stack([np.full((60, 80, 3), 10 * index, np.uint8) for index in range(10)])
    table = np.arange(256, dtype=np.float32)
    camera = Camera((40, 30), 1.3, 0.0, STILL, SIZE)
    view = view_video(Video("steps", frames).load([8, 5, 2]), camera, first=-1.0, table=table)
    assert [round(float(view.render(time).mean())) for time in (-1.0, 0.0, 1.0)] == [80, 50, 20]


def _square(motion: Motion, swell: Pixels | None = None) -> Foreground:
    pixels = np.concatenate([np.full((8, 8, 3), 0.7, np.float32), np.ones((8, 8, 1), np.float32)], 2)
    return Foreground(pixels, (16.0, 12.0), motion, swell, (1.0, 0.0))


def test_a_foreground_covers_its_place_and_nothing_else_and_moves() -> None:
    behind = np.full((*SIZE, 3), 0.1, np.float32)
    foreground = _square(_drift(5, 0))
    for time in (0.0, 1.0):
        painted = foreground.over(behind, time)
        shift = int(5 * time)
        np.testing.assert_allclose(painted[10:14, 14 + shift : 18 + shift], 0.7, atol=1e-5)
        np.testing.assert_allclose(painted[:, : 10 + shift], 0.1, atol=1e-5)
    assert (behind == np.float32(0.1)).all()


def test_a_foreground_deforms() -> None:
    behind = np.zeros((*SIZE, 3), np.float32)
    swell = np.random.default_rng(0).normal(0, 2, (2, *SIZE, 2)).astype(np.float32)
    rigid, soft = _square(STILL).over(behind, 1.0), _square(STILL, swell).over(behind, 1.0)
    assert np.abs(rigid - soft).max() > 0.1
    assert np.abs(_square(STILL, swell).over(behind, 2.0) - soft).max() > 0.1


def test_drawn_foregrounds_are_soft_at_the_edge_and_range_from_dim_to_bright() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_foreground(rng, _noise(100, 100), size=(64, 64), speed=3.0, longest_exposure=8.0) for _ in range(60)]
    opacities = [foreground.pixels[..., 3] for foreground in drawn]
    assert all(((opacity > 0.05) & (opacity < 0.95)).any() for opacity in opacities)
    assert all(opacity.min() >= 0 and opacity.max() <= 1.001 for opacity in opacities)
    brightness = [float(foreground.pixels[..., :3].max()) for foreground in drawn]
    assert min(brightness) < 0.1 and max(brightness) > 1
    assert any(foreground.swell is None for foreground in drawn) and any(
        foreground.swell is not None for foreground in drawn
    )


def test_open_shutter_smears_in_the_direction_of_motion() -> None:
    camera = Camera((60, 50), 1.0, 0.0, _drift(10, 0), SIZE)
    scene = CompositeScene(view_picture(_noise(100, 120), camera, times=[-1.0, 1.0]), ())
    sharp, smeared = scene.render(0.0), scene.render(0.0, shutter=0.6)
    across, along = (np.abs(np.diff(smeared, axis=axis)).mean() for axis in (0, 1))
    assert along < 0.7 * across
    assert smeared.mean() == pytest.approx(sharp.mean(), rel=0.03)


def test_motion_starts_at_home_with_the_speed_asked_for() -> None:
    rng = np.random.default_rng(0)
    motions = [draw_motion(rng, 6.0) for _ in range(200)]
    assert all(np.allclose(motion.offset(0.0), 0) and motion.zoom(0.0) == 1 for motion in motions)
    speeds = [np.hypot(*(motion.offset(0.5) - motion.offset(-0.5))) for motion in motions]
    assert np.median(speeds) == pytest.approx(6, rel=0.15)
