"""What an instruction brings from the context, where it puts it, and where a file that a RUN names comes from."""

from __future__ import annotations

import pytest

from slimstage.dockerfile.instructions import Add, Copy, Run
from slimstage.dockerfile.parse import parse
from slimstage.lint.contents import brought, context_copies, destination_of, directory_at, picked, takes_whole_context
from slimstage.lint.context_view import GivenContext
from slimstage.lint.examples import PLATFORM
from slimstage.lint.origins import origin_of
from slimstage.lint.places import as_written, flag_span, whole_lines, word_span
from slimstage.lint.reading import Reading
from slimstage.plan.request import PlanRequest

FILES = ("a.py", "src/b.py", "src/deep/c.py", "req/base.txt", "requirements.txt", "model.onnx")


def reading(text: str, *ignored: str) -> Reading:
    from slimstage.context.patterns import read_ignore_file

    ignore = read_ignore_file("\n".join(ignored))
    context = GivenContext(dict.fromkeys(FILES, "x"), ignore)
    return Reading(parse(text), PlanRequest(PLATFORM), context=context)


def first_copy(subject: Reading) -> Copy | Add:
    return next(context_copies(subject.stages[0]))


@pytest.mark.parametrize(
    ("instruction", "paths"),
    [
        ("COPY . /x", FILES),
        ("COPY src /x/", ("src/b.py", "src/deep/c.py")),
        ("COPY ./src/ a.py /x/", ("a.py", "src/b.py", "src/deep/c.py")),
        ("COPY *.txt /x/", ("requirements.txt",)),
        ("COPY s* /x/", ("src/b.py", "src/deep/c.py")),
        ("COPY src/*.py /x/", ("src/b.py",)),
        ("COPY --exclude=src . /x/", ("a.py", "req/base.txt", "requirements.txt", "model.onnx")),
        ('COPY ["model.onnx", "/x/"]', ("model.onnx",)),
        ("ADD a.py https://example.org/b /x/", ("a.py",)),
        ("COPY none /x", ()),
    ],
)
def test_the_files_that_an_instruction_picks(instruction: str, paths: tuple[str, ...]) -> None:
    subject = reading(f"FROM a\n{instruction}\n")
    found = picked(subject, subject.stages[0], first_copy(subject))
    assert found is not None
    assert {file.path for file in found} == set(paths)


def test_ignored_files_and_unknown_variables() -> None:
    subject = reading("FROM a\nCOPY . /x\n", "src", "*.onnx")
    found = picked(subject, subject.stages[0], first_copy(subject)) or []
    assert [file.path for file in found] == ["a.py", "req/base.txt", "requirements.txt"]
    subject = reading("FROM a\nARG D\nCOPY $D /x\n")
    assert picked(subject, subject.stages[0], first_copy(subject)) is None


@pytest.mark.parametrize(
    ("instruction", "word"),
    [
        ("COPY . /x", "."),
        ("COPY ./ /x", "./"),
        ("ADD / /x", "/"),
        ("COPY src /x", None),
        ("COPY --exclude=a . /x", None),
    ],
)
def test_what_takes_everything(instruction: str, word: str | None) -> None:
    subject = reading(f"FROM a\n{instruction}\n")
    assert takes_whole_context(subject, subject.stages[0], first_copy(subject)) == word


def test_directories_are_followed_through_stages() -> None:
    subject = reading(
        "FROM x AS a\nWORKDIR /srv\nFROM a\nWORKDIR app/\nCOPY a.py sub/\nCOPY a.py /abs/\nWORKDIR $X\nCOPY a.py .\n"
    )
    stage = subject.final
    assert [destination_of(subject, stage, copy) for copy in context_copies(stage)] == ["/srv/app/sub", "/abs", None]
    assert directory_at(subject, subject.stages[0]) == "/srv"
    assert directory_at(reading("FROM x\n"), reading("FROM x\n").final) is None
    scratch = reading("FROM scratch\n")
    assert directory_at(scratch, scratch.final) == "/"


def test_what_comes_by_way_of_a_stage() -> None:
    subject = reading("FROM x AS a\nCOPY src /app/src\nCOPY a.py /other/\nFROM y\nCOPY --from=a /app /app\n")
    (copy,) = (each for each in subject.final.instructions if isinstance(each, Copy))
    assert [file.path for file in brought(subject, subject.final, copy)] == ["src/b.py", "src/deep/c.py"]
    subject = reading("FROM x AS a\nCOPY src /app/src\nRUN rm -rf /app/src/deep\nFROM y\nCOPY --from=a /app /app\n")
    (copy,) = (each for each in subject.final.instructions if isinstance(each, Copy))
    assert brought(subject, subject.final, copy) == []


@pytest.mark.parametrize(
    ("text", "path", "origin"),
    [
        ("WORKDIR /a\nCOPY . .", "requirements.txt", ("requirements.txt", True)),
        ("WORKDIR /a\nCOPY . .", "req/base.txt", ("req/base.txt", True)),
        ("WORKDIR /a\nCOPY req .", "base.txt", ("req/base.txt", True)),
        ("COPY requirements.txt /tmp/r.txt", "/tmp/r.txt", ("requirements.txt", True)),
        ("COPY requirements.txt /tmp/", "/tmp/requirements.txt", ("requirements.txt", True)),
        ("COPY . .", "requirements.txt", ("requirements.txt", False)),
        ("WORKDIR /a", "base.txt", ("req/base.txt", False)),
        ("WORKDIR /a\nCOPY . .", "none.txt", None),
    ],
)
def test_the_origin_of_a_file(text: str, path: str, origin: tuple[str, bool] | None) -> None:
    subject = reading(f"FROM a\n{text}\nRUN pip install -r {path}\n")
    run = next(each for each in subject.final.instructions if isinstance(each, Run))
    found = origin_of(subject, subject.final, run, path)
    assert (None if found is None else (found.path, found.is_exact)) == origin


def test_places_of_words_and_flags() -> None:
    subject = reading("FROM a AS a\nFROM b\n# c\nCOPY --chown=1 --from=a \\\n  /x \\\n  /x /y/\n")
    copy = subject.final.instructions[0]
    second = word_span(subject, copy, "/x", occurrence=1)
    assert (second.line, second.column, second.end_column) == (6, 3, 5)
    flag = flag_span(subject, copy, "from")
    assert (flag.line, flag.column, flag.end_column) == (4, 16, 24)
    assert word_span(subject, copy, "/none") == copy.span
    assert (whole_lines(copy).line, whole_lines(copy).end_line) == (4, 7)
    assert as_written(copy) == "COPY --chown=1 --from=a \\\n  /x \\\n  /x /y/"
