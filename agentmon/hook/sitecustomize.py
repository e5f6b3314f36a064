"""Loaded by every Python of a run (the run puts this folder in front of PYTHONPATH): waits for HTTP clients.

This file is all that a program without model calls pays for, so it imports nothing but `sys`. Once the program has
imported one of the clients by itself, `agentmon_hook` is loaded and watches that client. Python 3.9 and newer; an older
one, which loads this file too, must be able to read it (so the types of Python 2), and is left alone.
"""

import sys

TYPE_CHECKING = False  # `typing` and `__future__` would take longer than all the rest
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

CLIENTS = frozenset(("httpx", "httpx2", "aiohttp", "urllib3"))  # requests and botocore speak through urllib3
_FOLDER = __file__.replace("\\", "/").rpartition("/")[0]


def watch(module):
    # type: (ModuleType) -> None
    """Let the hook have a client module that was just imported. Never raises."""
    try:
        hook = sys.modules.get("agentmon_hook")
        if hook is None:
            from importlib.util import module_from_spec, spec_from_file_location

            spec = spec_from_file_location("agentmon_hook", _FOLDER + "/agentmon_hook.py")
            if spec is None or spec.loader is None:
                return
            hook = module_from_spec(spec)
            sys.modules["agentmon_hook"] = hook
            spec.loader.exec_module(hook)
        hook.patch(module)
    except Exception:  # the program goes on as if we were not there
        return


class Finder:
    """On sys.meta_path: lets the other finders find a client, and learns when it has been executed."""

    def __init__(self):
        # type: () -> None
        self._busy = set()  # type: set[tuple[str, int]]

    def find_spec(self, fullname, path=None, target=None):
        # type: (str, Sequence[str] | None, ModuleType | None) -> ModuleSpec | None
        """As PEP 451 has it; None for all that is no client."""
        if fullname not in CLIENTS:
            return None
        from _thread import get_ident

        key = (fullname, get_ident())
        if key in self._busy:  # another such hook asks all finders in turn
            return None
        self._busy.add(key)
        try:
            for finder in list(sys.meta_path):
                find = None if finder is self else getattr(finder, "find_spec", None)
                spec = None if find is None else find(fullname, path, target)  # type: ModuleSpec | None
                if spec is not None:
                    _attach(spec)
                    return spec
            return None
        finally:
            self._busy.discard(key)


def _attach(spec):
    # type: (ModuleSpec) -> None
    """Have the loader tell when it has executed the module. It stays the same loader for all who look at it."""
    try:
        loader = spec.loader
        if loader is None:
            return
        execute = loader.exec_module

        def exec_module(module):
            # type: (ModuleType) -> None
            loader.__dict__.pop("exec_module", None)
            execute(module)
            watch(module)

        loader.__dict__["exec_module"] = exec_module
    except Exception:  # a loader without room for it
        return


def _start():
    # type: () -> None
    try:
        import os

        if os.environ.get("AGENTMON_SDK_FILE"):
            for name in CLIENTS.intersection(sys.modules):  # a .pth file was faster
                watch(sys.modules[name])
            sys.meta_path.insert(0, Finder())
    except Exception:  # the program goes on as if we were not there
        return


def _chain():
    # type: () -> None
    """Leave sys.path, and let the sitecustomize have its turn that this one hides."""
    sys.path[:] = [entry for entry in sys.path if entry.replace("\\", "/").rstrip("/") != _FOLDER]
    sys.path_importer_cache.pop(_FOLDER, None)
    own = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # type: ignore[import-not-found]  # (another one, if there is any)
    except ImportError as error:
        if getattr(error, "name", str(error).rpartition(" ")[2]) != "sitecustomize":  # Python 2 has only words for it
            raise
    finally:
        if own is not None:
            sys.modules.setdefault("sitecustomize", own)


if __name__ == "sitecustomize":
    if sys.version_info >= (3, 9):
        _start()
    _chain()
