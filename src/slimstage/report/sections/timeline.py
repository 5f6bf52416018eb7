"""What the build did and when: a bar for each step, on one axis, by stage. Pure."""

from __future__ import annotations

from slimstage.report.figures import count_text, duration_text, size_text
from slimstage.report.markup import Content, Markup, element
from slimstage.report.record import Report, StepRow, Timeline
from slimstage.report.sections.parts import facts, frame

_TICKS = (
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    20,
    30,
    60,
    120,
    300,
    600,
    1200,
    1800,
    3600,
    7200,
    14400,
    36000,
    86400,
)
_MOST_TICKS = 6


def section(report: Report) -> Markup | None:
    timeline = report.timeline
    if timeline is None or not timeline.steps:
        return None
    end = max((step.end_s for step in timeline.steps), default=0.0)
    # As in the Dockerfile; those that are not in it come last.
    order = {step.stage_name: step.stage if step.stage >= 0 else len(timeline.steps) for step in timeline.steps}
    stages = sorted(order, key=lambda name: order[name])
    groups = [_stage(name, [step for step in timeline.steps if step.stage_name == name], end) for name in stages]
    axis = _axis(end) if end else None
    return frame("timeline", "Timeline", element("div", axis, groups, class_="timeline"), lead=_lead(timeline))


def _lead(timeline: Timeline) -> str:
    cached = timeline.cached
    when = "When the image was built: " if timeline.is_remembered else ""
    text = f"{count_text(timeline.ran, 'step')} ran, {cached:,} {'was' if cached == 1 else 'were'} cached"
    text += f", in {duration_text(timeline.duration_s)}"
    if timeline.ran + cached > len(timeline.steps):
        text += f"; the {len(timeline.steps):,} that took longest are shown"
    return f"{when}{text}."


def ticks(end_s: float) -> list[float]:
    """Round times from 0 to the end, at most seven."""
    every = next((each for each in _TICKS if end_s / each <= _MOST_TICKS), end_s / _MOST_TICKS)
    return [min(end_s, number * every) for number in range(int(end_s / every) + 1)]


def tick_text(at_s: float) -> str:
    """`0`, `0.5 s`, `30 s`, `1 min`, `1 min 30 s`, `2 h`."""
    if at_s < 60:
        return f"{at_s:.4g} s" if at_s else "0"
    parts = ((int(at_s) // 3600, "h"), (int(at_s) // 60 % 60, "min"), (int(at_s) % 60, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def _axis(end: float) -> Markup:
    marks = []
    for at in ticks(end):
        x = 100 * at / end
        anchor = "start" if x < 5 else "end" if x > 95 else "middle"
        marks.append(element("text", tick_text(at), x=f"{x:.4g}%", y=12, text_anchor=anchor))
    return element("div", element("svg", marks, aria_hidden="true"), class_="axis")


def _stage(name: str, steps: list[StepRow], end: float) -> Content:
    spent = sum(step.end_s - step.start_s for step in steps)
    ran = sum(step.status == "run" for step in steps)
    about = f"{ran} ran, {len(steps) - ran} cached" + (f", {duration_text(spent)}" if ran else "")
    return [
        element("h3", name, " ", element("span", about, class_="about")),
        element("ol", [element("li", _step(each, end)) for each in steps], class_="steps"),
    ]


def _step(step: StepRow, end: float) -> Markup:
    is_cached = step.status == "cached"
    taken = "cached" if is_cached else duration_text(step.end_s - step.start_s)
    track: Content = None
    if not is_cached and end:
        width = max(0.35, 100 * (step.end_s - step.start_s) / end)
        x = min(100 * step.start_s / end, 100 - width)
        track = element("rect", x=f"{x:.4g}%", width=f"{width:.4g}%", height="100%", rx=2)
    return element(
        "details",
        element(
            "summary",
            element("code", step.title, class_="title"),
            element("svg", track, class_="track", aria_hidden="true"),
            element("span", taken, class_="taken"),
            class_=step.status,
        ),
        _more(step),
    )


def _more(step: StepRow) -> Content:
    pairs: list[tuple[str, Content]] = []
    pairs.append(("Instruction", element("code", step.title)))
    if step.line:
        pairs.append(("Line", str(step.line)))
    if step.status == "run":
        pairs.append(("Time", f"{duration_text(step.end_s - step.start_s)}, begun after {duration_text(step.start_s)}"))
    pairs.append(("Layer", size_text(step.layer_bytes) if step.layer_bytes else "nothing of its own"))
    if step.why:
        pairs.append(("Ran because", step.why))
    if step.source:
        pairs.append(("Cached in", step.source))
    log: Content = None
    if step.log:
        more = step.log_count - len(step.log)
        rows = [element("span", each or " ", class_="line") for each in step.log]
        if more > 0:
            rows.insert(0, element("span", f"… {count_text(more, 'line')} before", class_="line cut"))
        log = element("pre", rows, tabindex="0", role="group", aria_label="What it printed")
    return [facts(pairs), log]
