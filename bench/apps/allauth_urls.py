"""The URLs of allauth_app.py."""

from django.shortcuts import render
from django.urls import include, path

urlpatterns = [path("", lambda request: render(request, "home.html")), path("auth/", include("allauth.account.urls"))]
