"""Tiles that cannot be read: found before they are predicted, left out where that is requested, and listed."""

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
    """What is done about tiles that cannot be read.

    Parameters
    ----------
    skip
        Leave them out, instead of refusing all tiles.
    may_be_all
        Whether none may be left then, as in one shard of many.
    listing
        CSV to write, with the name of each and what is wrong; none is written by default.
    """

    skip: bool = False
    may_be_all: bool = False
    listing: Path | None = None

    def apply(self, broken: Mapping[str, str], tiles: int, done: str = "") -> None:
        """Refuse tiles that cannot be read, or say which are left out.

        Parameters
        ----------
        broken
            Name of each to what is wrong with it.
        tiles
            How many there are in all.
        done
            What became of the others, for the message.

        Raises
        ------
        InputError
            When there are any and they are not left out, or when there are no others.
        """
        if self.listing is not None:
            write_table(self.listing, pd.DataFrame(broken.items(), columns=["image_name", "reason"]))
        if not broken:
            return
        said = describe_broken(list(broken.values()), tiles)
        whole = f"; {self.listing} lists all" if self.listing else ""
        if self.skip and (self.may_be_all or len(broken) < tiles):
            log.warning("%s of %s tiles cannot be read, and are left out: %s%s", f"{len(broken):,}", f"{tiles:,}",
                        first_faults(list(broken.values())), whole)  # fmt: skip
            return
        if self.skip:
            raise InputError(f"no tile is left: {said}{whole}")
        whole = whole or ", and `broken` FILE.csv lists all"
        raise InputError(f"{said}{done}. `skip_broken` leaves such tiles out{whole}")


#: Tiles that cannot be read are refused.
REFUSE = Policy()
