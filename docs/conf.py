"""How the site is built from the documents: `.ci/docs`.

The source folder is the project's: README.md and its like are pages where they stand, so that links
between documents lead somewhere in a checkout and on the site alike.
"""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extension"))

project = "bulkfetch"
author = "the authors of bulkfetch"
project_copyright = author
version = release = installed_version("bulkfetch")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_click",
    "sphinx_copybutton",
    "reference",
    "public_names",
    "docstrings",  # before napoleon, which makes fields of their sections
    "sphinx.ext.napoleon",
]
root_doc = "docs/index"
include_patterns = [
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"),
    *("benchmarks/*.md", "docs/**.md"),
]
exclude_patterns = ["build", "dist", "exports", ".*", "**/.venv", "**/__pycache__"]

# Each reference leads to something, or the build fails (it turns warnings into errors).
suppress_warnings = ["myst.header"]  # benchmarks/last-run.md skips a level
nitpicky = True
smartquotes = False  # -- is an option here
myst_enable_extensions = ["deflist", "colon_fence", "attrs_block"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"bulkfetch {version}"
html_theme_options = {"navigation_with_keys": True}
html_copy_source = False
html_show_sourcelink = False
html_extra_path = ["root"]  # an index.html that leads to the first page
copybutton_prompt_text = "$ "
