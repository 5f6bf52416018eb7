"""`check --image NAME`: what need not be in an image, told at the lines of the Dockerfile that it was built from."""

from __future__ import annotations

from slimstage.analyze.analysis import AnalysedLayer, Analysis, AnalysisFinding
from slimstage.cli.program import Session
from slimstage.cli.show import note
from slimstage.diagnostics import Severity
from slimstage.dockerfile.instructions import From, Instruction, Stage
from slimstage.lint.engine import Checked
from slimstage.lint.finding import Finding
from slimstage.values import replace

_WORTH_BYTES = 1_000_000
"""What saves less is advice."""


def with_image(session: Session, checked: Checked, name: str) -> Checked:
    """The check's findings and those of the image, in the order of the lines.

    Findings whose layer has no line (the base's, or of an image that was not built here) are left to `analyze`.
    """
    from slimstage.analyze.analyse import analyse
    from slimstage.cli.analyzed_image import analyzed_image

    with analyzed_image(session, name) as layers:
        analysis = analyse(layers).analysis
    found = list(image_findings(checked, analysis))
    if not found and analysis.findings:
        note(
            f"{name}: nothing of what it need not have is known to come from a line here; see: slimstage analyze {name}"
        )
    order = sorted([*checked.findings, *found], key=lambda each: (each.span.line, each.span.column, each.rule))
    return replace(checked, findings=tuple(order))


def image_findings(checked: Checked, analysis: Analysis) -> list[Finding]:
    """Those whose line has the instruction that the image's layer was made by."""
    at_line: dict[int, tuple[Stage, Instruction]] = {}
    for stage in checked.dockerfile.stages:
        for instruction in (stage.from_, *stage.instructions):
            at_line[instruction.span.line] = stage, instruction
    found = []
    for each in analysis.findings:
        place = at_line.get(each.line or 0)
        if place is not None and _is_made_by(analysis.layers[each.layer], *place):
            found.append(_finding(each, place[1]))
    return found


def _is_made_by(layer: AnalysedLayer, stage: Stage, instruction: Instruction) -> bool:
    """False where the Dockerfile was changed since: another instruction stands there now."""
    if layer.stage != stage.shown_name:
        return False
    if isinstance(instruction, From):
        return True
    keyword, _, rest = instruction.text.partition(" ")
    words = rest.split()
    # The history has variables replaced and heredocs by their names: only plain words can be compared.
    is_same = not words or "$" in words[-1] or "<<" in rest or words[-1] in layer.created_by
    return is_same and layer.created_by.split(" ", 1)[0] == keyword.upper()


def _finding(finding: AnalysisFinding, instruction: Instruction) -> Finding:
    severity: Severity = "warning" if finding.saving_bytes >= _WORTH_BYTES else "info"
    if finding.code == "secret-still-there":
        severity = "error"
    most = (f"most: {finding.paths[0]}",) if finding.paths else ()
    return Finding(
        finding.code,
        f"in the image: {finding.reason}",
        instruction.span,
        severity,
        most,
        finding.hint,
        finding.saving_bytes,
    )
