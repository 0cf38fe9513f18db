"""The Flask app as an ASGI application."""

from app import app as flask_app
from asgiref.wsgi import WsgiToAsgi

app = WsgiToAsgi(flask_app)
