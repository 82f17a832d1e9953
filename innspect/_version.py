"""The version, said once: setup.cfg and the package read it here."""

__version__ = "0.1.0"
