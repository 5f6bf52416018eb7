"""What the shared conformance suite calls: the syntax tree, expansion, ignore rules and checks of this package."""

from __future__ import annotations

from typing import Any

from slimstage.context.patterns import PatternMatcher, read_ignore_file
from slimstage.diagnostics import Source
from slimstage.dockerfile.expand import expand_word, expand_words
from slimstage.dockerfile.faults import Faults
from slimstage.dockerfile.reader import LineReader
from slimstage.dockerfile.syntax import Node, read_nodes
from slimstage.errors import DockerfileError
from slimstage.lint import catalogue
from slimstage.lint.engine import Surroundings, check
from slimstage.oci.descriptor import parse_platform
from slimstage.plan.request import PlanRequest


def parse(text: str) -> str:
    """The syntax tree, one instruction a line, as BuildKit's dumper prints it."""
    faults = Faults()
    source = Source("Dockerfile", text.removeprefix("\ufeff"))
    nodes = list(read_nodes(source, LineReader(source, faults), faults))
    if faults.found:
        raise DockerfileError.of(faults.found)
    if not nodes:
        raise DockerfileError("file with no instructions")
    return "\n".join(f"({_dump(node)})" for node in nodes)


def expand(text: str, env: dict[str, str], escape: str) -> str:
    """One word."""
    return expand_word(text, env, escape).text


def words(text: str, env: dict[str, str], escape: str) -> list[str]:
    """The same, split."""
    return expand_words(text, env, escape)


def ignored(patterns: list[str], path: str) -> bool:
    """True: the patterns keep `path` out."""
    return PatternMatcher(patterns).matches(path)


def lint(text: str, options: dict[str, Any]) -> list[dict[str, Any]]:
    """What the rules of BuildKit find, as a check of all stages."""
    buildkit = [catalogue.rule(name) for name in catalogue.NAMES["buildkit"]]
    platform = parse_platform(options.get("platform") or "linux/amd64")
    request = PlanRequest(parse_platform("linux/amd64"), platform=platform, build_args=options["args"])
    ignore = options.get("dockerignore")
    around = Surroundings(None if ignore is None else read_ignore_file(ignore))
    return [
        {"rule": each.rule, "line": each.span.line} for each in check(text, buildkit, request, around=around).findings
    ]


def _dump(node: Node) -> str:
    parts = [node.name]
    if node.flags:
        parts.append("[" + " ".join(_quote(flag.text) for flag in node.flags) + "]")
    if node.child:
        parts.append(f"({_dump(node.child)})")
    else:
        parts += [_quote(word.text) for word in node.args]
    return " ".join(parts).strip()


_SHORT = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}


def _quote(text: str) -> str:
    """As Go's strconv.Quote does."""
    return '"' + "".join(_quoted(character) for character in text) + '"'


def _quoted(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    point = ord(character)
    if 0xDC80 <= point <= 0xDCFF:
        return f"\\x{point - 0xDC00:02x}"
    if character.isprintable():
        return character
    if point < 0x80:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"
