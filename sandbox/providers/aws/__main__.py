"""The plugin ``pulumi-resource-aws`` of the sandbox: started by the engine, see
``sandbox.providers.install``.
"""

from sandbox.providers.aws.provider import AwsProvider
from sandbox.providers.server import sdk_version, serve

if __name__ == "__main__":
    serve(sdk_version("pulumi_aws"), AwsProvider)
