"""Which commands there are: name, module, one line of help, section. Read without importing any of them."""

from __future__ import annotations

from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """`module` under `cli/commands/` holds the click command as `attribute`."""

    name: str
    module: str
    summary: str
    section: str
    attribute: str = "command"


ENTRIES = (
    Entry("build", "build", "Build an image from a Dockerfile", "Build"),
    Entry("check", "check", "Find faults and savings in a Dockerfile", "Analysis"),
    Entry("analyze", "analyze", "Show where an image's bytes are, and which need not be there", "Analysis"),
    Entry("compare", "compare", "Show what became of an image, or what the stages of a build saved", "Analysis"),
    Entry("report", "report", "Write a page about an image and its build, as one HTML file", "Analysis"),
    Entry("explore", "explore", "Look through an image in the terminal", "Analysis"),
    Entry("run", "run", "Run a command in a new container", "Containers"),
    Entry("ps", "ps", "List containers", "Containers"),
    Entry("logs", "logs", "Show what a container printed", "Containers"),
    Entry("stop", "stop", "Stop running containers", "Containers"),
    Entry("images", "images", "List images", "Images"),
    Entry("inspect", "inspect", "Show an image or container in detail, or verify an image", "Images"),
    Entry("history", "history", "Show an image's layers and what made them", "Images"),
    Entry("tag", "tag", "Give an image another name", "Images"),
    Entry("rm", "rm", "Remove containers and images", "Images"),
    Entry("rmi", "rm", "Remove images", "Images", "rmi"),
    Entry("pull", "pull", "Pull an image from a registry", "Images"),
    Entry("copy", "copy", "Copy an image between registries, files and the store", "Images"),
    Entry("push", "push", "Push an image to a registry", "Images"),
    Entry("save", "save", "Write images to an archive or a layout directory", "Images"),
    Entry("load", "load", "Read images from an archive or a layout directory", "Images"),
    Entry("login", "login", "Log in to a registry", "Registries"),
    Entry("logout", "logout", "Log out from a registry", "Registries"),
    Entry("sign", "sign", "Sign an image with a key, as cosign does", "Registries"),
    Entry("verify", "verify", "Check that an image was signed with a key", "Registries"),
    Entry("generate-key-pair", "generate_key_pair", "Make a key to sign images with", "Registries"),
    Entry("prune", "prune", "Remove what nothing needs any more", "Store and host"),
    Entry("doctor", "doctor", "Say what this host allows, and check the store", "Store and host"),
    Entry("completion", "completion", "Print a shell's completion script", "Store and host"),
)

BY_NAME = {entry.name: entry for entry in ENTRIES}
