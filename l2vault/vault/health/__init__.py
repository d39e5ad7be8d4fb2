"""How the recorder is, for whoever is not the recorder. In reading order: `form` (the file `health.json`), `judge`
(whether that is healthy, in sentences), `look` (both, of a vault), `metrics` (the same for Prometheus)."""
