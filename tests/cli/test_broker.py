"""Rows from a real message broker on this machine to ``aejax watch`` and its verdicts back, as docs/watch.md has it."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.cli.test_watching import COLUMNS, monitor, new_rows  # noqa: F401
from tests.docs.reading import ROOT

if shutil.which("mosquitto") is None and os.environ.get("AEJAX_REQUIRE_PEERS") != "1":
    pytest.skip("mosquitto is not installed", allow_module_level=True)

pytestmark = pytest.mark.slow


@pytest.fixture
def port(tmp_path):
    """Of a broker on this machine's own address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found = free.getsockname()[1]
    (tmp_path / "broker.conf").write_text(f"listener {found} 127.0.0.1\nallow_anonymous true\n")
    broker = subprocess.Popen(["mosquitto", "-c", tmp_path / "broker.conf"], stderr=subprocess.DEVNULL)
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", found), 1).close()
            break
        except OSError:
            time.sleep(0.1)
    yield found
    broker.terminate()
    broker.wait(10)


def pipe_of_the_page(port, folder):
    """The line of the page, with this broker, this folder and this Python."""
    (line,) = re.findall(r"^mosquitto_sub.*$", (ROOT / "docs" / "watch.md").read_text(), re.MULTILINE)
    line = line.replace("runs/monitor", str(folder)).replace("aejax watch", f"{sys.executable} -m aejax watch")
    return line.replace("-h 127.0.0.1", f"-h 127.0.0.1 -p {port}")


def test_verdicts_come_back_by_the_broker(port, monitor, tmp_path):  # noqa: F811
    to_broker = ["-h", "127.0.0.1", "-p", str(port), "-t"]
    rows = [
        json.dumps({n: None if np.isnan(v) else v for n, v in zip(COLUMNS, row, strict=True)}) for row in new_rows()
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    watch = [sys.executable, "-m", "aejax", "watch", str(monitor), "-"]
    straight = subprocess.run(watch, input="\n".join(rows) + "\n", env=environment, capture_output=True, text=True)
    hear = ["mosquitto_sub", *to_broker, "plant/verdicts", "-C", str(len(rows))]
    pipe = {"shell": True, "env": environment, "stderr": subprocess.PIPE, "text": True, "process_group": 0}
    with (
        subprocess.Popen(hear, stdout=subprocess.PIPE, text=True) as listener,
        subprocess.Popen(pipe_of_the_page(port, monitor), **pipe) as line,
    ):
        try:
            assert "watching" in line.stderr.readline()
            for row in rows:
                subprocess.run(["mosquitto_pub", *to_broker, "plant/rows", "-m", row], check=True)
            by_broker, _ = listener.communicate(timeout=60)
        finally:
            os.killpg(line.pid, signal.SIGTERM)
            listener.kill()
    assert by_broker.splitlines() == straight.stdout.splitlines()
    assert any(json.loads(verdict)["alarm"] for verdict in by_broker.splitlines())
