#!/usr/bin/env bash
# Records order books with l2_exporter.py and passes its arguments on. The first run makes .venv and installs.
# After a crash it starts again, backing off up to a minute; after Ctrl-C, SIGTERM or a usage error it does not.
set -u
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
python="$here/.venv/bin/python"
installed="$here/.venv/.recording"

find_python() {
    for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11 python; do
        [ -n "$candidate" ] || continue
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && return
    done
    echo "No Python 3.11 or newer found. Try: install it, or PYTHON=/path/to/python $0" >&2
    exit 1
}

install() {
    # pip comes last into a new .venv, so one without it was cut short and is made again.
    if ! "$python" -m pip --version >/dev/null 2>&1; then
        find_python
        [ -x "$python" ] || rm -f "$here"/.venv/bin/python*  # links to one that is gone, which venv would keep
        "$candidate" -m venv "$here/.venv" || return
    fi
    "$python" -m pip install --quiet -r "$here/requirements.txt" -e "$here" && touch "$installed"
}

if [ ! -x "$python" ] || [ ! -e "$installed" ] || [ "$here/requirements.txt" -nt "$installed" ]; then
    echo "Installing into $here/.venv ..." >&2
    install || { echo "Installing failed. Try: see what it says above, then start again" >&2; exit 1; }
fi

stopping=0
child=
trap 'stopping=1; [ -n "$child" ] && kill -TERM "$child" 2>/dev/null' INT TERM HUP

delay_sec=1
while :; do
    began=$SECONDS
    "$python" "$here/l2_exporter.py" "$@" &
    child=$!
    if [ "$stopping" -eq 1 ]; then kill -TERM "$child" 2>/dev/null; fi
    # A trapped signal ends `wait` early; the recorder then still needs time to close its files.
    wait "$child"; code=$?
    while kill -0 "$child" 2>/dev/null; do wait "$child"; code=$?; done
    child=
    if [ "$stopping" -eq 1 ]; then exit 0; fi
    case $code in 0 | 2 | 130 | 143) exit "$code" ;; esac
    if [ $((SECONDS - began)) -ge 600 ]; then delay_sec=1; fi
    echo "The recorder ended with code $code. Starting again in $delay_sec s; Ctrl-C stops." >&2
    sleep "$delay_sec" &
    child=$!  # a signal ends it, and so the wait, whichever of the two it comes before
    if [ "$stopping" -eq 1 ]; then kill -TERM "$child" 2>/dev/null; fi
    wait "$child"
    child=
    if [ "$stopping" -eq 1 ]; then exit 0; fi
    delay_sec=$((delay_sec * 2 > 60 ? 60 : delay_sec * 2))
done
