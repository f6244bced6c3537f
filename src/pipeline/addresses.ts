// Not within a word or a longer run of numbers: `1.2.3.4.5` and `v1.2.3.4` are versions.
const IPV4 = /(?<![\w.])(\d{1,3}\.\d{1,3}\.\d{1,3}\.)\d{1,3}(?![\w]|\.\d)/g
const IPV6 = /(?<![\w:.])[\da-f]{0,4}:[\da-f:]{1,36}(?![\w:.])/gi
const GROUPS = 8
/** Of an IPv6 address, the first 48 bits name a site; the rest names who is in it. */
const GROUPS_KEPT = 3

/**
 * The text with each IP address cut to its network: the last byte of IPv4 becomes 0, of IPv6 the first
 * 48 bits stay. What looks like an address is one, so a version of four numbers is cut too. The same
 * string where there is none.
 */
export function cutAddresses(text: string): string {
  let cut = text
  if (cut.includes('.')) cut = cut.replace(IPV4, cutIpv4)
  if (cut.includes(':')) cut = cut.replace(IPV6, cutIpv6)
  return cut
}

function cutIpv4(address: string, network: string): string {
  const bytes = address.split('.').map(Number)
  const isLocal = bytes[0] === 127 || bytes[0] === 0
  return isLocal || bytes.some((byte) => byte > 255) ? address : `${network}0`
}

function cutIpv6(candidate: string): string {
  const [head = '', tail, ...more] = candidate.split('::')
  if (more.length > 0 || !/\d/.test(candidate)) return candidate
  const groups = [head, tail ?? ''].map((half) => (half === '' ? [] : half.split(':')))
  const [before = [], after = []] = groups
  const count = before.length + after.length
  const isWhole = tail === undefined ? count === GROUPS : count < GROUPS
  const isValid = [...before, ...after].every((group) => /^[\da-f]{1,4}$/i.test(group))
  if (!isWhole || !isValid || before.length === 0) return candidate
  const filled = [...before, ...Array<string>(GROUPS).fill('0')]
  return `${filled.slice(0, GROUPS_KEPT).join(':')}::`
}
