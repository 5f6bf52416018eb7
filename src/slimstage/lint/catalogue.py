"""Which rules there are. A rule's module is imported when the rule is asked for.

The rule `StageNameCasing` is `RULE` of `rules/stage_name_casing.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import import_module

from slimstage.lint.rule import Group, Rule, kebab

NAMES: dict[Group, tuple[str, ...]] = {
    "buildkit": (
        "StageNameCasing",
        "FromAsCasing",
        "NoEmptyContinuation",
        "ConsistentInstructionCasing",
        "DuplicateStageName",
        "ReservedStageName",
        "JSONArgsRecommended",
        "MaintainerDeprecated",
        "UndefinedArgInFrom",
        "WorkdirRelativePath",
        "UndefinedVar",
        "MultipleInstructionsDisallowed",
        "LegacyKeyValueFormat",
        "InvalidBaseImagePlatform",
        "RedundantTargetPlatform",
        "SecretsUsedInArgOrEnv",
        "InvalidDefaultArgInFrom",
        "FromPlatformFlagConstDisallowed",
        "CopyIgnoredFile",
        "InvalidDefinitionDescription",
        "ExposeProtoCasing",
        "ExposeInvalidFormat",
    ),
    "stages": (
        "SingleStageBuildTools",
        "BuildToolsInFinalStage",
        "FinalStageFromBuilder",
        "UnnamedStage",
        "CopyFromByIndex",
        "UnusedStage",
        "StageCopiesNothing",
        "WholeBuildDirectoryCopied",
        "SameFilesCopiedTwice",
        "MultiStageWithoutGain",
    ),
    "caching": (
        "DependenciesAfterSource",
        "EarlyArgInvalidates",
        "LargeFileCopiedEarly",
        "NoIgnoreFile",
        "IgnoreMissesLargeFiles",
        "BigContext",
        "CacheMountInstead",
    ),
    "bytes": (
        "PipCacheKept",
        "AptListsKept",
        "AptRecommends",
        "CondaPackagesKept",
        "SystemCacheKept",
        "UnstrippedDownloads",
        "RemovedInLaterLayer",
        "ChangedInLaterLayer",
        "NaiveStrip",
    ),
    "pinning": (
        "LatestTag",
        "UnpinnedBase",
        "UnpinnedPackages",
    ),
    "ml": (
        "TrainingPackagesInFinalStage",
        "CudaWheelsOnCpu",
        "HeavyVariant",
        "CudaDevelInFinalStage",
        "CudaInBaseAndWheels",
        "TwoBlasLibraries",
        "WeightsInEarlyLayer",
        "WeightsInCodeLayer",
        "WeightsCopiedThroughStages",
        "DatasetInImage",
        "CheckpointsBesideModel",
        "NotebookInImage",
    ),
    "security": (
        "InvisibleCharacters",
        "RunAsRoot",
    ),
}  # fmt: skip
"""The names of each group, one a line."""


def names() -> Iterator[str]:
    """All, BuildKit's first."""
    for group in NAMES.values():
        yield from group


@cache
def rule(name: str) -> Rule:
    """The rule of that name. Raises KeyError: there is none."""
    if not any(name in group for group in NAMES.values()):
        raise KeyError(name)
    found = import_module(f"slimstage.lint.rules.{kebab(name).replace('-', '_')}").RULE
    assert isinstance(found, Rule)
    return found


def rules() -> Iterator[Rule]:
    """All, in the order of `names`."""
    return map(rule, names())
