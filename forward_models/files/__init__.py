"""Files of the Acoustics Toolbox: environments (``.env``) and field parameters (``.flp``)."""

from forward_models.files.env import EnvFile, read_env, read_env_profiles, write_env
from forward_models.files.flp import FlpFile, read_flp

__all__ = ["EnvFile", "FlpFile", "read_env", "read_env_profiles", "read_flp", "write_env"]
