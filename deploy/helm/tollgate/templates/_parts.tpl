{{/* What the templates have in common. */}}

{{- define "tollgate.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "tollgate.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "tollgate.labels" -}}
{{ include "tollgate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end }}

{{- define "tollgate.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* What cannot be left out, and what would not start. */}}
{{- define "tollgate.checked" -}}
{{- if not .Values.stores.secret }}{{ fail "stores.secret: name a Secret with redis-url, postgres-url and master-key" }}{{ end }}
{{- if and .Values.migrate.enabled (not .Values.migrate.ownerSecret) }}{{ fail "migrate.ownerSecret: name a Secret with the postgres-url of the schema's owner, or set migrate.enabled=false and migrate by hand" }}{{ end }}
{{- if and (not .Values.tls.secret) (not .Values.allowPlaintext) }}{{ fail "tls.secret: name a Secret with tls.crt and tls.key, or set allowPlaintext=true where the network itself is trusted or encrypted" }}{{ end }}
{{- if and .Values.networkPolicy.enabled (ne .Values.service.type "ClusterIP") (not .Values.networkPolicy.clients) }}{{ fail (printf "networkPolicy.clients: say who may ask from outside, such as [{ipBlock: {cidr: 203.0.113.0/24}}]: by default only pods may, whatever a service of type %s brings" .Values.service.type) }}{{ end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}{{ fail "autoscaling.minReplicas is above autoscaling.maxReplicas" }}{{ end }}
{{- if and .Values.autoscaling.enabled (not (or (dig "requests" "cpu" "" .Values.resources) (dig "limits" "cpu" "" .Values.resources))) }}{{ fail "autoscaling.enabled needs resources.requests.cpu: cpuPercent is a share of it" }}{{ end }}
{{- end }}

{{- define "tollgate.nodes" -}}
{{ if .Values.autoscaling.enabled }}{{ int .Values.autoscaling.minReplicas }}{{ else }}{{ int .Values.replicas }}{{ end }}
{{- end }}

{{- define "tollgate.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
# So that the user can read what is mounted, and nobody else.
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "tollgate.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
privileged: false
capabilities: { drop: [ALL] }
{{- end }}

{{/* Which machines may take a pod, and who may have its image. */}}
{{- define "tollgate.placement" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Names, Redis and Postgres: where every pod may connect to. */}}
{{- define "tollgate.egress" -}}
- ports: [{ port: 53, protocol: UDP }, { port: 53, protocol: TCP }]
{{- range $store := list .redis .postgres }}
- ports: {{- range $store.ports }}
    - { port: {{ int . }}, protocol: TCP }
  {{- end }}
  {{- with $store.peers }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- with .extraEgress }}{{ toYaml . | nindent 0 }}{{ end }}
{{- end }}

{{/* What every process of the binary is told. A password is in none of it, only the file that it is in. */}}
{{- define "tollgate.environment" -}}
- { name: TOLLGATE_MODE, value: cluster }
- { name: TOLLGATE_REDIS__URL_FILE, value: /run/tollgate/stores/redis-url }
- { name: TOLLGATE_POSTGRES__URL_FILE, value: /run/tollgate/stores/postgres-url }
- { name: TOLLGATE_KEYS__MASTER_KEY_FILE, value: /run/tollgate/stores/master-key }
{{- if .Values.stores.caSecret }}
- { name: TOLLGATE_REDIS__CA_FILE, value: /run/tollgate/ca/ca.crt }
{{- end }}
- { name: TOLLGATE_LOG__FORMAT, value: {{ .Values.log.format }} }
- { name: TOLLGATE_ALLOW_PLAINTEXT, value: {{ .Values.allowPlaintext | quote }} }
{{- end }}

{{/* A Job listens nowhere; the image would have it listen everywhere, which takes a certificate or a word. */}}
{{- define "tollgate.deaf" -}}
- { name: TOLLGATE_LISTEN, value: "127.0.0.1:8080" }
- { name: TOLLGATE_METRICS_LISTEN, value: "127.0.0.1:9464" }
{{- end }}

{{- define "tollgate.storesVolume" -}}
- name: stores
  secret:
    secretName: {{ .Values.stores.secret | quote }}
    defaultMode: 0440
    items:
      - { key: redis-url, path: redis-url }
      - { key: postgres-url, path: postgres-url }
      - { key: master-key, path: master-key }
{{- with .Values.stores.caSecret }}
- name: ca
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0440
    items: [{ key: ca.crt, path: ca.crt }]
{{- end }}
{{- end }}

{{- define "tollgate.storesMounts" -}}
- { name: stores, mountPath: /run/tollgate/stores, readOnly: true }
{{- if .Values.stores.caSecret }}
- { name: ca, mountPath: /run/tollgate/ca, readOnly: true }
{{- end }}
{{- end }}

{{/* What a Job has that runs once, to its end. */}}
{{- define "tollgate.job" -}}
backoffLimit: 5
activeDeadlineSeconds: 600
{{- end }}
