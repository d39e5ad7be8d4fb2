#!/usr/bin/env bash
# Records order books with l2_exporter.py and passes its arguments on. The first run makes .venv and installs.
# After a crash it starts again, backing off up to a minute; after Ctrl-C, SIGTERM or a usage error it does not.
set -u
here=$(cd "$(dirname "$0")" && pwd)
python="$here/.venv/bin/python"
installed="$here/.venv/.recording"

install() {
    for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11 python; do
        [ -n "$candidate" ] || continue
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        echo "First run: installing into $here/.venv ..." >&2
        [ -x "$python" ] || "$candidate" -m venv "$here/.venv" || return 1
        "$python" -m pip install --quiet -r "$here/requirements.txt" -e "$here" && touch "$installed"
        return
    done
    echo "No Python 3.11 or newer found. Try: install it, or PYTHON=/path/to/python $0" >&2
    return 1
}

if [ ! -e "$installed" ] || [ "$here/requirements.txt" -nt "$installed" ]; then
    install || { echo "Installing failed. Try: check the network, then start again" >&2; exit 1; }
fi

stopping=0
child=
trap 'stopping=1; [ -n "$child" ] && kill -TERM "$child" 2>/dev/null' INT TERM

delay_sec=1
while :; do
    began=$SECONDS
    "$python" "$here/l2_exporter.py" "$@" &
    child=$!
    # A trapped signal ends `wait` early; the recorder then still needs time to close its files.
    wait "$child"; code=$?
    while kill -0 "$child" 2>/dev/null; do wait "$child"; code=$?; done
    child=
    if [ "$stopping" -eq 1 ]; then exit 0; fi
    case $code in 0 | 2 | 130 | 143) exit "$code" ;; esac
    if [ $((SECONDS - began)) -ge 600 ]; then delay_sec=1; fi
    echo "The recorder ended with code $code. Starting again in $delay_sec s; Ctrl-C stops." >&2
    sleep "$delay_sec" & wait $!  # a trapped signal ends the wait at once
    if [ "$stopping" -eq 1 ]; then exit 0; fi
    delay_sec=$((delay_sec * 2 > 60 ? 60 : delay_sec * 2))
done
