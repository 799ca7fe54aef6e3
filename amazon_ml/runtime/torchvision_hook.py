"""Makes ``import torchvision`` work if its compiled operators do not load; timm and Lightning import it.

Package indexes pair a CPU build of PyTorch with a torchvision that is built for CUDA. Its operators then do not load,
and ``import torchvision`` ends with "operator torchvision::nms does not exist". Two declared operators are enough for
the import. A call of such an operator still fails, with torchvision's own message.

`install` adds a finder to ``sys.meta_path``. It acts on two modules of torchvision only, after they are executed, and
only where torchvision itself says that its operators are missing. The finder imports nothing before that.
"""

import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

#: The module of torchvision that loads the operators. Everything else of torchvision is imported after it.
_EXTENSION = "torchvision.extension"
#: Operators that torchvision looks up while it is imported.
_OPERATORS = ("nms", "qnms")
#: Operators live as long as the object that declares them.
_declared: list[Any] = []


class _Hook(MetaPathFinder):
    """Finds modules as the other finders do, and wraps the loaders of those in `_LOADERS`."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec that Python would find, with a loader around its loader."""
        if name not in _LOADERS:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Wrapped(spec.loader, _LOADERS[name])
                return spec
        return None


class _Wrapped(Loader):
    """A loader that executes modules with another function; the inner loader does everything else."""

    def __init__(self, inside: Loader, execute: Callable[[Loader, ModuleType], None]) -> None:
        self._inside, self._execute = inside, execute

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Make the module as the inner loader does."""
        return self._inside.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module with its original loader as its attribute."""
        module.__loader__ = self._inside
        if module.__spec__ is not None:
            module.__spec__.loader = self._inside
        self._execute(self._inside, module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inside, name)


def _execute_extension(inside: Loader, module: ModuleType) -> None:
    inside.exec_module(module)
    _declare_missing(module)


def _execute_image(inside: Loader, module: ModuleType) -> None:
    """Execute without the warning on the image decoder, which is missing for the same reason."""
    if not _declared:
        inside.exec_module(module)
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Failed to load (image|'image')", UserWarning)
        inside.exec_module(module)


_LOADERS: dict[str, Callable[[Loader, ModuleType], None]] = {
    _EXTENSION: _execute_extension,
    "torchvision.io.image": _execute_image,
}


def _declare_missing(extension: ModuleType) -> None:
    if _declared or extension._has_ops():
        return
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in _OPERATORS:
        try:
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
        except RuntimeError:  # another library has declared it
            continue
    _declared.append(library)


def install() -> None:
    """Add the finder, once; an import of torchvision that failed before can then be repeated."""
    if not any(isinstance(finder, _Hook) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Hook())
    left_over = sys.modules.get(_EXTENSION)
    if left_over is not None and "torchvision" not in sys.modules:
        _declare_missing(left_over)
