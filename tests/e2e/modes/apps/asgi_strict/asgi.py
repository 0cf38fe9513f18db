"""The Starlette app, and around it who reports what it or its server does wrong."""

from main import app as starlette_app
from strict import Strict

app = Strict(starlette_app)
