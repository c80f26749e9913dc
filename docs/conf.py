"""Sphinx: `make docs` builds the pages, and fails on anything that is not found."""

project = "Brimful"
author = "The Brimful authors"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["reference/openapi.json"]
html_theme = "furo"
html_title = "Brimful"
html_extra_path = ["llms.txt", "reference/openapi.json"]
nitpicky = True
myst_heading_anchors = 3
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
# Types of the standard library and of httpx, which are documented elsewhere.
nitpick_ignore_regex = [("py:.*", r"(?!brimful).*"), ("py:.*", r"brimful_client\..*")]
