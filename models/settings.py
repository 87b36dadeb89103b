"""Settings: from the environment (`SWAPBED_…`), a TOML file, or the defaults that make Swapbed work on one host.

The file is `$SWAPBED_CONFIG`, else `/etc/swapbed/config.toml`; its keys are the fields below.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource


class OwnStore(BaseModel):
    """The object store that `swapbed up --store` started, as settings: what STATE_DIR/s3/settings.json holds."""

    store_url: str
    store_endpoint: str
    store_access_key: str
    store_secret_key: str


class Settings(BaseSettings):
    """One process's view of where things are. All paths are absolute."""

    model_config = SettingsConfigDict(env_prefix="SWAPBED_", extra="forbid", frozen=True)

    state_dir: Path = Field(default=Path("/var/lib/swapbed"), description="instances, database, store, spools; root only")
    cache_dir: Path = Field(default=Path("/var/cache/swapbed"), description="what can be made again: images, what was found out")
    database_url: str | None = Field(default=None, description="SQLAlchemy URL; default: SQLite in the state directory")
    store_url: str | None = Field(default=None, description="file:///… or s3://bucket[/prefix]; default: in the state directory")
    store_endpoint: str | None = Field(default=None, description="S3 endpoint URL; None: AWS's own")
    store_access_key: str | None = None
    store_secret_key: str | None = None
    store_region: str = "us-east-1"
    prefect_api_url: str | None = Field(default=None, description="a Prefect server to use instead of the local one")
    project: str = "default"
    masked_paths: tuple[Path, ...] = Field(
        default=(Path("/root"), Path("/home"), Path("/etc/swapbed"), Path("/etc/ssh"), Path("/etc/shadow"), Path("/etc/gshadow"),
                 Path("/etc/ssl/private"), Path("/var/lib/postgresql")),
        description="host paths that a node with base `host` must not see, besides the state directory, /run and /tmp")
    criu: Path = Path("/opt/swapbed-criu/criu")
    free_space_bytes: int = Field(default=512 * 2**20, description="refuse to instantiate or dump below this much free disk")

    @property
    def instances_dir(self) -> Path:
        return self.state_dir / "instances"

    @property
    def own_store_file(self) -> Path:
        return self.state_dir / "s3" / "settings.json"

    @property
    def effective_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.state_dir}/swapbed.db"

    @property
    def effective_store_url(self) -> str:
        return self.store_url or f"file://{self.state_dir}/store"

    @classmethod
    def settings_customise_sources(cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource,
                                   env_settings: PydanticBaseSettingsSource, dotenv_settings: PydanticBaseSettingsSource,
                                   file_secret_settings: PydanticBaseSettingsSource) -> tuple[PydanticBaseSettingsSource, ...]:
        file = Path(os.environ.get("SWAPBED_CONFIG", "/etc/swapbed/config.toml"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file)


@lru_cache(maxsize=1)
def settings() -> Settings:
    """This process's settings, read once; tests call `settings.cache_clear()` after changing the environment.

    Where none names a store, it is the one that `swapbed up --store` has started, if any.
    """
    known = Settings()
    if known.store_url is None and (own := own_store(known)) is not None:
        return known.model_copy(update=own.model_dump())
    return known


def own_store(known: Settings) -> OwnStore | None:
    """Who may not read the state directory can use no store in it, and most commands need none."""
    try:
        return OwnStore.model_validate_json(known.own_store_file.read_text())
    except (FileNotFoundError, PermissionError):
        return None
