"""Check that every public name is documented: all sections, a running example.

Prints one line for each problem and the share of public names documented.
"""

import importlib
import inspect
import pkgutil
import re
import sys
from pathlib import Path

import click
from numpydoc.docscrape import NumpyDocString

import sktally


def public_names():
    """Yield (public path, object) of everything in the ``__all__`` of a stage."""
    for info in pkgutil.walk_packages(sktally.__path__, "sktally."):
        if not any(part.startswith("_") for part in info.name.split(".")):
            module = importlib.import_module(info.name)
            for public in getattr(module, "__all__", []):
                yield f"{info.name}.{public}", getattr(module, public)


def shown_names():
    """Return the words in the examples that are run: of docstrings and of docs/."""
    files = [*Path("sktally").rglob("*.py"), *Path("docs").glob("*.md")]
    lines = "\n".join(path.read_text(encoding="utf-8") for path in files).split("\n")
    shown = [line for line in lines if line.strip().startswith((">>> ", "... "))]
    return set(re.findall(r"\w+", "\n".join(shown)))


def problems_of(name, thing, shown):
    """Return what is missing in the documentation of one public name."""
    if not callable(thing):  # its comment is seen to by the build of the documentation
        used = name.rpartition(".")[2] in shown
        return [] if used else [f"{name}: in no example"]
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
    command = isinstance(thing, click.Command)
    texts = [text]
    if inspect.isclass(thing):  # one of its methods may show it
        texts += [
            inspect.getdoc(getattr(thing, method)) or "" for method in vars(thing)
        ]
    if not command and not any(">>> " in each for each in texts):
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
    shown = shown_names()
    for name, thing in names:
        problems = problems_of(name, thing, shown)
        bad += bool(problems)
        print(*problems, sep="\n", end="\n" if problems else "")
    print(f"{len(names) - bad} of {len(names)} public names fully documented")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
