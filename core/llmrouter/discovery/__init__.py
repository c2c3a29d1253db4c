"""Which models there are: the providers' own lists, read in the background and kept on disk.

Never on the path of a request. What is found joins the world by a swap, so a request keeps the one it began with.
"""

from __future__ import annotations

from .asking import Asked, ask_all, can_list
from .background import Discovery
from .file import ListFile
from .told import Told, told

__all__ = ["Asked", "Discovery", "ListFile", "Told", "ask_all", "can_list", "told"]
