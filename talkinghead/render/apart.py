"""A decoder in a process of its own.

Of what a picture takes half is Python's own, and of two threads of one Python only one runs at a time: two draw hardly half as
much again as one. So a recording's second drawer moves to another process once enough has been drawn to tell that more will come.
There it draws the same, bit for bit; where there can be no such process, or it is lost, the drawer goes on in its thread.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import IO

import numpy as np

from talkinghead.constants import SIZE_PX
from talkinghead.motion.pose import HeadPose
from talkinghead.render.decoder import Decoder

AFTER = 12
"""Pictures of its own that a drawer makes before it moves: after half a second or more of video."""
_COMMAND = ("-c", "from talkinghead.render.apart import main; main()")
_PIPE_BYTES = 1 << 20  # a whole picture, so that the other process does not wait for this one
_READY = b"ready"


class ApartDecoder:
    """Draws what ``decoder`` draws, which nobody else uses meanwhile. The process ends with this object."""

    def __init__(self, decoder: Decoder, after: int = AFTER) -> None:
        """after: pictures drawn here before."""
        self._decoder, self._left = decoder, after
        self._here = threading.Lock()
        self._process: _Process | None = None

    @property
    def moved(self) -> bool:
        """Pictures come from the other process by now."""
        return self._process is not None

    def draw(self, points: np.ndarray, pose: HeadPose, z_pose: np.ndarray, z_dyn: np.ndarray) -> np.ndarray:
        """As `Decoder.draw`, for several threads: two keep the other process busy, since what the second one asks for waits there
        while the first one fetches its picture."""
        process = self._process
        if process is not None:
            with contextlib.suppress(OSError, EOFError):
                return process.draw(points, pose, z_pose, z_dyn)
            self._process = None
        with self._here:
            self._left -= 1
            if self._left == 0:
                threading.Thread(target=self._move, name="apart", daemon=True).start()
            return self._decoder.draw(points, pose, z_pose, z_dyn)

    def _move(self) -> None:
        # Whatever hinders it (no more processes or memory, a frozen program, engines that cannot be sent): it is drawn here.
        with contextlib.suppress(Exception):
            self._process = _Process(self._decoder)


class _Process:
    """The other process and its pipes."""

    def __init__(self, decoder: Decoder) -> None:
        """Ready to draw; raises what hinders it."""
        sent = pickle.dumps(decoder, pickle.HIGHEST_PROTOCOL)
        if getattr(sys, "frozen", False):
            raise OSError("a frozen program has no interpreter to start")
        paths = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
        # A session of its own: Ctrl-C reaches this process only, with which the other one ends.
        process = subprocess.Popen(
            (sys.executable, *_COMMAND),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            start_new_session=True,
        )
        self.process = process
        weakref.finalize(self, _end, process)
        assert process.stdin is not None and process.stdout is not None
        self._to, self._from = process.stdin, process.stdout
        _widen(self._from)
        self._to.write(sent)
        self._to.flush()
        if self._from.read(len(_READY)) != _READY:
            raise EOFError
        self._shape = (SIZE_PX, SIZE_PX, 4 if decoder.cut_out else 3)
        self._asking, self._turn = threading.Lock(), threading.Condition()
        self._asked = self._fetched = 0

    def draw(self, *motion: object) -> np.ndarray:
        """The picture of `Decoder.draw`'s arguments; OSError or EOFError when the process is lost."""
        with self._asking:
            pickle.dump(motion, self._to, pickle.HIGHEST_PROTOCOL)
            self._to.flush()
            number, self._asked = self._asked, self._asked + 1
        picture = np.empty(self._shape, np.uint8)
        with self._turn:  # pictures come in the order in which they were asked for
            self._turn.wait_for(lambda: self._fetched == number)
        try:
            if self._from.readinto(memoryview(picture.data).cast("B")) < picture.nbytes:  # type: ignore[attr-defined]
                raise EOFError
        finally:
            with self._turn:
                self._fetched += 1
                self._turn.notify_all()
        return picture


def _widen(pipe: IO[bytes]) -> None:
    with contextlib.suppress(ImportError, AttributeError, OSError):  # Linux only, and as far as a user may
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)  # type: ignore[attr-defined]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            if pipe is not None:
                pipe.close()


def main() -> None:
    """The other process: a decoder in, then motions in and pictures out, until the input ends."""
    import cv2

    given, out = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the pictures
    cv2.setNumThreads(1)
    with contextlib.suppress(EOFError, BrokenPipeError):
        decoder = pickle.load(given)  # of the process that started this one
        out.write(_READY)
        out.flush()
        while True:
            out.write(np.ascontiguousarray(decoder.draw(*pickle.load(given))).data)
            out.flush()
