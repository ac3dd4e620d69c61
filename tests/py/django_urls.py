"""The pages of the tests' Django project: those of applications, and for all else its one view."""

from django.contrib import admin
from django.urls import include, path, re_path
from django_site import dispatch
from rest_framework.authentication import SessionAuthentication
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response


@api_view(["GET", "POST"])
@authentication_classes([SessionAuthentication])
@permission_classes([IsAuthenticated])
def api(request: Request) -> Response:
    if request.method == "POST":
        request.session["color"] = request.data["color"]
    return Response({"user": request.user.username, "color": request.session.get("color")})


urlpatterns = [
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.urls")),
    path("api", api),
    path("__debug__/", include("debug_toolbar.urls")),
    re_path("", dispatch),
]
