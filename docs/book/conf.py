"""The book's settings for Sphinx; scripts/docs.sh builds it."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "_ext"))

project = "CKS, the course"
extensions = ["myst_parser", "cks_book"]
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = project
html_math_renderer = "katex"
html_static_path = ["_static"]
html_css_files = ["katex/katex.min.css", "book.css"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
exclude_patterns = ["_ext", "ladder_cpu.md", "ladder_cuda.md"]
pygments_style = "default"
pygments_dark_style = "github-dark"
