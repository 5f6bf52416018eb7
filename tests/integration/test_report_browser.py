"""The report in a browser: it loads nothing, runs nothing of others, and pointer, keys and screen readers can use it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from slimstage.report.figures import share_text, size_text
from slimstage.report.folding import fold
from slimstage.report.html import page as html_of
from slimstage.report.record import Report
from slimstage.values import replace
from support.browser import Visit, axe_findings, chromium, needs_browser, needs_npm
from support.reports import FILES, HOSTILE, PURPOSES, hostile_report, large_files, purpose_rows, usual_report

pytestmark = needs_browser

TOTAL = sum(file[1] for file in FILES)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Files of reports by name."""
    top = tmp_path_factory.mktemp("reports")
    many = large_files(40_000)
    large = replace(usual_report(), tree=fold(many), purposes=purpose_rows(many, PURPOSES))
    reports: dict[str, Callable[[], Report]] = {
        "usual": usual_report,
        "hostile": hostile_report,
        "large": lambda: large,
    }

    def path(name: str) -> Path:
        found = top / f"{name}.html"
        if not found.exists():
            found.write_text(html_of(reports[name]()), encoding="utf-8")
        return found

    return path


@pytest.fixture
def visit(browser: Browser, pages: Callable[[str], Path]) -> Iterator[Callable[..., Visit]]:
    """Opens a report; at the end of the test nothing may have gone wrong in it."""
    visits: list[Visit] = []

    def opened(name: str = "usual", **context: object) -> Visit:
        visits.append(Visit(browser, pages(name), **context))
        return visits[-1]

    yield opened
    troubles = [each.trouble for each in visits]
    requests = [[url for url in each.requests if not url.startswith(("file:", "data:"))] for each in visits]
    for each in visits:
        each.close()
    assert troubles == [[]] * len(visits)
    assert requests == [[]] * len(visits)


@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [
        ("usual", 1280, "light"),
        ("usual", 400, "dark"),
        ("hostile", 400, "light"),
        ("hostile", 1280, "dark"),
        ("large", 400, "dark"),
    ],
)
def test_it_fits_its_window_and_shows_the_map(visit: Callable[..., Visit], name: str, width: int, scheme: str) -> None:
    page = visit(name, viewport={"width": width, "height": 800}, color_scheme=scheme).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for section in ("overview", "comparison", "stages", "files", "findings", "packages", "timeline", "layers"):
        box = page.locator(f"#{section}").bounding_box()
        assert box is not None
        assert box["width"] <= width
    colours = page.evaluate(
        """() => {
          const canvas = document.querySelector("#map canvas");
          const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          const found = new Set();
          for (let at = 0; at < pixels.length; at += 4 * 997) found.add(pixels.slice(at, at + 3).join());
          return found.size;
        }"""
    )
    assert colours > 2


def test_names_that_mean_harm_stay_text(visit: Callable[..., Visit]) -> None:
    visited = visit("hostile")
    page = visited.page
    page.locator("details").evaluate_all("all => all.forEach(each => { each.open = true; })")
    for grouping in ("package", "purpose", "directory"):
        page.locator(f'input[value="{grouping}"]').check(force=True)
    page.locator("#map-search").fill("script")
    expect(page.locator("#map-heading")).to_contain_text("found")
    page.locator("#map .entries button").first.click()
    assert page.evaluate("window.harmed") is None
    assert page.evaluate("document.querySelectorAll('img, iframe, object, [onerror], [onload], [onfocus]').length") == 0
    assert page.evaluate("document.scripts.length") == 2
    assert "\\u202egnp.exe" in (page.text_content("#packages") or "")
    assert HOSTILE[0] in (page.text_content("#timeline") or "")


