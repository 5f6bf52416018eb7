"""What well-known images set, as far as a rule has to know it: the names of their environment variables.

BuildKit asks the registry for the image; a check asks nobody. Source: the images' published Dockerfiles.
"""

from __future__ import annotations

from slimstage.lint.subject import BaseImage
from slimstage.values import dataclass

_PLAIN = (
    "scratch", "alpine", "busybox", "debian", "ubuntu", "fedora", "centos", "rockylinux", "almalinux", "amazonlinux",
    "archlinux", "oraclelinux", "opensuse/leap", "buildpack-deps", "cgr.dev/chainguard/static", "hello-world",
)  # fmt: skip
_JAVA = ("JAVA_HOME", "JAVA_VERSION", "LANG", "LANGUAGE", "LC_ALL")
_SET: dict[str, tuple[str, ...]] = {
    "python": ("GPG_KEY", "LANG", "PYTHON_VERSION", "PYTHON_SHA256", "PYTHON_PIP_VERSION", "PYTHON_SETUPTOOLS_VERSION",
               "PYTHON_GET_PIP_URL", "PYTHON_GET_PIP_SHA256"),
    "node": ("NODE_VERSION", "YARN_VERSION"),
    "golang": ("GOLANG_VERSION", "GOTOOLCHAIN", "GOPATH"),
    "rust": ("RUSTUP_HOME", "CARGO_HOME", "RUST_VERSION"),
    "ruby": ("LANG", "RUBY_VERSION", "RUBY_DOWNLOAD_URL", "RUBY_DOWNLOAD_SHA256", "GEM_HOME", "BUNDLE_APP_CONFIG",
             "BUNDLE_SILENCE_ROOT_WARNING"),
    "php": ("PHPIZE_DEPS", "PHP_INI_DIR", "PHP_CFLAGS", "PHP_CPPFLAGS", "PHP_LDFLAGS", "GPG_KEYS", "PHP_VERSION", "PHP_URL",
            "PHP_ASC_URL", "PHP_SHA256"),
    "gcc": ("GCC_VERSION", "GCC_MIRRORS", "GPG_KEYS", "LD_LIBRARY_PATH"),
    "eclipse-temurin": _JAVA,
    "amazoncorretto": _JAVA,
    "openjdk": _JAVA,
    "maven": (*_JAVA, "MAVEN_HOME", "MAVEN_CONFIG"),
    "gradle": (*_JAVA, "GRADLE_HOME", "GRADLE_VERSION", "GRADLE_USER_HOME"),
    "nginx": ("NGINX_VERSION", "NJS_VERSION", "NJS_RELEASE", "PKG_RELEASE", "DYNPKG_RELEASE", "ACME_VERSION"),
    "postgres": ("GOSU_VERSION", "LANG", "PG_MAJOR", "PG_VERSION", "PG_SHA256", "PGDATA", "DOCKER_PG_LLVM_DEPS"),
    "redis": ("GOSU_VERSION", "REDIS_VERSION", "REDIS_DOWNLOAD_URL", "REDIS_DOWNLOAD_SHA"),
}  # fmt: skip
_IN_PART: dict[str, tuple[str, ...]] = {
    "nvidia/cuda": ("CUDA_VERSION", "LD_LIBRARY_PATH", "LIBRARY_PATH", "NVARCH", "NVIDIA_DRIVER_CAPABILITIES",
                    "NVIDIA_REQUIRE_CUDA", "NVIDIA_VISIBLE_DEVICES", "NCCL_VERSION"),
    "pytorch/pytorch": ("CUDA_VERSION", "LD_LIBRARY_PATH", "NVIDIA_DRIVER_CAPABILITIES", "NVIDIA_VISIBLE_DEVICES",
                        "PYTORCH_VERSION"),
    "tensorflow/tensorflow": ("CUDA_VERSION", "LANG", "LD_LIBRARY_PATH"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ImageNames:
    """names: variables that the image sets, besides PATH. is_whole: it sets no other."""

    names: frozenset[str] = frozenset()
    is_whole: bool = True


_NOTHING = ImageNames()
_UNKNOWN = ImageNames(is_whole=False)


def variables_of(image: BaseImage | None) -> ImageNames:
    """What the image sets, as far as its name tells."""
    if image is None:
        return _UNKNOWN
    if image.name.startswith("debian://") or image.name in _PLAIN:
        return _NOTHING
    if image.name in _SET:
        return ImageNames(frozenset(_SET[image.name]))
    return ImageNames(frozenset(_IN_PART.get(image.name, ())), is_whole=False)
