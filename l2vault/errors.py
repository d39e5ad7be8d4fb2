"""Every error l2vault raises on purpose. Each message says what, which file, key or instrument, and the cure."""


class L2VaultError(Exception):
    """Root of our errors. `cure` is what the user can do about it; printed after the message."""

    exit_code = 1

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.message} Try: {self.cure}" if self.cure else self.message


class UsageError(L2VaultError):
    """The command line, the environment or the config file asks for something impossible: exit code 2."""

    exit_code = 2


class LevelError(L2VaultError):
    """A price or quantity on the wire is not a plain decimal number."""


class LineError(L2VaultError):
    """A line of a vault file is not a snapshot line as `docs/format.md` defines it."""


class VaultError(L2VaultError):
    """The vault cannot be used: locked, unwritable, or not a vault."""


class RestError(L2VaultError):
    """OKX's REST interface refused, failed or answered something unreadable."""


class CaptureError(L2VaultError):
    """A capture file cannot be read or holds no order book frames."""
