"""Which frames become pictures, at any rate, from the beginning or from the middle."""

from __future__ import annotations

import pytest

from talkinghead.offline.rate import Rate

FRAMES = 400


@pytest.mark.parametrize("fps", [1, 5, 24, 25, 30, 40, 50, 60])
def test_every_picture_is_the_nearest_frame(fps: int) -> None:
    made = [(picture, frame) for frame in range(FRAMES) for picture in Rate(fps).pictures(frame)]
    assert [picture for picture, _ in made] == list(range(len(made)))
    assert all(abs(frame / 40 - picture / fps) <= 0.5 / 40 for picture, frame in made)
    assert abs(len(made) / fps - FRAMES / 40) <= 1 / fps


@pytest.mark.parametrize("fps", [1, 24, 40, 60])
@pytest.mark.parametrize("first", [1, 3, 100])
def test_what_is_there_is_not_made_again_but_for_the_first(fps: int, first: int) -> None:
    whole = [(picture, frame) for frame in range(FRAMES) for picture in Rate(fps).pictures(frame)]
    rest = [(picture, frame) for frame in range(FRAMES) for picture in Rate(fps, first).pictures(frame)]
    assert rest == [made for made in whole if made[0] == 0 or made[0] >= first]


def test_only_wanted_frames_are_drawn_and_what_passes_is_told() -> None:
    told: list[tuple[int, int | None]] = []
    wanted = Rate(20, 30).wanted(lambda done, total: told.append((done, total)), FRAMES / 40)
    drawn = [frame for frame in range(FRAMES) if wanted(frame)]
    assert drawn == [frame for frame in range(FRAMES) if Rate(20, 30).pictures(frame)]
    assert told[0] == (1, 200) and told[-1] == (29, 200)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
