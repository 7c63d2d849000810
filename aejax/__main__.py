"""``aejax`` and ``python -m aejax``."""

import sys


def main() -> None:
    """Runs the command line; Ctrl-C while it is loaded ends it as at any other time, with 130."""
    try:
        from aejax.cli.main import main as run
    except KeyboardInterrupt:
        print("aejax: interrupted", file=sys.stderr)
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
