"""What `buntime new --kind` writes for frameworks: their files, and the manifest that they need.

Dash's and Streamlit's are those of docs/recipes.md.
"""

_FLASK = '''\
"""A first app with Flask."""

from flask import Flask, url_for
from markupsafe import escape

app = Flask(__name__)


@app.get("/")
def home():
    return f"<h1>Hello!</h1><p><a href='{url_for('greet', name='Ada')}'>Ada</a>\\n"


@app.get("/hello/<name>")
def greet(name):
    return f"<h1>Hello, {escape(name)}!</h1>\\n"
'''

_FASTAPI = '''\
"""A first app with FastAPI. Its pages of documentation are at /docs below its base."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def home():
    return {"hello": "world"}


@app.get("/hello/{name}")
async def greet(name: str):
    return {"hello": name}
'''

_STARLETTE = '''\
"""A first app with Starlette."""

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route


async def home(request):
    return JSONResponse({"hello": "world"})


async def greet(request):
    return JSONResponse({"hello": request.path_params["name"]})


app = Starlette(routes=[Route("/", home), Route("/hello/{name}", greet)])
'''

_DJANGO = '''\
"""A first app with Django. A project has `entrypoint: mysite.wsgi:application` instead."""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path, reverse
from django.utils.html import escape

settings.configure(
    ALLOWED_HOSTS=["*"],  # name its hosts here before others can reach it
    ROOT_URLCONF=__name__,
    SECRET_KEY="none yet",  # signing needs a key of its own, from a file
)


def home(request):
    return HttpResponse(f"<h1>Hello!</h1><p><a href='{reverse('greet', args=['Ada'])}'>Ada</a>\\n")


def greet(request, name):
    return HttpResponse(f"<h1>Hello, {escape(name)}!</h1>\\n")


urlpatterns = [path("", home), path("hello/<str:name>", greet, name="greet")]
application = get_wsgi_application()
'''

_DASH = '''\
"""A first app with Dash, which needs to know its base while it loads."""

import os

from dash import Dash, Input, Output, callback, dcc, html

dash = Dash(
    routes_pathname_prefix="/",
    requests_pathname_prefix=os.environ["APP_BASE"] + "/",
)
dash.layout = html.Div([dcc.Input(id="name"), html.Div(id="greeting")])
app = dash.server


@callback(Output("greeting", "children"), Input("name", "value"))
def greet(name):
    return f"Hello, {name}!"
'''

_STREAMLIT = '''\
"""A first app with Streamlit: its page is page.py. `streamlit run` is not called."""

from streamlit.starlette import App

app = App("page.py")
'''

_STREAMLIT_PAGE = """\
import streamlit as st

name = st.text_input("Name", key="name")
if name:
    st.write(f"Hello, {name}!")
upload = st.file_uploader("File")
if upload:
    st.write(f"{len(upload.getvalue())} bytes")
"""

_SESSIONS_MANIFEST = """\
# The sessions of visitors are in the worker's memory: it stays, whatever its age and the number of
# requests that it has served, and who was there before a deploy goes on with it for an hour.
# docs/manifest.md has all keys.
ttl: none
maxRequests: none
affinity: cookie
"""

_MANIFEST = """\
# A framework takes long to load: a worker stays for an hour and takes request after request.
ttl: 1h
"""

FRAMEWORKS = {
    name: {"app.py": code, "buntime.yaml": _MANIFEST}
    for name, code in {
        "flask": _FLASK,
        "fastapi": _FASTAPI,
        "starlette": _STARLETTE,
        "django": _DJANGO,
        "dash": _DASH,
    }.items()
} | {
    "streamlit": {
        "app.py": _STREAMLIT,
        "page.py": _STREAMLIT_PAGE,
        "buntime.yaml": _SESSIONS_MANIFEST,
    }
}
