"""PostgreSQL: one store for many processes and machines, through psycopg 3."""

from holdfast.engine import Engine, Options, Part
from holdfast.errors import CannotOpen


def connect(url: str, parts: tuple[Part, ...], options: Options) -> Engine:
    """The engine for a URL, whose scheme was taken off."""
    _need_psycopg()
    from holdfast.engines.postgres.engine import PostgresEngine  # noqa: PLC0415

    return PostgresEngine(url, parts, options)


def script(
    url: str, parts: tuple[Part, ...], options: Options, role: str | None
) -> str:
    """The SQL that makes or migrates the tables, and lets a role use them."""
    _need_psycopg()
    from holdfast.engines.postgres.opening import script_for_others  # noqa: PLC0415
    from holdfast.engines.postgres.target import target_of  # noqa: PLC0415

    target = target_of(url, read_only=False)
    return script_for_others(target, parts, options, role)


def _need_psycopg() -> None:
    try:
        import psycopg  # noqa: F401, PLC0415  # an extra, which may not be installed
        import psycopg_pool  # noqa: F401, PLC0415
    except ImportError as error:
        raise CannotOpen(
            f"a store on PostgreSQL needs psycopg, which is not all there ({error}): "
            "pip install 'holdfast[postgres]'"
        ) from None
