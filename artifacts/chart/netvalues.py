"""The chart's own values for what surrounds the pods: network, scaling, monitoring, jobs."""

from artifacts.chart.rows import (
    DNS_LABEL,
    FLAG,
    FREE,
    FREE_LIST,
    HOST,
    KEY_IN_SECRET,
    NAME,
    PATH,
    PORT,
    STRINGS,
    Question,
    Row,
    Section,
    fields,
    many,
    or_empty,
    text,
    whole,
    words,
)

_DURATION = text("^[0-9]+(ms|s|m|h)$")
_GATEWAY_DURATION = text("^[0-9]{1,5}(ms|s|m|h)$")
_HAS_INGRESS = "ingress.enabled=true"
_HAS_ROUTE = "route.enabled=true"
_HAS_SCALE = "autoscaling.enabled=true"
_PATH_TYPE = words("Prefix", "Exact", "ImplementationSpecific")
_COUNT = or_empty({"type": "number", "exclusiveMinimum": 0})

NETWORK = Section(
    "How requests come in",
    (
        Row(
            "service.type",
            "ClusterIP",
            words("ClusterIP", "NodePort", "LoadBalancer"),
            "kind of the Service",
        ),
        Row("service.port", 80, PORT, "its port"),
        Row("service.nodePort", "", or_empty(PORT), "the nodes' port, of a NodePort"),
        Row("service.annotations", {}, STRINGS, "its annotations"),
        Row(
            "service.ipFamilyPolicy",
            "",
            words("", "SingleStack", "PreferDualStack", "RequireDualStack"),
            "IPv4, IPv6 or both; for IPv6 set settings.host to ::",
        ),
        Row("ingress.enabled", False, FLAG, "whether there is an Ingress", Question("Ingress")),
        Row(
            "ingress.className",
            "",
            NAME,
            "its class: traefik, nginx",
            Question("Class", _HAS_INGRESS),
        ),
        Row(
            "ingress.hosts",
            [],
            many(fields("host", host=HOST, path=PATH, pathType=_PATH_TYPE)),
            "hosts: {host, path, pathType}; path is / by default",
        ),
        Row(
            "ingress.tls",
            [],
            many(fields("hosts", secretName=NAME, hosts=many(HOST))),
            "certificates: {secretName, hosts}",
        ),
        Row("ingress.annotations", {}, STRINGS, "its annotations"),
        Row(
            "ingress.affinity",
            "",
            words("", "traefik", "nginx", "haproxy"),
            "whose annotations keep a client at one pod by a cookie",
        ),
        Row(
            "certManager.clusterIssuer",
            "",
            NAME,
            "ClusterIssuer of cert-manager for the Ingress, whose certificate goes into a Secret",
            Question("ClusterIssuer of cert-manager", _HAS_INGRESS),
        ),
        Row("certManager.issuer", "", NAME, "Issuer of this namespace, instead of that"),
        Row("httpRoute.enabled", False, FLAG, "whether there is an HTTPRoute of the Gateway API"),
        Row(
            "httpRoute.parentRefs",
            [],
            many({"type": "object", "required": ["name"]}),
            "gateways: {name, namespace, sectionName}",
        ),
        Row("httpRoute.hostnames", [], many(HOST), "its hosts"),
        Row("httpRoute.path", "/", PATH, "paths that begin so"),
        Row("httpRoute.timeout", "", or_empty(_GATEWAY_DURATION), "longest request; 0s: none"),
        Row("httpRoute.annotations", {}, STRINGS, "its annotations"),
        Row(
            "route.enabled",
            False,
            FLAG,
            "whether there is a Route of OpenShift",
            Question("Route (OpenShift)"),
        ),
        Row(
            "route.host",
            "",
            or_empty(HOST),
            "its host; default: the cluster's choice",
            Question("Host", _HAS_ROUTE),
        ),
        Row("route.path", "", or_empty(PATH), "paths that begin so"),
        Row(
            "route.termination",
            "edge",
            words("edge", "reencrypt", "none"),
            "who ends TLS; none: no TLS",
        ),
        Row(
            "route.insecure",
            "Redirect",
            words("Redirect", "Allow", "None"),
            "what becomes of requests without TLS",
        ),
        Row(
            "route.timeout",
            "",
            or_empty(_DURATION),
            "longest pause of an answer; default: the router's",
        ),
        Row("route.annotations", {}, STRINGS, "its annotations"),
        Row(
            "networkPolicy.enabled",
            False,
            FLAG,
            "whether a NetworkPolicy closes the pods but for what follows",
        ),
        Row("networkPolicy.from", [], FREE_LIST, "who may send requests; default: everybody"),
        Row("networkPolicy.operatorsFrom", [], FREE_LIST, "who reaches the operators' address too"),
        Row("networkPolicy.restrictEgress", False, FLAG, "whether pods reach DNS and egress alone"),
        Row("networkPolicy.egress", [], FREE_LIST, "rules of what else they reach"),
    ),
)

