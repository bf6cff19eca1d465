"""How the documentation is built: ``sphinx-build -W --keep-going docs docs/_build``.

Everything is made offline. The index is README.md, so that a code host shows the same
pages; the reference is made from the ``__all__`` of each stage, and the gallery by
running the examples.
"""

import importlib
import re
import sys
from pathlib import Path
from textwrap import indent

import matplotlib
from sphinx.errors import ExtensionError
from sphinx.pycode import ModuleAnalyzer

import sktally

matplotlib.use("Agg")

HERE = Path(__file__).parent
STAGES = (
    "form datasets pages cells digits votes tables totals inspection report persist "
    "demo exceptions"
).split()

project = "sktally"
author = "the sktally developers"
copyright = author
version = release = sktally.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "matplotlib.sphinxext.plot_directive",
    "myst_parser",
    "numpydoc",
    "sphinx_click",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = ["_build", "README.md", "auto_examples/*.ipynb"]
templates_path = ["_templates"]
default_role = "py:obj"
nitpicky = True

# --- reference -----------------------------------------------------------------------
autosummary_generate = True
autosummary_ignore_module_all = False
autosummary_imported_members = True
autodoc_member_order = "bysource"
toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"  # numpydoc says the types, with shapes
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

# --- Markdown ------------------------------------------------------------------------
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

# --- pictures ------------------------------------------------------------------------
plot_html_show_source_link = False
plot_include_source = True
plot_html_show_formats = False
plot_rcparams = {"savefig.bbox": "tight"}
plot_apply_rcparams = True
plot_formats = [("png", 144)]
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "plot_",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": False,  # all are run, and any error fails the build
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "min_reported_time": 0,
    "junit": "junit.xml",
    "write_computation_times": False,  # its table loads scripts from elsewhere
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("sktally",),
}

# --- look ----------------------------------------------------------------------------
html_theme = "pydata_sphinx_theme"
html_title = "sktally"
html_copy_source = False
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_sidebars = dict.fromkeys(
    ("index", "get-started", "cli", "contributing", "changelog"), []
)
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 5,
    "navbar_end": ["theme-switcher"],
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
}


def aliases():
    """Return the public path of each name that is reached by another one too."""
    found = {}
    for stage in STAGES:
        module = importlib.import_module(f"sktally.{stage}")
        for name in module.__all__:
            public = f"sktally.{stage}.{name}"
            home = getattr(getattr(module, name), "__module__", module.__name__)
            found |= dict.fromkeys((name, f"sktally.{name}", f"{home}.{name}"), public)
    return found


def resolve(app, env, node, contnode):
    """Link `TallyCropper` and `sktally.TallyCropper`; leave other words in code type.

    A dotted name of sktally that is nowhere stays a warning.
    """
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    known = aliases_of(app)
    head, _, tail = target.rpartition(".")
    full = known.get(target) or (f"{known[head]}.{tail}" if head in known else None)
    if full and full != target:
        found = env.domains.python_domain.resolve_xref(
            env, node["refdoc"], app.builder, "obj", full, node, contnode
        )
        if found is not None:
            return found
    own = target.startswith("sktally.")
    return None if own or node["reftype"] != "obj" else contnode


def aliases_of(app):
    """Return `aliases()`, made once a build."""
    if not hasattr(app, "sktally_aliases"):
        app.sktally_aliases = aliases()
    return app.sktally_aliases


def in_rst(fence):
    """Return a plot fence of Markdown as the directive that it stands for."""
    return f"```{{eval-rst}}\n.. plot::\n{indent(fence[1], '   ')}```"


def as_page(app, docname, source):
    """Put README.md on the index, and lead links out of docs/ to pages of the site."""
    text = source[0]
    if docname == "index":
        _, pages = (HERE / "README.md").read_text(encoding="utf-8").split("\n", 1)
        text = text.replace("<!-- README.md -->", f"## All pages\n{pages}")
        app.env.note_dependency(str(HERE / "README.md"))
    if Path(app.env.doc2path(docname)).suffix == ".md":
        known = aliases_of(app)  # column names such as `total` are no functions
        text = re.sub(
            r"(?<![`\[}])`(\w*[A-Z_]\w*)`(?!`)",
            lambda word: "{py:obj}" * (word[1] in known) + word[0],
            text,
        )
        # Doctests need an empty line before the fence that ends them; readers do not.
        text = re.sub(r"(^```\w+\n>>> [^`]*\n)\n```$", r"\1```", text, flags=re.M)
        # The directive of matplotlib knows reStructuredText only.
        text = re.sub(r"^```\{plot\}\n(.*?)^```$", in_rst, text, flags=re.M | re.S)
        text = re.sub(
            r"\]\(\.\./examples/(\w+)\.py\)", r"](auto_examples/\1.rst)", text
        )
        text = re.sub(r"\]\(\.\./examples/?\)", "](auto_examples/index.rst)", text)
        for page in ("CONTRIBUTING", "CHANGELOG"):
            text = text.replace(f"](../{page}.md)", f"]({page.lower()}.md)")
    source[0] = text


def comment_on(app, what, name, thing, options, lines):
    """Document a constant by the comment above it, wherever in its stage it is made."""
    if what != "data":
        return
    stage = name.rpartition(".")[0]
    for home in [home for home in sys.modules if home.startswith(f"{stage}._")]:
        for (_, local), comment in (
            ModuleAnalyzer.for_module(home).find_attr_docs().items()
        ):
            if getattr(sys.modules[home], local, None) is thing:
                lines[:] = comment
                return
    raise ExtensionError(f"{name}: no comment (#:) says what it is")


def skip_foreign(app, what, name, thing, skip, options):
    """Leave out methods that come from other libraries, such as ``set_output``."""
    home = getattr(thing, "__module__", None) or "sktally"
    return None if home.startswith("sktally") else True


def setup(app):
    """Connect the above."""
    app.connect("autodoc-process-docstring", comment_on)
    app.connect("autodoc-skip-member", skip_foreign)
    app.connect("missing-reference", resolve)
    app.connect("source-read", as_page)
