"""Static files in the image: compressed, and named by their content so that browsers keep them for ever."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class CollectedStorage(CompressedManifestStaticFilesStorage):
    """Also renames what the pages' JavaScript modules import from each other."""

    support_js_module_import_aggregation = True
