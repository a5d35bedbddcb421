#!/usr/bin/python3
"""Lets Doxygen read the project's habits (Doxyfile's INPUT_FILTER; prints the header, line for line): a comment
/// is about all declarations up to the next empty line or comment, or, with an empty line behind it, about all up
to the next comment; // behind a declaration is about that; XOptions are the options of X."""
import re
import sys

DECLARES_MORE = re.compile(r"(namespace|class|struct|enum|public:|protected:|private:|#|\})")


def documented(lines):
    out = []
    group = None  # "block" ends with an empty line, "section" with the next comment
    after_comment = False
    for i, line in enumerate(lines):
        text = line.strip()
        comment = text.startswith("///")
        if group and (comment or (group == "block" and not text) or DECLARES_MORE.match(text)):
            out[-1] += " @}" if "//" in out[-1] else " /**@}*/"
            group = None
        if after_comment and not comment:
            begins = next((later.strip() for later in lines[i:] if later.strip()), "}")
            template = begins.startswith("template") and re.search(r"\b(class|struct) \w+[^>]*(\{|;)?$", lines[i + 1])
            if not DECLARES_MORE.match(begins) and not template and not begins.startswith("//"):
                group = "block" if text else "section"
                line = "/**@{*/" + line
        options = re.match(r"struct (\w+)Options \{", text)
        if options and not after_comment:
            line = f"/** Options of {options[1]}. */ {line}"
        after_comment = comment
        enumeration = re.match(r"(\s*enum .*\};)\s+// ?(.*)$", line)
        if enumeration:
            line = f"/** {enumeration[2]} */ {enumeration[1]}"
        behind = re.match(r"(\s*[^/\s].*?[;,{})])\s+//(?!/) ?(.*)$", line)
        goes_on = re.match(r"\s*//(?!/) ?(.*)$", line)
        if behind and not re.search(r"NOLINT|IWYU|namespace|= delete", line):
            line = f"{behind[1]}  ///< {behind[2]}"
        elif goes_on and out and "///<" in out[-1]:
            line = f"///< {goes_on[1]}"
        out.append(line)
    return out + (["/// @}"] if group else [])


with open(sys.argv[1], encoding="utf-8") as file:
    print("\n".join(documented(file.read().split("\n"))))
