"""Faults in the text of a push: keys that are missing or new, and text that is no JSON or no longer well-typed.

Each is a function of one struck push and gives what is sent instead.
"""

import re
from typing import Any, Final

import msgspec

from l2vault.book.change import BookChange
from l2vault.sim.fault_scene import Scene
from l2vault.sim.frame import Frame, Item

_STRUCTURE: Final = re.compile(r'[{}\[\]:,"]')
_QUOTED_NUMBER: Final = re.compile(r'"(\d+(?:\.\d+)?)"')


def corrupt(frame: Frame, change: BookChange, scene: Scene) -> list[Item]:
    """A byte flipped or the end cut off, so that it is no JSON; or a number without its quotes, which still is."""
    dice, text = scene.dice(frame), frame.text
    how = scene.fault.word("how")
    if how == "cut":
        return [frame._replace(text=text[: dice.randrange(1, max(len(text), 2))])]
    marks = list((_STRUCTURE if how == "flip" else _QUOTED_NUMBER).finditer(text))
    if not marks:
        return [frame]
    mark = dice.choice(marks)
    # A tilde is JSON only inside a string, and no string of a push could end where this one then would.
    instead = "~" if how == "flip" else mark[1]
    return [frame._replace(text=text[: mark.start()] + instead + text[mark.end() :])]


def missing(frame: Frame, change: BookChange, scene: Scene) -> list[Item]:
    name = scene.fault.word("field")
    push: dict[str, Any] = msgspec.json.decode(frame.text)
    for part in _parts(push).values():
        part.pop(name, None)
    return [_encoded(frame, push)]


def unknown_field(frame: Frame, change: BookChange, scene: Scene) -> list[Item]:
    """A key nobody knows yet, in the envelope, its `arg` or its data; or a fifth member in the first levels."""
    push: dict[str, Any] = msgspec.json.decode(frame.text)
    parts, where = _parts(push), scene.fault.word("where")
    if where == "level":
        for side in ("asks", "bids"):
            levels = parts["data"].get(side, [])
            levels[:1] = [[*level, "0"] for level in levels[:1]]
    else:
        parts[where]["newField"] = {"since": "2027", "values": [1, "2", None]}
    return [_encoded(frame, push)]


def _parts(push: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Where keys are. One that an earlier fault took away is an empty part that nobody will see."""
    return {"push": push, "arg": push.get("arg", {}), "data": (push.get("data") or [{}])[0]}


def _encoded(frame: Frame, push: dict[str, Any]) -> Frame:
    return frame._replace(text=msgspec.json.encode(push).decode())
