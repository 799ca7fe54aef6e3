"""Options of tagging a scene."""

from typing import Annotated, Literal

from pydantic import Field

from amazon_ml.settings import PathText, settings


@settings
class SceneConfig:
    """Options of tagging a scene.

    Parameters
    ----------
    stride
        Pixels from one window to the next; by default the edge of a window. Half of it tags each place twice.
    valid
        Least share of the pixels of a window that must have data; other windows get no tags.
    aoi
        GeoJSON or GeoPackage with polygons: windows outside are not tagged, and areas are counted inside.
    limits
        Limits of the values: those that the ``bundle`` stores, or percentiles of the ``scene``. The latter is for
        values of another kind than the networks were trained on; the scores of the run do not hold for them.
    bands
        Letters of the bands in the order of the files, such as ``bgrn``, and ``?`` for a band that is not used; by
        default the names in the files.
    gsd
        Metres a pixel that the networks expect; by default as the bundle says. The scene is warped to it.
    like
        Folder of another result of `scene predict`: the scene is warped to its grid, so that cells are the same and
        both can be compared.
    nodata
        Value that means no data in files that declare none.
    pixel_coordinates
        Tag a file without a coordinate reference system; the map then has the coordinates of its pixels.
    allow_remote
        Read addresses in a network, too.
    """

    stride: Annotated[int, Field(ge=1)] | None = None
    valid: Annotated[float, Field(ge=0, le=1)] = 0.5
    aoi: PathText | None = None
    limits: Literal["bundle", "scene"] = "bundle"
    bands: str | None = None
    gsd: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    like: PathText | None = None
    nodata: float | None = None
    pixel_coordinates: bool = False
    allow_remote: bool = False


#: All options at their defaults.
SCENE = SceneConfig()
