"""What of the pages is no test: how the site is built, and a page whose extra is not there, except in CI."""

import importlib.util
import os

collect_ignore = ["conf.py", "reference.py"]
if os.environ.get("AEJAX_REQUIRE_PEERS") != "1" and importlib.util.find_spec("flatbuffers") is None:
    collect_ignore.append("export.md")
