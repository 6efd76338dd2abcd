"""The words in which a loss is written as a formula."""

from __future__ import annotations

from .evaluation import Evaluation as Evaluation
from .evaluation import Tracked as Tracked
from .operations import exp as exp
from .operations import expm1 as expm1
from .operations import log as log
from .operations import log1p as log1p
from .operations import sqrt as sqrt
from .selection import either as either
from .selection import largest as largest
from .selection import masked as masked
from .selection import stored as stored
from .selection import take as take
from .selection import total as total
from .selection import where as where
