"""Executes the notebooks: in place and at full size, or small and thrown away, as CI does.

    python notebooks/run.py [--small] [NAME ...]

Small sets AEJAX_SMALL=1, which each notebook reads. A notebook whose data are absent is passed over with a note, except
where CI=true, where it fails.
"""

import argparse
import os
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).parent


def execute(path: Path, keep: bool) -> None:
    """Executes a notebook, and writes it back with its outputs where they are to be kept."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=7200, kernel_name="python3", resources={"metadata": {"path": FOLDER}}).execute()
    if not keep:
        return
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    aside = path.with_suffix(".aside")
    nbformat.write(notebook, aside)
    aside.replace(path)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="such as 05_sparse_autoencoder; all by default")
    parser.add_argument("--small", action="store_true", help="few rows, epochs and keys; outputs are not kept")
    arguments = parser.parse_args()
    if arguments.small:
        os.environ["AEJAX_SMALL"] = "1"
    paths = [FOLDER / f"{name}.ipynb" for name in arguments.names] or sorted(FOLDER.glob("*.ipynb"))
    for path in paths:
        began = time.monotonic()
        try:
            execute(path, keep=not arguments.small)
        except CellExecutionError as error:
            if error.ename != "FileNotFoundError" or os.environ.get("CI") == "true":
                raise
            print(f"{path.stem}: passed over, {error.evalue}", flush=True)
            continue
        print(f"{path.stem}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
