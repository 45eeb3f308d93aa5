{{/* Whoever makes an object that names Secrets and ConfigMaps must be allowed to read them. A policy that includes this has a
     variable `named`: a list of secrets/NAME and configmaps/NAME.

     The API server lets an expression ask for two authorizations, and a policy for 28: so there is one question for each
     name, for eight different ones at most, unless the author may read all of the namespace. */}}

{{- define "mcp-orchestrator.referenceVariables" -}}
- name: sources
  expression: variables.named.transformList(i, name, variables.named.indexOf(name) == i, name)
- name: readsAll
  expression: >-
    variables.sources.size() == 0
    || (authorizer.group('').resource('secrets').namespace(request.namespace).check('get').allowed()
    && authorizer.group('').resource('configmaps').namespace(request.namespace).check('get').allowed())
{{- end }}

{{- /* Called with the kind of the object, with its article. */}}
{{- define "mcp-orchestrator.referenceValidations" -}}
{{- $most := 8 }}
- expression: variables.readsAll || variables.sources.size() <= {{ $most }}
  message: >-
    {{ . }} that names more than {{ $most }} Secrets and ConfigMaps needs an author who may read all of the namespace
  reason: Forbidden
{{- range $index := until $most }}
- expression: >-
    variables.readsAll || variables.sources.size() <= {{ $index }}
    || authorizer.group('').resource(variables.sources[{{ $index }}].split('/')[0]).namespace(request.namespace).name(variables.sources[{{ $index }}].split('/')[1]).check('get').allowed()
  messageExpression: "'you may not read ' + variables.sources[{{ $index }}] + ', so {{ $ }} of yours may not use it'"
  reason: Forbidden
{{- end }}
{{- end }}
