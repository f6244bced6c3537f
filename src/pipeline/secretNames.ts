/** How a name speaks of its value: not secret, secret, or secret unless the value is a number. */
export type NameKind = 'plain' | 'secret' | 'plural'

const SECRET_WORDS = new Set(
  (
    'password passwords passwd passphrase passcode pwd secret token credential credentials auth authorization ' +
    'authentication cookie jwt bearer apikey apisecret accesskey secretkey privatekey apitoken ' +
    'accesstoken authtoken refreshtoken idtoken sessiontoken csrftoken xsrftoken clientsecret ' +
    'userpassword dbpassword authkey sessionid sessionkey phpsessid jsessionid sessid sid csrf xsrf ' +
    'pgpassword creds ssn cvv cvc otp totp cardnumber setcookie creditcard pw pswd passwort kennwort contrasena senha'
  ).split(' '),
)
const PLURAL_WORDS = new Set(['tokens', 'secrets', 'cookies', 'apikeys'])
const SECRET_PAIRS = new Set(
  (
    'api key,api keys,access key,private key,encryption key,signing key,master key,account key,' +
    'shared key,ssh key,session id,session key,card number,pass word,pass phrase,amz signature,' +
    'goog signature,set cookie,credit card,security code,security answer,recovery code,recovery codes,' +
    'backup code,backup codes,recovery phrase,seed phrase,mnemonic phrase,pin code,service key,' +
    'consumer key,license key,deploy key,storage key,subscription key,client assertion,' +
    'verification code,confirmation code,login code,mfa code'
  ).split(','),
)
/** A name that ends so tells about a secret; it does not hold one: `tokenCount`, `password_length`. */
const ABOUT = new Set(
  (
    'count counts total limit length size type types expires expiry expired expiration expire ttl at ' +
    'in method methods provider enabled disabled required valid invalid status state policy strength ' +
    'name names url uri endpoint version scope scopes format error errors field fields label input ' +
    'hint placeholder prompt attempts age present missing used usage max min changed updated title ' +
    'page screen event action mode domain path'
  ).split(' '),
)
const NAME_CHARS_MAX = 256
const CACHED_MAX = 2048

/**
 * Tells names of secrets from others, by whole words, in any case and joining: `authToken`,
 * `auth_token` and `AUTH-TOKEN`, but not `author`. `extra` words are secret besides.
 * Only the last 256 characters of a name count. Remembers 2,048 names.
 */
export function createSecretNames(extra: readonly string[]): (name: string) => NameKind {
  const extras = new Set(extra.map((word) => word.toLowerCase()))
  const cache = new Map<string, NameKind>()
  return (name) => {
    const cached = cache.get(name)
    if (cached !== undefined) return cached
    const kind = kindOf(name.slice(-NAME_CHARS_MAX), extras)
    if (name.length > NAME_CHARS_MAX) return kind
    if (cache.size >= CACHED_MAX) cache.clear()
    cache.set(name, kind)
    return kind
  }
}

function kindOf(name: string, extras: ReadonlySet<string>): NameKind {
  if (extras.has(name.toLowerCase())) return 'secret'
  // The shell's working directory, in every dump of an environment.
  if (name === 'PWD') return 'plain'
  const words = wordsOf(name)
  const last = words.at(-1)
  if (last === undefined || (words.length > 1 && ABOUT.has(last))) return 'plain'
  if (last === 'pass') return 'secret'
  let kind: NameKind = 'plain'
  for (const [index, word] of words.entries()) {
    if (SECRET_WORDS.has(word) || extras.has(word)) return 'secret'
    if (SECRET_PAIRS.has(`${words[index - 1] ?? ''} ${word}`)) return 'secret'
    if (PLURAL_WORDS.has(word)) kind = 'plural'
  }
  return kind
}

function wordsOf(name: string): readonly string[] {
  return name
    .replace(/([a-z\d])([A-Z])/g, '$1 $2')
    .replace(/([A-Z])([A-Z][a-z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z]/)
    .filter((word) => word !== '')
}
