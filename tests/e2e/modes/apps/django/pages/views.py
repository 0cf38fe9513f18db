"""A shop in Django."""

import asyncio
import hashlib
import json
import os
from collections import defaultdict
from threading import Event

from django.contrib import messages
from django.http import (
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST, require_safe

gates = defaultdict(Event)


@require_safe
def index(request):
    return render(request, "pages/page.html", {"name": "Zoë & co"})


@require_safe
def show_item(request, item):
    return JsonResponse(
        {
            "item": item,
            "args": [[name, value] for name, values in request.GET.lists() for value in values],
            "url": request.build_absolute_uri(reverse("item", args=[item])),
            "worker": os.environ["WORKER_ID"],
        }
    )


@require_safe
def greet(request, name):
    return JsonResponse({"name": name, "url": reverse("greet", args=[name])})


@require_safe
def old(request):
    return redirect("item", 7)


@require_safe
def folder(request):
    return HttpResponse("a folder\n", content_type="text/plain")


@csrf_exempt
@require_http_methods(["GET", "POST", "DELETE"])
def cookies(request):
    answer = JsonResponse(request.COOKIES)
    if request.method == "POST":
        answer.set_cookie("taste", "sweet", max_age=3600)
        answer.set_cookie("shape", "round", path=reverse("index"), httponly=True)
    if request.method == "DELETE":
        answer.delete_cookie("taste")
    return answer


@csrf_exempt
@require_POST
def form(request):
    return JsonResponse({"name": request.POST["name"], "colors": request.POST.getlist("color")})


@csrf_exempt
@require_POST
def upload(request):
    file = request.FILES["file"]
    digest = hashlib.sha256()
    for piece in file.chunks():
        digest.update(piece)
    return JsonResponse(
        {
            "filename": file.name,
            "size": file.size,
            "sha256": digest.hexdigest(),
            "note": request.POST["note"],
        }
    )


@csrf_exempt
@require_POST
def echo_json(request):
    try:
        value = json.loads(request.body)
    except ValueError:
        return HttpResponseBadRequest("JSON, please\n")
    return JsonResponse({"got": value})


@csrf_exempt
@require_http_methods(["GET", "POST"])
def stream(request, key):
    if request.method == "POST":
        gates[key].set()
        return HttpResponse(status=204)

    def pieces():
        yield "first\n"
        assert gates[key].wait(10), "nobody opened the gate"
        yield "second\n"

    return StreamingHttpResponse(pieces(), content_type="text/plain")


@csrf_exempt
async def stream_async(request, key):
    if request.method == "POST":
        gates[key].set()
        return HttpResponse(status=204)

    async def pieces():
        yield "first\n"
        assert await asyncio.to_thread(gates[key].wait, 10), "nobody opened the gate"
        yield "second\n"

    return StreamingHttpResponse(pieces(), content_type="text/plain")


@csrf_exempt
@require_POST
def visits(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse({"visits": request.session["visits"]})


@require_safe
def fail(request):
    raise RuntimeError("no such luck")


@require_http_methods(["GET", "POST"])
def guestbook(request):
    """A form as Django wants it: with its token against forged requests, then a redirect."""
    if request.method == "POST":
        messages.success(request, f"Thank you, {request.POST['name']}!")
        return HttpResponseRedirect(reverse("guestbook"))
    return render(request, "pages/guestbook.html")
