"""The one exception that is meant for the user's eyes."""


class UserError(Exception):
    """Something the user gave can't be used.

    The message is one line that names the file (and line) at fault and the way out. Scripts print it
    to stderr and exit with code 2, without a traceback; see `common.cli.run`.
    """
