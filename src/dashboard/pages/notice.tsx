import { Layout, type Frame } from './layout.tsx'
import { Text } from './text.tsx'

/** A page that has only something to say: what is wrong, and what helps. */
export interface Notice {
  readonly title: string
  readonly text: string
  /** Where to go from here. */
  readonly link?: { readonly href: string; readonly label: string }
}

/** Renders a {@link Notice}. */
export function NoticePage({ frame, notice }: { readonly frame: Frame; readonly notice: Notice }) {
  return (
    <Layout frame={frame} title={notice.title}>
      <section class="notice" role="status">
        <h1>{notice.title}</h1>
        <p>
          <Text value={notice.text} />
        </p>
        {notice.link && (
          <p class="actions">
            <a class="button" href={notice.link.href}>
              {notice.link.label}
            </a>
          </p>
        )}
      </section>
    </Layout>
  )
}
