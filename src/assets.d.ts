// What the build turns into text.
declare module '*.sql' {
  const text: string
  export default text
}
declare module '*.css' {
  const text: string
  export default text
}
declare module 'island:*' {
  const text: string
  export default text
}
