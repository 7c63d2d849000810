"""docs/browser/detect.html in Chromium: what ``aejax detect`` says of the same rows.

Needs Chromium and, in AEJAX_ONNXRUNTIME_WEB, the node_modules folder of ``npm install onnxruntime-web``.
"""

import functools
import http.server
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

from aejax.export import export_run
from tests.export.measuring import COLUMNS, expected, new_rows

PAGE = Path(__file__).parents[2] / "docs" / "browser" / "detect.html"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
MODULES = os.environ.get("AEJAX_ONNXRUNTIME_WEB", "")


@pytest.fixture
def page(plant_run, tmp_path, onnx_extra):
    """(query) -> the text of the page, of a folder with the graph and two files of rows."""
    export_run(plant_run, tmp_path, "onnx", ["detect"])
    shutil.copy(PAGE, tmp_path)
    (tmp_path / "node_modules").symlink_to(MODULES)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def text(query):
        address = f"http://127.0.0.1:{server.server_port}/detect.html{query}"
        words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"]
        return subprocess.run([*words, address], capture_output=True, text=True, timeout=120, check=True).stdout

    yield text
    server.shutdown()


@pytest.mark.slow
@pytest.mark.skipif(not (CHROMIUM and MODULES), reason="needs Chromium and AEJAX_ONNXRUNTIME_WEB")
def test_a_browser_says_what_the_command_says(page, plant_run, tmp_path):
    rows = new_rows(20)
    lines = [",".join("" if np.isnan(value) else repr(float(value)) for value in row) for row in rows]
    (tmp_path / "new.csv").write_text("\n".join([",".join(COLUMNS), *lines]))
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    found = page("?rows=new.csv")
    cells = [re.findall(r"<td>(.*?)</td>", line) for line in re.findall(r"<tr.*?</tr>", found)[1:]]
    score, p_value, is_anomaly = expected(plant_run, "detect", rows)
    assert [line[1] == "yes" for line in cells] == is_anomaly.tolist()
    assert 0 < is_anomaly.sum() < 20
    np.testing.assert_allclose([float(line[2]) for line in cells], p_value, atol=0.02)
    np.testing.assert_allclose([float(line[3]) for line in cells], score, rtol=1e-4)
    assert "columns: found a,b, expected" in page("?rows=other.csv")
