"""``aejax`` and ``python -m aejax``."""

import gc
import signal
import sys

# Objects made before cycles among them are looked for. Loading and tracing make millions that stay: with Python's 700
# the search takes a tenth of a short command.
_OBJECTS_BETWEEN_SEARCHES = 500_000


def main() -> None:
    """Runs the command line; Ctrl-C while it is loaded ends it as at any other time, with 130."""
    gc.set_threshold(_OBJECTS_BETWEEN_SEARCHES, 50, 1000)
    try:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # in the background it is ignored
            from aejax.artefacts.interruption import raise_then_end

            signal.signal(signal.SIGINT, raise_then_end)
        from aejax.cli.main import main as run
    except KeyboardInterrupt:
        print("aejax: interrupted", file=sys.stderr)
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
