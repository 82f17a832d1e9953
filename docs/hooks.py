"""What the site needs beyond mkdocs: equations without JavaScript, and the examples as pages.

Equations are written as on GitHub, `$...$` and `$$...$$`; they become MathML, which browsers draw by themselves. A link
to a file in `examples/` leads to a page with its code.
"""

import html
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.structure.files import File

_EXAMPLES = Path(__file__).parent.parent / "examples"
_EQUATION = re.compile(r'<(span|div) class="arithmatex">\s*(?:\\\((.*?)\\\)|\\\[(.*?)\\\])\s*</\1>', re.DOTALL)
_UNTYPED = re.compile(r'(<li class="doc-section-item field-body">)\s*\u2013\s*(?=<div)')
_ELSEWHERE = re.compile(r'<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)="(?:https?:)?//[^>]*>')
_LINK = re.compile(r"\]\((?:\.\./)+examples/(\w+)\.py\)")


def on_files(files, config):
    """Add a page for every example: its own words, then its code."""
    for path in sorted(_EXAMPLES.glob("*.py")):
        code = path.read_text(encoding="utf-8")
        page = f"# {path.name}\n\n```python\n{code}```\n"
        files.append(File.generated(config, f"examples/{path.stem}.md", content=page))
    return files


def on_page_markdown(markdown, page, config, files):
    """Links to examples, as they work in the repository, lead to the pages made of them."""
    up = "../" * page.file.src_uri.count("/")
    return _LINK.sub(rf"]({up}examples/\1.md)", markdown)


def on_page_content(content, page, config, files):
    """LaTeX to MathML; what a function returns is told in words, so no dash stands before it."""
    return _EQUATION.sub(_mathml, _UNTYPED.sub(r"\1", content))


def on_post_page(output, page, config):
    """See to it that a page loads nothing from elsewhere."""
    loaded = _ELSEWHERE.search(output)
    if loaded:
        raise ValueError(f"{page.file.src_uri} loads something from elsewhere: {loaded[0]}")
    return output


def _mathml(found):
    inline, display = found[2], found[3]
    latex = html.unescape(inline if inline is not None else display).strip()
    drawn = convert(latex, display="inline" if inline is not None else "block")
    if "\\" in re.sub(r"<[^>]*>", "", drawn):  # a command that the converter does not know is left in the text
        raise ValueError(f"{found[0]!r} holds LaTeX that cannot be converted")
    return drawn if inline is not None else f'<div class="equation">{drawn}</div>'
