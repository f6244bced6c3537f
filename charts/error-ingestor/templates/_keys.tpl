{{/* What is wrong with a file of apps and keys, as a list of sentences in YAML. They name no key. The server would say the same
in its log, and refuse the file's clients. Takes (dict "text" text "path" name of the file). */}}
{{- define "error-ingestor.fileProblems" -}}
{{- $json := hasSuffix ".json" .path }}
{{- $problems := list }}
{{- $keys := list }}
{{- $apps := ternary (fromJsonArray .text) (fromYamlArray .text) $json }}
{{- if and (eq (len $apps) 1) (kindIs "string" (first $apps)) }}
{{- $content := ternary (fromJson .text) (fromYaml .text) $json }}
{{- $apps = $content.apps | default list }}
{{- $keys = $content.keys | default list }}
{{- if omit $content "apps" "keys" }}
{{- $problems = append $problems (printf "is not a %s list of apps: it should look like [{\"id\": \"shop\", \"name\": \"Shop\", \"keys\": [{\"key\": \"ei_…\", \"scopes\": [\"ingest\", \"read\"]}]}]" (ternary "JSON" "YAML" $json)) }}
{{- $apps = list }}
{{- $keys = list }}
{{- end }}
{{- end }}
{{- $named := list }}
{{- range $keys }}{{ $named = append $named (dict "of" "all apps" "key" (get . "key" | toString)) }}{{ end }}
{{- range $app := $apps }}
{{- if not (and (kindIs "map" $app) $app.id $app.name) }}
{{- $problems = append $problems "has an app without id and name: each needs both" }}
{{- else }}
{{- range $app.keys }}{{ $named = append $named (dict "of" $app.id "key" (get . "key" | toString)) }}{{ end }}
{{- end }}
{{- end }}
{{- range $named }}
{{- if not (regexMatch "^[A-Za-z0-9_-]{16,200}$" .key) }}
{{- $problems = append $problems (printf "has a key of %s that is not 16 to 200 letters, digits, _ or -: make one by `openssl rand -hex 24` and put ei_ in front" .of) }}
{{- else if eq .key "ei_test_key_12345" }}
{{- $problems = append $problems (printf "gives %s the development key, which everybody knows: make one by `openssl rand -hex 24` and put ei_ in front" .of) }}
{{- end }}
{{- end }}
{{- toYaml $problems }}
{{- end }}
