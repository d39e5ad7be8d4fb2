"""What is compressed, archived and deleted, and when.

`proved_time` says what time it is, `plan` what is due, `pace` how much of it one pass may delete; `run` acts, and
`cleanup` clears up what a killed pass left.
"""

from l2vault.vault.retention.plan import Policy, policy_of
from l2vault.vault.retention.run import RetentionReport, run_retention

__all__ = ["Policy", "RetentionReport", "policy_of", "run_retention"]
