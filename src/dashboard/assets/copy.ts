// Shows the copy buttons, which are of no use without this script, and makes them work.
for (const button of document.querySelectorAll<HTMLButtonElement>('button[data-copy]')) {
  const source = document.getElementById(button.dataset['copy'] ?? '')
  if (source === null) continue
  const label = button.textContent
  button.hidden = false
  button.addEventListener('click', () => {
    void copy(source).then((done) => {
      button.textContent = done ? 'Copied' : 'Press Ctrl+C'
      setTimeout(() => (button.textContent = label), 2_000)
    })
  })
}

/** Falls back to selecting the text: the clipboard is only open to pages served over TLS or loopback. */
async function copy(source: HTMLElement): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(source.textContent)
    return true
  } catch {
    getSelection()?.selectAllChildren(source)
    return false
  }
}
