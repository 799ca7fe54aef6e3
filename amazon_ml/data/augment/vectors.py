"""Steps of a few machine instructions each, for compiled loops that turn tiles: Numba has no words for them.

Each function is written in the language of the compiler behind Numba (LLVM), which knows the instructions of each
processor. They take addresses, and check nothing: only `amazon_ml.data.augment.turning` uses them.
"""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

#: Pixels along the edge of a square that `turn_square` moves.
SQUARE = 4
#: Pixels of a piece that `reverse_rgb` moves.
PIECE = 16
#: Bytes that a processor fetches at once.
LINE = 64
#: Bytes that `stream` copies.
WORD = 16

_BYTE, _INT = ir.IntType(8), ir.IntType(32)
#: Bytes of four pixels of three bytes, with one more after each; and without these.
_SPREAD = [0, 1, 2, 0, 3, 4, 5, 0, 6, 7, 8, 0, 9, 10, 11, 0]
_PACKED = [0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14]
_REVERSED = [3 * pixel + band for pixel in reversed(range(PIECE)) for band in range(3)]


def _prefetch(_: Any, address: Any) -> tuple[Any, Callable[..., Any]]:
    def generate(context: Any, builder: Any, _: Any, arguments: Sequence[Any]) -> Any:
        pointer = _BYTE.as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, _INT, _INT, _INT])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        # 0: to read; 2: into the cache that a core has for itself, not into its innermost one; 1: data, not code.
        builder.call(fetch, [builder.inttoptr(arguments[0], pointer), _INT(0), _INT(2), _INT(1)])
        return context.get_dummy_value()

    return types.void(types.uint64), generate


#: ``prefetch(address)`` begins to fetch the line of memory at an address, and does not wait for it.
prefetch: Any = intrinsic(_prefetch)


def _stream(_: Any, source: Any, target: Any) -> tuple[Any, Callable[..., Any]]:
    def generate(context: Any, builder: Any, _: Any, arguments: Sequence[Any]) -> Any:
        values = _load(builder, arguments[0], WORD)
        stored = builder.store(values, builder.inttoptr(arguments[1], values.type.as_pointer()), align=WORD)
        stored.set_metadata("nontemporal", builder.module.add_metadata([_INT(1)]))
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64), generate


#: ``stream(source, target)`` copies `WORD` bytes to an address that is a multiple of `WORD`, past the caches: memory
#: that is overwritten as a whole need not be read before. `finish_streams` must follow before others read it.
stream: Any = intrinsic(_stream)


def _copy_word(_: Any, source: Any, target: Any) -> tuple[Any, Callable[..., Any]]:
    def generate(context: Any, builder: Any, _: Any, arguments: Sequence[Any]) -> Any:
        _store(builder, _load(builder, arguments[0], WORD), arguments[1])
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64), generate


#: ``copy_word(source, target)`` copies `WORD` bytes.
copy_word: Any = intrinsic(_copy_word)


def _finish_streams(_: Any) -> tuple[Any, Callable[..., Any]]:
    def generate(context: Any, builder: Any, _: Any, arguments: Sequence[Any]) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


#: ``finish_streams()`` lets other threads see what was streamed.
finish_streams: Any = intrinsic(_finish_streams)


def _turn_square(bands: int, wide: bool = False) -> Any:
    pixel = ir.IntType(32 if bands == 3 else 8 * bands)
    length = SQUARE * (pixel.width // 8 if wide else bands)
    packed = [*_PACKED, 0, 0, 0, 0][:length]

    def turn(_: Any, source: Any, source_step: Any, target: Any, target_step: Any) -> tuple[Any, Callable[..., Any]]:
        def generate(context: Any, builder: Any, _: Any, arguments: Sequence[Any]) -> Any:
            source, source_step, target, target_step = arguments
            rows = []
            for _ in range(SQUARE):
                row = _load(builder, source, length)
                if bands == 3:
                    row = _pick(builder, row, row, _SPREAD)
                rows.append(builder.bitcast(row, _vector(pixel, SQUARE)))
                source = builder.add(source, source_step)
            for pairs in ([0, 4, 1, 5], [2, 6, 3, 7]):  # columns 0 and 1, then 2 and 3, of two rows each
                above, below = _pick(builder, rows[0], rows[1], pairs), _pick(builder, rows[2], rows[3], pairs)
                for halves in ([0, 1, 4, 5], [2, 3, 6, 7]):
                    column = builder.bitcast(_pick(builder, above, below, halves), _vector(_BYTE, pixel.width // 2))
                    if bands == 3:
                        column = _pick(builder, column, column, packed)
                    _store(builder, column, target)
                    target = builder.add(target, target_step)
            return context.get_dummy_value()

        return types.void(types.uint64, types.uint64, types.uint64, types.uint64), generate

    return intrinsic(turn)


#: By the number of bands, ``turn_square(source, source_step, target, target_step)``: four rows of four pixels of uint8
#: become four columns. A step is the distance of rows in bytes, and wraps around where it is negative.
turn_square: dict[int, Any] = {bands: _turn_square(bands) for bands in (1, 2, 3, 4)}
#: The same where four bytes may be read after each row of the source, and overwritten after each row of the target.
#: This takes fewer instructions for pixels of three bytes.
turn_square_wide: dict[int, Any] = {**turn_square, 3: _turn_square(3, wide=True)}


def _reverse_rgb(_: Any, source: Any, target: Any) -> tuple[Any, Callable[..., Any]]:
    def generate(context: Any, builder: Any, _: Any, arguments: Sequence[Any]) -> Any:
        pixels = _load(builder, arguments[0], 3 * PIECE)
        _store(builder, _pick(builder, pixels, pixels, _REVERSED), arguments[1])
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64), generate


#: ``reverse_rgb(source, target)`` writes sixteen pixels of three bytes in reverse order.
reverse_rgb: Any = intrinsic(_reverse_rgb)


def _vector(of: Any, length: int) -> Any:
    return ir.VectorType(of, length)


def _load(builder: Any, address: Any, count: int) -> Any:
    return builder.load(builder.inttoptr(address, _vector(_BYTE, count).as_pointer()), align=1)


def _store(builder: Any, values: Any, address: Any) -> None:
    builder.store(values, builder.inttoptr(address, values.type.as_pointer()), align=1)


def _pick(builder: Any, first: Any, second: Any, order: Sequence[int]) -> Any:
    """Pick elements of two vectors, numbered through both."""
    return builder.shuffle_vector(first, second, ir.Constant(_vector(_INT, len(order)), order))