def test_the_keyboard_alone_goes_through_the_page(visit: Callable[..., Visit]) -> None:
    visited = visit()
    page = visited.page
    visited.press("Tab")
    assert visited.focused() == "a Skip to the content"
    seen = []
    for _ in range(40):
        visited.press("Tab")
        seen.append(visited.focused())
        if seen[-1].startswith("canvas"):
            break
    assert [each for each in seen if each.startswith("a ")][:2] == ["a Overview", "a Comparison"]
    assert not [each for each in seen if each.startswith("div")]  # nothing here is too wide
    assert "input Search files and packages  /" in seen
    assert seen[-1] == f"canvas Map of all files, {size_text(TOTAL)}"

    chosen, trail = page.locator("#map .chosen"), page.locator("#map .trail")
    visited.press("ArrowRight")
    expect(chosen).to_contain_text("srv")
    visited.press("ArrowRight")
    expect(chosen).to_contain_text("usr")
    visited.press("Enter")
    expect(trail).to_have_text("All filesusr/lib")
    visited.press("ArrowDown", "Enter")
    expect(trail).to_have_text("All filesusr/libpython3.11/site-packages")
    expect(page.locator("#map [role=status]")).to_contain_text("439 MB, 2 entries")
    visited.press("Escape", "Escape")
    expect(trail).to_have_text("All files")
    assert visited.focused().startswith("canvas")

    visited.press("/")
    assert visited.focused().startswith("input")
    page.keyboard.type("libtorch")
    expect(page.locator("#map-heading")).to_have_text("1 file found 430 MB")
    visited.press("Enter")
    expect(trail).to_contain_text("lib")
    expect(chosen).to_contain_text("/usr/lib/python3.11/site-packages/torch/lib/libtorch_cpu.so")
    visited.press("Escape")
    expect(page.locator("#map-search")).to_have_value("")
    assert visited.focused().startswith("canvas")


def test_rows_beside_the_map_are_walked_by_arrows(visit: Callable[..., Visit]) -> None:
    visited = visit()
    page = visited.page
    rows = page.locator("#map .entries button")
    rows.first.focus()
    visited.press("ArrowDown")
    expect(rows.nth(1)).to_be_focused()
    expect(page.locator("#map .chosen")).to_contain_text("usr/lib")
    visited.press("ArrowRight")
    expect(page.locator("#map .trail")).to_have_text("All filesusr/lib")
    expect(rows.first).to_be_focused()
    visited.press("ArrowLeft")
    expect(page.locator("#map .trail")).to_have_text("All files")
    expect(rows.nth(1)).to_be_focused()
    visited.press("End")
    expect(rows.last).to_be_focused()


def test_pointing_tells_and_clicking_zooms(visit: Callable[..., Visit]) -> None:
    page = visit().page
    canvas = page.locator("#map canvas")
    canvas.hover(position={"x": 60, "y": 200})
    tip = page.locator("#map .tip")
    expect(tip).to_be_visible()
    expect(tip).to_contain_text(f"/srv/model/model.safetensors1.3 GB · {share_text(1_300_000_000, TOTAL)} · weights")
    canvas.click(position={"x": 60, "y": 8})
    expect(page.locator("#map .trail")).to_have_text("All filessrv")
    page.wait_for_timeout(350)
    page.locator("#map .trail button").first.click()
    expect(page.locator("#map-heading")).to_have_text(f"All files {size_text(TOTAL)}")


@pytest.mark.parametrize("name", ["usual", "large"])
def test_every_grouping_shows_the_same_bytes(visit: Callable[..., Visit], name: str) -> None:
    page = visit(name).page
    headings = set()
    for grouping in ("directory", "package", "purpose"):
        page.locator(f'input[value="{grouping}"]').check(force=True)
        expect(page.locator(f'input[value="{grouping}"]')).to_be_checked()
        headings.add(page.text_content("#map-heading"))
    assert len(headings) == 1
    first = page.locator("#map .entries .name").all_text_contents()
    assert set(first) <= set(PURPOSES)


