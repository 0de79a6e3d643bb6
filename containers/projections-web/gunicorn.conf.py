"""gunicorn's settings: few processes, some threads each, since requests mostly wait for others."""

import os

bind = f"{os.environ.get('WEB_HOST', '0.0.0.0')}:{os.environ.get('WEB_PORT', '8000')}"
worker_class = "gthread"
workers = int(os.environ.get("WEB_WORKERS", "2"))
threads = int(os.environ.get("WEB_THREADS", "8"))
timeout = 90
graceful_timeout = 30
keepalive = 75  # longer than the load balancer's 60 s, or it would use connections that we have closed
backlog = 2048
worker_tmp_dir = "/dev/shm"  # the heartbeat of workers must not wait for a disk
preload_app = False
accesslog = None  # the middleware writes one JSON line a request
control_socket_disable = True
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "projections_web.logs.JsonFormatter"}},
    "handlers": {"stream": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stream"], "level": "INFO"},
    "loggers": {"gunicorn.error": {"level": "INFO", "handlers": [], "propagate": True}},
}
