"""The browser itself: layers, tree, findings, and a panel that explains what the cursor is on. Needs textual.

Everything shown comes through `words.py`, which escapes others' names, and is given to widgets as text, never as markup.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Header, Input, Label, OptionList, Static, TabbedContent, TabPane, Tree
from textual.widgets.option_list import Option
from textual.widgets.tree import TreeNode

from slimstage.analyze.analysis import Analysis, OwnedPackage
from slimstage.diagnostics import shown
from slimstage.explore import words
from slimstage.explore.tree import ALL, Directory, Filter, order_of_files, tree_of
from slimstage.units import size_text
from slimstage.values import replace

_MOST_FILES = 2000
"""Files of one directory that are listed: what is smaller is one line."""


class Choice(ModalScreen[int | None]):
    """A list to choose one of; its position, None when it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Back")]

    def __init__(self, title: str, options: Iterable[str]) -> None:
        super().__init__()
        self._title, self._options = title, list(options)

    def compose(self) -> ComposeResult:
        with Vertical(id="choice"):
            yield Label(self._title, markup=False)
            yield OptionList(*(Option(Text(text)) for text in self._options))

    @on(OptionList.OptionSelected)
    def chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option_index)

    def action_leave(self) -> None:
        self.dismiss(None)


class Explorer(App[None]):
    """Shows one analysis. `filter` is what the tree is of."""

    TITLE = "slimstage explore"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #left { width: 2fr; }
    #right { width: 3fr; }
    #layers { height: 1fr; }
    #details { height: auto; max-height: 50%; border-top: solid $primary; padding: 0 1; }
    #chosen { height: 1; color: $text-muted; padding: 0 1; }
    #search { display: none; }
    #search.open { display: block; }
    Choice { align: center middle; }
    #choice { width: 70; height: 70%; border: round $primary; padding: 0 1; background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("slash", "search", "Search"),
        Binding("p", "purpose", "Purpose"),
        Binding("k", "package", "Package"),
        Binding("l", "layer", "Only this layer"),
        Binding("h", "hidden", "Hidden files"),
        Binding("s", "sort", "Sort"),
        Binding("x", "everything", "Show everything"),
        Binding("escape", "close_search", "Close search", show=False),
    ]

    def __init__(self, analysis: Analysis) -> None:
        super().__init__()
        self.analysis = analysis
        self.filter: Filter = ALL
        self.by_name = False
        self.root = tree_of(analysis)

    # What there is --------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield Header(show_clock=False)
        with Horizontal():
            with Vertical(id="left"):
                yield DataTable[Text](id="layers", cursor_type="row", zebra_stripes=True)
                yield Static(id="details", markup=False)
            with Vertical(id="right"):
                yield Static(id="chosen", markup=False)
                yield Input(placeholder="part of a path; Enter shows, Escape closes", id="search")
                with TabbedContent(id="tabs"):
                    with TabPane("Files", id="files"):
                        yield Tree[Directory | int](Text("/"), id="tree")
                    with TabPane("Purposes", id="purposes"):
                        yield DataTable[Text](id="purpose-table", cursor_type="row")
                    with TabPane("Packages", id="packages"):
                        yield DataTable[Text](id="package-table", cursor_type="row")
                    with TabPane("Findings", id="findings"):
                        yield DataTable[Text](id="finding-table", cursor_type="row")
        yield Footer()

    def on_mount(self) -> None:
        analysis = self.analysis
        self.sub_title = f"{shown(analysis.image.name)}  {size_text(analysis.size_bytes, ' ')}"
        layers = self.query_one("#layers", DataTable)
        layers.add_columns("", "size", "hidden", "made by")
        for layer in analysis.layers:
            hidden = layer.size_bytes - layer.seen_bytes
            made = words.layer_name(layer).partition(": ")[2]
            cells = (str(layer.number), size_text(layer.size_bytes), size_text(hidden) if hidden else "", made)
            layers.add_row(*(Text(cell) for cell in cells))
        self._fill_tables()
        self._show_tree()
        self.query_one("#tree").focus()

    def _fill_tables(self) -> None:
        analysis = self.analysis
        whole = analysis.size_bytes or 1
        purposes = self.query_one("#purpose-table", DataTable)
        purposes.add_columns("size", "", "purpose")
        for name, size in analysis.purposes.items():
            purposes.add_row(Text(size_text(size)), Text(words.bar(size / whole)), Text(name), key=name)
        packages = self.query_one("#package-table", DataTable)
        packages.add_columns("size", "", "package", "needed by")
        for position, owner in self._owners():
            needed = shown(", ".join(owner.needed_by[:4]) + (" …" if len(owner.needed_by) > 4 else ""))
            cells = (size_text(owner.size_bytes), words.bar(owner.size_bytes / whole), words.owner_name(owner), needed)
            packages.add_row(*(Text(cell) for cell in cells), key=str(position))
        findings = self.query_one("#finding-table", DataTable)
        findings.add_columns("saves", "finding", "reason")
        for number, finding in enumerate(analysis.findings):
            row = (size_text(finding.saving_bytes), finding.code, shown(finding.reason))
            findings.add_row(*(Text(cell) for cell in row), key=str(number))

    def _owners(self) -> list[tuple[int, OwnedPackage]]:
        """Those with files, the largest first."""
        found = [(position, owner) for position, owner in enumerate(self.analysis.owners) if owner.size_bytes]
        return sorted(found, key=lambda pair: -pair[1].size_bytes)

    # The tree -------------------------------------------------------------------------------------------------

    def _show_tree(self) -> None:
        self.root = tree_of(self.analysis, self.filter)
        tree = self.query_one("#tree", Tree)
        tree.reset(Text(words.directory_line(self.root, self.root.size_bytes)), self.root)
        self._fill(tree.root)
        tree.root.expand()
        self.query_one("#chosen", Static).update(self._filter_text())

    def _filter_text(self) -> str:
        chosen = self.filter
        parts = [f"layer {chosen.layer}"] if chosen.layer is not None else []
        parts += [f"purpose {chosen.purpose}"] if chosen.purpose else []
        parts += [words.owner_name(self.analysis.owners[chosen.owner])] if chosen.owner is not None else []
        parts += [f'path with "{shown(chosen.text)}"'] if chosen.text else []
        parts += ["hidden files too"] if chosen.shows_hidden else []
        shows = f"{self.root.count} files, {size_text(self.root.size_bytes, ' ')}"
        return f"{shows}: {', '.join(parts)} (x shows everything)" if parts else shows

    def _fill(self, node: TreeNode[Directory | int]) -> None:
        directory, whole = node.data, self.root.size_bytes
        if not isinstance(directory, Directory) or node.children:
            return
        for child in directory.sorted_directories(by_name=self.by_name):
            node.add(Text(words.directory_line(child, whole)), child)
        files = order_of_files(self.analysis, directory, by_name=self.by_name)
        for position in files[:_MOST_FILES]:
            node.add_leaf(Text(words.file_line(self.analysis, position, whole)), position)
        if len(files) > _MOST_FILES:
            node.add_leaf(Text(f"… and {len(files) - _MOST_FILES} more files: search for them with /"))

    @on(Tree.NodeExpanded)
    def expanded(self, event: Tree.NodeExpanded[Directory | int]) -> None:
        self._fill(event.node)

    @on(Tree.NodeHighlighted)
    def highlighted(self, event: Tree.NodeHighlighted[Directory | int]) -> None:
        data = event.node.data
        if isinstance(data, Directory):
            self._explain(
                [
                    ("directory", shown(f"/{data.path}")),
                    ("size", f"{size_text(data.size_bytes, ' ')} ({data.size_bytes:,} bytes)"),
                    ("files", f"{data.count:,}"),
                ]
            )
        elif isinstance(data, int):
            self._explain(words.file_details(self.analysis, data))

    def _explain(self, details: Iterable[tuple[str, str]]) -> None:
        self.query_one("#details", Static).update("\n".join(f"{what:<10} {value}".rstrip() for what, value in details))

    # Other panes ----------------------------------------------------------------------------------------------

    @on(DataTable.RowHighlighted, "#finding-table")
    def finding_highlighted(self, event: DataTable.RowHighlighted) -> None:
        if event.row_key.value is not None:
            self._explain(words.finding_details(self.analysis.findings[int(event.row_key.value)]))

    @on(DataTable.RowHighlighted, "#layers")
    def layer_highlighted(self, event: DataTable.RowHighlighted) -> None:
        if self.focused is event.data_table:
            layer = self.analysis.layers[event.cursor_row]
            compressed = "-" if layer.compressed_bytes is None else size_text(layer.compressed_bytes, " ")
            seen = f"{size_text(layer.seen_bytes, ' ')} of {size_text(layer.size_bytes, ' ')}"
            digest = layer.diff_id or "-"
            self._explain(
                [
                    ("layer", words.layer_name(layer)),
                    ("seen", seen),
                    ("compressed", compressed),
                    ("files", f"{layer.files:,}"),
                    ("diff ID", digest),
                ]
            )

    @on(DataTable.RowSelected, "#layers")
    def layer_selected(self, event: DataTable.RowSelected) -> None:
        self._choose(replace(self.filter, layer=event.cursor_row))

    @on(DataTable.RowSelected, "#purpose-table")
    def purpose_selected(self, event: DataTable.RowSelected) -> None:
        self._choose(replace(self.filter, purpose=event.row_key.value))

    @on(DataTable.RowSelected, "#package-table")
    def package_selected(self, event: DataTable.RowSelected) -> None:
        if event.row_key.value is not None:
            self._choose(replace(self.filter, owner=int(event.row_key.value)))

    def _choose(self, chosen: Filter) -> None:
        self.filter = chosen
        self._show_tree()
        self.query_one("#tabs", TabbedContent).active = "files"
        self.query_one("#tree").focus()

    # Keys -----------------------------------------------------------------------------------------------------

    def action_search(self) -> None:
        field = self.query_one("#search", Input)
        field.value = self.filter.text
        field.add_class("open")
        field.focus()

    @on(Input.Submitted, "#search")
    def searched(self, event: Input.Submitted) -> None:
        self.query_one("#search").remove_class("open")
        self._choose(replace(self.filter, text=event.value.strip()))

    def action_close_search(self) -> None:
        field = self.query_one("#search")
        if field.has_class("open"):
            field.remove_class("open")
            self.query_one("#tree").focus()

    def action_purpose(self) -> None:
        names = list(self.analysis.purposes)
        lines = [f"{size_text(self.analysis.purposes[name], ' '):>8}  {name}" for name in names]

        def chosen(number: int | None) -> None:
            if number is not None:
                self._choose(replace(self.filter, purpose=names[number]))

        self.push_screen(Choice("Show only files of one purpose", lines), chosen)

    def action_package(self) -> None:
        owners = self._owners()
        lines = [f"{size_text(owner.size_bytes, ' '):>8}  {words.owner_name(owner)}" for _, owner in owners]

        def chosen(number: int | None) -> None:
            if number is not None:
                self._choose(replace(self.filter, owner=owners[number][0]))

        self.push_screen(Choice("Show only files of one package", lines), chosen)

    def action_layer(self) -> None:
        number = self.query_one("#layers", DataTable).cursor_row
        self._choose(replace(self.filter, layer=None if self.filter.layer == number else number))

    def action_hidden(self) -> None:
        self._choose(replace(self.filter, shows_hidden=not self.filter.shows_hidden))

    def action_sort(self) -> None:
        self.by_name = not self.by_name
        self._show_tree()

    def action_everything(self) -> None:
        self._choose(ALL)
