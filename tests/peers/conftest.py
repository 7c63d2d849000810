"""Without PyTorch these tests are passed over, except in CI."""

import importlib.util
import os

# CI sets AEJAX_REQUIRE_PEERS, and so fails if these tests cannot run.
if os.environ.get("AEJAX_REQUIRE_PEERS") != "1" and importlib.util.find_spec("torch") is None:
    collect_ignore_glob = ["*.py"]
