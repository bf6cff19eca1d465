"""Check that every public name is documented: all sections, a running example.

Prints one line for each problem and the share of public names documented.
"""

import importlib
import inspect
import pkgutil
import sys

from numpydoc.docscrape import NumpyDocString

import sktally


def public_names():
    """Yield (qualified name, object) of everything in an ``__all__``."""
    seen = set()
    modules = [sktally.__name__]
    for info in pkgutil.walk_packages(sktally.__path__, "sktally."):
        if not any(part.startswith("_") for part in info.name.split(".")):
            modules.append(info.name)
    for name in modules:
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", []):
            thing = getattr(module, public)
            if callable(thing) and id(thing) not in seen:
                seen.add(id(thing))
                yield f"{thing.__module__}.{public}", thing


def problems_of(name, thing):
    """Return what is missing in the documentation of one public name."""
    text = inspect.getdoc(thing)
    if not text or (inspect.isclass(thing) and "__doc__" not in vars(thing)):
        return [f"{name}: no docstring"]
    doc = NumpyDocString(text)
    found = []
    exception = inspect.isclass(thing) and issubclass(thing, BaseException | Warning)
    estimator = inspect.isclass(thing) and hasattr(thing, "fit")
    if inspect.isfunction(thing) or estimator:
        documented = {
            part.strip().lstrip("*")
            for entry in doc["Parameters"]
            for part in entry.name.split(",")
        }
        for parameter in inspect.signature(thing).parameters:
            if parameter not in documented:
                found.append(f"{name}: parameter {parameter!r} is not documented")
        if not doc["Examples"]:
            found.append(f"{name}: no example")
    if inspect.isclass(thing) and not exception:
        for method, value in vars(thing).items():
            if method.startswith("_") or not inspect.isfunction(value):
                continue
            if not inspect.getdoc(getattr(thing, method)):
                found.append(f"{name}.{method}: no docstring")
    return found


def main():
    """Print problems; exit status 1 if there are any."""
    names = list(public_names())
    bad = 0
    for name, thing in names:
        problems = problems_of(name, thing)
        bad += bool(problems)
        print(*problems, sep="\n", end="\n" if problems else "")
    print(f"{len(names) - bad} of {len(names)} public names fully documented")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
