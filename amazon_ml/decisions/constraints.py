"""Rules on combinations of tags, by column: tags that exclude all others, and groups with exactly one tag per tile."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np

from amazon_ml.decisions import plain
from amazon_ml.decisions.matrices import Bools
from amazon_ml.errors import InputError
from amazon_ml.labels import TagSet


@dataclass(frozen=True)
class LabelConstraints:
    """Rules on combinations of tags by column, as `TagSet` declares them by name.

    Parameters
    ----------
    exactly_one
        Columns of which every tile with tags has exactly one; empty if there is no such rule. Tags that exclude each
        other are no such group if a tile may have other tags alone.
    alone
        Columns that exclude every other.

    Raises
    ------
    InputError
        For what is no column, such as the name of a tag, and in `of` for what is no `TagSet`.

    Examples
    --------
    >>> from amazon_ml.labels import TagSet
    >>> tags = TagSet(("clear", "cloudy", "road"), exactly_one=("clear", "cloudy"), alone=("cloudy",))
    >>> LabelConstraints.of(tags)
    LabelConstraints(exactly_one=(0, 1), alone=(1,))
    """

    exactly_one: tuple[int, ...] = ()
    alone: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("exactly_one", "alone"):
            given = getattr(self, name)
            # Columns come in an array or a range, too; the letters of a text are none.
            columns = None if isinstance(given, str | bytes) or not isinstance(given, Iterable) else list(given)
            if columns is None or not all(map(_is_column, columns)):
                raise InputError(
                    f"`{name}` is {given!r}: expected columns, counted from 0", option=name,
                    remedy="name tags in a `TagSet`, and make the constraints with `LabelConstraints.of`",
                )  # fmt: skip
            object.__setattr__(self, name, tuple(map(int, columns)))

    @classmethod
    def of(cls, tags: TagSet) -> Self:
        """Look up the columns of the declared tags."""
        if not isinstance(tags, TagSet):
            raise InputError(f"`tags` is {tags!r}, not a `TagSet`", option="tags",
                             remedy="make one, with its rules `exactly_one` and `alone`")  # fmt: skip
        return cls(*(tuple(map(tags.names.index, declared)) for declared in (tags.exactly_one, tags.alone)))

    def check(self, n_tags: int) -> None:
        """Raise a ValueError if a column is not one of `n_tags`, or is named twice."""
        for name, columns in asdict(self).items():
            wrong = [column for column in columns if not 0 <= column < n_tags]
            if wrong or len(set(columns)) < len(columns):
                raise ValueError(
                    f"constraints.{name} is {columns}: expected different columns from 0 to {n_tags - 1}, "
                    f"since there are {n_tags} tags"
                )

    def broken(self, true: Bools) -> Bools:
        """Find the tiles with tags that break a rule.

        Parameters
        ----------
        true
            True tags, shape (tiles, tags).

        Returns
        -------
        bool array of shape (tiles,).
        """
        broken: Bools = true[:, list(self.alone)].any(axis=1) & (true.sum(axis=1) > 1)
        if self.exactly_one:
            broken |= (true[:, list(self.exactly_one)].sum(axis=1) != 1) & true.any(axis=1)
        return broken

    def to_dict(self) -> dict[str, object]:
        """Return the columns as plain data."""
        return {name: list(columns) for name, columns in asdict(self).items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, object]) -> Self:
        """Make it from the data of `to_dict`."""
        return cls(plain.wholes(content["exactly_one"]), plain.wholes(content["alone"]))


def _is_column(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= 0


#: All tags are independent.
INDEPENDENT = LabelConstraints()
