"""``python -m sandbox.providers.random <engine address>``: the plugin that the engine starts."""

from sandbox.providers.random.provider import RandomProvider
from sandbox.providers.server import sdk_version, serve

if __name__ == "__main__":
    serve(sdk_version("pulumi_random"), RandomProvider)
