"""Without the extra `stablehlo` the page that needs it is passed over, except in CI."""

import importlib.util
import os

if os.environ.get("AEJAX_REQUIRE_PEERS") != "1" and importlib.util.find_spec("flatbuffers") is None:
    collect_ignore = ["export.md"]
