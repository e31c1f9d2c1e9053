"""Workers of a batch with the engine alone replaced, for tests."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

TESTS = Path(__file__).parent.parent

_WORKER = """
    import sys, types
    sys.path[:0] = {paths!r}
    import fake_avatar as fake
    engine, controls = types.ModuleType("talkinghead.avatar"), types.ModuleType("talkinghead.motion.controls")
    networks = types.ModuleType("talkinghead.networks")
    class Avatar(fake.Avatar):
        @classmethod
        def open(cls, photo, *, device="cpu", networks=None, alpha=False):
            from talkinghead.portrait.load import load_photo
            load_photo(photo)
            return cls(device, alpha)
    class Networks:
        @staticmethod
        def load(device):
            print("networks loaded", flush=True)
    engine.Avatar, engine.Frame, controls.Controls = Avatar, fake.Frame, fake.Controls
    networks.Networks = Networks
    for module in (engine, controls, networks):
        sys.modules[module.__name__] = module
    {extra}
    from talkinghead.offline.worker import main
    main()
"""


def worker_command(extra: str = "") -> list[str]:
    """A worker whose avatar draws how loud the sound is."""
    return [sys.executable, "-c", textwrap.dedent(_WORKER).format(paths=[str(TESTS), str(TESTS.parent)], extra=extra)]
