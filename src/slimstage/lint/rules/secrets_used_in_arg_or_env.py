"""SecretsUsedInArgOrEnv: no secrets in ARG and ENV."""

from __future__ import annotations

import re
from collections.abc import Iterator

from slimstage.dockerfile.instructions import Arg, Env
from slimstage.lint import narrow
from slimstage.lint.finding import Finding
from slimstage.lint.lookups import look_up
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject
from slimstage.regex import pattern

_SECRET = pattern(
    r"(?:_|\A)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:_|\Z)", re.IGNORECASE
)
_NOT_SECRET = pattern(r"(?:_|\A)(?:public|file|version)(?:_|\Z)", re.IGNORECASE)


def check(subject: Subject) -> Iterator[Finding]:
    for view in subject.stages:
        for each in (*view.triggers, *view.instructions):
            if isinstance(each, Arg):
                names = [arg.name for arg in each.args]
            elif isinstance(each, Env):
                values = subject.environment(view, each)
                found = [look_up(pair.name, values, subject.dockerfile.escape).text for pair in each.pairs]
                names = [name for name in found if name]
            else:
                continue
            for name in names:
                if _SECRET.search(name) and not _NOT_SECRET.search(name):
                    yield Finding(
                        "SecretsUsedInArgOrEnv",
                        f'Do not use ARG or ENV instructions for sensitive data ({each.keyword} "{name}")',
                        narrow.word(subject, each, name),
                        hint="give it to the RUN that needs it: RUN --mount=type=secret,id=NAME,env=NAME",
                    )


RULE = Rule(
    name="SecretsUsedInArgOrEnv",
    group="buildkit",
    summary="sensitive data should not be used in the ARG or ENV commands",
    why="""\
What ENV sets is in the image for everybody who can pull it, and what `--build-arg` gives is in its history. `docker history`
and `slimstage history` show both. A secret mount gives a RUN the value for its duration and leaves nothing behind:

```dockerfile
RUN --mount=type=secret,id=hf_token,env=HF_TOKEN huggingface-cli download …
```

Names are judged by their words: `key`, `token`, `password` and the like, unless there is `public`, `file` or `version` beside.
""",
    bad=Example("FROM debian:12\nARG HF_TOKEN\nRUN true\n"),
    good=Example("FROM debian:12\nRUN --mount=type=secret,id=hf_token,env=HF_TOKEN true\n"),
    check=check,
    asks_reached=True,
)
