// uPlot formats numbers in `navigator.language` while it loads, and throws where that is no language tag:
// Chromium under LANG=C says `en-US@posix`. Imported before uPlot, so that the chart is drawn there too.
try {
  new Intl.NumberFormat(navigator.language)
} catch {
  Object.defineProperty(navigator, 'language', { value: 'en-US', configurable: true })
}