def test_packages_are_sorted_and_filtered(visit: Callable[..., Visit]) -> None:
    page = visit().page
    names = page.locator("#package-table tbody th")
    assert names.all_text_contents() == ["torch", "numpy", "libc6"]
    page.get_by_role("button", name="Package").click()
    assert names.all_text_contents() == ["libc6", "numpy", "torch"]
    expect(page.locator("#package-table thead th").first).to_have_attribute("aria-sort", "ascending")
    page.locator("#package-filter").fill("NUM")
    expect(names).to_have_count(1)
    expect(page.locator("#package-tools output")).to_have_text("1 package, 7 MB")
    page.locator("#package-filter").fill("")
    page.locator("#package-kind").select_option("debian")
    expect(names).to_have_text(["libc6"])


def test_figures_read_as_those_that_are_on_the_page_already(visit: Callable[..., Visit]) -> None:
    source = files("slimstage.report").joinpath("page", "figures.js").read_text()
    sizes = [0, 1, 999, 1000, 999_499, 999_500, 1_234_567, 10**9 - 1, 5_220_000_000, 10**15, -3_100_000]
    pairs = [(0, 9), (9, 0), (1, 10_000), (43, 1000), (994, 10_000), (995, 10_000), (9949, 100_000), (1, 1)]
    found = visit().page.evaluate(
        f"([sizes, pairs]) => {{ {source}; return [sizes.map(sizeText), pairs.map(([a, b]) => shareText(a, b))]; }}",
        [sizes, pairs],
    )
    assert found == [[size_text(size) for size in sizes], [share_text(*pair) for pair in pairs]]


def test_what_was_found_is_listed_by_name_and_place(visit: Callable[..., Visit]) -> None:
    page = visit().page
    page.locator("#map-search").fill("LIB")
    expect(page.locator("#map-heading")).to_contain_text("found")
    first = page.locator("#map .entries button").first
    expect(first.locator(".name")).to_have_text("libtorch_cpu.so")
    expect(first.locator(".place")).to_have_text("/usr/lib/python3.11/site-packages/torch/lib/")
    page.locator("#map-search").fill("no such thing")
    expect(page.locator("#map-heading")).to_have_text("Nothing found ")


def test_the_scheme_can_be_chosen(visit: Callable[..., Visit]) -> None:
    page = visit(color_scheme="light").page
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    button = page.get_by_role("button", name="Colours")
    button.click()
    assert page.evaluate(ground) == light
    button.click()
    expect(button).to_have_text("Colours: dark")
    assert page.evaluate(ground) != light


def test_without_scripts_the_tables_are_there(visit: Callable[..., Visit]) -> None:
    page = visit(java_script_enabled=False).page
    expect(page.locator("#largest")).to_contain_text("/srv/model/model.safetensors")
    expect(page.locator("#package-table")).to_contain_text("torch")
    expect(page.locator("#timeline")).to_contain_text("RUN python train.py")
    expect(page.locator("#map")).to_be_hidden()


def test_whoever_wants_less_motion_gets_none(visit: Callable[..., Visit]) -> None:
    page = visit(reduced_motion="reduce").page
    count = """() => {
      window.frames_ = 0;
      const ask = window.requestAnimationFrame;
      window.requestAnimationFrame = (call) => { window.frames_ += 1; return ask(call); };
    }"""
    page.evaluate(count)
    page.locator("#map .entries button").nth(1).click()
    expect(page.locator("#map .trail")).to_have_text("All filesusr/lib")
    assert page.evaluate("window.frames_") == 0


@needs_npm
@pytest.mark.parametrize(("name", "scheme", "width"), [("usual", "light", 1280), ("hostile", "dark", 400)])
def test_axe_finds_nothing_serious(
    browser: Browser, pages: Callable[[str], Path], name: str, scheme: str, width: int
) -> None:
    visited = Visit(
        browser, pages(name), color_scheme=scheme, viewport={"width": width, "height": 800}, bypass_csp=True
    )
    visited.page.locator("details").evaluate_all("all => all.forEach(each => { each.open = true; })")
    visited.page.locator("#map-search").fill("lib")
    expect(visited.page.locator("#map-heading")).to_contain_text("ound")
    assert axe_findings(visited.page) == []
    visited.close()
