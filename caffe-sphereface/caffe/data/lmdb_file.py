"""The records of an LMDB file, read page by page with every offset checked.

The lmdb library maps the file and trusts it: a damaged or truncated database would end the process (SIGBUS, abort).
Layout of LMDB 0.9 data files, 64 bit, little endian: two meta pages, then a B+ tree of branch and leaf pages whose
large values lie in runs of overflow pages.
"""

import os
import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import NoReturn

from caffe.errors import CaffeError, reason

Record = tuple[bytes, Callable[[], bytes]]  # a key, and a function that reads its value

_HEADER = struct.Struct('<QHHHH')
_META = struct.Struct('<16xIIQQ')
_TREE = struct.Struct('<IHHQQQQQ')
_NODE = struct.Struct('<HHHH')
_MAGIC, _VERSION, _NO_ROOT = 0xBEEFC0DE, 1, 2**64 - 1
_BRANCH, _LEAF, _BIG_VALUE = 1, 2, 1
_DEEPEST = 32


class LmdbFile:
    """An LMDB folder opened for reading; `count` is the number of its records."""

    def __init__(self, folder: str) -> None:
        self._path = folder
        try:
            self._file = open(os.path.join(folder, 'data.mdb'), 'rb', buffering=0)
            self._size = os.fstat(self._file.fileno()).st_size
        except (OSError, ValueError) as error:
            raise CaffeError(f'{folder}: is no LMDB folder (data.mdb: {reason(error)})') from None
        first = self._meta(0)
        self._page_size = first[0] if first else 4096
        metas = [meta for meta in (first, self._meta(self._page_size)) if meta]
        if not metas:
            raise CaffeError(f'{folder}: is not a readable LMDB (no meta page)')
        self._page_size, self.count, self._root, last, _ = max(metas, key=lambda meta: meta[-1])
        if self._size < (last + 1) * self._page_size and not self._is_whole():
            raise CaffeError(
                f'{folder}: LMDB is truncated, data.mdb has {self._size} bytes, expected {(last + 1) * self._page_size}'
            )

    def _meta(self, offset: int) -> tuple[int, int, int, int, int] | None:
        """(page size, records, root page, last page, transaction) of a meta page, None for any other page."""
        size = _META.size + 2 * _TREE.size + 16
        page = os.pread(self._file.fileno(), size, offset)
        if len(page) < size or _META.unpack_from(page)[:2] != (_MAGIC, _VERSION):
            return None
        free, main = (_TREE.unpack_from(page, _META.size + i * _TREE.size) for i in (0, 1))
        last, transaction = struct.unpack_from('<QQ', page, size - 16)
        page_size = free[0]
        if page_size < 512 or page_size > 65536 or page_size & (page_size - 1):
            return None
        return page_size, main[6], main[7], last, transaction

    def _is_whole(self) -> bool:
        """Whether all records are there, as in a file that ends early since LMDB never wrote pages freed at once."""
        try:
            return all(True for _ in self.records())
        except CaffeError:
            return False

    def records(self) -> Iterator[Record]:
        """Yield (key, fetch) in the order of keys; `fetch()` reads the value, from any thread."""
        if self._root == _NO_ROOT:
            return
        stack, found = [self._nodes(self._root)], 0
        while stack:
            node = next(stack[-1], None)
            if node is None:
                stack.pop()
            elif isinstance(node, int):
                if len(stack) == _DEEPEST:
                    self._damaged('the tree is too deep')
                stack.append(self._nodes(node))
            else:
                found += 1
                if found > self.count:
                    break
                yield node
        if found != self.count:
            self._damaged(f'the tree has not the {self.count} records that it claims')

    def _nodes(self, number: int) -> Iterator[int | Record]:
        """Yield what a page holds: the numbers of pages below it, or (key, fetch) of its records."""
        page = self._read(number * self._page_size, self._page_size)
        stated, _, flags, lower, _ = _HEADER.unpack_from(page)
        kind = flags & (_BRANCH | _LEAF)
        count = (lower - _HEADER.size) // 2
        if stated != number or kind not in (_BRANCH, _LEAF) or not 0 < count <= self._page_size // 2 - 8:
            self._damaged(f'page {number}')
        for start in struct.unpack_from(f'<{count}H', page, _HEADER.size):
            if start + _NODE.size > self._page_size:
                self._damaged(f'page {number}')
            low, high, flags, key_size = _NODE.unpack_from(page, start)
            if kind == _BRANCH:
                yield low | high << 16 | flags << 32
            else:
                yield self._record(page, number, start + _NODE.size, low | high << 16, flags, key_size)

    def _record(self, page: bytes, number: int, start: int, size: int, flags: int, key_size: int) -> Record:
        value = start + key_size
        if flags not in (0, _BIG_VALUE) or value + (8 if flags else size) > self._page_size:
            self._damaged(f'page {number}')
        if not flags:
            return page[start:value], partial(bytes, page[value : value + size])
        offset = struct.unpack_from('<Q', page, value)[0] * self._page_size + _HEADER.size
        if offset + size > self._size:
            self._damaged(f'page {number}')
        return page[start:value], partial(self._read, offset, size)

    def _read(self, offset: int, size: int) -> bytes:
        content = b'' if offset >= 2**63 else os.pread(self._file.fileno(), size, offset)
        if len(content) != size:
            self._damaged('it ends early')
        return content

    def _damaged(self, what: str) -> NoReturn:
        raise CaffeError(f'{self._path}: the LMDB is damaged ({what})')
