-- Events {from} to {from + count} of a share of {rows}: number n is the same event for the same seed,
-- whatever share and block it comes with. Apps, bugs and users are drawn by Zipf's law; the first of
-- 140 apps has 5.1 % of all. A row has 2.1 KB.
INSERT INTO {database: Identifier}.occurrences (id, app_id, timestamp, received_at, protocol, code,
  message, stack_trace, parsed_stack, app_version, platform, platform_version, environment, level,
  user_id, metadata, tags, client_fingerprint, breadcrumbs, trace_id, span_id, marks, fingerprint,
  fingerprint_secondary, fingerprint_basis)
WITH
  number * {shares: UInt64} + {share: UInt64} AS n,
  cityHash64(n, {seed: UInt64}) AS h1,
  cityHash64(h1, 1) AS h2,
  cityHash64(h1, 2) AS h3,
  cityHash64(h1, 3) AS h4,
  18446744073709551616. AS full,
  toUInt32(greatest(1, floor(pow(h2 / full * (pow(140, 0.4) - 1) + 1, 2.5)))) AS g_app,
  toUInt32(greatest(1, floor(exp(h3 / full * log(500))))) AS g_bug,
  toUInt32(floor(pow(h4 / full * (sqrt(200000) - 1) + 1, 2))) AS g_user,
  {startMs: Int64} + intDiv(n * {spanMs: Int64}, {rows: Int64}) AS ms,
  concat(
    ['Request to', 'Cannot read', 'Failed to load', 'Timeout while saving', 'Unexpected answer of',
      'Payment declined for', 'Permission denied:', 'Quota exceeded on'][1 + g_bug % 8],
    ' /api/',
    ['orders', 'users', 'carts', 'items', 'images', 'sessions', 'search', 'payments']
      [1 + intDiv(g_bug, 8) % 8],
    '/', toString(h3 % 100000), ' (', toString(400 + g_bug % 120), ') after ', toString(h4 % 3000),
    ' ms') AS g_message
SELECT
  reinterpretAsUUID(concat(
    reinterpretAsFixedString(cityHash64(h1, 11)), reinterpretAsFixedString(cityHash64(h1, 12)))) AS id,
  if(g_app = 1, 'test-app', concat('app-', toString(g_app))) AS app_id,
  fromUnixTimestamp64Milli(ms) AS timestamp,
  fromUnixTimestamp64Milli(ms + 50 + h2 % 3000) AS received_at,
  'native' AS protocol,
  concat(['network', 'auth', 'render', 'storage', 'payment'][1 + g_bug % 5],
    '/failure-', toString(g_bug % 60)) AS code,
  g_message AS message,
  concat('Error: ', g_message, '\n', stacks.frames_text) AS stack_trace,
  stacks.parsed AS parsed_stack,
  concat('2.', toString(g_bug % 7), '.', toString(intDiv(n * 30, {rows: Int64}))) AS app_version,
  ['web', 'ios', 'android', 'node'][1 + least(3, intDiv(h2 % 10, 3))] AS platform,
  concat(['Chrome 14', 'iOS 18.', 'Android 1', 'Node 2'][1 + least(3, intDiv(h2 % 10, 3))],
    toString(h2 % 6)) AS platform_version,
  if(h3 % 20 = 0, 'staging', 'production') AS environment,
  ['error', 'error', 'error', 'warning', 'fatal'][1 + g_bug % 5] AS level,
  if(h2 % 20 = 1, NULL, concat('user-', toString(g_user))) AS user_id,
  concat('{"endpoint":"/api/orders/', toString(h3 % 100000), '","statusCode":',
    toString(400 + g_bug % 120), ',"retries":', toString(h1 % 4), ',"route":"/checkout/',
    toString(g_bug), '","viewport":{"width":1280,"height":720}}') AS metadata,
  map('region', ['eu', 'us', 'ap'][1 + h1 % 3], 'tenant', concat('t', toString(g_user % 40)),
    'build', concat('b', toString(g_bug % 7))) AS tags,
  [] AS client_fingerprint,
  concat('[{"type":"navigation","message":"/cart/', toString(h4 % 1000), '","timestamp":',
    toString(ms - 5000 - h1 % 1000), '},{"type":"click","message":"button.pay","timestamp":',
    toString(ms - h1 % 2000), '}]') AS breadcrumbs,
  lower(concat(hex(h1), hex(h2))) AS trace_id,
  '' AS span_id,
  [] AS marks,
  concat('v1:', lower(hex(cityHash64(g_app, g_bug, 'p'))), lower(hex(cityHash64(g_app, g_bug, 'q'))))
    AS fingerprint,
  concat('v1:', lower(hex(cityHash64(g_app, g_bug, 'r'))), lower(hex(cityHash64(g_app, g_bug, 's'))))
    AS fingerprint_secondary,
  'stack' AS fingerprint_basis
FROM numbers({from: UInt64}, {count: UInt64}) AS numbers
INNER JOIN {database: Identifier}.bench_stacks AS stacks ON stacks.app = g_app AND stacks.bug = g_bug
