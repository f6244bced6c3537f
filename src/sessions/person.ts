import { ROLES, type Role, type SignInRule } from '../sign-in-setting.ts'

/** Somebody who signed in, as the way by which they did tells it. */
export interface Person {
  /** The same for ever and of one person only: `oidc:<subject>`, `proxy:<user>`, `password:admin`. */
  readonly id: string
  /** For people to read. */
  readonly name: string
  /** In lower case, and proven to be theirs; undefined where that is not known. */
  readonly email: string | undefined
  readonly groups: readonly string[]
}

/** The one who has the password of the settings, whoever that is. */
export const ADMINISTRATOR: Person = {
  id: 'password:admin',
  name: 'Administrator',
  email: undefined,
  groups: [],
}

/** What a person may do with which apps. */
export interface Grants {
  /** The highest role that any rule gives for the app; undefined: none. */
  readonly roleFor: (appId: string) => Role | undefined
  /** No rule is about this person. */
  readonly isEmpty: boolean
}

/** Every rule that is about the person counts; nobody gets anything without one. */
export function grantsOf(person: Person, rules: readonly SignInRule[]): Grants {
  if (person.id === ADMINISTRATOR.id) {
    return { roleFor: () => 'admin', isEmpty: false }
  }
  const about = rules.filter((rule) => isAbout(rule, person))
  return {
    roleFor: (appId) =>
      highest(about.filter(({ apps }) => apps.includes('*') || apps.includes(appId))),
    isEmpty: about.length === 0,
  }
}

/** The person with only those groups that a rule names: a session need not hold the others. */
export function withKnownGroups(person: Person, rules: readonly SignInRule[]): Person {
  const known = new Set(rules.flatMap(({ group }) => group ?? []))
  return { ...person, groups: person.groups.filter((group) => known.has(group)) }
}

function isAbout({ email, domain, group }: SignInRule, person: Person): boolean {
  if (group !== undefined) return person.groups.includes(group)
  if (person.email === undefined) return false
  if (email !== undefined) return person.email === email
  return domain !== undefined && person.email.slice(person.email.lastIndexOf('@') + 1) === domain
}

function highest(rules: readonly SignInRule[]): Role | undefined {
  return ROLES.findLast((role) => rules.some((rule) => rule.role === role))
}
