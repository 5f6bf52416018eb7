"""Files from elsewhere: curl, wget, git clone, object stores, the Hugging Face hub.

Source: curl(1) of curl 8; wget(1); git-clone(1); `aws s3 cp help`; `hf download --help` of huggingface_hub 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from slimstage.lint.commands.command import Command, Download
from slimstage.lint.commands.options import Parsed, Table
from slimstage.lint.shell.script import Invocation, Word

_CURL = Table(
    """
    -o,--output= -O,--remote-name --output-dir= -L,--location -H,--header= -d,--data= -X,--request= -u,--user=
    -A,--user-agent= -e,--referer= -x,--proxy= -T,--upload-file= -F,--form= -C,--continue-at= -m,--max-time=
    -K,--config= -E,--cert= -b,--cookie= -c,--cookie-jar= -D,--dump-header= -r,--range= -w,--write-out=
    -y,--speed-time= -Y,--speed-limit= -z,--time-cond= -U,--proxy-user= -P,--ftp-port= -Q,--quote=
    -t,--telnet-option= -h,--help=? --connect-timeout= --retry= --retry-delay= --retry-max-time= --cacert= --capath=
    --key= --proto= --proto-default= --proto-redir= --tls-max= --resolve= --url= --limit-rate= --ciphers=
    --data-binary= --data-raw= --data-urlencode= --interface= --max-redirs= --max-filesize= --netrc-file= --noproxy=
    --oauth2-bearer= --cert-type= --key-type= --pass= --connect-to= --dns-servers= --unix-socket= -f,--fail
    -s,--silent -S,--show-error -k,--insecure -I,--head -i,--include -v,--verbose -J,--remote-header-name
    --create-dirs --compressed --remote-name-all -#,--progress-bar -g,--globoff -n,--netrc -G,--get -4,--ipv4
    -6,--ipv6
    """
)
_WGET = Table(
    """
    -O,--output-document= -P,--directory-prefix= -o,--output-file= -a,--append-output= -i,--input-file= -t,--tries=
    -T,--timeout= -w,--wait= -U,--user-agent= -e,--execute= -Q,--quota= -l,--level= -A,--accept= -R,--reject=
    -D,--domains= -I,--include-directories= -X,--exclude-directories= -B,--base= --header= --user= --password=
    --post-data= --post-file= --limit-rate= --ca-certificate= --certificate= --private-key= --secure-protocol=
    --progress= --waitretry= --method= --connect-timeout= --read-timeout= --dns-timeout= --referer= --max-redirect=
    --cut-dirs= --default-page= -q,--quiet -nv,--no-verbose -c,--continue -N,--timestamping -r,--recursive
    -nc,--no-clobber --no-check-certificate -np,--no-parent -nH,--no-host-directories -nd,--no-directories
    --show-progress -S,--server-response -x --spider
    """
)
_GIT = Table("-C= -c= --git-dir= --work-tree= --exec-path=?", stops=True)
_CLONE = Table(
    """
    --depth= -b,--branch= -o,--origin= -c,--config= -j,--jobs= --reference= --shallow-since= --shallow-exclude=
    --template= --recursive,--recurse-submodules=? -u,--upload-pack= --separate-git-dir= --filter= --server-option=
    --bundle-uri= --revision= --single-branch --no-single-branch -q,--quiet --bare --mirror --shallow-submodules
    -n,--no-checkout
    """
)
_HUB = Table(
    """
    --local-dir= --cache-dir= --revision= --include= --exclude= --token= --repo-type= --max-workers=
    --local-dir-use-symlinks= --force-download --resume-download --quiet
    """
)
_STORE = Table(
    """
    --profile= --region= --endpoint-url= --exclude= --include= --output= --acl= --storage-class=
    --cli-connect-timeout= --cli-read-timeout= -c,--container-name= -n,--name= -f,--file= --account-name= -o= -h=
    --recursive,-r --no-sign-request --quiet -m -O= --id= --folder
    """
)


def curl(invocation: Invocation) -> Iterator[Command]:
    """curl that fetches."""
    parsed = _CURL.parse(invocation.words)
    urls = (*parsed.rest, *parsed.values("--url"))
    if not urls or parsed.has("--head", "--upload-file"):
        return
    output = parsed.value("--output")
    has_name = output not in (None, "-") or parsed.has("--remote-name", "--remote-name-all")
    to_file = any(each.operator in (">", ">>", "&>") and each.fd in ("", "1") for each in invocation.redirects)
    yield Download("curl", urls, invocation, None if output == "-" else output, not has_name and not to_file)


def wget(invocation: Invocation) -> Iterator[Command]:
    """wget that fetches."""
    parsed = _WGET.parse(invocation.words)
    if not parsed.rest or parsed.has("--spider"):
        return
    output = parsed.value("--output-document")
    to_file = any(each.operator in (">", ">>") and each.fd in ("", "1") for each in invocation.redirects)
    is_streamed = output == "-" and not to_file
    yield Download("wget", parsed.rest, invocation, None if output == "-" else output, is_streamed)


def git(invocation: Invocation) -> Iterator[Command]:
    """`git clone`."""
    outer = _GIT.parse(invocation.words)
    action = outer.rest[0].shape if outer.rest else ""
    if action not in ("clone", "lfs"):
        return
    parsed = _CLONE.parse(outer.rest[1:])
    rest = parsed.rest[1:] if action == "lfs" else parsed.rest
    if action == "lfs" and (not parsed.rest or parsed.rest[0].shape not in ("clone", "pull")):
        return
    yield Download("git", rest[:1], invocation, rest[1].text if len(rest) > 1 else None)


def clone_options(invocation: Invocation) -> Parsed:
    """The options of a `git clone`, by their long names."""
    return _CLONE.parse(_GIT.parse(invocation.words).rest[1:])


def hub(invocation: Invocation) -> Iterator[Command]:
    """`hf download REPOSITORY [FILE…]`, `huggingface-cli download …`."""
    parsed = _HUB.parse(invocation.words)
    if len(parsed.rest) > 1 and parsed.rest[0].shape == "download":
        output = parsed.value("--local-dir", "--cache-dir")
        yield Download("huggingface", parsed.rest[1:2], invocation, output)


def store(invocation: Invocation) -> Iterator[Command]:
    """`aws s3 cp s3://… .`, `gsutil cp`, `gcloud storage cp`, `gdown`, `azcopy copy`."""
    parsed = _STORE.parse(invocation.words)
    rest = parsed.rest
    if invocation.name == "gdown":
        urls: Sequence[Word] = (*rest, *parsed.values("--id"))
        if urls:
            yield Download("gdown", tuple(urls), invocation, parsed.value("-O", "-o", "--output"))
        return
    names = [word.shape for word in rest]
    skip = next((at + 1 for at, name in enumerate(names[:3]) if name in ("cp", "sync", "rsync", "copy", "mv")), None)
    if skip is None or len(rest) < skip + 2:
        return
    sources, target = rest[skip:-1], rest[-1]
    if any("://" in word.shape for word in sources) and "://" not in target.shape:
        yield Download(invocation.name, tuple(sources), invocation, target.text)
