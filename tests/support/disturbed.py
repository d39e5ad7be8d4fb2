"""A verb that is killed or refused at one act on the file system, and run again: what is wrong with what came of it.

Judged by what the same verb makes undisturbed: every file byte for byte, every event of the journals in order.
"""

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Final

from support.acts import Disk, Fault, Killed
from support.history_verbs import Ran, State, Verb, copied, false_statements, run, state

_PLACE: Final = re.compile(r"\b(?:Vault|C|out|store)\b")
_WAITS: Final = ".out.replaced/"
"""Where an export waits while a new one takes its name."""
_DONE: Final = ("exists already", "nothing of")
"""What is said where the verb was killed when all was done."""

_LINE: Final = re.compile(r"write .*\.jsonl").fullmatch
_NOT_KEPT: Final = "not kept for"
"""What an audit says of its note: what it found it has printed."""

Kill = Callable[[Path, int], None]


class Trial:
    """One verb. Each trial runs in `folder` / `work`, so that what depends on the place is the same."""

    def __init__(self, verb: Verb, folder: Path, variables: Mapping[str, str] | None = None) -> None:
        self.verb = verb
        self._variables = variables
        self._template, self._work = folder / "template", folder / "work"
        self._template.mkdir(parents=True)
        verb.prepare(self._template)
        self._before = state(self.prepared())
        disk = Disk()
        ran = run(verb, self._work, disk, variables)
        if ran.code != verb.code:
            raise AssertionError(f"{verb.name}: {ran}")
        self.acts = disk.acts
        self._wanted = state(self._work)

    def prepared(self) -> Path:
        """The folder as it is before the verb."""
        return copied(self._template, self._work)

    def moments(self, count: int) -> list[int]:
        """So many acts, one at random of each part of the run, the same each time; the last one among them."""
        draw, acts = Random(self.verb.name), len(self.acts)
        bounds = sorted({1 + acts * nth // count for nth in range(count)} | {acts + 1})
        drawn = {draw.randrange(first, after) for first, after in zip(bounds, bounds[1:], strict=False)}
        return sorted({*drawn, acts} if len(drawn) < count else {*sorted(drawn)[:-1], acts})

    @property
    def behind_names(self) -> list[int]:
        """The acts behind those that gave a file its name: what is known of it is not said yet."""
        return [at + 1 for at, act in enumerate(self.acts, 1) if act.startswith("replace ") and at < len(self.acts)]

    @property
    def last_words(self) -> set[int]:
        """The last name that is given, and the last line of a journal: what goes before must not outlive a refusal."""
        last = {act.split()[0]: at for at, act in enumerate(self.acts, 1) if act.startswith("replace ") or _LINE(act)}
        return set(last.values())

    def killed(self, at: int, kill: Kill | None = None) -> Iterator[str]:
        """What is wrong where it is killed at that act, before it is run again and after."""
        folder = self.prepared()
        (kill or self._die)(folder, at)
        yield from self._half_done("killed", state(folder))
        yield from (f"false when killed: {text}" for text in false_statements(folder, self._before))
        yield from self._again()

    def refused(self, fault: Fault, at: int) -> Iterator[str]:
        """What is wrong where the disk refuses from that act on."""
        yield from self._judged(fault, run(self.verb, self.prepared(), Disk(fault, at), self._variables))

    def filled(self, room_bytes: int) -> Iterator[str]:
        """What is wrong where the very disk has no more room than this: keep it small."""
        folder = self.prepared()
        fill = folder.parent / "fill"
        fill.write_bytes(bytes(max(0, shutil.disk_usage(folder).free - room_bytes)))
        ran = run(self.verb, folder, Disk(), self._variables)
        fill.unlink()
        yield from self._judged("full", ran)

    def _judged(self, fault: Fault, ran: Ran) -> Iterator[str]:
        folder, found = self._work, state(self._work)
        if ran.code == self.verb.code:
            if _NOT_KEPT not in ran.err:
                yield from self._differences(f"{fault}, unnoticed", _visible(found))
        else:
            said = [line for line in ran.err.splitlines() if line.startswith("l2vault: ")]
            if ran.code != 1 or len(said) != 1:
                yield f"{fault}: code {ran.code}, {ran.err!r}"
            elif "Try: " not in said[0] or not _PLACE.search(said[0]):
                yield f"{fault}: no file or no cure: {said[0]!r}"
        if fault != "gone":
            left = (name for name in found.files if _is_hidden(name) and ".part" not in name and _WAITS not in name)
            yield from (f"{fault}: {name} is left" for name in left)
        yield from self._half_done(fault, found)
        if fault == "error" and any(_WAITS in name for name in found.files) and "out/coverage.json" not in found.files:
            yield f"{fault}: the export made before has not its name"
        yield from (f"false after {fault}: {text}" for text in false_statements(folder, self._before))
        yield from self._again()

    def _die(self, folder: Path, at: int) -> None:
        try:
            run(self.verb, folder, Disk("kill", at), self._variables)
        except Killed:
            return
        raise AssertionError(f"{self.verb.name} has no act {at}")

    def _half_done(self, when: str, found: State) -> Iterator[str]:
        """Whether a reader meets anything but files as they were or as they will be, and events that will be."""
        held = {name.replace(_WAITS, "out/"): data for name, data in found.files.items()}
        for name, data in _visible(found).files.items():
            if data not in (self._before.files.get(name), self._wanted.files.get(name)):
                yield f"{when}: {name} is neither what it was nor what it will be"
        for name in self._before.files.keys() & self._wanted.files.keys() - held.keys():
            yield f"{when}: {name} is gone"
        for name, events in found.events.items():
            if self._wanted.events.get(name, [])[: len(events)] != events:
                yield f"{when}: the journal of {name} says what it does not undisturbed"

    def _again(self) -> Iterator[str]:
        ran = run(self.verb, self._work, Disk(), self._variables)
        if ran.code != self.verb.code and not any(words in ran.err for words in _DONE):
            yield f"again: code {ran.code}, {ran.err!r}"
        yield from self._differences("again", state(self._work))
        yield from (f"false in the end: {text}" for text in false_statements(self._work, self._before))

    def _differences(self, when: str, found: State) -> Iterator[str]:
        wanted = self._wanted
        for name in sorted(found.files.keys() | wanted.files.keys()):
            if found.files.get(name) != wanted.files.get(name):
                yield f"{when}: {name} is another one than undisturbed"
        for name in found.events.keys() | wanted.events.keys():
            if found.events.get(name) != wanted.events.get(name):
                yield f"{when}: the journal of {name} is another one than undisturbed"


def _visible(found: State) -> State:
    return State({name: data for name, data in found.files.items() if not _is_hidden(name)}, found.events)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))
