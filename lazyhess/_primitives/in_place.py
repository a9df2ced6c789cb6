"""Functions that write into their argument: a Variable refuses them."""

from __future__ import annotations

from functools import partial

import numpy as np

from lazyhess._record.primitive import FUNCTIONS, refuse_in_place

IN_PLACE = (np.copyto, np.put, np.place, np.putmask, np.fill_diagonal, np.put_along_axis)

for _function in IN_PLACE:
    FUNCTIONS[_function] = partial(
        refuse_in_place,
        f"numpy.{_function.__name__}",
        "use np.where, or put the parts together with np.concatenate",
    )
