"""What the book adds to Sphinx: mathematics and pictures that are drawn when it is built, by node, and
the library for browsers beside its pages. CKS_WEB names the folder of cks.js and cks.wasm."""
import base64
import json
import os
import pathlib
import re
import shutil
import subprocess

from docutils import nodes
from docutils.parsers.rst import Directive, directives
from sphinx.errors import ExtensionError

HERE = pathlib.Path(__file__).parent
WEB = pathlib.Path(os.environ.get("CKS_WEB", HERE.parents[2] / "build/web/apps/web"))
KATEX = pathlib.Path("/usr/share/javascript/katex")


class Renderer:
    """render.js, started with the first question."""

    process = None

    @classmethod
    def ask(cls, **question):
        if cls.process is None:
            environment = dict(os.environ, NODE_PATH="/usr/share/nodejs")
            cls.process = subprocess.Popen(
                ["node", str(HERE / "render.js"), str(WEB / "cks.js")],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        cls.process.stdin.write(json.dumps(question) + "\n")
        cls.process.stdin.flush()
        line = cls.process.stdout.readline()
        if not line:
            raise ExtensionError("render.js ended without an answer")
        answer = json.loads(line)
        if "error" in answer:
            raise ExtensionError(f"{question}: {answer['error']}")
        return answer["html"]

    @classmethod
    def stop(cls):
        if cls.process is not None:
            cls.process.stdin.close()
            cls.process.wait()
            cls.process = None


def visit_inline(self, node):
    self.body.append(Renderer.ask(math=node.astext(), display=False))
    raise nodes.SkipNode


def visit_block(self, node):
    self.body.append(f'<div class="math">{Renderer.ask(math=node.astext(), display=True)}</div>')
    raise nodes.SkipNode


class ConvPicture(Directive):
    """```{conv-picture} ih=4&iw=4&sh=2&sw=2        the state with which it begins
    :name: its id, for links
    What to look at.
    ```"""

    required_arguments = 1
    option_spec = {"name": directives.unchanged_required}
    has_content = True

    def run(self):
        name = self.options["name"]
        state = self.arguments[0]
        drawn = Renderer.ask(picture=state)
        caption = nodes.container(classes=["caption"])
        self.state.nested_parse(self.content, self.content_offset, caption)
        # Only the attribute's own characters can need escaping: parse() knows no others.
        attribute = state.replace("&", "&amp;").replace('"', "&quot;")
        begin = f'<div class="conv-picture" id="{name}" data-state="{attribute}" role="figure">' \
                f'<div class="live">{drawn}</div>'
        return [nodes.raw("", begin, format="html"), caption, nodes.raw("", "</div>", format="html")]


class Drawing(Directive):
    """```{drawing} tensors        figures/tensors.svg, which a program of the book drew
    What to look at.
    ```
    or {lenet-picture} with the name of a picture of lenet_pictures.js."""

    required_arguments = 1
    option_spec = {"name": directives.unchanged_required}
    has_content = True

    def run(self):
        name = self.options.get("name", "fig-" + self.arguments[0])
        caption = nodes.container(classes=["caption"])
        self.state.nested_parse(self.content, self.content_offset, caption)
        return [nodes.raw("", f'<div id="{name}" class="figure">{self.drawn()}', format="html"), caption,
                nodes.raw("", "</figure></div>", format="html")]

    def drawn(self):
        svg = (HERE.parent / "figures" / f"{self.arguments[0]}.svg").read_text()
        return f'<figure class="drawing"><div class="wide">{svg}</div>'


class LenetPicture(Drawing):
    def drawn(self):
        return Renderer.ask(lenet=self.arguments[0])


def add_scripts(app, pagename, templatename, context, doctree):
    """The library only where a page uses it."""
    if doctree is None:
        return
    text = "".join(node.astext() for node in doctree.findall(nodes.raw))
    if "conv-picture" in text or "lenet-lesson" in text:
        app.add_js_file("load_cks.js")
    if "conv-picture" in text:
        app.add_js_file("conv_picture.js")
    if "lenet-lesson" in text:
        app.add_js_file("lenet_lesson.js")
    if pagename == "slides":
        app.add_js_file("slides.js")
        app.add_css_file("slides.css")


def copy_files(app, exception):
    Renderer.stop()
    if exception is not None:
        return
    static = pathlib.Path(app.outdir) / "_static"
    for name in ("cks.js", "cks.wasm"):
        shutil.copy(WEB / name, static / name)
    text = base64.b64encode((WEB / "cks.wasm").read_bytes()).decode()
    (static / "cks_wasm.js").write_text(f'const CKS_WASM = "{text}";\n')
    mend_furo(static)
    katex = static / "katex"
    katex.mkdir(exist_ok=True)
    shutil.copy(KATEX / "katex.min.css", katex)
    shutil.copytree(KATEX / "fonts", katex / "fonts", dirs_exist_ok=True,
                    ignore=lambda _, names: [name for name in names if not name.endswith(".woff2")])


def mend_furo(static):
    """Debian's furo asks for a module and for a web server's folder; pages opened as files get neither."""
    scripts, styles = static / "scripts", static / "styles"
    spy = (scripts / "gumshoe-patched.js").read_text().replace("export default", "const Gumshoe =")
    furo = (scripts / "furo.js").read_text().replace('import Gumshoe from "./gumshoe-patched.js";', spy)
    (scripts / "furo.js").write_text("(() => {\n" + furo + "\n})();\n")
    asked = "/javascript/normalize.css/normalize.css"
    sheet = (styles / "furo.css").read_text().replace(f"url({asked})", "url(normalize.css)")
    # Its style sheet was compiled without what makes "auto" dark.
    dark = re.search(r'body\[data-theme="dark"\] (\{[^}]*\})', sheet).group(1)
    sheet += f'@media screen and (prefers-color-scheme: dark) {{ body[data-theme="auto"] {dark} }}\n'
    (styles / "furo.css").write_text(sheet)
    shutil.copy(f"/usr/share{asked}", styles)


def setup(app):
    if not (WEB / "cks.js").is_file():
        raise ExtensionError(f"{WEB} lacks cks.js: run scripts/web.sh")
    app.add_html_math_renderer("katex", (visit_inline, None), (visit_block, None))
    app.add_directive("conv-picture", ConvPicture)
    app.add_directive("drawing", Drawing)
    app.add_directive("lenet-picture", LenetPicture)
    app.connect("html-page-context", add_scripts)
    app.connect("build-finished", copy_files)
    return {"version": "1", "parallel_read_safe": False}
