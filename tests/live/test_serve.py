"""The command in a process of its own: it starts, serves, and ends when it is told to."""

import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("aiohttp")

from live.fake_calls import PATIENCE_S

from talkinghead.live.server import ServeError, ServeOptions, serve

TESTS = Path(__file__).parent.parent
_SERVER = """
    import sys
    sys.path[:0] = {paths!r}
    from live.fake_calls import Engine
    from talkinghead.live import server
    engine = Engine()
    server.real_parts = lambda options, observer: engine.parts
    from talkinghead.cli import main
    sys.argv = ["talkinghead", "serve", "--port", "0", "--portrait", "own.jpg", *{options!r}]
    main()
"""


def test_port_in_use_and_other_addresses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ServeError, match="is in use"):
        serve(ServeOptions(port=taken.getsockname()[1]))
    for host in ("203.0.113.1", "no such host", "nowhere.invalid"):
        with pytest.raises(ServeError, match="address"):
            serve(ServeOptions(host=host, port=0))


def test_certificates_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text("no certificate")
    for cert, key in ((tmp_path / "none.pem", None), (tmp_path / "a.pem", None), (None, tmp_path / "a.pem")):
        with pytest.raises(ServeError, match="tls-cert"):
            serve(ServeOptions(port=0, tls_cert=cert, tls_key=key))


def serving(*options: str) -> subprocess.Popen[str]:
    """The command in a process of its own, on fakes."""
    script = textwrap.dedent(_SERVER).format(paths=[str(TESTS), str(TESTS.parent)], options=list(options))
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until_ready(process: subprocess.Popen[str]) -> list[str]:
    """The lines up to the one that says where the server is."""
    lines: list[str] = []
    while not lines or "is ready" not in lines[-1]:
        assert process.stdout is not None
        lines.append(process.stdout.readline())
        assert lines[-1], process.stderr.read() if process.stderr else ""
    return lines


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_stopped(number: int) -> None:
    with serving() as process:
        (line,) = until_ready(process)
        url = line.split()[0]
        assert "is ready for 2 calls" in line
        with urllib.request.urlopen(f"{url}healthz", timeout=PATIENCE_S) as answer:
            assert answer.status == 200
        request = urllib.request.Request(f"{url}sessions", method="POST", data=b"")
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            assert answer.status == 201
        process.send_signal(number)
        _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    assert "ended: server closed" in stderr
    assert "Traceback" not in stderr


def test_the_command_with_tls_and_for_other_machines(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=localhost",
            "-keyout",
            "k.pem",
            "-out",
            "c.pem",
        ],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("no openssl to make a certificate with")
    for options, words in (
        (("--host", "0.0.0.0"), "note: over plain http"),
        (("--tls-cert", str(tmp_path / "c.pem"), "--tls-key", str(tmp_path / "k.pem")), ""),
    ):
        with serving(*options) as process:
            told = until_ready(process)
            url = told[-1].split()[0]
            trusting = ssl._create_unverified_context()
            address = url.replace("0.0.0.0", "127.0.0.1")
            with urllib.request.urlopen(f"{address}healthz", timeout=PATIENCE_S, context=trusting) as answer:
                assert answer.status == 200
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=PATIENCE_S)
        assert words in told[0]
        assert url.startswith("https" if not words else "http:")
        assert process.returncode == 0


def test_the_command_names_what_is_wrong() -> None:
    for options, words in (
        (("--host", "nowhere.invalid"), "no such address"),
        (("--ice-server", "http://x"), "ICE server"),
    ):
        with serving(*options) as process:
            stdout, stderr = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, stdout, stderr.count("\n")) == (1, "", 1)
        assert words in stderr


def test_the_command_without_the_extra_names_it() -> None:
    script = "import talkinghead.cli as cli; cli.find_spec = lambda name: None; cli.app(['serve'])"
    done = subprocess.run([sys.executable, "-c", script], cwd=TESTS.parent, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert 'pip install "talkinghead[live]"' in done.stderr
