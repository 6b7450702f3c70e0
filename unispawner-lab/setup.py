"""Refuses to make a wheel without the built extension; all the rest is in pyproject.toml."""

from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent

if not list((HERE / "labextension" / "static").glob("remoteEntry.*.js")):
    raise SystemExit(
        "labextension: JupyterLab's part is not built yet. Run ci/lab, which builds "
        "it and the wheel."
    )
setup()
