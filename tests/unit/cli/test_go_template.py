"""Templates as `docker inspect --format` takes them."""

from __future__ import annotations

import pytest

from slimstage.cli.go_template import Template
from slimstage.errors import UsageError

DOCUMENT = {
    "Id": "sha256:ab",
    "Size": 1234,
    "RepoTags": ["app:1", "app:2"],
    "Config": {"Env": ["A=1", "B=2"], "Labels": {"b": "2", "a.b/c": "x y"}, "User": ""},
    "Ok": True,
    "None": None,
}


@pytest.mark.parametrize(
    ("template", "want"),
    [
        ("{{.Id}} {{ .Size }}", "sha256:ab 1234"),
        ("{{json .Config.Env}}", '["A=1","B=2"]'),
        ("{{.RepoTags}}", "[app:1 app:2]"),
        ("{{.Config.Labels}}", "map[a.b/c:x y b:2]"),
        ("{{index .RepoTags 1}}", "app:2"),
        ('{{index .Config.Labels "a.b/c"}}', "x y"),
        ('{{join .Config.Env ","}}', "A=1,B=2"),
        ("{{len .Config.Env}}", "2"),
        ("{{range .Config.Env}}<{{.}}>{{end}}", "<A=1><B=2>"),
        ("{{range .RepoTags}}{{$.Size}}:{{.}};{{end}}", "1234:app:1;1234:app:2;"),
        ("{{if .Config.User}}{{.Config.User}}{{else}}root{{end}}", "root"),
        ("{{if .Ok}}yes{{end}}", "yes"),
        ("{{range .None}}x{{else}}none{{end}}", "none"),
        ("a {{- .Size -}} b", "a1234b"),
        ("{{.None}}", "<no value>"),
        ("{{.Config.Env | len}}", "2"),
        ("{{index (index .RepoTags 0) 0 | json}}", '"a"'),
        ("{{println .Size}}", "1234\n"),
        ("{{upper .Id}}{{`}}`}}", "SHA256:AB}}"),
        ("plain", "plain"),
    ],
)
def test_a_template_shows_what_docker_shows(template: str, want: str) -> None:
    assert Template(template)(DOCUMENT) == want


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{.Sise}}", 'did you mean "Size"'),
        ("{{jsn .}}", 'did you mean "json"'),
        ("{{.Id", "not closed"),
        ("{{if .Ok}}x", "no {{end}}"),
        ("{{end}}", "no beginning"),
        ("{{index .RepoTags 9}}", "cannot be used so"),
        ("{{template .}}", "template"),
        ("{{.Id.X}}", 'no field "X"'),
    ],
)
def test_what_it_does_not_have_is_said(template: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        Template(template)(DOCUMENT)
    assert words in str(caught.value)
