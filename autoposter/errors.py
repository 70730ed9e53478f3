"""What can go wrong for a person, sorted by what they can do about it.

AutoposterError       one sentence for a person; the command line prints it and exits with `exit_code`
 |- Refused           1: the answer is no
 |- WrongUsage        2: the command or a setting is wrong
 `- OutOfReach        3: the database or the broker cannot be reached
"""


class AutoposterError(Exception):
    """One sentence that says what is wrong and what to do."""

    exit_code = 1


class Refused(AutoposterError):
    """The answer is no: nothing was changed."""

    exit_code = 1


class WrongUsage(AutoposterError):
    """The call or a setting is wrong: nothing was done."""

    exit_code = 2


class OutOfReach(AutoposterError):
    """The database or the broker cannot be reached."""

    exit_code = 3
