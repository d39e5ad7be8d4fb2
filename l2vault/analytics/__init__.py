"""The meaning of what was recorded. In reading order: `plots` (pictures of coverage; more to come)."""
