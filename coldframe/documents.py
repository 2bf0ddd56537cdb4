"""YAML files people write by hand: their values, and where each stands, so that a slip is told with its line.

A mapping of columns and the parameters of a marketplace are read here. When a place is wrong, somebody mends the wrong
line; when a password is not masked, it is in a log.
"""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

Place = tuple[str | int, ...]
"""Keys that lead to a value: ('tables', 'order_lines', 'columns', 'region')."""
_PASSWORDS = re.compile(r"(://[^:@/\s]*:|password\s*[:=]\s*)('[^']*'|\S+(?=@)|\S+)", re.IGNORECASE)


class UnfitDocumentError(Exception):
    """Why a file is no YAML with keys, in a sentence that names it. `line` is the line at fault, where there is one."""

    def __init__(self, what: str, line: str = "") -> None:
        super().__init__(what)
        self.line = line


class Fault(NamedTuple):
    """What is wrong at a place; `key` if it is the key there that is wrong, not its value."""

    place: Place
    what: str
    key: bool = False


class Document:
    """Values of one YAML file (text, lists, dicts, and None where nothing is said) and where they stand in it.

    `faults` are keys that are there twice. An empty file has no values; raises UnfitDocumentError for what has no
    keys.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.faults: list[Fault] = []
        self._marks: dict[Place, tuple[Any, Any]] = {}
        try:
            root = yaml.compose(_plain(path), Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark: Any = error.problem_mark or error.context_mark
            line = mark.buffer.splitlines()[mark.line] if mark and mark.line < len(mark.buffer.splitlines()) else ""
            raise UnfitDocumentError(_at(self.name, mark, f"{error.problem}."), line) from error
        except UnicodeDecodeError as error:
            byte = f"byte {error.start:,} is 0x{error.object[error.start]:02x}"
            raise UnfitDocumentError(f"{path} cannot be read: {byte}, which is not UTF-8. Save it as UTF-8.") from error
        except (OSError, yaml.YAMLError) as error:
            raise UnfitDocumentError(f"{path} cannot be read: {' '.join(str(error).split())}.") from error
        if not isinstance(root, yaml.MappingNode | None):
            raise UnfitDocumentError(f"{self.name} holds no keys.")
        self.values: dict[str, Any] = self._value(root, (), root.start_mark) if root else {}

    def tell(self, faults: Iterable[Fault]) -> list[str]:
        """Sentences with the line and its text, in the order of the lines."""
        told = []
        for place, what, key in faults:
            found = next(place[:end] for end in range(len(place), -1, -1) if place[:end] in self._marks)
            told.append((self._marks[found][0 if key else 1], what))
        told.sort(key=lambda entry: entry[0].index)
        return [_at(self.name, mark, what) for mark, what in told]

    def _value(self, node: yaml.Node, place: Place, key: Any) -> Any:
        self._marks[place] = (key, node.start_mark)
        if isinstance(node, yaml.ScalarNode):
            # Numbers, dates and yes/no stay as they are written: columns may be called so, and constants are text.
            return None if node.tag == "tag:yaml.org,2002:null" else node.value
        if isinstance(node, yaml.SequenceNode):
            return [self._value(child, (*place, number), child.start_mark) for number, child in enumerate(node.value)]
        values: dict[str, Any] = {}
        for given, child in node.value:
            name = str(given.value) if isinstance(given, yaml.ScalarNode) else "?"
            inside = (*place, name)
            if name in values:
                self.faults.append(Fault(inside, f"{name!r} is there twice. Keep one.", key=True))
            values[name] = self._value(child, inside, given.start_mark)
        return values


def near(name: str, known: Iterable[str]) -> str:
    """' Did you mean …?', or nothing if no known name is like `name`."""
    lower = {candidate.strip().lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.strip().lower(), lower, n=1)
    return f" Did you mean {lower[found[0]]!r}?" if found else ""


def _plain(path: Path) -> str:
    """Text of a YAML file without anchors: nobody needs them here, and they can make a small file endless."""
    text = path.read_text(encoding="utf-8-sig")
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            mark: Any = event.start_mark
            raise yaml.MarkedYAMLError(problem="anchors (*name) are not used here", problem_mark=mark)
    return text


def _at(name: str, mark: Any, what: str) -> str:
    if mark is None:
        return f"{name}: {what}"
    shown = yaml.Mark(mark.name, mark.index, mark.line, mark.column, _masked(mark.buffer), mark.pointer)
    lines = "\n".join(line.rstrip() for line in str(shown.get_snippet(indent=6)).splitlines())
    return f"{name}, line {mark.line + 1}, column {mark.column + 1}: {what}\n{lines}"


def _masked(text: str) -> str:
    """`text` without passwords, at the same length."""
    return _PASSWORDS.sub(lambda found: found[1] + "*" * len(found[2]), text)
