"""`--output` and `--annotation`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimstage.build.request import OutputSpec
from slimstage.cli.outputs import check_outputs, parse_annotation, parse_output
from slimstage.errors import UsageError


def test_a_directory_alone_is_local() -> None:
    assert parse_output("dist") == OutputSpec("local", "dist")
    assert parse_output("./a dir") == OutputSpec("local", "./a dir")


def test_a_dash_alone_is_a_tar_on_stdout() -> None:
    assert parse_output("-") == OutputSpec("tar", "-")


def test_all_options_of_an_oci_archive() -> None:
    text = (
        'type=oci,dest=x.tar,"name=a:1,b:2",compression=zstd,compression-level=19,force-compression=true,'
        "rewrite-timestamp=true,oci-mediatypes=false,annotation.k=v,annotation-index.org.x=a=b,"
        "annotation-manifest-descriptor[linux/amd64].d=1"
    )
    assert parse_output(text, ("ignored:1",)) == OutputSpec(
        "oci",
        "x.tar",
        names=("a:1", "b:2"),
        compression="zstd",
        compression_level=19,
        forces_compression=True,
        rewrites_timestamps=True,
        annotations=(("manifest", "k", "v"), ("index", "org.x", "a=b"), ("manifest-descriptor[linux/amd64]", "d", "1")),
        uses_docker_types=True,
    )


def test_tags_name_what_has_no_name() -> None:
    assert parse_output("type=docker,dest=x.tar", ("iris:1",)).names == ("iris:1",)
    assert parse_output("type=image", ("iris:1",)).names == ("iris:1",)
    assert parse_output("type=local,dest=x", ("iris:1",)).names == ()


def test_archives_without_destination_go_to_stdout_and_docker_into_the_store() -> None:
    assert parse_output("type=oci").destination == "-"
    assert parse_output("type=tar").destination == "-"
    assert parse_output("type=docker").destination is None


def test_a_layout_directory() -> None:
    assert parse_output("type=oci,tar=false,dest=layout") == OutputSpec("oci", "layout", is_tar=False)
    with pytest.raises(UsageError, match="needs a directory"):
        parse_output("type=oci,tar=false")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dest=x.tar", "has no type"),
        ("type=ocl", "not known"),
        ("type=", "not known"),
        ("name=a,dest=b", "type is missing"),
        ("type=oci,dset=x", 'no option "dset"'),
        ("type=local", "needs a directory"),
        ("type=local,dest=-", "needs a directory"),
        ("type=local,dest=x,compression=gzip", "no option"),
        ("type=oci,dest=x,dest=y", "given twice"),
        ("type=oci,dest=", "dest is empty"),
        ("type=oci,dest=x,compression=lz4", "not known"),
        ("type=oci,dest=x,compression=gzip,compression-level=10", "not in 0 to 9"),
        ("type=oci,dest=x,compression=zstd,compression-level=23", "not in 0 to 22"),
        ("type=oci,dest=x,compression=gzip,compression-level=high", "not a number"),
        ("type=oci,dest=x,compression=uncompressed,compression-level=1", "no sense"),
        ("type=oci,dest=x,tar=maybe", "neither true nor false"),
        ("type=image,push=true", "needs a name"),
        ("type=registry", "needs a name"),
        ("type=registry,name=A B", "is not an image name"),
        (f"type=registry,name=a@sha256:{'0' * 64}", "has a digest"),
        ("type=image,push=true,name=a,registry.insecure=true", "registry.insecure is not offered"),
        ("type=registry,dest=x", "has no option"),
        ("type=tar,dest=x,annotation.k=v", "no annotations"),
        ("type=local,dest=x,mode=delete", "not offered"),
    ],
)
def test_bad_outputs_say_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_output(text)


def test_a_misspelt_option_names_the_near_one_and_a_misplaced_one_its_type() -> None:
    with pytest.raises(UsageError) as caught:
        parse_output("type=oci,compresion=gzip,dest=x")
    assert caught.value.hint == 'did you mean "compression"?'
    with pytest.raises(UsageError) as caught:
        parse_output("type=local,dest=x,tar=true")
    assert caught.value.hint == "it belongs to type=oci"


@given(st.text(max_size=60))
def test_no_text_makes_an_output_fail_otherwise(text: str) -> None:
    try:
        parse_output(text)
    except UsageError:
        pass


def test_outputs_do_not_share_stdout_or_a_path() -> None:
    with pytest.raises(UsageError, match="only one output"):
        check_outputs([OutputSpec("tar", "-"), OutputSpec("oci", "-")], stdout_is_terminal=False, stdout_is_taken=False)
    with pytest.raises(UsageError, match="terminal"):
        check_outputs([OutputSpec("tar", "-")], stdout_is_terminal=True, stdout_is_taken=False)
    with pytest.raises(UsageError, match="--json"):
        check_outputs([OutputSpec("tar", "-")], stdout_is_terminal=False, stdout_is_taken=True)
    with pytest.raises(UsageError, match="two outputs"):
        check_outputs(
            [OutputSpec("oci", "a/../x"), OutputSpec("tar", "x")], stdout_is_terminal=False, stdout_is_taken=False
        )
    check_outputs([OutputSpec("tar", "-"), OutputSpec("image")], stdout_is_terminal=False, stdout_is_taken=False)


def test_annotations_have_places() -> None:
    assert parse_annotation("a=b") == (("manifest", "a", "b"),)
    assert parse_annotation("index:a=b=c") == (("index", "a", "b=c"),)
    assert parse_annotation("index,manifest:a=b") == (("index", "a", "b"), ("manifest", "a", "b"))
    assert parse_annotation("org.example/x:y=b") == (("manifest", "org.example/x:y", "b"),)


def test_annotations_may_be_for_one_platform() -> None:
    assert parse_annotation("manifest[linux/arm64/v8]:a=b") == (("manifest[linux/arm64]", "a", "b"),)
    text = "manifest[linux/arm],manifest-descriptor[linux/arm],index:a=b"
    assert [where for where, _, _ in parse_annotation(text)] == [
        "manifest[linux/arm/v7]",
        "manifest-descriptor[linux/arm/v7]",
        "index",
    ]
    found = parse_output("type=oci,dest=x,annotation-manifest[linux/arm64].a.b=c,annotation-index-descriptor.d=e")
    assert found.annotations == (("manifest[linux/arm64]", "a.b", "c"), ("index-descriptor", "d", "e"))


@pytest.mark.parametrize("text", ["manifest[li nux]:a=b", "index[linux/arm64]:a=b", "manifest[linux/arm/v7/x]:a=b"])
def test_annotations_of_what_is_no_platform_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--annotation"):
        parse_annotation(text)


def test_platforms_are_split_as_said() -> None:
    assert parse_output("type=local,dest=x").splits_platforms is None
    assert parse_output("type=local,dest=x,platform-split=false").splits_platforms is False
    assert parse_output("type=local,dest=x,platform-split=true").splits_platforms is True


@pytest.mark.parametrize("text", ["a", "=b", "indx:a=b", "index:=b"])
def test_bad_annotations_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--annotation"):
        parse_annotation(text)
