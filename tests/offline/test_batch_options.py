"""Options of single rows reach the worker, and what they make is found again."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
from offline.batches import worker_command
from sounds import Sound, clicks

from talkinghead.offline.batch import run_batch
from talkinghead.offline.jobs import read_manifest
from talkinghead.offline.pool import LocalPool
from talkinghead.offline.subtitles import read_subtitles


def test_rows_with_transparency_subtitles_and_without_a_mark(tmp_path: Path, make_sound: Sound) -> None:
    folder = tmp_path
    cv2.imwrite(str(folder / "p.png"), np.full((80, 60, 3), 90, np.uint8))
    make_sound("s.wav", clicks(16_000), 16_000)
    (folder / "out").mkdir()
    (folder / "s.srt").write_text("1\n00:00:00,500 --> 00:00:01,000\nHello\n")
    text = (
        "photo,audio,output,alpha,subtitles,watermark,size,crop\n"
        "p.png,s.wav,frames,yes,s.srt,,128,yes\np.png,s.wav,o.webm,yes,s.srt,no,128,yes\n"
    )
    (folder / "jobs.csv").write_text(text)
    for made, skipped in ((2, 0), (0, 2)):  # the folder of pictures says as well what it was made from
        jobs, refusals = read_manifest(folder / "jobs.csv", folder / "out")
        assert refusals == []
        pool = LocalPool(1, worker_command())
        try:
            result = run_batch(jobs, pool)
        finally:
            pool.close()
        assert (result.done, result.skipped, result.failures) == (made, skipped, [])
    assert sorted(os.listdir(folder / "out")) == ["frames", "o.webm"]
    assert len(os.listdir(folder / "out" / "frames")) == 82
    assert cv2.imread(str(folder / "out" / "frames" / "00001.png"), cv2.IMREAD_UNCHANGED).shape == (128, 128, 4)
    assert [line.text for line in read_subtitles(folder / "out" / "o.webm")] == ["Hello"]
