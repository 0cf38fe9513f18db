"""The paths of the pages."""

from django.urls import path

from pages import views

urlpatterns = [
    path("", views.index, name="index"),
    path("items/<int:item>", views.show_item, name="item"),
    path("greet/<str:name>", views.greet, name="greet"),
    path("old", views.old),
    path("folder/", views.folder, name="folder"),
    path("cookies", views.cookies),
    path("form", views.form),
    path("upload", views.upload),
    path("json", views.echo_json),
    path("stream/<str:key>", views.stream),
    path("stream-async/<str:key>", views.stream_async),
    path("visits", views.visits),
    path("fail", views.fail),
    path("guestbook/", views.guestbook, name="guestbook"),
]