SCALE = Section(
    "How many pods",
    (
        Row(
            "autoscaling.enabled",
            False,
            FLAG,
            "whether a HorizontalPodAutoscaler sets the number of pods",
            Question("Autoscaling"),
        ),
        Row("autoscaling.min", 2, whole(1), "fewest pods", Question("Fewest pods", _HAS_SCALE)),
        Row("autoscaling.max", 10, whole(1), "most pods", Question("Most pods", _HAS_SCALE)),
        Row(
            "autoscaling.cpuPercent",
            70,
            or_empty(whole(1)),
            'used share of the requested CPU that it aims at; "": not by CPU',
        ),
        Row(
            "autoscaling.requestsInProgress",
            "",
            _COUNT,
            "buntime_requests_in_progress of a pod that it aims at; needs prometheus-adapter",
        ),
        Row(
            "autoscaling.queueRequests",
            "",
            _COUNT,
            "buntime_queue_requests of a pod that it aims at; needs prometheus-adapter",
        ),
        Row("autoscaling.behavior", {}, FREE, "how fast it goes up and down"),
        Row("keda.enabled", False, FLAG, "whether a ScaledObject of KEDA sets the number of pods"),
        Row("keda.min", 2, whole(0), "fewest pods"),
        Row("keda.max", 10, whole(1), "most pods"),
        Row("keda.prometheus", "", or_empty(text("^https?://[!-~]+$")), "URL of Prometheus"),
        Row("keda.requestsInProgress", 20, _COUNT, "buntime_requests_in_progress of a pod"),
        Row("keda.queueRequests", "", _COUNT, "buntime_queue_requests of a pod"),
        Row("keda.authentication", "", NAME, "TriggerAuthentication for Prometheus"),
        Row("podDisruptionBudget.enabled", True, FLAG, "whether there is one, from two pods on"),
        Row(
            "podDisruptionBudget.maxUnavailable",
            1,
            whole(1),
            "pods that may be taken away at a time",
        ),
    ),
)

WATCHING = Section(
    "Metrics and alerts",
    (
        Row(
            "serviceMonitor.enabled",
            False,
            FLAG,
            "whether there is a ServiceMonitor of the Prometheus operator",
            Question("ServiceMonitor"),
        ),
        Row("serviceMonitor.interval", "15s", _DURATION, "how often /metrics is read"),
        Row("serviceMonitor.labels", {}, STRINGS, "labels that your Prometheus looks for"),
        Row(
            "serviceMonitor.secret",
            "",
            NAME,
            "Secret with a key of role viewer; not needed with settings.metrics=public",
        ),
        Row("serviceMonitor.key", "key", KEY_IN_SECRET, "its key there"),
        Row("prometheusRule.enabled", False, FLAG, "whether there is a PrometheusRule with alerts"),
        Row("prometheusRule.labels", {}, STRINGS, "labels that your Prometheus looks for"),
        Row(
            "prometheusRule.errorShare",
            0.05,
            {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            "share of answers 5xx that is an alert",
        ),
        Row(
            "prometheusRule.queueSeconds",
            1,
            {"type": "number", "exclusiveMinimum": 0},
            "wait for a worker (95 %) that is an alert",
        ),
        Row("prometheusRule.rules", [], FREE_LIST, "more rules"),
    ),
)

JOBS = Section(
    "Jobs and the test",
    (
        Row(
            "cronJobs",
            [],
            many(
                fields(
                    "name schedule path",
                    name=DNS_LABEL | {"maxLength": 30},
                    schedule=text(r"^(@[a-z]+|[0-9*/,A-Za-z-]+( [0-9*/,A-Za-z?L#-]+){4})$"),
                    timeZone=text(r"^[A-Za-z0-9_+/-]*$"),
                    path=PATH,
                    method=words("POST", "GET", "PUT", "DELETE"),
                    host=or_empty(HOST),
                    secret=NAME,
                    key=KEY_IN_SECRET,
                    timeoutSeconds=whole(1),
                    concurrencyPolicy=words("Forbid", "Allow", "Replace"),
                    suspend=FLAG,
                )
            ),
            "requests by the clock, for apps whose `cron` nobody runs where there is no state: "
            "{name, schedule, path}, and timeZone, method, host, secret, key (a Secret with a key "
            "that opens the app), timeoutSeconds, concurrencyPolicy, suspend",
        ),
        Row("test.enabled", True, FLAG, "whether `helm test` asks health and an app"),
        Row(
            "test.path",
            "",
            or_empty(PATH),
            "path of an app that answers 200 to 399; default: health alone",
        ),
    ),
)
