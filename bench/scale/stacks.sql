-- One stack per app and bug, that its events share: 140 apps with 500 bugs each.
CREATE OR REPLACE TABLE {database: Identifier}.bench_stacks
ENGINE = MergeTree ORDER BY (app, bug)
AS WITH
  ['checkout', 'cart', 'profile', 'search', 'session', 'images', 'sync', 'payments',
    'router', 'store', 'auth', 'upload', 'feed', 'player', 'editor', 'chat'] AS files,
  ['handle', 'load', 'render', 'fetch', 'apply', 'open',
    'update', 'resolve', 'commit', 'parse', 'send', 'validate'] AS verbs,
  ['Order', 'User', 'Item', 'Page', 'Token', 'Image',
    'Cart', 'Frame', 'Query', 'State', 'Event', 'Route'] AS nouns,
  arrayMap(i -> (
    cityHash64(app, bug, i) AS hash,
    if(i < 5,
      concat('https://cdn.example.com/app-', toString(app), '/assets/', files[1 + (bug * 3 + i) % 16], '.',
        lower(hex(toUInt32(cityHash64(app, bug % 7)))), '.js'),
      'https://cdn.example.com/vendor/react-dom.production.min.js') AS file,
    if(i < 5,
      concat(verbs[1 + hash % 12], nouns[1 + intDiv(hash, 12) % 12]),
      concat(verbs[1 + i], 'Work')) AS function,
    1 + hash % 2400 AS line,
    1 + intDiv(hash, 7) % 180 AS column,
    concat('    at ', function, ' (', file, ':', toString(line), ':', toString(column), ')') AS raw,
    i < 5), range(7)) AS frames
SELECT
  toUInt32(intDiv(number, 500) + 1) AS app,
  toUInt32(number % 500 + 1) AS bug,
  arrayStringConcat(arrayMap(frame -> frame.6, frames), '\n') AS frames_text,
  concat('{"parser":"browser","frames":[', arrayStringConcat(arrayMap(frame -> concat(
    '{"functionName":"', frame.3, '","fileName":"', frame.2, '","lineNumber":', toString(frame.4),
    ',"columnNumber":', toString(frame.5), ',"inApp":true,"raw":"', frame.6, '"}'),
    arraySlice(frames, 1, 3)), ','), ']}') AS parsed
FROM numbers(140 * 500)
