"""The chart's own values for the pod and its storage; netvalues.py has those around it."""

from artifacts.chart.rows import (
    DNS_LABEL,
    FLAG,
    FREE,
    FREE_LIST,
    KEY_IN_SECRET,
    NAME,
    PATH,
    QUANTITY,
    STRINGS,
    TEXT,
    VARIABLE,
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

_ACCESS = words("ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany", "ReadOnlyMany")
_HAS_STATE = "state.enabled=true"
_KEY = {
    "type": "object",
    "required": ["name", "sha256", "roles"],
    "properties": {
        "name": text("^.+$"),
        "sha256": text("^[0-9a-f]{64}$"),
        "roles": many(text("^[a-z]+(:[a-z]+)?$")),
        "apps": many(TEXT),
        "expires": TEXT,
    },
    "additionalProperties": False,
}

WORKLOAD = Section(
    "The pods",
    (
        Row(
            "kind",
            "StatefulSet",
            words("StatefulSet", "Deployment"),
            "StatefulSet: one pod with a volume, an update is a gap of one start; "
            "Deployment: any number of pods that keep nothing, updated without a gap",
            Question("Kind of workload"),
        ),
        Row(
            "replicas",
            1,
            whole(0),
            "how many pods; more than one want kind=Deployment and state.enabled=false",
            Question("Pods"),
        ),
        Row(
            "image.repository",
            "ghcr.io/buntime/buntime",
            text("^[a-z0-9]+[a-zA-Z0-9._:/-]*$"),
            "image of the runtime",
            Question("Image"),
        ),
        Row("image.tag", "", text(r"^[\w.-]*$"), "its tag; default: the chart's appVersion"),
        Row(
            "image.digest",
            "",
            text("^(sha256:[0-9a-f]{64})?$"),
            "sha256:…, which wins over the tag",
        ),
        Row(
            "image.pullPolicy",
            "IfNotPresent",
            words("Always", "IfNotPresent", "Never"),
            "when it is pulled",
        ),
        Row("image.pullSecrets", [], many(NAME), "names of Secrets for its registry"),
        Row("nameOverride", "", or_empty(DNS_LABEL), "instead of the chart's name"),
        Row("fullnameOverride", "", or_empty(DNS_LABEL), "name of all objects"),
        Row(
            "platform",
            "auto",
            words("auto", "kubernetes", "openshift"),
            "openshift leaves uid and group of the pods to the cluster; auto: by what it offers",
        ),
        Row("user.uid", 10001, whole(1), "whom the containers run as, but on OpenShift"),
        Row("user.gid", 10001, whole(1), "their group, and that of volumes"),
        Row(
            "resources",
            {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}},
            FREE,
            "of the runtime with all of its workers; a worker takes 15 to 50 MiB and more",
        ),
        Row("tmp.size", "1Gi", QUANTITY, "most that /tmp may hold"),
        Row("tmp.inMemory", False, FLAG, "whether it is memory, which counts for the limit"),
        Row(
            "drain.preStopSeconds",
            5,
            whole(0, 600),
            "a pod that is to end serves on for so long, until proxies have heard of it",
        ),
        Row(
            "drain.graceSeconds",
            "",
            or_empty(whole(1)),
            "when a pod is killed; default: preStopSeconds, twice the shutdownTimeout and 10",
        ),
        Row(
            "probes.startupSeconds",
            60,
            whole(5),
            "how long a start may take before the pod is started anew",
        ),
        Row("probes.periodSeconds", 5, whole(1), "how often a pod is asked"),
        Row("probes.timeoutSeconds", 5, whole(1), "how long an answer may take"),
        Row(
            "probes.liveFailures",
            6,
            whole(1),
            "so many failures in a row have it started anew; its own stallTimeout comes first",
        ),
        Row("probes.readyFailures", 2, whole(1), "so many take it out of the Service"),
        Row(
            "topologySpread.enabled",
            True,
            FLAG,
            "whether several pods go to several nodes, if they can",
        ),
        Row("topologySpread.constraints", [], FREE_LIST, "constraints instead of those"),
        Row("nodeSelector", {}, STRINGS, "labels of nodes"),
        Row("tolerations", [], FREE_LIST, "taints of nodes that do not matter"),
        Row("affinity", {}, FREE, "affinity of the pods"),
        Row("priorityClassName", "", NAME, "their priority class"),
        Row("runtimeClassName", "", NAME, "their runtime class, such as gvisor"),
        Row("labels", {}, STRINGS, "labels of all objects"),
        Row("annotations", {}, STRINGS, "annotations of all objects"),
        Row("podLabels", {}, STRINGS, "labels of the pods"),
        Row("podAnnotations", {}, STRINGS, "annotations of the pods"),
        Row(
            "extraEnv",
            [],
            many(fields("name", name=VARIABLE, value=TEXT, valueFrom=FREE)),
            "more variables: {name, value} or {name, valueFrom}",
        ),
        Row("extraVolumes", [], FREE_LIST, "more volumes of the pods"),
        Row("extraVolumeMounts", [], FREE_LIST, "where the runtime has them"),
        Row("initContainers", [], FREE_LIST, "more init containers, after those of the chart"),
        Row("sidecars", [], FREE_LIST, "more containers"),
        Row(
            "serviceAccount.create",
            True,
            FLAG,
            "whether the pods have a ServiceAccount of their own",
        ),
        Row(
            "serviceAccount.name", "", NAME, "its name; of one that is there where create is false"
        ),
        Row("serviceAccount.annotations", {}, STRINGS, "its annotations"),
    ),
)

