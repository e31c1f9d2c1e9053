"""Lists of jobs: what is read, what is refused, and what a job's key depends on."""

from __future__ import annotations

from pathlib import Path

import pytest

from talkinghead.errors import ManifestError, OutputError
from talkinghead.offline.jobs import Job, default_options, job_key, read_manifest


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "jobs.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_list_with_options(tmp_path: Path) -> None:
    head = "photo,audio,output,seed,gaze,emotion,crop,fps"
    jobs, refusals = read_manifest(write(tmp_path, f'{head}\na.jpg,b.wav,o.mp4,3,"5,-2",happy:0.5,yes,25\n\nc.jpg,d.wav,p.mkv\n'))
    assert refusals == []
    assert [job.row for job in jobs] == [2, 4]
    assert jobs[0].photo == str(tmp_path / "a.jpg") and jobs[0].output == str(tmp_path / "o.mp4")
    given = {"seed": 3, "gaze": [5.0, -2.0], "emotion": ["happy", 0.5], "crop": True, "fps": 25}
    assert jobs[0].options == default_options() | given
    assert jobs[1].options == default_options()


@pytest.mark.parametrize("head", ["photo;audio;output", "\ufeffphoto,audio,output", "Photo\taudio\tOUTPUT"])
def test_spreadsheets_of_other_lands(tmp_path: Path, head: str) -> None:
    mark = max(",;\t", key=head.count)
    jobs, _ = read_manifest(write(tmp_path, f"{head}\r\n{mark.join(('ä b.jpg', 'b.wav', 'o.mp4'))}\r\n"))
    assert jobs[0].photo == str(tmp_path / "ä b.jpg")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (",b.wav,o.mp4", "column photo is empty"),
        ("a.jpg,b.wav", "column output is empty"),
        ("a.jpg,,o.mp4", "audio and text"),
        ("a.jpg,b.wav,o.gif", "must end in"),
        ("a.jpg,b.wav,none/o.mp4", "does not exist"),
        ("a.jpg,b.wav,../o.mp4", "outside"),
        ("a.jpg,b.wav,/tmp/o.mp4", "outside"),
        ("a.jpg,b.wav,link/o.mp4", "outside"),
        ("a.jpg,b.wav,first.mp4", "earlier row"),
        ("a.jpg,b.wav,o.mp4,x", "seed is 'x'"),
        ("a.jpg,b.wav,o.mp4,,99", "fps is '99': must be 1 to 60"),
        ("a.jpg,b.wav,o.mp4,,,nan", "distance is 'nan'"),
        ("a.jpg,b.wav,o.mp4,,,,grumpy", "emotion is 'grumpy'"),
    ],
)
def test_a_bad_row_is_refused_alone(tmp_path: Path, row: str, words: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path)
    path = write(tmp_path, f"photo,audio,output,seed,fps,distance,emotion\na.jpg,b.wav,first.mp4\n{row}\nc.jpg,d.wav,last.mp4\n")
    jobs, refusals = read_manifest(path, tmp_path / "out")
    assert [Path(job.output).name for job in jobs] == ["first.mp4", "last.mp4"]
    assert len(refusals) == 1 and refusals[0].row == 3
    assert words in refusals[0].reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column photo, audio, output"),
        ("photo,audio\n", "no column output"),
        ("photo,audio,output,colour\n", "'colour'"),
        ("photo,audio,output,seed,seed\n", "once each"),
        (b"photo,audio,output\n\xff\xfe", "not UTF-8"),
        ("photo,audio,output\n" + '"' + "x" * 200_000, "not a CSV"),
    ],
)
def test_a_list_that_is_none(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(ManifestError, match=words):
        read_manifest(write(tmp_path, text))


def test_a_missing_list_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot read"):
        read_manifest(tmp_path / "none.csv")
    with pytest.raises(OutputError, match="does not exist"):
        read_manifest(write(tmp_path, "photo,audio,output\n"), tmp_path / "none")


def test_a_key_tells_contents_apart_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "same"):
        (tmp_path / name).write_bytes(name.replace("same", "a").encode())

    def key(photo: str = "a", audio: str = "b", output: str = "o.mp4", row: int = 2, **options: object) -> str:
        return job_key(Job(row, str(tmp_path / photo), str(tmp_path / audio), output, default_options() | options))

    assert key() == key(photo="same", output="elsewhere.mp4", row=9)
    others = {key(photo="b"), key(audio="a"), key(seed=1), key(output="o.mkv"), key()}
    models = tmp_path / "models"
    models.mkdir()
    (models / "manifest.json").write_text("{}")
    monkeypatch.setenv("TALKINGHEAD_MODELS", str(models))
    assert len(others | {key()}) == 6
