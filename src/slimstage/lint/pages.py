"""A rule as a page: for `--explain`, and for docs/rules/."""

from __future__ import annotations

from collections.abc import Iterable

from slimstage.diagnostics import shown
from slimstage.lint.examples import check_example
from slimstage.lint.rule import Example, Group, Rule

GROUPS: dict[Group, str] = {
    "buildkit": "BuildKit's own checks, under BuildKit's names",
    "stages": "Stages: what is split, and what is copied over",
    "caching": "The cache: what makes a small change build everything again",
    "bytes": "Bytes: what a layer holds that the image does not need",
    "pinning": "Pinning: what makes the same file another image tomorrow",
    "ml": "Machine learning: frameworks, CUDA, weights, data",
    "security": "Security: what a reader of the file does not see",
}
"""What each group is about."""


_SKIPPED = """\
## Where it is right all the same

Put a comment above the instruction, and say why:

```dockerfile
# slimstage: skip={name} reason
```
"""


def page(rule: Rule) -> str:
    """The rule's page in Markdown: what is wrong, why, an example of each side, what the check says."""
    said = check_example(rule.bad, [rule]).findings
    parts = [
        f"# {rule.name}\n",
        f"{rule.summary[:1].upper()}{rule.summary[1:]}.\n",
        f"{_kind(rule)}\n",
        rule.why.rstrip() + "\n",
        "## Not so\n",
        *_example(rule.bad),
        "which says\n",
        "```text\n" + "\n".join(f"{each.span}: {shown(each.message)}" for each in said) + "\n```\n",
        "## But so\n",
        *_example(rule.good),
        _SKIPPED.format(name=rule.name),
    ]
    return "\n".join(parts)


def _kind(rule: Rule) -> str:
    words = [f"`{rule.group}`", f"severity `{rule.severity}`"]
    if rule.has_fix:
        words.append("`slimstage check --fix` mends it")
    if not rule.is_default:
        words.append("run only when it is asked for")
    if rule.group == "buildkit":
        words.append(f"[BuildKit's page]({rule.url})")
    return ", ".join(words) + "."


def _example(example: Example) -> Iterable[str]:
    yield f"```dockerfile\n{example.dockerfile.rstrip()}\n```\n"
    if example.ignore is not None:
        yield f"with the `.dockerignore`\n\n```text\n{example.ignore.rstrip()}\n```\n"
    if example.files:
        listed = ", ".join(f"`{path}`{_size(content)}" for path, content in sorted(example.files.items()))
        yield f"in a context with {listed}\n"
    if example.args:
        given = " ".join(f"`--build-arg {name}={value}`" for name, value in example.args.items())
        yield f"built with {given}\n"
    for image, platform in example.images.items():
        yield f"where `{image}` is an image for {platform}\n"


def _size(content: str | int) -> str:
    if isinstance(content, str):
        return ""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if content >= size:
            return f" ({content / size:.3g} {unit})"
    return f" ({content} bytes)"
