"""Turns OpenAPI v3 documents of Kubernetes and custom resource definitions into kubeconform's JSON schemas.

    schemas.py OUT FILE…    FILE: api/openapi-spec/v3/*.json of a Kubernetes release, or a YAML file of definitions

Fields that are in no schema are refused, which is how an API server with strict validation reads a manifest.
"""
import json, os, sys
import yaml


def strict(node, schemas, seen=()):
    """The schema with its references resolved, closed where nothing says that it is open."""
    if isinstance(node, list):
        return [strict(n, schemas, seen) for n in node]
    if not isinstance(node, dict):
        return node
    if isinstance(node.get('$ref'), str):
        name = node['$ref'].rsplit('/', 1)[1]
        return {} if name in seen else strict(schemas[name], schemas, seen + (name,))
    if len(node.get('allOf', [])) == 1 and '$ref' in node['allOf'][0]:
        return strict(node['allOf'][0], schemas, seen)
    open_ended = node.get('x-kubernetes-preserve-unknown-fields') or node.get('x-kubernetes-embedded-resource')
    kept = {}
    for key, value in node.items():
        if key == 'properties':
            kept[key] = {name: strict(field, schemas, seen) for name, field in value.items()}
        elif key not in ('default', 'description', 'example'):
            kept[key] = strict(value, schemas, seen)
    if kept.get('format') == 'int-or-string' or kept.get('x-kubernetes-int-or-string'):
        return {'type': ['string', 'integer']}
    # Quantities: `oneOf` string or number, beside a type that says string only.
    if {'type': 'string'} in kept.get('oneOf', []):
        return {'oneOf': kept['oneOf']}
    if 'properties' in kept and 'additionalProperties' not in kept and not open_ended:
        kept['additionalProperties'] = False
    if kept.pop('nullable', False) and isinstance(kept.get('type'), str):
        kept['type'] = [kept['type'], 'null']
    return kept


def write(folder, group, version, kind, schema):
    """Named as kubeconform looks for it: {{ .ResourceKind }}{{ .KindSuffix }}.json."""
    name = '-'.join(part for part in (kind, group.split('.')[0], version) if part).lower()
    with open(os.path.join(folder, name + '.json'), 'w') as file:
        json.dump(schema, file)


def main(folder, files):
    os.makedirs(folder, exist_ok=True)
    written = 0
    for path in files:
        with open(path) as file:
            documents = [json.load(file)] if path.endswith('.json') else list(yaml.safe_load_all(file))
        for document in filter(None, documents):
            for schema in document.get('components', {}).get('schemas', {}).values():
                for gvk in schema.get('x-kubernetes-group-version-kind', []):
                    # Options and lists belong to every group, and to no manifest.
                    if 'metadata' in schema.get('properties', {}) and not gvk['kind'].endswith('List'):
                        resolved = strict(schema, document['components']['schemas'])
                        write(folder, gvk['group'], gvk['version'], gvk['kind'], resolved)
                        written += 1
            if document.get('kind') == 'CustomResourceDefinition':
                spec = document['spec']
                for version in spec['versions']:
                    schema = strict(version['schema']['openAPIV3Schema'], {})
                    schema['properties']['metadata'] = {'type': 'object'}
                    write(folder, spec['group'], version['name'], spec['names']['kind'], schema)
                    written += 1
    print(f'{written} schemas in {folder}')
    if written == 0:
        sys.exit('No schema was found in these files.')


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2:])
