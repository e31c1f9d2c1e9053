"""The command line in processes of its own: exit codes, one line on standard error, JSON, no leftovers."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from sounds import Sound, clicks

TESTS = Path(__file__).parent

_PREAMBLE = """
    import sys, types
    sys.path[:0] = {paths!r}
    import fake_avatar as fake
    engine, controls = types.ModuleType("talkinghead.avatar"), types.ModuleType("talkinghead.motion.controls")
    class Avatar(fake.Avatar):
        @classmethod
        def open(cls, photo, *, device="cpu", networks=None, alpha=False):
            from talkinghead.portrait.load import load_photo
            load_photo(photo)
            return cls(device)
    engine.Avatar, engine.Frame, controls.Controls = Avatar, fake.Frame, fake.Controls
    sys.modules.update({{"talkinghead.avatar": engine, "talkinghead.motion.controls": controls}})
    {extra}
    sys.argv[0] = "talkinghead"
    from talkinghead.cli import main
    main()
"""


def command(*arguments: object, extra: str = "") -> list[str]:
    """The real command line with the engine alone replaced (photos are really loaded)."""
    script = textwrap.dedent(_PREAMBLE).format(paths=[str(TESTS), str(TESTS.parent)], extra=extra)
    return [sys.executable, "-c", script, *map(str, arguments)]


def run(*arguments: object, folder: Path, extra: str = "") -> subprocess.CompletedProcess[str]:
    line = command(*arguments, extra=extra)
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    cv2.imwrite(str(tmp_path / "p.png"), np.full((80, 60, 3), 90, np.uint8))
    return tmp_path / "p.png"


@pytest.fixture
def sound(make_sound: Sound) -> Path:
    return make_sound("s.wav", clicks(16_000), 16_000)


def test_dub_with_json(tmp_path: Path, photo: Path, sound: Path) -> None:
    options = ("--crop", "--size", "128", "--seed", "3", "--gaze", "5,-2", "--emotion", "happy:0.5", "--json")
    done = run("dub", photo, sound, "-o", "out.mp4", *options, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    result = json.loads(done.stdout)
    assert (result["output"], result["frames"], result["fps"], result["seconds"]) == ("out.mp4", 80, 40, 2.0)
    assert (result["width"], result["height"], result["seed"], result["device"]) == (128, 128, 3, "cpu")
    assert {"render_fps", "realtime_factor", "notes"} <= result.keys()
    notes = done.stderr.splitlines()
    assert notes[0] == "talkinghead: note: 2 faces found, took the largest"
    assert all(note.startswith("talkinghead: note: ") for note in notes)
    assert any("C2PA" in note for note in notes) and any("no record says" in note for note in notes)


def test_dub_in_words_and_quietly(tmp_path: Path, photo: Path, sound: Path) -> None:
    done = run("dub", photo, sound, "-o", "out.mp4", folder=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("out.mp4: 2.0 s, 100×74 at 40 pictures/s")
    done = run("dub", photo, sound, "-o", "out.mp4", "--quiet", folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def bad_inputs() -> dict[str, tuple[str, str, str]]:
    """Words of the message -> photo, sound and output, one of which is bad."""
    return {
        "no such photo": ("none.png", "s.wav", "out.mp4"),
        "is a folder": (".", "s.wav", "out.mp4"),
        "no picture": ("text.jpg", "s.wav", "out.mp4"),
        "cut off": ("cut.jpg", "s.wav", "out.mp4"),
        "too large": ("huge.bmp", "s.wav", "out.mp4"),
        "is empty": ("empty.jpg", "s.wav", "out.mp4"),
        "no such sound": ("p.png", "none.wav", "out.mp4"),
        "is not a sound": ("p.png", "text.wav", "out.mp4"),
        "is silent": ("p.png", "silent.wav", "out.mp4"),
        "(0 bytes)": ("p.png", "empty.jpg", "out.mp4"),
        "does not exist": ("p.png", "s.wav", "none/out.mp4"),
        "must end in": ("p.png", "s.wav", "out.gif"),
        "out.mp4 is a folder": ("p.png", "s.wav", "folder/out.mp4"),
    }


@pytest.mark.parametrize("words", bad_inputs())
@pytest.mark.usefixtures("photo", "sound")
def test_bad_input_is_one_line_and_exit_1(tmp_path: Path, make_sound: Sound, words: str) -> None:
    for name in ("text.jpg", "text.wav"):
        (tmp_path / name).write_text("I am a letter.\n")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder" / "out.mp4").mkdir(parents=True)
    whole = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8))[1].tobytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "huge.bmp").write_bytes(b"BM" + bytes(12) + np.array([40, 30_000, 30_000], "<u4").tobytes() + bytes(40))
    make_sound("silent.wav", np.zeros((1, 16_000), np.float32), 16_000)
    before = sorted(os.listdir(tmp_path))
    chosen_photo, chosen_sound, output = bad_inputs()[words]
    done = run("dub", chosen_photo, chosen_sound, "-o", output, folder=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("talkinghead: ")
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
    assert sorted(os.listdir(tmp_path)) == before


def test_output_folder_not_writable(tmp_path: Path, photo: Path, sound: Path) -> None:
    extra = "import os; os.access = lambda *_: False"
    done = run("dub", photo, sound, "-o", "out.mp4", folder=tmp_path, extra=extra)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "not writable" in done.stderr


def test_disk_full(tmp_path: Path, photo: Path, sound: Path) -> None:
    extra = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))"
    done = run("dub", photo, sound, "-o", "out.mp4", folder=tmp_path, extra=extra)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "no space left" in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["p.png", "s.wav"]


def test_file_names_with_line_breaks_stay_one_line(tmp_path: Path, sound: Path) -> None:
    done = run("dub", "no\nsuch.png", sound, "-o", "out.mp4", folder=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-o", "a.mp4", "--gaze", "left"),
        ("-o", "a.mp4", "--gaze", "1,2,3"),
        ("-o", "a.mp4", "--fps", "0"),
        ("-o", "a.mp4", "--size", "129"),
        ("-o", "a.mp4", "--size", "4096"),
        ("-o", "a.mp4", "--emotion", "grumpy"),
        ("-o", "a.mp4", "--emotion", "happy:very"),
        ("-o", "a.mp4", "--louder"),
        ("--manifest", "jobs.csv"),
    ],
)
def test_bad_usage_is_exit_2(tmp_path: Path, photo: Path, sound: Path, options: tuple[str, ...]) -> None:
    done = run("dub", photo, sound, *options, folder=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["p.png", "s.wav"]


@pytest.mark.parametrize(("number", "code", "lines"), [(signal.SIGINT, 130, 1), (signal.SIGTERM, 143, 0)])
def test_stopped_half_way_leaves_nothing(
    tmp_path: Path, photo: Path, make_sound: Sound, number: int, code: int, lines: int
) -> None:
    sound = make_sound("s.wav", np.tile(clicks(16_000), (1, 140)), 16_000)
    (tmp_path / "out.mp4").write_text("old")
    line = command("dub", photo, sound, "-o", "out.mp4")
    with subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for _ in range(600):
            if list(tmp_path.glob(".out.*.part.mp4")) or process.poll() is not None:
                break
            time.sleep(0.05)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    assert (stdout, stderr.count("\n")) == ("", lines)
    assert sorted(os.listdir(tmp_path)) == ["out.mp4", "p.png", "s.wav"]
    assert (tmp_path / "out.mp4").read_text() == "old"


def test_verify_tells_what_it_finds(tmp_path: Path, photo: Path, sound: Path) -> None:
    assert run("dub", photo, sound, "-o", "out.mp4", "--crop", "-q", folder=tmp_path).returncode == 0
    done = run("verify", "out.mp4", folder=tmp_path)
    assert done.returncode == 0 and "watermark of talkinghead: found" in done.stdout
    done = run("verify", "p.png", "--json", folder=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1) and "no mark" in done.stderr
    assert json.loads(done.stdout)["marked"] is False


def test_marks_are_off_only_with_a_word(tmp_path: Path, photo: Path, sound: Path) -> None:
    done = run("dub", photo, sound, "-o", "out.mp4", "--crop", "--no-watermark", "--no-c2pa", folder=tmp_path)
    assert done.returncode == 0 and "without watermark and manifest" in done.stderr
    assert run("verify", "out.mp4", folder=tmp_path).returncode == 1


def test_a_list_of_videos(tmp_path: Path, photo: Path, sound: Path) -> None:
    (tmp_path / "jobs.csv").write_text("photo,audio,output\nnone.png,s.wav,o.mp4\np.png,s.wav,../o.mp4\n")
    done = run("dub", "--manifest", "jobs.csv", "--json", folder=tmp_path)  # real workers: they need no network to say no
    assert done.returncode == 1
    told = [line.split(":")[1].strip() for line in done.stderr.splitlines()]
    assert told == ["row 3", "row 2", "2 of 2 videos failed, reasons above"]
    result = json.loads(done.stdout)
    assert (result["done"], result["failed"]) == (0, 2) and result["failures"][0]["row"] == 2
    assert sorted(os.listdir(tmp_path)) == ["jobs.csv", "p.png", "s.wav"]


def test_doctor_reports(tmp_path: Path) -> None:
    done = run("doctor", folder=tmp_path)
    assert done.returncode in (0, 1)
    for name in ("python", "numpy", "opencv", "runtime", "encoder libx264", "encoder aac", "weights"):
        assert name in done.stdout
    assert (done.returncode == 1) == ("BAD" in done.stdout) == (done.stderr != "")


def test_train_without_torch_names_the_fix(tmp_path: Path) -> None:
    extra = "import talkinghead.cli as cli; cli.find_spec = lambda name: None"
    done = run("train", "face", "--shared", "x", folder=tmp_path, extra=extra)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert 'pip install "talkinghead[train]"' in done.stderr


def test_train_passes_its_options_on(tmp_path: Path) -> None:
    extra = (
        "import talkinghead.cli as cli; cli.find_spec = lambda name: True; "
        "recipe = types.ModuleType('talkinghead.training.face'); "
        "recipe.main = lambda argv: print(argv); sys.modules['talkinghead.training.face'] = recipe"
    )
    done = run("train", "face", "--shared", "x", "--help", folder=tmp_path, extra=extra)
    assert (done.returncode, done.stdout) == (0, "['--shared', 'x', '--help']\n")


def test_train_knows_its_recipes(tmp_path: Path) -> None:
    done = run("train", "../cli", folder=tmp_path)
    assert done.returncode == 2
    assert "face" in done.stderr


def test_the_command_line_starts_without_heavy_imports(tmp_path: Path) -> None:
    heavy = {"torch", "mediapipe", "onnxruntime", "av", "cv2"}
    script = f"import sys, talkinghead.cli; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=TESTS.parent, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
