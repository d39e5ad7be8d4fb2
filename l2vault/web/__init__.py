"""The screen: a page in the browser on what a vault holds, live and past, with its holes. A process of its own that
only reads, so that it can neither slow nor stop the recorder. In reading order:

- `guard` (who may ask: host, origin, token, and the headers of every answer).
- `tile` (an hour of books as cells of time and price), `tile_files` (on disk), `tiles` (made and kept in bounded
  memory), `ahead` (made before anybody asks), `turns` (one heavy piece of work at a time), `window` (tiles put together
  for a screen, and as bytes).
- `beside` (volumes, basis, funding and open interest for the same screen), `recorder` (what is shown of the recorder).
- `arrow` (rows as Arrow), `openapi` (what may be asked, and the form of each answer).
- `answers` (what each route of `/api` answers, every time with its coverage), `live` (new lines to open pages).
- `app` (the routes), `serve` (the process). `static/` is the page: ES modules as they are, no build step.
"""
