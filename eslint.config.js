import tseslint from 'typescript-eslint'

const OWN_LINES_MAX = 60

/**
 * A function on one screen. A factory holds the functions that it makes, each with its own measure,
 * so the lines of inner functions do not count twice; `max-lines-per-function` would count them.
 */
const ownLines = {
  create(context) {
    const inner = [0]
    const enter = () => inner.push(0)
    const leave = (node) => {
      const text = context.sourceCode.lines.slice(node.loc.start.line - 1, node.loc.end.line)
      const lines = text.filter((line) => !/^\s*(\/\/.*|\/?\*.*)?$/.test(line)).length
      const own = lines - (inner.pop() ?? 0)
      inner[inner.length - 1] += Math.max(0, lines - 2)
      if (own > OWN_LINES_MAX) {
        context.report({ node, message: `${own} lines of its own, more than ${OWN_LINES_MAX}.` })
      }
    }
    const [functions, ends] = [':function', ':function:exit']
    return { [functions]: enter, [ends]: leave }
  },
}

export default tseslint.config(
  {
    ignores: [
      'dist/',
      'data/',
      'node_modules/',
      'charts/',
      // Clients as their users write them, and code that protoc writes.
      'test/fixtures/record/clients/',
      'src/protocols/otlp/generated/',
      'eslint.config.js',
    ],
  },
  tseslint.configs.strictTypeChecked,
  {
    plugins: { ours: { rules: { 'own-lines': ownLines } } },
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/consistent-type-assertions': ['error', { assertionStyle: 'never' }],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      'ours/own-lines': 'error',
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
    },
  },
  {
    // A test file's describe() holds many tests; its length says nothing.
    files: ['test/**', 'bench/**'],
    rules: { 'ours/own-lines': 'off', '@typescript-eslint/no-non-null-assertion': 'off' },
  },
)
