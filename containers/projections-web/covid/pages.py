"""The pages for planners: choose and submit, the list of runs, one run. What they do is in ``services``."""

import uuid
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from covid import figures, services
from covid.errors import InvalidInputs, NoData, SiteError
from covid.forms import ProjectionForm, RunFilter, from_inputs
from covid.models import HashValue, SimulationRun, State
from covid.people import compute_of

PAGE_SIZE = 25
API = "/covid/api/simulations"


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def choose(request: HttpRequest) -> HttpResponse:
    """Choose a state, counties and measures; a POST shows the run that answers them, new or old."""
    states = list(State.objects.filter(counties__isnull=False).distinct())
    newest = HashValue.objects.order_by("-date", "-id").first()
    context: dict[str, Any] = {"section": "choose", "states": states, "newest": newest}
    if newest is None or not states:
        return render(request, "covid/no_data.html", context, status=409 if request.method == "POST" else 200)
    earlier = _earlier(request)
    state = _state(request, states, earlier)
    if request.method == "POST":
        form = ProjectionForm(request.POST, state=state, newest=newest)
        if form.is_valid():
            try:
                run, created = services.submit(request.user, form.inputs())
            except NoData:  # deleted since this request began
                return render(request, "covid/no_data.html", {**context, "newest": None}, status=409)
            except InvalidInputs as error:
                form.add_error(None, error.message)
            else:
                if not created:
                    messages.info(request, "Somebody asked for exactly this before: here is that run.")
                return redirect("run", run_id=run.pk)
    else:
        initial = from_inputs(earlier.model_input) if earlier and earlier.state == state.name else {}
        form = ProjectionForm(state=state, newest=newest, initial=initial)
    context |= {
        "form": form,
        "state": state,
        "earlier": earlier,
        "chosen": set(form["county"].value() or ()),
        "compute": dict(SimulationRun.COMPUTES)[compute_of(request.user)],
        "timeline": {"newest": newest.last_day.isoformat()},
    }
    return render(request, "covid/choose.html", context, status=400 if form.errors else 200)


def _state(request: HttpRequest, states: list[State], earlier: SimulationRun | None) -> State:
    """The state asked for, else of the run to be changed, else of the user's last run, else the first."""
    by_name = {state.name: state for state in states}
    asked = request.POST.get("state") or request.GET.get("state")
    if asked is None and earlier is not None:
        asked = earlier.state
    if asked is None:
        asked = SimulationRun.objects.filter(user=request.user).values_list("state", flat=True).first()
    return by_name.get(asked or "", states[0])


def _earlier(request: HttpRequest) -> SimulationRun | None:
    """The run whose inputs the form begins with (``?from=<id>``)."""
    try:
        asked = uuid.UUID(request.GET.get("from", ""))
    except ValueError:
        return None
    return services.runs_of(request.user).filter(pk=asked).first()


@never_cache
@login_required
@require_safe
def runs(request: HttpRequest) -> HttpResponse:
    """The user's runs, or everybody's (``?whose=all``), newest first."""
    found = services.runs_of(request.user)
    everybody = request.GET.get("whose") == "all"
    if not everybody:
        found = found.filter(user=request.user)
    states = sorted(set(found.order_by().values_list("state", flat=True)))
    chosen = RunFilter(request.GET, states=states)
    wanted = chosen.cleaned_data if chosen.is_valid() else {}
    for name in ("status", "state"):
        if wanted.get(name):
            found = found.filter(**{name: wanted[name]})
    if wanted.get("search"):
        found = found.filter(model_input__county__icontains=wanted["search"].strip())
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    services.refresh_some([run for run in page.object_list if not run.is_finished])
    context = {
        "section": "runs",
        "page": page,
        "filter": chosen,
        "everybody": everybody,
        "filtered": any(wanted.values()),
    }
    return render(request, "covid/runs.html", context)


@never_cache
@login_required
@require_safe
def run(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    """One run: its progress while it is under way, its charts, tables and downloads when it is done."""
    shown = services.refresh(get_object_or_404(services.runs_of(request.user), pk=run_id))
    api = f"{API}/{shown.pk}/"
    inputs = shown.model_input
    context: dict[str, Any] = {
        "section": "runs",
        "run": shown,
        "api": api,
        "capacity": _capacity(shown),
        "may_act": services.may_act(request.user, shown),
        "again": f"/?{urlencode({'from': shown.pk})}",
        "data": HashValue.objects.filter(hash=inputs.get("data_hash")).first(),
    }
    if shown.status == SimulationRun.SUCCEEDED and shown.output:
        beds = figures.beds_of(shown.state, inputs.get("county") or [])
        context |= {
            "output": shown.output,
            "figures": figures.figures(shown.output, beds),
            "charts": figures.charts(shown.output, beds),
            "settings": figures.chart_settings(f"{api}output.json", beds),
        }
    return render(request, "covid/run.html", context)


def _capacity(shown: SimulationRun) -> str:
    """What the current attempt runs on: on-demand after too many interruptions of Spot."""
    current = [entry for entry in shown.history if entry.get("attempt") == shown.attempt]
    return next((entry["capacity"] for entry in reversed(current) if entry.get("capacity")), shown.compute)


@login_required
@require_POST
def cancel(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    return _act(request, run_id, services.cancel, "The run was cancelled.")


@login_required
@require_POST
def retry(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    return _act(request, run_id, services.retry, "The run was started again, from its last checkpoint.")


def _act(request: HttpRequest, run_id: uuid.UUID, action: Any, done: str) -> HttpResponse:
    found = get_object_or_404(services.runs_of(request.user), pk=run_id)
    try:
        action(found, request.user)
    except SiteError as error:
        messages.error(request, f"{error.message[:1].upper()}{error.message[1:]}.")
    else:
        messages.success(request, done)
    return redirect("run", run_id=run_id)
