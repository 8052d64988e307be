{{- define "secret-exec.match" -}}
app.kubernetes.io/name: {{ .Values.name }}
{{- end }}

{{- define "secret-exec.labels" -}}
{{- toYaml (merge (dict "app.kubernetes.io/part-of" "secret-exec") .Values.labels) }}
{{- end }}

{{- define "secret-exec.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "secret-exec.tlsSecret" -}}
{{ .Values.certificates.secretName | default (printf "%s-tls" .Values.name) }}
{{- end }}

{{- define "secret-exec.kubernetes" -}}
{{ .Values.kubernetesVersion | default .Capabilities.KubeVersion.Version }}
{{- end }}

{{/* "true" where the API server has matchConditions and ValidatingAdmissionPolicy. */}}
{{- define "secret-exec.hasConditions" -}}
{{- if semverCompare ">=1.30.0-0" (include "secret-exec.kubernetes" .) }}true{{ end -}}
{{- end }}

{{- define "secret-exec.injector" -}}
{{- $injector := deepCopy .Values.injector -}}
{{- if not $injector.image }}{{ $_ := set $injector "image" (include "secret-exec.image" .) }}{{ end -}}
{{- if and $injector.nativeSidecar (semverCompare "<1.29.0-0" (include "secret-exec.kubernetes" .)) -}}
{{- fail "injector.nativeSidecar must be false before Kubernetes 1.29" -}}
{{- end -}}
{{- /* Helm reads numbers as floats; a gid of OpenShift would become 1.00066e+09. */}}
{{- $_ := set $injector "readerGroup" (int64 $injector.readerGroup) -}}
{{- toYaml $injector }}
{{- end }}
