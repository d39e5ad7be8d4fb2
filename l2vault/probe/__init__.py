"""What a client can measure of OKX from where it is, in a few minutes, without recording anything.

In reading order: `stream` (one channel of one instrument on one connection), `findings` (everything a run collects),
`figures` (percentiles, clock offset, shared sequence numbers), `rows` and `questions` (findings as rows of text and
data), `verdict` (fit to record or why not), `document` (all of it for programs; `verbs/probe.py` lays it out for
people). These are pure. `network` and `rest` look at the recorder's own connections and requests, `run` drives them.
"""