STATE = Section(
    "The volume: state, apps and plugins",
    (
        Row(
            "state.enabled",
            True,
            FLAG,
            "whether the runtime keeps state (deploys, keys, secrets, apps' data) on a volume; "
            "false is RUNTIME_STATE=none",
            Question("Keep state on a volume"),
        ),
        Row("state.size", "10Gi", QUANTITY, "size of the volume", Question("Size", _HAS_STATE)),
        Row(
            "state.storageClass",
            "",
            NAME,
            "its storage class; default: the cluster's",
            Question("Storage class", _HAS_STATE),
        ),
        Row(
            "state.accessMode",
            "ReadWriteOnce",
            _ACCESS,
            "ReadWriteOncePod is safer where the storage offers it; cannot be changed later",
        ),
        Row(
            "state.existingClaim",
            "",
            NAME,
            "a claim that is there, instead of one for each pod",
        ),
        Row("state.annotations", {}, STRINGS, "annotations of the claim"),
    ),
)

APPS = Section(
    "Apps",
    (
        Row(
            "apps.source",
            "pvc",
            words("image", "pvc", "oci"),
            "pvc: on a volume, where `buntime deploy` brings them; image: in the runtime's image, "
            "which you have built on this one; oci: in an image of their own",
            Question("Where apps come from"),
        ),
        Row("apps.path", "/srv/apps", PATH, "folder of the apps in the pod"),
        Row(
            "apps.pvc.existingClaim",
            "",
            NAME,
            "claim with the apps; default: they lie on the volume of the state, or one is made",
            Question("Claim with the apps", "apps.source=pvc"),
        ),
        Row("apps.pvc.size", "10Gi", QUANTITY, "size of the one that is made"),
        Row("apps.pvc.storageClass", "", NAME, "its storage class"),
        Row("apps.pvc.accessMode", "ReadWriteMany", _ACCESS, "its access mode"),
        Row("apps.pvc.subPath", "", text("^[^/].*$|^$"), "folder of the claim that has the apps"),
        Row("apps.pvc.readOnly", False, FLAG, "whether the pods can only read it"),
        Row(
            "apps.oci.image",
            "",
            TEXT,
            "image with the apps, registry.example.com/apps:1.2.3",
            Question("Image with the apps", "apps.source=oci"),
        ),
        Row("apps.oci.path", "/apps", PATH, "their folder in it"),
        Row(
            "apps.oci.pullPolicy",
            "IfNotPresent",
            words("Always", "IfNotPresent", "Never"),
            "when it is pulled",
        ),
        Row(
            "apps.oci.mode",
            "copy",
            words("copy", "mount"),
            "copy: an init container of that image copies them, by its `cp`; mount: the image is a "
            "volume, which needs Kubernetes 1.33 and its feature ImageVolume",
        ),
        Row("apps.oci.size", "1Gi", QUANTITY, "most that the copy may take"),
    ),
)

SECRETS = Section(
    "Keys, secrets and the config file",
    (
        Row(
            "masterKey.value",
            "",
            text(r"^([!-~]([ -~]*[!-~])?)?$"),
            "the master key; better in a Secret of your own",
        ),
        Row(
            "masterKey.secret",
            "",
            NAME,
            "Secret with the master key",
            Question("Secret with the master key"),
        ),
        Row("masterKey.key", "master-key", KEY_IN_SECRET, "its key there"),
        Row(
            "keys",
            [],
            many(_KEY),
            "keys of operators: name, sha256 of the key, roles, apps, expires",
        ),
        Row("keysFrom.secret", "", NAME, "Secret with a file of keys"),
        Row("keysFrom.key", "keys.yaml", KEY_IN_SECRET, "its key there"),
        Row(
            "secrets",
            {},
            {
                "type": "object",
                "additionalProperties": TEXT,
                "propertyNames": {"pattern": "^[A-Za-z0-9._-]+$"},
            },
            "secrets of apps, APP.NAME: value; better in a Secret of your own",
        ),
        Row("secretsFrom.secret", "", NAME, "Secret with them, whose keys are APP.NAME"),
        Row(
            "config", {}, FREE, "content of the config file: apps, access, plugins; docs/config.md"
        ),
        Row("configFrom.configMap", "", NAME, "ConfigMap with the config file, instead of that"),
        Row("configFrom.secret", "", NAME, "Secret with the config file, instead of that"),
        Row("configFrom.key", "buntime.config.yaml", KEY_IN_SECRET, "its key there"),
    ),
)
