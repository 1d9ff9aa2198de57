"""Hand in JSON that breaks whoever reads it.

A hundred thousand brackets, a number of a million digits, a million cells, a source of the
wrong type: a parser that dies of one of them takes the class along.
"""

import json

NUMBER = "106"
WANTS = "outage"
STOCK = "succeeds: no grade for the student (nbgrader 0.9.6)"
FILES = {
    "nest": "[" * 100_000 + "]" * 100_000,
    "number": '{"nbformat": ' + "9" * 1_000_000 + ', "cells": []}',
    "cells": '{"nbformat": 4, "cells": ['
    + '{"cell_type":"raw"},' * 1_000_000
    + '{"cell_type":"raw"}]}',
    "sources": '{"nbformat": 4, "cells": ['
    + '{"cell_type":"code","source":"1"},' * 500_000
    + '{"cell_type":"raw"}]}',
    "types": '{"nbformat": 4, "nbformat_minor": 5, "metadata": 7, "cells": [{"cell_type": "code", '
    '"metadata": [], "source": {"a": 1}, "outputs": 3, "id": {}}]}',
    "surrogate": '{"nbformat": 4, "cells": [{"cell_type": "code", "source": "\\ud800"}]}',
    "twins": '{"nbformat": 4, "nbformat": 3, "cells": [], "cells": [1], "cells": null}',
    "undefined": '{"nbformat": 4, "cells": [{"cell_type": "code", "source": "1", '
    '"metadata": {"nbgrader": {"grade_id": NaN, "points": Infinity}}}]}',
    "lines": json.dumps(
        {"nbformat": 4, "cells": [{"cell_type": "code", "source": ["\n"] * 10**6}]}
    ),
}


def submissions(work):
    """One student for each file, who is refused or gets nothing; the others lose nothing."""
    return {f"mallory {name}": text for name, text in FILES.items()}
