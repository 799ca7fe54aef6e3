"""Options of reading a scene, of tagging it, and of cutting tiles out of it."""

from typing import Annotated, Literal

from pydantic import Field

from amazon_ml.data.config import LARGEST_EDGE, Separator
from amazon_ml.settings import PathText, settings


@settings
class RasterConfig:
    """Options of reading a scene.

    Parameters
    ----------
    stride
        Pixels from one window to the next; by default the edge of a window. Half of it looks at each place twice.
    valid
        Least share of the pixels of a window that must have data; other windows are left out.
    bands
        Letters of the bands in the order of the files, such as ``bgrn``, and ``?`` for a band that is not used; by
        default the names in the files. For networks that read bands by name: names, separated by commas.
    gsd
        Metres a pixel that the scene is warped to; by default as the bundle says, else the scene is taken as it is.
    nodata
        Value that means no data in files that declare none.
    pixel_coordinates
        Read a file without a coordinate reference system; results then have the coordinates of its pixels.
    allow_remote
        Read addresses in a network, too.
    """

    stride: Annotated[int, Field(ge=1)] | None = None
    valid: Annotated[float, Field(ge=0, le=1)] = 0.5
    bands: str | None = None
    gsd: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    nodata: float | None = None
    pixel_coordinates: bool = False
    allow_remote: bool = False


@settings
class SceneConfig(RasterConfig):
    """Options of tagging a scene.

    Parameters
    ----------
    aoi
        GeoJSON or GeoPackage with polygons: windows outside are not tagged, and areas are counted inside.
    limits
        Limits of the values: those that the ``bundle`` stores, or percentiles of the ``scene``. The latter is for
        values of another kind than the networks were trained on; the scores of the run do not hold for them.
    like
        Folder of another result of `scene predict`: the scene is warped to its grid, and has its stride, so that cells
        are the same and both can be compared.
    """

    aoi: PathText | None = None
    limits: Literal["bundle", "scene"] = "bundle"
    like: PathText | None = None


@settings
class CutConfig(RasterConfig):
    """Options of cutting tiles out of a scene.

    Parameters
    ----------
    size
        Edge of the tiles in pixels.
    tags_column
        Property of the points and polygons that holds their tags.
    tag_separator
        Separator of the tags; any white space by default.
    share
        Least share of a tile that a polygon must cover to give its tags to the tile. A polygon also gives them to a
        tile that holds half of the polygon or more.
    block
        Edge of the blocks of ground that go to one split as a whole, in tiles.
    seed
        Seed of the splits.
    """

    size: Annotated[int, Field(ge=8, le=LARGEST_EDGE)] = 256
    tags_column: str = "tags"
    tag_separator: Separator | None = None
    share: Annotated[float, Field(gt=0, le=1)] = 0.25
    block: Annotated[int, Field(ge=1)] = 4
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0


#: All options at their defaults.
SCENE, CUT = SceneConfig(), CutConfig()
