"""Handle tiles that cannot be read: refuse them, or leave them out on request, and list them."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from amazon_ml.data.readers.broken import describe_broken, first_faults
from amazon_ml.errors import InputError
from amazon_ml.runtime.files import write_table

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Policy:
    """How tiles that cannot be read are handled.

    Parameters
    ----------
    skip
        Leave them out, instead of refusing the folder.
    may_be_all
        Whether all tiles may be left out, as in one shard of many.
    listing
        CSV to write, with the name and the fault of each; none is written by default.
    """

    skip: bool = False
    may_be_all: bool = False
    listing: Path | None = None

    def apply(self, broken: Mapping[str, str], tiles: int, done: str = "") -> None:
        """Refuse tiles that cannot be read, or log which are left out.

        Parameters
        ----------
        broken
            The fault of each by its name.
        tiles
            Number of all tiles.
        done
            Where the others were saved, for the message.

        Raises
        ------
        InputError
            Where there are any and they are not left out, or where no tile is left.
        """
        if self.listing is not None:
            write_table(self.listing, pd.DataFrame(broken.items(), columns=["image_name", "reason"]))
        if not broken:
            return
        faults = describe_broken(list(broken.values()), tiles)
        whole = f"; {self.listing} lists all" if self.listing else ""
        if self.skip and (self.may_be_all or len(broken) < tiles):
            log.warning("%s of %s tiles cannot be read, and are left out: %s%s", f"{len(broken):,}", f"{tiles:,}",
                        first_faults(list(broken.values())), whole)  # fmt: skip
            return
        if self.skip:
            raise InputError(f"no tile is left: {faults}{whole}")
        whole = whole or ", and `broken` FILE.csv lists all"
        raise InputError(f"{faults}{done}. `skip_broken` leaves such tiles out{whole}")


#: Tiles that cannot be read are refused.
REFUSE = Policy()
