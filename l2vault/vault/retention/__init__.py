"""What is compressed, archived and deleted, and when: `plan` decides, `run` acts, `tidy` clears up what a kill left."""

from l2vault.vault.retention.plan import Policy, policy_of
from l2vault.vault.retention.run import RetentionReport, run_retention

__all__ = ["Policy", "RetentionReport", "policy_of", "run_retention"]
