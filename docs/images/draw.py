"""Draws the picture of the README, the control chart of the demo: ``python docs/images/draw.py``."""

import base64
import re
import tempfile
from pathlib import Path

from aejax.cli.demo import demo


def main() -> None:
    """Runs the demo and takes the picture from its page."""
    with tempfile.TemporaryDirectory() as folder:
        demo(Path(folder) / "demo")
        page = (Path(folder) / "demo" / "report.html").read_text()
    found = re.search(r'alt="Control chart" src="data:image/png;base64,([^"]+)"', page)
    assert found, "the demo's page has no control chart"
    Path(__file__).with_name("control_chart.png").write_bytes(base64.b64decode(found[1]))


if __name__ == "__main__":
    main()
