"""The site of the projections: Django's settings, start and middleware. The application is ``covid``."""
