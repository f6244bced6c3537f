"""Says which values of the chart no unit test sets, and fails when there is one."""
import glob, sys
import yaml

CHART = 'charts/error-ingestor'
# The default is a map or list of Kubernetes' own; tests set it as a whole or in part.
WHOLE = {'requests', 'limits', 'matches'}


def leaves(node, path=()):
    if isinstance(node, dict) and node and (not path or path[-1] not in WHOLE):
        return [leaf for key, value in node.items() for leaf in leaves(value, path + (key,))]
    return [path]


def touched(node, path=()):
    found = {path}
    if isinstance(node, dict):
        for key, value in node.items():
            found |= touched(value, path + tuple(key.split('.')))
    return found


used = set()
for file in glob.glob(f'{CHART}/tests/values/*.yaml'):
    used |= touched(yaml.safe_load(open(file)))
for file in glob.glob(f'{CHART}/tests/*_test.yaml'):
    suite = yaml.safe_load(open(file))
    for part in [suite, *suite['tests']]:
        used |= touched(part.get('set', {}))
values = leaves(yaml.safe_load(open(f'{CHART}/values.yaml')))
unset = [value for value in values if not any(path[:len(value)] == value for path in used)]
for value in unset:
    print('No unit test sets', '.'.join(value))
print(len(values) - len(unset), 'of', len(values), 'values are set in a test')
sys.exit(1 if unset else 0)
