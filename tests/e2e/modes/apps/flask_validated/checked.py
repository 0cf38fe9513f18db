"""The Flask app, and between it and the server who reports what either of them does wrong."""

from wsgiref.validate import validator

from app import app as flask_app

checked = validator(flask_app)


def application(environ, start_response):
    return checked(environ, start_response)
