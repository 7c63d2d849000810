"""How the pages become a site: ``sphinx-build -W -c docs . build/site`` from the root of the checkout.

The root is the source folder, so that links between pages are the same on the site and in a checkout.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import contents  # noqa: E402
import reference  # noqa: E402

import aejax  # noqa: E402

project = "aejax"
author = "the aejax authors"
release = aejax.__version__
root_doc = "docs/index"
include_patterns = ["README.md", "CHANGELOG.md", "docs/**", "benchmarks/README.md", "notebooks/*.ipynb"]
exclude_patterns = ["docs/images/**", "docs/root/**"]
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]

html_theme = "furo"
html_title = f"aejax {release}"
html_extra_path = ["root"]  # index.html, which leads to the pages

nb_execution_mode = "off"  # they are executed by notebooks/run.py, some of them for hours
myst_heading_anchors = 3

autodoc_typehints = "none"  # types stand in the signature's place in a checkout; on a page they bury the names
napoleon_google_docstring = True
napoleon_numpy_docstring = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def _add_contents(app, name, text):  # noqa: ARG001
    if name == root_doc:
        text[0] = contents.with_contents(text[0])


def setup(app):
    """Writes the reference before pages are read, and tells which page stands where."""
    app.connect("source-read", _add_contents)
    app.connect("builder-inited", lambda app: reference.write(Path(app.srcdir) / "docs" / "reference"))
    app.connect("autodoc-process-docstring", reference.as_plain_text, priority=100)  # before Google's sections are read
    app.add_post_transform(reference.LinkedNames)
