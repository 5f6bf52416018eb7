"""`dataclass`, `field` and `replace` as the standard library has them, for slotted classes, at a tenth of the cost.

The standard decorator compiles six functions for each class when its module is imported: 0.8 ms a class, and most of the
time that a cached build took. This one compiles the `__init__` of a class when it has made a few values, shares the code
of all other methods between classes, and makes the standard library's own description of a class (for `fields`, `asdict`
and `is_dataclass`) when it is asked for. A type checker sees the standard decorator.

Left out, because no class here uses it: ordering, `InitVar`, `init=False`, class variables, classes without slots.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass, field, replace

    __all__ = ["dataclass", "field", "names_of", "replace"]

    def names_of(value: object) -> tuple[str, ...]:
        """The names of a value's fields, inherited ones first."""
else:
    from operator import attrgetter

    _NONE = object()

    class _Field:
        """What a class says of one field beside its annotation."""

        __slots__ = ("annotation", "compare", "default", "factory", "is_kw_only", "repr")

        def __init__(self, default, factory, repr, compare):
            self.default, self.factory, self.repr, self.compare = default, factory, repr, compare
            self.annotation, self.is_kw_only = "", False

    def field(*, default=_NONE, default_factory=_NONE, repr=True, compare=True):
        return _Field(default, default_factory, repr, compare)

    def names_of(value):
        return tuple(value._fields_of_value)

    def replace(value, /, **changes):
        """A value of the same class with some fields changed. Raises TypeError: it has no such field."""
        for name in value._fields_of_value:
            if name not in changes:
                changes[name] = getattr(value, name)
        return value.__class__(**changes)

    def dataclass(*, slots, frozen=False, kw_only=False, eq=True):
        if not slots:
            raise TypeError("values have slots: say slots=True")
        return lambda cls: _make(cls, frozen, kw_only, eq)

    def _make(cls, is_frozen, is_kw_only, has_eq):
        given = cls.__dict__
        own = _own_fields(cls, given, is_kw_only)
        fields = {}
        for base in cls.__mro__[:0:-1]:
            fields.update(base.__dict__.get("_fields_of_value", ()))
        slots = tuple([name for name in own if name not in fields])
        fields.update(own)

        # All before the class is made: each method set on a class that is there makes it look all its slots over again.
        first = _FirstInit(fields)
        body = {"__init__": first.method(), "__repr__": _repr}
        if has_eq:
            key = _key(fields)
            body["__eq__"] = _eq(key)
            body["__hash__"] = _hash(key) if is_frozen else None
        if is_frozen:
            body.update(_FROZEN)
        body.update(given)
        for name in own:
            body.pop(name, None)
        body.pop("__dict__", None)
        body.pop("__weakref__", None)
        body["__slots__"] = slots
        body["__match_args__"] = tuple([name for name, each in fields.items() if not each.is_kw_only])
        body["__dataclass_fields__"] = _DESCRIBED
        body["_fields_of_value"] = fields
        body["__qualname__"] = cls.__qualname__
        first.cls = made = type(cls)(cls.__name__, cls.__bases__, body)
        return made

    def _own_fields(cls, given, is_kw_only):
        own = {}
        for name, annotation in cls.__annotations__.items():
            each = given.get(name, _NONE)
            if each.__class__ is not _Field:
                if isinstance(each, (list, dict, set)):
                    raise TypeError(f"the default of {name} is mutable: use default_factory")
                each = _Field(each, _NONE, True, True)
            each.annotation, each.is_kw_only = annotation, is_kw_only
            own[name] = each
        return own

    _FEW = 64
    """So many values of a class cost less to fill field by field than to compile an `__init__` for them."""

    class _FirstInit:
        """The `__init__` of a class until it has made a few values, then it compiles its successor."""

        __slots__ = ("cls", "fields", "left", "plan")

        def __init__(self, fields):
            self.cls, self.fields, self.left, self.plan = None, fields, _FEW, None

        def method(self):
            first = self

            def __init__(self, *given, **named):
                first.left -= 1
                if first.left < 0 or not first.fill(self, given, named):
                    # Also where the arguments are wrong: the compiled one says so as Python does.
                    first.cls.__init__ = init = _compiled_init(first.cls, first.fields)
                    init(self, *given, **named)

            return __init__

        def fill(self, value, given, named):
            """Sets all fields; False: the arguments do not fit."""
            plan = self.plan
            if plan is None:
                self.plan = plan = [
                    (name, getattr(self.cls, name).__set__, each.is_kw_only, each.default, each.factory)
                    for name, each in self.fields.items()
                ]
            position, count, unused = 0, len(given), len(named)
            for name, assign, is_kw_only, default, factory in plan:
                if not is_kw_only and position < count:
                    if name in named:
                        return False
                    assign(value, given[position])
                    position += 1
                elif name in named:
                    assign(value, named[name])
                    unused -= 1
                elif factory is not _NONE:
                    assign(value, factory())
                elif default is not _NONE:
                    assign(value, default)
                else:
                    return False
            if position < count or unused:
                return False
            if hasattr(self.cls, "__post_init__"):
                value.__post_init__()
            return True

    def _compiled_init(cls, fields):
        """Fills a value by plain assignments, while it is of a twin of its class that does not refuse them.

        That takes half of what the calls of the slots' setters take. A value of a further class has no such twin.
        """
        names = {"_none": _NONE, "_set": object.__setattr__, "_class": cls}
        head, kw_only, given = [], [], {}
        for name, each in fields.items():
            parameter, given[name] = name, name
            if each.factory is not _NONE:
                names[f"_new_{name}"] = each.factory
                parameter = f"{name}=_none"
                given[name] = f"_new_{name}() if {name} is _none else {name}"
            elif each.default is not _NONE:
                names[f"_default_{name}"] = each.default
                parameter = f"{name}=_default_{name}"
            (kw_only if each.is_kw_only else head).append(parameter)
        lines = [f" _self.{name} = {value}" for name, value in given.items()]
        if lines and cls.__setattr__ is not object.__setattr__:
            names["_twin"] = _assignable(cls)
            lines = [
                " if _self.__class__ is _class:",
                '  _set(_self, "__class__", _twin)',
                *(f" {line}" for line in lines),
                "  _self.__class__ = _class",
                " else:",
                *(f'  _set(_self, "{name}", {value})' for name, value in given.items()),
            ]
        if hasattr(cls, "__post_init__"):
            lines.append(" _self.__post_init__()")
        if kw_only:
            head += ["*", *kw_only]
        text = f"def __init__(_self, {', '.join(head)}):\n" + "\n".join(lines or [" pass"])
        exec(text, names)  # the text is made of the names of fields only
        init = names["__init__"]
        init.__qualname__, init.__module__ = f"{cls.__qualname__}.__init__", cls.__module__
        return init

    def _assignable(cls):
        """A class of the same layout whose values take assignments."""
        body = {"__slots__": cls.__slots__, "__setattr__": object.__setattr__, "__delattr__": object.__delattr__}
        return type(cls)(cls.__name__, cls.__bases__, body)

    def _key(fields):
        names = [name for name, each in fields.items() if each.compare]
        if len(names) > 1:
            return attrgetter(*names)
        return (lambda value: (getattr(value, names[0]),)) if names else (lambda value: ())

    def _eq(key):
        def __eq__(self, other):
            if other.__class__ is not self.__class__:
                return NotImplemented
            return key(self) == key(other)

        return __eq__

    def _hash(key):
        return lambda self: hash(key(self))

    def _repr(self):
        shown = [f"{name}={getattr(self, name)!r}" for name, each in self._fields_of_value.items() if each.repr]
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def _refusal(verb):
        def refuse(self, name, value=None, /):
            from dataclasses import FrozenInstanceError

            raise FrozenInstanceError(f"cannot {verb} field {name!r}")

        return refuse

    def _getstate(self):
        return [getattr(self, name) for name in self._fields_of_value]

    def _setstate(self, state):
        for name, value in zip(self._fields_of_value, state, strict=True):
            object.__setattr__(self, name, value)

    _FROZEN = {
        "__setattr__": _refusal("assign to"),
        "__delattr__": _refusal("delete"),
        "__getstate__": _getstate,
        "__setstate__": _setstate,
    }

    class _Described:
        """`__dataclass_fields__`, made when it is first asked for."""

        def __get__(self, value, cls):
            import dataclasses

            def described(each):
                default = dataclasses.MISSING if each.default is _NONE else each.default
                given = {"default_factory": each.factory} if each.factory is not _NONE else {"default": default}
                return dataclasses.field(repr=each.repr, compare=each.compare, kw_only=each.is_kw_only, **given)

            fields = cls._fields_of_value
            twin = dataclasses.make_dataclass(
                cls.__name__,
                [(name, each.annotation, described(each)) for name, each in fields.items()],
                eq=False,
                repr=False,
                init=False,
            )
            cls.__dataclass_fields__ = twin.__dataclass_fields__
            return cls.__dataclass_fields__

    _DESCRIBED = _Described()
