"""A plugin that runs tests without one safeguard: `FAULTS_WITHOUT=the_key_lasts_for_ever pytest -p faults.without ...`.

What is named is a function of `sabotage`, or a safeguard of `elsewhere` that stands in a statement.
"""

import os

from faults import elsewhere, sabotage
from faults.removal import removed

_name = os.environ["FAULTS_WITHOUT"]
if _name in elsewhere.STATEMENTS:
    _removal = removed(dict([elsewhere.STATEMENTS[_name]]))
    _removal.__enter__()  # for good: this process is for nothing else
else:
    getattr(sabotage, _name)()
