"""Lists of jobs: what is read, what is refused, and what a job's key depends on."""

from __future__ import annotations

import inspect
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


def test_every_option_of_a_video_is_a_column() -> None:
    from talkinghead.commands.dub import dub

    of_the_batch = {"photo", "audio", "output", "manifest", "workers", "ray", "consent", "as_json", "quiet", "resume"}
    options = set(inspect.signature(dub).parameters) - of_the_batch
    assert {"crop" if name == "full" else name for name in options} == set(default_options())


def test_files_and_marks_of_a_row(tmp_path: Path) -> None:
    head = "photo,audio,output,subtitles,listen,alpha,device,watermark,c2pa,certificate,certificate_key"
    row = "a.jpg,b.wav,frames,s/b.srt,o.wav,yes,cuda,no,yes,c.pem,k.pem"
    jobs, refusals = read_manifest(write(tmp_path, f"{head}\n{row}\na.jpg,b.wav,o.mp4\n"))
    assert refusals == []
    files = {"subtitles": "s/b.srt", "listen": "o.wav", "certificate": "c.pem", "certificate_key": "k.pem"}
    given = {"alpha": True, "device": "cuda", "watermark": False, "c2pa": True}
    assert jobs[0].options == default_options() | given | {name: str(tmp_path / path) for name, path in files.items()}
    assert jobs[0].output == str(tmp_path / "frames" / "%05d.png")
    assert jobs[1].options == default_options()


def test_the_key_covers_the_bytes_of_subtitles_not_their_place(tmp_path: Path) -> None:
    keys = []
    for place, words in (("a", "one"), ("b", "one"), ("c", "two")):
        (tmp_path / place).mkdir()
        for name, text in (("p.jpg", "photo"), ("s.wav", "sound"), ("s.srt", words)):
            (tmp_path / place / name).write_text(text)
        jobs, _ = read_manifest(write(tmp_path / place, "photo,audio,output,subtitles\np.jpg,s.wav,o.mp4,s.srt\n"))
        keys.append(job_key(jobs[0]))
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ("f", "earlier row"),
        ("f/%05d.png", "earlier row"),
        ("f/x.mp4", "earlier row"),
        ("x.mp4", "no transparency"),
        ("f.png", "name of one picture"),
        (".", "other files"),
        ("%05d.png", "other files"),
        ("full", "holds other files"),
        ("../f", "outside"),
    ],
)
def test_folders_of_pictures_stay_apart(tmp_path: Path, second: str, words: str) -> None:
    for name in ("f", "full"):
        (tmp_path / name).mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    alpha = "" if second.endswith("/x.mp4") else "yes"
    text = f"photo,audio,output,alpha\na.jpg,b.wav,f,yes\na.jpg,b.wav,{second},{alpha}\n"
    jobs, refusals = read_manifest(write(tmp_path, text))
    assert len(jobs) == 1
    assert words in refusals[0].reason


def test_an_empty_folder_of_the_batch_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    _, refusals = read_manifest(write(tmp_path, "photo,audio,output,alpha\na.jpg,b.wav,.,yes\n"), tmp_path / "out")
    assert "outside" in refusals[0].reason
