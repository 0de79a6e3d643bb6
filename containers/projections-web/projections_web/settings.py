"""Django's settings, all from ``environment``. There is no debug mode."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from projections_web import environment, logs

try:
    ENVIRONMENT = environment.read()
except environment.SettingsError as error:
    raise SystemExit(f"the site can't start:\n{error}") from None

BASE_DIR = Path(__file__).resolve().parent.parent
SITE_URL = ENVIRONMENT.site_url
BUCKET_NAME = ENVIRONMENT.bucket_name
RUN_TABLE = ENVIRONMENT.run_table
RESTART_QUEUE_URL = ENVIRONMENT.restart_queue_url
CLUSTER_ARN = ENVIRONMENT.cluster_arn
AWS_REGION = ENVIRONMENT.aws_region
ONBOARD_URL = ENVIRONMENT.onboard_url
DATA_SOURCE = ENVIRONMENT.data_source
DATA_SOURCE_TOKEN = ENVIRONMENT.data_source_token
API_SIGNING_KEY = ENVIRONMENT.api_signing_key
WEBHOOK_SIGNING_KEY = ENVIRONMENT.webhook_signing_key
ADMIN_PASSWORD = ENVIRONMENT.admin_password

DEBUG = False
SECRET_KEY = ENVIRONMENT.django_secret_key
ALLOWED_HOSTS = ENVIRONMENT.hosts
ROOT_URLCONF = "projections_web.urls"
WSGI_APPLICATION = "projections_web.wsgi.application"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "covid",
]
MIDDLEWARE = [
    "projections_web.middleware.Health",  # before anything that may refuse the load balancer's probe
    "projections_web.middleware.RequestLog",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "covid.csp.ContentSecurityPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- database and files ----------------------------------------------------------------------------

DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": ENVIRONMENT.database_host,
        "PORT": ENVIRONMENT.database_port,
        "NAME": ENVIRONMENT.database_name,
        "USER": ENVIRONMENT.database_user,
        "PASSWORD": ENVIRONMENT.database_password,
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "sslmode": ENVIRONMENT.database_sslmode,
            "connect_timeout": 5,
            "options": "-c statement_timeout=30000 -c lock_timeout=10000",
        },
    }
}
if ENVIRONMENT.database_file:
    DATABASES["default"] = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": ENVIRONMENT.database_file,
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},
    }

STATIC_URL = "static/"
# The image has all static files collected here, compressed, named by content; else they are found in place.
STATIC_ROOT = folder if (folder := BASE_DIR / "collected").is_dir() else None
_COLLECTED = STATIC_ROOT is not None
WHITENOISE_USE_FINDERS = not _COLLECTED
STATICFILES_DIRS: list[tuple[str, str]] = []
if not _COLLECTED and (_plotly := find_spec("plotly")) and _plotly.origin:
    STATICFILES_DIRS.append(("vendor", str(Path(_plotly.origin).parent / "package_data")))

STORAGES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": ENVIRONMENT.data_folder, "allow_overwrite": True},
    },
    "staticfiles": {
        "BACKEND": "projections_web.static.CollectedStorage"
        if _COLLECTED
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
if BUCKET_NAME:
    STORAGES["default"] = {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {"bucket_name": BUCKET_NAME, "region_name": AWS_REGION, "file_overwrite": True},
    }

# --- who may do what -------------------------------------------------------------------------------

AUTHENTICATION_BACKENDS = ["covid.accounts.LimitedBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}", "OPTIONS": options}
    for name, options in (
        ("UserAttributeSimilarityValidator", {}),
        ("MinimumLengthValidator", {"min_length": 12}),
        ("CommonPasswordValidator", {}),
    )
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "choose"
LOGOUT_REDIRECT_URL = "login"
PASSWORD_RESET_TIMEOUT = 24 * 3600

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "covid.api.auth.BearerAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["covid.api.parsing.LimitedJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "covid.api.parsing.Pages",
    "EXCEPTION_HANDLER": "covid.api.parsing.answer_error",
    "COERCE_DECIMAL_TO_STRING": False,
}

# The load balancer ends TLS and sets this header; nothing else reaches the port.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = ENVIRONMENT.is_https
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if ENVIRONMENT.is_https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = ENVIRONMENT.is_https
SECURE_REFERRER_POLICY = "same-origin"
# Browsers ignore it on plain HTTP, with an error on each page's console.
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin" if ENVIRONMENT.is_https else None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = ENVIRONMENT.is_https
SESSION_COOKIE_AGE = 12 * 3600
CSRF_COOKIE_HTTPONLY = False  # the pages' own script sends it as a header
CSRF_TRUSTED_ORIGINS = [SITE_URL]
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

# --- the rest --------------------------------------------------------------------------------------

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
LOGGING_CONFIG = "logging.config.dictConfig"
LOGGING = logs.configuration(ENVIRONMENT.log_level)
# Checks that don't apply: HSTS preloading is the domain owner's choice, and http is for the sandbox alone.
SILENCED_SYSTEM_CHECKS = ["security.W021"]
